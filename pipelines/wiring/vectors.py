"""Builds the engine and the preparer of vectors from options."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from internvl_ops.engines.arguments import check_names
from internvl_ops.engines.base import own_context
from internvl_ops.engines.endpoint import Patience
from internvl_ops.engines.served_vectors import ServedVectorEngine
from internvl_ops.engines.vectors import VectorEngine
from internvl_ops.engines.vllm_vectors import VllmVectorEngine
from internvl_ops.errors import ConfigurationError
from internvl_ops.models.encoders.texts import TextTokenizer
from pipelines.options.embed_options import EmbedJobOptions, label_texts
from pipelines.wiring.media import ReaderArguments

# It imports the media readers, and so the codecs, which a job imports only after its options are
# checked.
if TYPE_CHECKING:
    from internvl_ops.preparer import UnitPreparer


VectorEngines: TypeAlias = "VectorEngine | VllmVectorEngine | ServedVectorEngine"
_PATIENCE = {field.name for field in dataclasses.fields(Patience)}
_SERVED = ("batch", "concurrency", "extra_body", *sorted(_PATIENCE))


def vector_engine_maker(
    options: EmbedJobOptions, gpus_per_engine: int = 0
) -> Callable[..., VectorEngines]:
    """Returns a picklable function that makes an engine of vectors.

    Args:
        options: Options of the job.
        gpus_per_engine: GPUs that vLLM spreads an engine over; 0 for CPUs.

    Raises:
        ConfigurationError: An argument of the engine is unknown, or it is to be spread over several
            GPUs.
    """
    if options.engine == "openai":
        return _served(options)
    if options.engine == "vllm":
        return functools.partial(
            VllmVectorEngine,
            options.encoder,
            pooling=options.resolved_pooling,
            normalise=options.normalise,
            tensor_parallel=max(1, gpus_per_engine),
            engine_args=options.engine_args,
            trust_remote_code=options.trust_remote_code,
        )
    if (options.gpus_per_engine or 0) > 1:
        raise ConfigurationError(
            f"--gpus-per-engine {options.gpus_per_engine}: an engine of vectors runs on one GPU."
            " Raise --engines."
        )
    make = functools.partial(
        VectorEngine,
        options.encoder,
        pooling=options.resolved_pooling,
        normalise=options.normalise,
        labels=_label_ids(options),
        engine_args=options.engine_args,
    )
    make()  # refuses arguments that it does not know
    return make


def _served(options: EmbedJobOptions) -> Callable[..., VectorEngines]:
    if options.gpus_per_engine:
        raise ConfigurationError(
            f"--gpus-per-engine {options.gpus_per_engine}: the server has the GPUs. Leave it out"
            " with --engine openai."
        )
    check_names("openai", options.engine_args, _SERVED)
    given = options.engine_args
    patience = {name: value for name, value in given.items() if name in _PATIENCE}
    others: dict[str, Any] = {name: value for name, value in given.items() if name not in _PATIENCE}
    make = functools.partial(
        ServedVectorEngine,
        str(options.base_url),
        options.model,
        size=options.encoder.size("server"),
        normalise=options.normalise,
        patience=Patience(**patience),
        **others,
    )
    make()  # refuses numbers that cannot be
    return make


def _label_ids(options: EmbedJobOptions) -> list[list[np.ndarray]]:
    """Token ids of the texts that say each label."""
    texts = label_texts(options)
    if not texts:
        return []
    tokenizer = TextTokenizer(options.encoder)
    return [
        [tokenizer.encode(text, prefix=options.resolved_prefix)[0] for text in each]
        for each in texts
    ]


def vector_preparer_maker(
    options: EmbedJobOptions, media: ReaderArguments
) -> Callable[[], UnitPreparer]:
    """Returns a picklable function that makes a preparer.

    Args:
        options: Options of the job.
        media: How media are read; see `pipelines.wiring.media.reader_arguments`.
    """
    from internvl_ops.vector_preparer import VectorPreparer

    return functools.partial(
        VectorPreparer,
        options.encoder,
        media,
        fit=options.fit,
        texts=options.text_column is not None,
        prefix=options.resolved_prefix,
        longest=own_context(options.engine_args),
    )
