"""Reads a checkpoint's JSON files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from internvl_ops.errors import ConfigurationError


def read_json(path: Path) -> dict[str, Any]:
    """The object in the file `path`; ConfigurationError if it cannot be read or holds something
    else."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"{path}: cannot be read as JSON: {error}. Download it again."
        ) from error
    if not isinstance(value, dict):
        raise ConfigurationError(
            f"{path}: holds a JSON {type(value).__name__}, expected an object. Download it again."
        )
    return value
