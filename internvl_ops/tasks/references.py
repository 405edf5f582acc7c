"""Checks the references of a JSON schema: each must lead to a schema inside it, since nothing is
fetched."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jsonschema
import referencing
import referencing.exceptions
import referencing.jsonschema

_KEYWORDS = ("$ref", "$dynamicRef", "$recursiveRef")
# These apply to the same value as the schema around them, so a cycle of them never ends.
_IN_PLACE = ("allOf", "anyOf", "oneOf", "not", "if", "then", "else")


def broken_reference(schema: Any) -> str | None:
    """What is wrong with the references of ``schema``; None if all of them can be resolved.

    Args:
        schema: A schema that its own meta-schema accepts.
    """
    dialect = jsonschema.validators.validator_for(schema).META_SCHEMA.get("$schema", "")
    draft = referencing.jsonschema.specification_with(
        dialect, default=referencing.jsonschema.DRAFT202012
    )
    root = draft.create_resource(schema)
    registry: referencing.Registry[Any] = (
        referencing.Registry().with_resource(root.id() or "", root).crawl()
    )
    beside: dict[int, list[tuple[str, int]]] = {}  # schema -> schemas that apply to the same value
    waiting: list[tuple[Any, Any]] = [(schema, registry.resolver_with_root(root))]
    while waiting:
        found, resolver = waiting.pop()
        if not isinstance(found, dict) or id(found) in beside:
            continue
        beside[id(found)] = [
            (keyword, id(one)) for keyword in _IN_PLACE for one in _listed(found.get(keyword))
        ]
        for keyword, reference in _references(found):
            try:
                target = resolver.lookup(reference)
            except (referencing.exceptions.Unresolvable, LookupError, ValueError):
                return f"{keyword} {reference!r:.100} {_whereto(reference)}"
            if not isinstance(target.contents, dict | bool):
                return (
                    f"{keyword} {reference!r:.100} leads to {target.contents!r:.50}, which is no"
                    " schema"
                )
            beside[id(found)].append((f"{keyword} {reference!r:.100}", id(target.contents)))
            waiting.append((target.contents, target.resolver))
        for inner in draft.create_resource(found).subresources():
            waiting.append((inner.contents, resolver.in_subresource(inner)))
    circle = _circle(beside)
    return None if circle is None else f"{circle} leads back to itself"


def _listed(found: Any) -> list[Any]:
    return found if isinstance(found, list) else [found]


def _references(schema: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for keyword in _KEYWORDS:
        if isinstance(schema.get(keyword), str):
            yield keyword, schema[keyword]


def _whereto(reference: str) -> str:
    if reference.startswith(("http://", "https://", "//")):
        return "is another document, and nothing is fetched: put what it names under $defs"
    return "leads nowhere: there is nothing of that name in the schema"


def _circle(beside: dict[int, list[tuple[str, int]]]) -> str | None:
    """The reference that closes a cycle of schemas that apply to the same value; None if there is
    no cycle."""
    done: set[int] = set()
    for start in beside:
        path: list[tuple[int, Iterator[tuple[str, int]]]] = [(start, iter(beside[start]))]
        open_: set[int] = {start}
        while path:
            here, others = path[-1]
            step = next(((how, other) for how, other in others if other not in done), None)
            if step is None:
                path.pop()
                open_.discard(here)
                done.add(here)
            elif step[1] in open_:
                return step[0]
            elif step[1] in beside:
                path.append((step[1], iter(beside[step[1]])))
                open_.add(step[1])
    return None
