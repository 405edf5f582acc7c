"""Keeps inputs and outputs apart: no run may read what it writes, or write into what another one
keeps."""

from __future__ import annotations

import os
from collections.abc import Collection

from internvl_ops.errors import ConfigurationError
from internvl_ops.stores.redaction import safe_uri
from pipelines.options.job_options import JobOptions
from pipelines.sources.listing import matcher
from pipelines.sources.storage import (
    check_scheme,
    has_magic,
    kind_of,
    lists,
    present,
    read_with,
    split_glob,
    store,
)

WRITTEN = ("results", "errors", "documents", "evaluation", "_runs")  # folders of an output


def check_apart(options: JobOptions) -> None:
    """Refuses an output inside the input, and an input inside the output.

    Otherwise a run would read what an earlier run wrote. Symlinks in local paths are followed.

    Raises:
        ConfigurationError: The two overlap; the message names both.
    """
    read_with(options.store_settings)
    given = check_scheme("--input", options.input)
    try:
        output = check_scheme("--output", options.output)
    except ConfigurationError:
        return  # whoever opens it says what an output may be
    try:
        _check_apart(options, given, output)
    except (*store(given).failures, *store(output).failures):
        return  # whoever reads or writes there says what is wrong


def _check_apart(options: JobOptions, given: str, output: str) -> None:
    if _reads_below(given, output):
        mend = "Give an --output outside of the input, or the next run would read its own answers."
    elif any(_is_below(_listed(given), f"{_real(output).rstrip('/')}/{name}") for name in WRITTEN):
        mend = "Give another --output, because a run may replace files there."
    else:
        _check_other_outputs(options, output)
        return
    raise ConfigurationError(
        f"--output {safe_uri(options.output)} and --input {safe_uri(options.input)} overlap. {mend}"
    )


def _listed(given: str) -> str:
    """The folder or file that an input begins with."""
    return _real(split_glob(given)[0] if has_magic(given) else given)


def _reads_below(given: str, output: str) -> bool:
    """Whether an input finds files in an output."""
    if not has_magic(given):
        return kind_of(given) == "directory" and _is_below(_real(output), _real(given))
    folder, pattern = split_glob(given)
    if not lists(folder) or not _is_below(_real(output), _real(folder)):
        return False
    inside = _real(output).removeprefix(_real(folder).rstrip("/")).strip("/")
    suffix = os.path.splitext(pattern)[1]
    matches = matcher(pattern)
    names = (f"{inside}/{name}/a{suffix}".lstrip("/") for name in WRITTEN)
    return "**" in pattern or any(matches(name) for name in names)


def _check_other_outputs(options: JobOptions, output: str) -> None:
    """Refuses an output in the folders of another one, and one that has another in its folders."""
    parts = output.split("/")
    for place, name in enumerate(parts):
        outer = "/".join(parts[:place])
        if name in WRITTEN and outer and kind_of(f"{outer}/_runs") == "directory":
            raise ConfigurationError(
                f"--output {safe_uri(options.output)} lies in the folder {name} of the output"
                f" {safe_uri(outer)}, whose readers would take both for one. Give an --output"
                " outside of it."
            )
    places = [f"{output.rstrip('/')}/{name}" for name in WRITTEN[:-1]]
    for folder, is_there in zip(places, present([f"{one}/_runs" for one in places]), strict=True):
        if is_there:
            raise ConfigurationError(
                f"--output {safe_uri(options.output)}: {safe_uri(folder)} is an output of its own,"
                " and readers would take both for one. Give another --output."
            )


def check_apart_from_output(source: str, target: str, path: str, folders: Collection[str]) -> None:
    """Refuses to export an output into itself.

    Args:
        source: ``--input`` as given.
        target: ``--output`` as given.
        path: The same, as it is opened.
        folders: The output that is exported, and the folders that runs write in it.

    Raises:
        ConfigurationError: Naming both.
    """
    top, *inner = map(_real, folders)
    path = _real(path)
    if _is_below(top, path) or any(_is_below(path, folder) for folder in inner):
        raise ConfigurationError(
            f"--output {safe_uri(target)} and --input {safe_uri(source)} overlap. Give another"
            f" --output: runs write {', '.join(f'{name}/' for name in WRITTEN)} there."
        )


def _real(path: str) -> str:
    """A local path without symlinks; any other URI as it is."""
    return os.path.realpath(path) if path.startswith("/") else path


def _is_below(path: str, folder: str) -> bool:
    return f"{path.rstrip('/')}/".startswith(f"{folder.rstrip('/')}/")
