"""Checks JSON against a schema whose patterns may take years for some texts, as ``^(a+)+$``
does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import jsonschema
import regex

_SECONDS = 2.0  # for one pattern and one text


def bounded_validator(schema: Any) -> Any:
    """A validator of ``schema`` that gives up a pattern after a while, which counts as an error."""
    cls = jsonschema.validators.validator_for(schema)
    return jsonschema.validators.extend(
        cls, {"pattern": _pattern, "patternProperties": _properties}
    )(schema)


def _pattern(
    validator: Any, pattern: str, text: Any, schema: Any
) -> Iterator[jsonschema.ValidationError]:
    if not validator.is_type(text, "string"):
        return
    try:
        if not _found(pattern, text):
            yield jsonschema.ValidationError(f"{text!r} does not match {pattern!r}")
    except TimeoutError:
        yield jsonschema.ValidationError(f"to match {pattern!r} takes too long")


def _properties(
    validator: Any, patterns: Mapping[str, Any], value: Any, schema: Any
) -> Iterator[jsonschema.ValidationError]:
    if not validator.is_type(value, "object"):
        return
    for pattern, of_it in patterns.items():
        for name, item in value.items():
            try:
                if _found(pattern, name):
                    yield from validator.descend(item, of_it, path=name, schema_path=pattern)
            except TimeoutError:
                yield jsonschema.ValidationError(f"to match {pattern!r} takes too long")


def _found(pattern: str, text: str) -> bool:
    return regex.search(pattern, text, timeout=_SECONDS) is not None
