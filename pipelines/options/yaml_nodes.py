"""The nodes of a YAML file, as values that JSON has. What YAML has besides is refused, so that
nothing is misread."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import yaml

_MOST = 100_000  # values; aliases of aliases make a few lines stand for billions
_DEEPEST = 64
_TAG = "tag:yaml.org,2002:"
_TYPED = frozenset(f"{_TAG}{name}" for name in ("null", "bool", "int", "float"))
_KNOWN = _TYPED | {f"{_TAG}{name}" for name in ("str", "timestamp", "map", "seq", "merge", "value")}


def check_nodes(root: yaml.Node) -> None:
    """Refuses what cannot be read as options.

    Raises:
        yaml.YAMLError: There is a tag, a name that is no text, a node within itself, or there are
        too many nodes.
    """
    waiting, seen = [(root, 0)], 0
    while waiting:
        node, depth = waiting.pop()
        seen += 1
        where = f"in line {node.start_mark.line + 1}"
        if depth > _DEEPEST:
            raise yaml.YAMLError(
                f"values within values beyond {_DEEPEST} levels, or within themselves, {where}"
            )
        if seen > _MOST:
            raise yaml.YAMLError(
                f"more than {_MOST:,} values, with those that aliases repeat, {where}"
            )
        if node.tag not in _KNOWN:
            raise yaml.YAMLError(
                f"the tag {node.tag.replace(_TAG, '!!')} is not read, {where}; write the value"
                " itself"
            )
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                if not isinstance(key, yaml.ScalarNode) or not key.value:
                    raise yaml.YAMLError(f"a name is no text, {where}")
                waiting += [(key, depth + 1), (value, depth + 1)]
        elif isinstance(node, yaml.SequenceNode):
            waiting += [(item, depth + 1) for item in node.value]


def pairs_of(node: yaml.MappingNode, spelled: Callable[[str], str] = str) -> dict[str, yaml.Node]:
    """The values of a mapping by name. Those under ``<<`` count where it has none of its own.

    Args:
        node: The mapping.
        spelled: Makes names that mean the same equal.

    Raises:
        yaml.YAMLError: A name is there twice.
    """
    own: dict[str, yaml.Node] = {}
    merged: dict[str, yaml.Node] = {}
    for key, value in node.value:
        if key.tag == f"{_TAG}merge":
            for one in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                if not isinstance(one, yaml.MappingNode):
                    raise yaml.YAMLError(f"<< is no mapping, in line {key.start_mark.line + 1}")
                merged = pairs_of(one, spelled) | merged
            continue
        name = spelled(key.value)
        if name in own:
            raise yaml.YAMLError(
                f"{key.value} is there twice, also in line {key.start_mark.line + 1}"
            )
        own[name] = value
    return merged | own


def json_value(node: yaml.Node) -> Any:
    """The value of a node as JSON has it: a date is the text that stands there.

    Raises:
        yaml.YAMLError: A name is there twice.
        ValueError: A value is not of the type that its tag says, or is a number that JSON has not.
    """
    if isinstance(node, yaml.MappingNode):
        return {name: json_value(value) for name, value in pairs_of(node).items()}
    if isinstance(node, yaml.SequenceNode):
        return [json_value(item) for item in node.value]
    if node.tag not in _TYPED or ":" in node.value:  # 1:30 is no 90
        return node.value
    value = yaml.SafeLoader("").construct_object(node)
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{node.value} is no JSON value, in line {node.start_mark.line + 1}")
    return value
