"""References in a JSON schema: what leads nowhere, elsewhere or in a circle is refused before
anything starts."""

from __future__ import annotations

import json
from typing import Any

import pytest

from internvl_ops.errors import ConfigurationError
from internvl_ops.tasks.forms import read_schema


def of(schema: Any, **others: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {"a": schema}, **others}


@pytest.mark.parametrize(
    "schema",
    [
        of({"$ref": "#/$defs/b"}, **{"$defs": {"b": {"type": "string"}}}),
        of({"$ref": "#/definitions/b"}, definitions={"b": {"type": "string"}}),
        of({"$ref": "#/$defs/a~1b~0c%20d"}, **{"$defs": {"a/b~c d": {"type": "string"}}}),
        of({"$ref": "#b"}, **{"$defs": {"x": {"$anchor": "b", "type": "string"}}}),
        of({"$dynamicRef": "#node"}, **{"$dynamicAnchor": "node"}),
        of(
            {"$ref": "item.json"},
            **{"$id": "https://x.org/root.json", "$defs": {"i": {"$id": "item.json"}}},
        ),
        of({"$ref": "#"}),  # a tree
        of(
            {"$ref": "#/$defs/b"},
            **{"$defs": {"b": {"type": "array", "items": {"$ref": "#/$defs/b"}}}},
        ),
        of({"enum": [{"$ref": "#/nowhere"}]}),  # a value, not a reference
        of({"const": {"$ref": "http://elsewhere/x"}}),
        {"type": "object", "properties": {"$ref": {"type": "string"}}},  # a property of that name
        {
            "$schema": "http://json-schema.org/draft-07/schema#",
            **of({"$ref": "#b"}, definitions={"x": {"$id": "#b"}}),
        },
    ],
)
def test_references_that_can_be_followed(schema: Any) -> None:
    assert json.loads(read_schema(json.dumps(schema))) == schema


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        (of({"$ref": "#/definitions/Missing"}), "'#/definitions/Missing' leads nowhere"),
        (of({"$ref": "#/$defs/b"}, definitions={"b": {}}), "leads nowhere"),
        (of({"items": {"anyOf": [{"not": {"$ref": "#/$defs/c"}}]}}), "leads nowhere"),
        (
            of({"$ref": "#/$defs/b"}, **{"$defs": {"b": {"items": {"$ref": "#/$defs/c"}}}}),
            "'#/$defs/c'",
        ),
        ({"type": "object", "$defs": {"unused": {"$ref": "#/$defs/c"}}}, "leads nowhere"),
        (of({"$ref": "#/$defs/a/b"}, **{"$defs": {"a/b": {}}}), "leads nowhere"),
        (of({"$ref": "#anchor"}), "leads nowhere"),
        (of({"$dynamicRef": "#node"}), "$dynamicRef '#node' leads nowhere"),
        (of({"$ref": "other.json#/x"}), "leads nowhere"),
        (of({"$ref": "http://127.0.0.1:9/s.json"}), "nothing is fetched"),
        (of({"$ref": "https://json-schema.org/draft/2020-12/schema"}), "nothing is fetched"),
        (of({"$ref": "file:///etc/passwd"}), "leads nowhere"),
        (
            of({"$ref": "#/properties/b/type"}, properties={"a": {"$ref": "#/type"}}),
            "which is no schema",
        ),
        ({"$ref": "#"}, "leads back to itself"),
        (
            of({"$ref": "#/$defs/b"}, **{"$defs": {"b": {"allOf": [{"$ref": "#/$defs/b"}]}}}),
            "leads back to itself",
        ),
        ([1], "not a JSON schema"),
        (True, "not a JSON schema"),
    ],
)
def test_references_that_cannot(schema: Any, said: str, tmp_path: Any) -> None:
    file = tmp_path / "schema.json"
    file.write_text(json.dumps(schema))
    with pytest.raises(ConfigurationError) as refused:
        read_schema(str(file))
    assert said in str(refused.value)


def test_a_schema_nested_without_end() -> None:
    deep = '{"not":' * 100_000 + "{}" + "}" * 100_000
    with pytest.raises(ConfigurationError, match="nested too deep"):
        read_schema(deep)
