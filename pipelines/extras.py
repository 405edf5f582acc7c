"""Libraries that extras of this package install."""

from __future__ import annotations

import importlib
from typing import Any

from internvl_ops.errors import ConfigurationError


def library(module: str, extra: str, what: str) -> Any:
    """An optional library.

    Raises:
        ConfigurationError: It is not installed; the message says how to install it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ConfigurationError(
            f"{what} needs {module}, which is not installed ({error}). Install it: pip install "
            f"'internvl-batch[{extra}]'"
        ) from None
