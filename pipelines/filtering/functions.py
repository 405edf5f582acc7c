"""Functions of Python that rules, and the SQL of users, may call on texts."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

import pyarrow as pa

from internvl_ops.quality.repetition import is_repetitive
from pipelines.extras import library

# Longest text that is looked at for its language; more does not change the answer.
_CHARACTERS = 2_000


def _repetitive(texts: Any) -> pa.Array:
    return pa.array(
        [is_repetitive(text) if text else False for text in texts.to_pylist()], pa.bool_()
    )


def _languages(texts: Any) -> pa.Array:
    return pa.array(
        [_language(text[:_CHARACTERS]) if text else None for text in texts.to_pylist()], pa.string()
    )


def _language(text: str) -> str | None:
    """The language that is likelier than all others together; None if there is none, as of a table
    of numbers."""
    language, probability = _identifier().classify(text)
    return language if probability > 0.5 else None


@functools.cache
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier  # `add_functions` has looked for it

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


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
        connection.create_function(
            name, function, ["VARCHAR"], returns, type="arrow", null_handling="special"
        )
    return added
