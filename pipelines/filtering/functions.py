"""Functions of Python that rules, and the SQL of users, may call on texts."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pyarrow as pa

from internvl_ops.quality.repetition import is_repetitive
from pipelines.extras import library

# Longest text that is looked at for its language; more does not change the answer.
_CHARACTERS = 2_000


def _repetitive(texts: Any) -> pa.Array:
    return pa.array([is_repetitive(text) if text else False for text in texts.to_pylist()], pa.bool_())


def _languages(texts: Any) -> pa.Array:
    import py3langid  # `add_functions` has looked for it

    found = [py3langid.classify(text[:_CHARACTERS])[0] if text else None for text in texts.to_pylist()]
    return pa.array(found, pa.string())


# Name in SQL -> the function over a column of texts, and the type of what it returns.
FUNCTIONS: dict[str, tuple[Callable[[Any], pa.Array], str]] = {
    "is_repetitive": (_repetitive, "BOOLEAN"),
    "language_of": (_languages, "VARCHAR"),
}


def add_functions(connection: Any, needed: Iterable[str]) -> list[str]:
    """Makes functions known to a DuckDB connection.

    Raises:
        ConfigurationError: The library that one of them needs is not installed.
    """
    added = sorted(set(needed))
    for name in added:
        function, returns = FUNCTIONS[name]
        if name == "language_of":
            library("py3langid", "filter", "The rule language")
        connection.create_function(name, function, ["VARCHAR"], returns, type="arrow", null_handling="special")
    return added
