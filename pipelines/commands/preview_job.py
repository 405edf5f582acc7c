"""The settings of a try as a file for ``--config`` of its job."""

from __future__ import annotations

from typing import Any

import yaml

from pipelines.commands.preview_tries import Try
from pipelines.options.config_file import PATH_OPTIONS
from pipelines.options.rules import changed
from pipelines.options.safe_options import safe_options
from pipelines.options.tasks import TASKS

# What is of the preview alone, or is not written into files.
_NEVER = frozenset({"output", "pdf_password", "http_header"})
_OF_FILES = frozenset({"input", "input_format", "id_column", "image_column", "video_column",
                       "document_column", "media_root", "allow"})  # fmt: skip


def job_yaml(attempt: Try, *, of_files: bool) -> str:
    """The file: every option that is not at its default.

    Args:
        attempt: The try.
        of_files: Whether its units were named files, so that the input of the job is still to be
            given.
    """
    options = attempt.options
    shown, given = safe_options(options), options.model_dump(mode="json", exclude={"pdf_password"})
    left_out = _NEVER | (_OF_FILES if of_files else frozenset())
    names = [
        name
        for name, field in type(options).model_fields.items()
        if name not in left_out and (field.is_required() or changed(options, name))
    ]
    secret = [name for name in names if shown[name] != given[name]]
    secret += [name for name in ("pdf_password", "http_header") if changed(options, name)]
    command = attempt.task.name if attempt.task.name in TASKS else "run"
    still = "--input INPUT --output OUTPUT" if of_files else "--output OUTPUT"
    lines = [f"# internvl-batch {command} --config THIS-FILE {still}"]
    lines += [
        f"# {name.replace('_', '-')} may hold a secret: give it on the command line."
        for name in secret
    ]
    values = {
        name.replace("_", "-"): _written(name, given[name]) for name in names if name not in secret
    }
    return "\n".join(lines) + "\n" + _dumped(values)


def _dumped(values: dict[str, Any]) -> str:
    """YAML with its letters as they are, unless a reader would take some for line breaks."""
    text = yaml.safe_dump(values, allow_unicode=True, sort_keys=False, width=100)
    if yaml.safe_load(text) == values:
        return text
    return yaml.safe_dump(values, sort_keys=False, width=100)


def _written(name: str, value: Any) -> Any:
    """A value as a config file has it, where a dollar sign in a path begins a variable."""
    if isinstance(value, list):
        return [_written(name, one) for one in value]
    return value.replace("$", "$$") if isinstance(value, str) and name in PATH_OPTIONS else value
