"""Builds an engine from options."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from internvl_ops.engines import ENGINES, Engine, Sampling
from internvl_ops.engines.arguments import check_names, transformers_names, vllm_names
from internvl_ops.engines.base import own_context
from internvl_ops.engines.endpoint import Patience
from internvl_ops.engines.openai import OpenAIEngine, check_served
from internvl_ops.errors import ConfigurationError
from internvl_ops.models.checkpoints.config import Checkpoint, load_checkpoint
from internvl_ops.models.checkpoints.places import is_hub_name
from internvl_ops.models.encoders.config import Encoder
from internvl_ops.models.lora import check_room, load_adapter
from internvl_ops.stores.redaction import safe_uri
from internvl_ops.tasks import Task
from internvl_ops.tasks.thinking import SYSTEM_MESSAGE
from pipelines.flags import flag
from pipelines.options.embed_options import EmbedJobOptions
from pipelines.options.job_options import InferenceOptions, JobOptions, ModelOptions, PromptOptions
from pipelines.wiring.vectors import vector_engine_maker

GPU_IN_FLIGHT = 512  # units that an engine holds on a GPU by default
CPU_IN_FLIGHT = 32  # and on CPUs
IN_FLIGHT = 64  # requests that an endpoint gets at once by default
TILE_SIZE = 448  # tile size of every published checkpoint
_NAMES = {"vllm": vllm_names, "transformers": lambda: [*transformers_names(), "max_model_len"]}
EngineMaker: TypeAlias = Callable[..., Engine[Any]]
Model: TypeAlias = Checkpoint | Encoder
_PATIENCE = {field.name for field in dataclasses.fields(Patience)}
_ENDPOINT = (
    "max_model_len",
    "concurrency",
    "streams",
    "send_max_tiles",
    "extra_body",
    *sorted(_PATIENCE),
)


def load_model(options: InferenceOptions) -> Checkpoint | None:
    """The checkpoint; None if only an endpoint has it.

    Raises:
        ConfigurationError: It is no checkpoint, or an incomplete one; see `load_checkpoint`.
    """
    if options.engine == "openai" and not Path(options.model).is_dir():
        return None
    revision = options.revision or (
        options.engine_args.get("revision") if is_hub_name(options.model) else None
    )
    checkpoint = load_checkpoint(options.model, revision)
    return checkpoint.tiled(options.max_tiles) if options.tiling == "always" else checkpoint


def load_any_model(options: JobOptions) -> Model | None:
    """The checkpoint of a job, which may be one that gives vectors; None if only an endpoint has
    it.

    Raises:
        ConfigurationError: It is no checkpoint for this job, or an incomplete one.
    """
    return options.encoder if isinstance(options, EmbedJobOptions) else load_model(options)


def checkpoint_version(checkpoint: Model | None) -> str:
    """What identifies the checkpoint's files; empty if a server has them."""
    return checkpoint.version if checkpoint else ""


def system_message_of(options: PromptOptions) -> str | None:
    """The system message of every prompt; None is the checkpoint's own."""
    return (
        SYSTEM_MESSAGE
        if options.think and options.system_message is None
        else options.system_message
    )


def job_sampling(options: PromptOptions, max_new_tokens: int) -> Sampling:
    """The sampling parameters for all rows that have none of their own."""
    return Sampling(
        max_new_tokens=max_new_tokens,
        temperature=options.temperature,
        top_p=options.top_p,
        top_k=options.top_k,
        min_new_tokens=options.min_new_tokens,
        repetition_penalty=options.repetition_penalty,
        seed=options.seed,
        logprobs=0 if options.log_probs else None,
    )


def tile_size(checkpoint: Model | None) -> int:
    """Tile size of the model, in pixels."""
    return TILE_SIZE if checkpoint is None else checkpoint.tile_size


def tokenizer_checkpoint(options: ModelOptions, checkpoint: Model | None) -> Checkpoint | None:
    """The checkpoint that tokenizes prompts and answers; None if a server takes texts, or answers
    are vectors."""
    return None if options.engine == "openai" or isinstance(checkpoint, Encoder) else checkpoint


def engine_maker(
    options: InferenceOptions,
    checkpoint: Model | None,
    task: Task,
    gpus_per_engine: int,
    in_flight: int | None = None,
) -> EngineMaker:
    """Returns a picklable function that makes an engine.

    Args:
        options: Model, prompt and tiles.
        checkpoint: Checkpoint of the model; None if only a server has it.
        task: What is asked.
        gpus_per_engine: GPUs that the engine is spread over; 0 for CPUs.
        in_flight: Requests that a server gets at once; None is the default.

    Raises:
        ConfigurationError: The options do not fit the engine, or the engine cannot do what the task
            needs.
    """
    if isinstance(options, EmbedJobOptions):
        return vector_engine_maker(options, gpus_per_engine)
    _check_outcome(options.engine, task)
    if options.engine == "openai":
        assert not isinstance(checkpoint, Encoder), "only a job of vectors has one"
        return _endpoint(options, checkpoint, in_flight)
    if options.base_url is not None:
        raise ConfigurationError(
            f"--base-url {safe_uri(options.base_url)}: --engine {options.engine} runs the model"
            " itself. Add --engine openai, or leave the address out."
        )
    others: dict[str, Any] = {"lora": options.lora} if options.lora else {}
    return functools.partial(
        ENGINES[task.outcome.name][options.engine],
        checkpoint,
        tensor_parallel=max(1, gpus_per_engine),
        max_tiles=options.max_tiles,
        constrained=task.constrained,
        engine_args=options.engine_args,
        trust_remote_code=options.trust_remote_code,
        **others,
    )


def _check_outcome(engine: str, task: Task) -> None:
    """Refuses an engine whose answers are not of the kind that the task needs."""
    known = [*ENGINES[task.outcome.name], *(["openai"] if task.outcome.generated else [])]
    if engine not in known:
        able = f"use --engine {' or '.join(known)}" if known else "no engine here gives them"
        raise ConfigurationError(
            f"--engine {engine}: the task {task.name} needs {task.outcome.name}; {able}."
        )


def check_engine(options: InferenceOptions, checkpoint: Model | None, task: Task) -> None:
    """Checks that the options suit the engine and the checkpoint. Whether the device memory
    suffices shows only later.

    Raises:
        ConfigurationError: As `engine_maker`.
    """
    if options.lora and options.engine != "vllm":
        raise ConfigurationError(
            f"--lora {options.lora}: --engine {options.engine} takes none; use --engine vllm."
        )
    make = engine_maker(options, checkpoint, task, options.gpus_per_engine or 1)
    if options.engine_args and options.engine in _NAMES:
        check_names(options.engine, options.engine_args, _NAMES[options.engine]())
    if options.engine != "vllm" or checkpoint is None or isinstance(checkpoint, Encoder):
        make()
        return
    checkpoint.check_tensor_parallel(max(1, options.gpus_per_engine or 1))
    if options.lora:
        check_room(load_adapter(options.lora, checkpoint), options.lora, options.engine_args)


def check_endpoint(options: ModelOptions) -> str | None:
    """Asks the endpoint, if there is one, whether it serves the model.

    Returns:
        A line for the user if the endpoint does not answer: it may still be starting.

    Raises:
        ConfigurationError: It does not serve the model, or refuses the key.
    """
    if options.engine != "openai" or options.base_url is None:
        return None
    if isinstance(options, EmbedJobOptions):  # it gave the length of its vectors already
        return None
    why = asyncio.run(check_served(options.base_url, options.model))
    return why and f"waiting for {safe_uri(options.base_url)}: {why}"


def context_of(options: ModelOptions, checkpoint: Checkpoint) -> int:
    """Most tokens of a prompt and its answer together, by the options and the checkpoint."""
    given = own_context(options.engine_args)
    return given or (
        checkpoint.served_context if options.engine == "vllm" else checkpoint.context_length
    )


def _endpoint(
    options: InferenceOptions, checkpoint: Checkpoint | None, in_flight: int | None
) -> EngineMaker:
    url = options.base_url
    if url is None:
        raise ConfigurationError(
            "--engine openai: no server is named. Add --base-url http://HOST:PORT/v1."
        )
    if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
        raise ConfigurationError(
            f"--base-url {safe_uri(url)}: give an address such as http://HOST:PORT/v1."
        )
    for name, reason in (
        ("combine_images", "the server places the images"),
        ("gpus_per_engine", "the server has the GPUs"),
    ):
        if getattr(options, name):
            raise ConfigurationError(f"{flag(name)}: {reason}. Leave it out with --engine openai.")
    if options.min_tiles > 1:
        raise ConfigurationError(
            f"--min-tiles {options.min_tiles}: the server tiles, and takes a most only. Leave it"
            " out."
        )
    check_names("openai", options.engine_args, _ENDPOINT)
    patience: dict[str, Any] = {
        name: value for name, value in options.engine_args.items() if name in _PATIENCE
    }
    others = {name: value for name, value in options.engine_args.items() if name not in _PATIENCE}
    others.setdefault("concurrency", in_flight or IN_FLIGHT)
    others["context_length"] = own_context(options.engine_args) or (
        checkpoint and checkpoint.context_length
    )
    others.pop("max_model_len", None)
    return functools.partial(
        OpenAIEngine, url, options.model, patience=Patience(**patience), **others
    )
