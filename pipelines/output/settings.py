"""The settings that determine answers, kept in every file of the output. Only runs with the same
ones may add to it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from typing import Any

from internvl_ops.errors import ConfigurationError
from internvl_ops.models.checkpoints.places import is_same_version
from internvl_ops.stores.redaction import safe_uri
from internvl_ops.tasks import Task
from internvl_ops.tasks.forms import read_schema
from pipelines.flags import flag
from pipelines.options.again_options import AgainOptions
from pipelines.options.job_options import (
    ClusterOptions,
    EstimateOptions,
    InputOptions,
    JobOptions,
    OutputOptions,
)
from pipelines.options.safe_options import safe_options, without_secrets
from pipelines.output.folder import ERRORS, RESULTS, OutputFolder

_DIGEST = "blake2b"
METADATA_KEY = b"settings"  # in the metadata of results/*.parquet and errors/*.parquet
# Limits and retries decide whether a unit has an answer or an error, never which answer; `pages`
# decides which units there are.
_INDIFFERENT = {
    "engines",
    "gpus_per_engine",
    "base_url",
    "engine_args",
    "engine_timeout",
    "revision",  # the commit that it leads to counts
    "trust_remote_code",
    "truncated",
    "media_stats",
    "pages",
    "pdf_password",
    "max_pages",
    "max_video_seconds",
    "max_bytes",
    "max_pixels",
    "fetch_timeout",
    "decode_timeout",
    "decode_memory",
    # For an evaluation: tiles and frames are options of their own, and each run computes its scores
    # anew.
    "release",
    "no_letter",
    "judge_url",
    "judge_model",
    "truth_column",  # decides what is said about the answers
}
_ENGINE_ARGS = ("dtype", "quantization", "revision", "code_revision", "tokenizer_revision",
                "kv_cache_dtype", "hf_overrides", "load_format", "torch_dtype",
                "mm_processor_kwargs", "override_generation_config", "generation_config",
                "extra_body", "send_max_tiles")  # fmt: skip
WEIGHTS = "weights"
_SHOWN = 200  # characters; longer values are kept shortened, with a digest


def settings(options: JobOptions, task: Task, weights: str = "") -> dict[str, Any]:
    """The settings that determine a job's answers: task, prompt, model, and every option not known
    to be irrelevant.

    Args:
        options: Of the job.
        task: Of the job.
        weights: What identifies the checkpoint's files, see `Checkpoint.version`; empty if it is
            not known here.
    """
    groups = (AgainOptions, ClusterOptions, EstimateOptions, InputOptions, OutputOptions)
    elsewhere = {name for group in groups for name in group.model_fields}
    elsewhere |= getattr(options, "print_only", frozenset())
    as_shown, given = safe_options(options), options.model_dump(mode="json")
    names = [name for name in given if name not in elsewhere | _INDIFFERENT]
    values = {name: _setting(as_shown[name], given[name]) for name in names}
    if (schema := given.get("json_schema")) is not None:
        values["json_schema"] = _setting(as_shown["json_schema"], _content(schema), digest=True)
    args = as_shown["engine_args"], given["engine_args"]
    values |= {name: _setting(*(one.get(name) for one in args)) for name in _ENGINE_ARGS}
    values |= {name: _setting(value, value) for name, value in task.details.items()}
    values |= {WEIGHTS: weights} if weights else {}
    return values | {"task": task.name, "prompt": task.prompt, "model": safe_uri(options.model)}


def _setting(as_shown: Any, given: Any, *, digest: bool = False) -> Any:
    """A setting as it is kept: the value itself, or its displayable form with a digest of the
    value."""
    if not digest and as_shown == given and len(str(given)) <= _SHOWN:
        return given
    text = json.dumps(without_secrets(given), sort_keys=True, default=str).encode(
        "utf-8", "surrogatepass"
    )
    return {"shown": as_shown, _DIGEST: hashlib.blake2b(text, digest_size=16).hexdigest()}


def _content(schema: str) -> Any:
    """The content of a JSON schema, so that the file it is in does not matter."""
    try:
        return json.loads(read_schema(schema))
    except (ConfigurationError, ValueError):  # `make_task` reports the error
        return schema


def metadata(options: JobOptions, task: Task, weights: str = "") -> dict[bytes, bytes]:
    """The settings as metadata of a Parquet file."""
    return {METADATA_KEY: json.dumps(settings(options, task, weights), sort_keys=True).encode()}


def check_settings(
    output: OutputFolder,
    options: JobOptions,
    task: Task,
    weights: str = "",
    *,
    only: Collection[str] | None = None,
) -> None:
    """Refuses an output whose answers were made with other settings.

    Only the newest file is checked, since each run checked the files before it. A file of an older
    version may lack some settings; those are not compared.

    Args:
        output: The output.
        options: Of the job.
        task: Of the job.
        weights: As in `settings`.
        only: Settings that are compared; None compares all.

    Raises:
        ConfigurationError: The settings differ; the message names each difference.
    """
    newest = [*output.files(ERRORS)[-1:], *output.files(RESULTS)[-1:]]
    found = output.read_metadata(newest[-1]) if newest else {}
    there = {
        name: found[name.encode()].decode() for name in ("task", "prompt") if name.encode() in found
    }
    there |= json.loads(found.get(METADATA_KEY, b"{}"))
    now = settings(options, task, weights)
    differing = [
        _difference(name, value, now.get(name))
        for name, value in there.items()
        if (only is None or name in only) and not _is_same(name, value, now.get(name))
    ]
    if differing:
        raise ConfigurationError(
            f"--output {safe_uri(options.output)} holds answers of another kind:"
            f" {'; '.join(differing)}. Give a new --output, or --overwrite to do all of it again."
        )


def _is_same(name: str, there: Any, now: Any) -> bool:
    if name == WEIGHTS:
        return is_same_version(str(there), str(now))
    if not _has_digest(now):
        return bool(there == now)
    # Versions without digests kept only the displayable form, so only that can be compared.
    return bool(there[_DIGEST] == now[_DIGEST] if _has_digest(there) else there == now["shown"])


def _has_digest(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() == {"shown", _DIGEST}


def _difference(name: str, there: Any, now: Any) -> str:
    if name == WEIGHTS:
        return (
            f"the files of --model are {_short(there)} there, {_short(now)} now (--revision names"
            " an earlier one)"
        )
    shown_name = name if name == "task" or name in _ENGINE_ARGS else flag(name)
    one, other = _short(there), _short(now)
    if one == other:
        return (
            f"{shown_name} {one} there, and now a value that differs further on or in its content"
        )
    return f"{shown_name} {one} there, {other} now"


def _short(value: Any) -> str:
    value = value["shown"] if _has_digest(value) else value
    if value is None:
        text = "the default"
    elif isinstance(value, int | float):
        text = str(value)
    else:
        text = repr(value)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
