"""Side files of a run, which do not say who wrote them: the card, and scores and samples of an
evaluation.

The digest of each is kept in ``_runs/`` before the file is written. If a file has another digest,
somebody else wrote or edited it, and it stays.
"""

from __future__ import annotations

import contextlib
import hashlib
import json

from internvl_ops.stores.redaction import safe_uri
from pipelines.output.folder import RUNS, OutputFolder
from pipelines.patience import patiently

SIDE_FILE_INDEX = f"{RUNS}/.side_files.json"  # {name: [digests that runs wrote under it]}

SideFileDigests = dict[str, list[str]]


def write_side_file(
    output: OutputFolder, name: str, data: bytes, run_id: str, *, beside: bool
) -> str | None:
    """Writes a whole file, unless a file of that name exists that no run wrote.

    Args:
        output: The output.
        name: Name of the file, relative to the output.
        data: Its content.
        run_id: Id of the run, used to make a free name.
        beside: Whether to write ``NAME.RUN.SUFFIX`` in that case; if not, nothing is written.

    Returns:
        The name of the file that holds the data; None if it was not written.
    """
    there = content_of(output, name)
    if there == data:
        return name
    known = _known(output)
    target = name
    if there is not None and _hex(there) not in known.get(name, ()):
        if not beside:
            return None
        stem, _, suffix = name.rpartition(".")
        target = f"{stem}.{run_id}.{suffix}"
    older = [_hex(there)] if there is not None and target == name else []
    known[target] = [*older, _hex(data)]
    _write_index(output, known)
    output.write_bytes(target, data)
    _remove_other_runs(output, name, target, known)
    return target


def _remove_other_runs(
    output: OutputFolder, name: str, target: str, known: SideFileDigests
) -> None:
    stem, _, suffix = name.rpartition(".")
    others = [
        other
        for other in known
        if other not in (name, target) and other.startswith(f"{stem}.") and other.endswith(suffix)
    ]
    for other in others:
        there = content_of(output, other)
        if there is not None and _hex(there) in known[other]:
            output.remove(other)
        del known[other]
    if others:
        _write_index(output, known)


def content_of(output: OutputFolder, name: str) -> bytes | None:
    """Reads a whole file; None if it does not exist."""
    with contextlib.suppress(FileNotFoundError, IsADirectoryError):
        return patiently(
            lambda: output.read_bytes(name), f"{safe_uri(output.uri)}/{name} could not be read"
        )
    return None


def _known(output: OutputFolder) -> SideFileDigests:
    try:
        value = json.loads(content_of(output, SIDE_FILE_INDEX) or b"{}")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _write_index(output: OutputFolder, known: SideFileDigests) -> None:
    output.write_bytes(SIDE_FILE_INDEX, json.dumps(known, indent=1).encode())


def digest(data: bytes) -> bytes:
    """The digest that identifies the content of a file."""
    return hashlib.blake2b(data, digest_size=16).digest()


def _hex(data: bytes) -> str:
    return digest(data).hex()
