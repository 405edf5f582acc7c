"""Cuts an output into parts: some files of ``results/`` that are exported together, and kept on resuming."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

PART_BYTES = 8 << 20  # compressed Parquet; a part that fails is written again


@dataclass(frozen=True)
class Part:
    """Files of ``results/`` that are exported together.

    Args:
        number: In the order of the rows.
        files: Their names, relative to the output.
        key: Identifies the files' content and the options of the export.
    """

    number: int
    files: tuple[str, ...]
    key: str


def plan_parts(sizes: Mapping[str, int], options: Mapping[str, Any], part_bytes: int = PART_BYTES) -> list[Part]:
    """The parts of an output. If the output grows, all but the last of the earlier parts stay as they are.

    Args:
        sizes: Size of each file, in the order of the rows.
        options: What the export depends on besides the rows.
        part_bytes: Size at which a part is full.
    """
    groups: list[list[tuple[str, int]]] = []
    for name, size in sizes.items():
        if not groups or sum(size for _, size in groups[-1]) + size > part_bytes:
            groups.append([])
        groups[-1].append((name, size))
    return [
        Part(number, tuple(name for name, _ in group), digest([group, options])) for number, group in enumerate(groups)
    ]


def digest(value: Any) -> str:
    """Identifies a JSON value."""
    return hashlib.blake2b(json.dumps(value, sort_keys=True).encode(), digest_size=16).hexdigest()
