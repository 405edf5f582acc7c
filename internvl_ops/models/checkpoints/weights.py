"""Checks a checkpoint's weight files by names, sizes and headers; takes a second even for hundreds
of gigabytes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from internvl_ops.errors import ConfigurationError, keyword
from internvl_ops.models.checkpoints.json_files import read_json

WHOLE_FILES = ("model.safetensors", "pytorch_model.bin")
LONGEST_HEADER = 100_000_000  # bytes; the limit of the format


def check_weights(folder: Path, model: str) -> None:
    """Checks that all weight files are present and complete.

    Args:
        folder: The checkpoint's folder.
        model: The user's name for the checkpoint, for the message.

    Raises:
        ConfigurationError: A file is missing or truncated; the message names it.
    """
    files, index = files_and_index(folder)
    if not files:
        raise ConfigurationError(
            f"{keyword('model', model)}: no weights; looked for {', '.join(WHOLE_FILES)} and their"
            " .index.json. Finish the download."
        )
    missing = [path.name for path in files if not path.is_file()]
    if missing:
        raise ConfigurationError(
            f"{keyword('model', model)}: {len(missing)} of {len(files)} weight files that {index}"
            f" names are missing, the first is {missing[0]}. Finish the download."
        )
    for path in files:
        if path.suffix == ".safetensors" and (wrong := fault(path)):
            raise ConfigurationError(
                f"{keyword('model', model)}: {path.name} {wrong}. Download it again."
            )


def stored_bytes(folder: Path) -> int:
    """Size of the weights: of the files, else as the index says; 0 if there is neither."""
    files, index = files_and_index(folder)
    if files and all(path.is_file() for path in files):
        return sum(path.stat().st_size for path in files)
    if index:
        return int(read_json(folder / index).get("metadata", {}).get("total_size", 0))
    return 0


def names(folder: Path) -> Iterator[str]:
    """Names of all weights that an index or a safetensors header lists."""
    files, index = files_and_index(folder)
    if index:
        yield from read_json(folder / index).get("weight_map", {})
    elif files and files[0].suffix == ".safetensors":
        yield from (name for name in _header(files[0]) if name != "__metadata__")


def files_and_index(folder: Path) -> tuple[list[Path], str]:
    """The weight files, and the name of the index that lists them, if there is one."""
    for name in WHOLE_FILES:
        if (folder / name).is_file():
            return [folder / name], ""
        index = f"{name}.index.json"
        if (folder / index).is_file():
            return [
                folder / shard
                for shard in sorted(set(read_json(folder / index)["weight_map"].values()))
            ], index
    return [], ""


def fault(path: Path) -> str | None:
    """The defect of a safetensors file, judged by its header and its size; None if there is
    none."""
    size = path.stat().st_size
    try:
        header = _header(path)
        end = max(
            (
                tensor["data_offsets"][1]
                for name, tensor in header.items()
                if name != "__metadata__"
            ),
            default=0,
        )
    except (ValueError, KeyError, TypeError, IndexError):
        return "is not a safetensors file or begins with a damaged header"
    expected = 8 + _header_length(path) + end
    return None if size == expected else f"is {size:,} bytes long, its header says {expected:,}"


def shapes(path: Path) -> dict[str, list[int]]:
    """Shape of every tensor in a safetensors file."""
    return {
        name: tensor["shape"] for name, tensor in _header(path).items() if name != "__metadata__"
    }


def _header(path: Path) -> dict[str, Any]:
    """The header. The format: 8 bytes of length, little-endian, then a JSON header of that length,
    then the data."""
    length = _header_length(path)
    if length > min(LONGEST_HEADER, path.stat().st_size - 8):
        raise ValueError("header longer than the file")
    with path.open("rb") as file:
        file.seek(8)
        return json.loads(file.read(length))


def _header_length(path: Path) -> int:
    with path.open("rb") as file:
        return int.from_bytes(file.read(8), "little")
