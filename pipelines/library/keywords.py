"""From keyword arguments to options, with errors that name keyword arguments."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel

from internvl_ops.errors import ConfigurationError
from pipelines.flags import in_flags
from pipelines.options.command_line import build_options

Options = TypeVar("Options", bound=BaseModel)
_FOREIGN = ("head", "num-cpus", "port")  # of `ray start`, in messages
_FLAG = re.compile(r"(?<![\w-])--(no-)?([a-z][a-z0-9]*(?:-[a-z0-9]+)*)")


def options_from(cls: type[Options], values: Mapping[str, Any]) -> Options:
    """The options of a call.

    Args:
        cls: Class of the options.
        values: Keyword arguments; None stands for the default. Paths may be `os.PathLike`.

    Raises:
        ConfigurationError: Naming each wrong option as on the command line; see `in_python`.
    """
    given = {name: _plain(value) for name, value in values.items() if value is not None}
    return build_options(cls, given)


def _plain(value: Any) -> Any:
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value


@contextlib.contextmanager
def in_python() -> Iterator[None]:
    """Lets errors name keyword arguments: ``max_tiles`` instead of ``--max-tiles``."""
    try:
        yield
    except ConfigurationError as error:
        raise ConfigurationError(in_keywords(str(error))) from error.__cause__


def in_keywords(text: str) -> str:
    """``text`` with each option as a keyword argument. Options of other programs stay."""
    return _FLAG.sub(_keyword, in_flags(text))


def _keyword(found: re.Match[str]) -> str:
    if found[2] in _FOREIGN:
        return found[0]
    return found[2].replace("-", "_") + ("=False" if found[1] else "")
