"""Vectors of texts and pictures, by the model that made those of an output; here, without a
cluster."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import numpy as np

from internvl_ops.engines.base import Request, Sampling
from internvl_ops.errors import ConfigurationError, UnitError
from internvl_ops.media_reader import MediaRef, Unit
from internvl_ops.models.checkpoints.places import is_same_version
from internvl_ops.rendered import ChatConversation
from internvl_ops.replies import Numbers
from internvl_ops.tasks.conversation import Conversation
from pipelines.options.command_line import build_options
from pipelines.options.embed_options import EmbedJobOptions
from pipelines.output.settings import WEIGHTS
from pipelines.search.embedded import Embedded
from pipelines.wiring.media import policy_of, read_policy, reader_arguments
from pipelines.wiring.sources import plan_of
from pipelines.wiring.vectors import vector_engine_maker, vector_preparer_maker


def query_vectors(
    embedded: Embedded,
    texts: Sequence[str],
    images: Sequence[str],
    model: str | None = None,
    base_url: str | None = None,
) -> np.ndarray:
    """A vector of each text and of each picture, of shape (texts and images, size).

    Args:
        embedded: The output whose model, pooling and way with pictures are used.
        texts: The texts.
        images: Paths or URIs of pictures.
        model: Where the checkpoint is, if not where it was.
        base_url: Address of the server, if one made the vectors.

    Raises:
        ConfigurationError: The checkpoint is another one, takes no texts, or a picture cannot be
            read.
    """
    given = {
        **embedded.making(),
        "model": model or embedded.settings.get("model"),
        "output": "unused",
        **({"base_url": base_url} if base_url else {}),
    }
    if images and given.get("engine", "torch") != "torch":
        raise ConfigurationError(
            f"--query-image {images[0]}: these vectors are of texts alone. Search by --query-text."
        )
    if given.get("engine") == "openai" and base_url is None:
        raise ConfigurationError(
            "--query-text: a server made these vectors. Name it by --base-url http://HOST:PORT/v1."
        )
    if given.get("engine", "torch") != "torch":
        given["text_column"] = "text"
    requests = [
        *(_request(given, f"--query-text {text!r:.60}", text=text) for text in texts),
        *(_request(given, f"--query-image {image}", image=image) for image in images),
    ]
    options = _options(given, "unused")
    version = embedded.settings.get(WEIGHTS)
    if version and not is_same_version(str(version), options.encoder.version):
        raise ConfigurationError(
            f"--model {options.model}: its files are not those that made the vectors"
            f" ({version!s:.60} then, {options.encoder.version:.60} now). Name the folder with"
            " those by --model."
        )
    return asyncio.run(_answers(options, requests))


def _options(given: dict[str, Any], source: str, **more: Any) -> EmbedJobOptions:
    found: EmbedJobOptions = build_options(EmbedJobOptions, {**given, "input": source, **more})
    return found


def _request(
    given: dict[str, Any], said: str, *, text: str | None = None, image: str | None = None
) -> Request:
    """The prepared query."""
    if image is None:
        options = _options(given | {"text_column": "text"}, "unused")
        if not options.encoder.reads_texts:
            raise ConfigurationError(
                f"{said}: {options.model} has no text encoder; its vectors are of pictures alone."
            )
        media: tuple[MediaRef, ...] = ()
        reading = reader_arguments(
            options, policy_of("/nowhere", (), (), options.store_settings), "image"
        )
    else:
        options = _options(given, image)
        plan = plan_of(options)
        reading = reader_arguments(options, read_policy(options, plan), plan.media_kind)
        media = tuple(MediaRef(uri) for uri in plan.sample_uris[:1])
    preparer = vector_preparer_maker(options, reading)()
    try:
        (prepared,) = preparer.prepare([Unit([Conversation((text or "",))], media)])
    finally:
        preparer.close()
    if isinstance(prepared, UnitError):
        raise ConfigurationError(f"{said}: {prepared.message}")
    (conversation,) = prepared.conversations
    if isinstance(conversation, ChatConversation):
        return Request(said, chat=conversation.chat)
    return Request(said, conversation.token_ids, prepared.tiles)


async def _answers(options: EmbedJobOptions, requests: Sequence[Request]) -> np.ndarray:
    engine = vector_engine_maker(options)()
    await engine.start()
    try:
        found = await asyncio.gather(*(engine.generate(one, Sampling()) for one in requests))
    finally:
        engine.shutdown()
    vectors = [one.values for one in found if isinstance(one, Numbers)]
    assert len(vectors) == len(found), "an output with vectors of tokens is not searched"
    return np.stack(vectors).astype(np.float32)
