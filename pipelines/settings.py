"""What decides an answer, kept in every file of the output: another run adds to it only with the same."""

from __future__ import annotations

import json
from typing import Any

from internvl_ops.errors import ConfigurationError
from internvl_ops.media.access import safe_uri
from internvl_ops.tasks import Task
from pipelines.command_line import flag
from pipelines.options import ClusterOptions, EstimateOptions, InputOptions, JobOptions, OutputOptions
from pipelines.output import ERRORS, RESULTS, OutputFolder
from pipelines.redaction import shown

KEY = b"settings"  # in the metadata of results/*.parquet and errors/*.parquet
# Limits and retries turn errors into answers or back, and never one answer into another; pages say which there are.
_INDIFFERENT = {
    "engines",
    "gpus_per_engine",
    "base_url",
    "engine_args",
    "engine_timeout",
    "trust_remote_code",
    "truncated",
    "pages",
    "max_bytes",
    "max_pixels",
    "fetch_timeout",
    "decode_timeout",
    "decode_memory",
}
_ENGINE_ARGS = ("dtype", "quantization", "revision", "code_revision", "tokenizer_revision", "kv_cache_dtype",
                "hf_overrides", "load_format")  # fmt: skip


def settings(options: JobOptions, task: Task) -> dict[str, Any]:
    """What decides the answers of a job: task, prompt, model, and every option that is not known to be indifferent."""
    groups = (ClusterOptions, EstimateOptions, InputOptions, OutputOptions)
    elsewhere = {name for group in groups for name in group.model_fields}
    values = {name: value for name, value in shown(options).items() if name not in elsewhere | _INDIFFERENT}
    values |= {name: shown(options)["engine_args"].get(name) for name in _ENGINE_ARGS}
    return values | {"task": task.name, "prompt": task.prompt, "model": safe_uri(options.model)}


def metadata(options: JobOptions, task: Task) -> dict[bytes, bytes]:
    """The settings as metadata of a Parquet file."""
    return {KEY: json.dumps(settings(options, task), sort_keys=True).encode()}


def check_settings(output: OutputFolder, options: JobOptions, task: Task) -> None:
    """Refuses an output whose answers were made with other settings.

    Only the newest file is looked at: each run checked the ones before. Settings that it does not name, because it was
    written by an older version, are not compared.

    Raises:
        ConfigurationError: Naming each difference.
    """
    newest = [*output.files(ERRORS)[-1:], *output.files(RESULTS)[-1:]]
    found = output.read_metadata(newest[-1]) if newest else {}
    there = {name: found[name.encode()].decode() for name in ("task", "prompt") if name.encode() in found}
    there |= json.loads(found.get(KEY, b"{}"))
    now = settings(options, task)
    differing = [_difference(name, there[name], now.get(name)) for name in there if there[name] != now.get(name)]
    if differing:
        raise ConfigurationError(
            f"--output {safe_uri(options.output)} holds answers of another kind: {'; '.join(differing)}. Give a new "
            "--output, or --overwrite to do all of it again."
        )


def _difference(name: str, there: Any, now: Any) -> str:
    shown = name if name == "task" or name in _ENGINE_ARGS else flag(name)
    return f"{shown} {_short(there)} there, {_short(now)} now"


def _short(value: Any) -> str:
    text = "the default" if value is None else str(value) if isinstance(value, int | float) else repr(value)
    return text if len(text) <= 200 else text[:200] + "…"
