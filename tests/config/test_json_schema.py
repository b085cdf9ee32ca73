import json
from collections.abc import Iterator
from typing import Any

from infertui.config.fields import FIELDS
from infertui.config.json_schema import DIALECT, json_schema


def _resolve(schema: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in node:
        node = schema["$defs"][node["$ref"].removeprefix("#/$defs/")]
    return node


def _property(schema: dict[str, Any], path: str) -> dict[str, Any]:
    node = _resolve(schema, schema)
    *parents, last = path.split(".")
    for part in parents:
        node = _resolve(schema, node["properties"][part])
    found: dict[str, Any] = node["properties"][last]
    return found


def _references(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "$ref":
                yield value
            yield from _references(value)
    elif isinstance(node, list):
        for value in node:
            yield from _references(value)


def test_the_dialect_is_named_and_all_references_lead_somewhere() -> None:
    schema = json_schema()
    assert schema["$schema"] == DIALECT
    assert schema["title"]
    assert {reference.removeprefix("#/$defs/") for reference in _references(schema)} <= schema["$defs"].keys()
    assert json.loads(json.dumps(schema)) == schema


def test_every_key_has_its_description_default_and_limits() -> None:
    schema = json_schema()
    for path, field in FIELDS.items():
        entry = _property(schema, path)
        assert entry["description"] == field.description
        assert entry["default"] == field.default
        if field.type == "integer" and not field.choices:
            assert (entry["minimum"], entry["maximum"]) == (field.minimum, field.maximum)


def test_what_the_reader_accepts_is_not_marked_as_wrong() -> None:
    schema = json_schema()
    assert _property(schema, "engine.dtype")["enum"][:6] == ["auto", "float32", "float16", "bfloat16", "fp32", "f32"]
    assert _property(schema, "labels")["additionalProperties"] == {"type": ["string", "number", "boolean"]}
    grid = _property(schema, "sweep.grid")
    assert grid["properties"]["workload.batch_size"]["$ref"] == "#/$defs/Axis"
    assert grid["properties"]["engine"]["properties"]["simulator"]["properties"]["step_ms"] == {"$ref": "#/$defs/Axis"}
    assert grid["additionalProperties"] is False
    assert _resolve(schema, schema)["additionalProperties"] is False
