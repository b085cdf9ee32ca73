"""The JSON Schema (draft 2020-12) of config files, for editors that complete and check TOML."""

from collections.abc import Mapping
from typing import Any

import msgspec

from infertui.config.fields import FIELDS, SECTIONS, TABLES, Field
from infertui.config.schema import Config

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_TITLE = "infertui configuration"


def json_schema() -> dict[str, Any]:
    """The schema as JSON-ready tables. It allows what `decode` allows key by key; agreement of keys is beyond it."""
    exported = msgspec.json.schema(Config)
    definitions: dict[str, Any] = exported["$defs"]
    for table in definitions.values():
        table["additionalProperties"] = False
    for field in FIELDS.values():
        if field.aliases:
            _properties(definitions, field.section)[field.key]["enum"] = [*field.choices, *field.aliases]
        elif field.type == "choice":
            _properties(definitions, field.section)[field.key]["enum"] = list(field.choices)
    _properties(definitions, "")["labels"]["additionalProperties"] = {"type": ["string", "number", "boolean"]}
    definitions["Axis"] = _axis()
    for table in TABLES:
        if FIELDS[table].type == "axes":
            _properties(definitions, "sweep")[FIELDS[table].key] |= _axes(FIELDS[table])
    return {"$schema": DIALECT, "title": _TITLE, **exported}


def _axis() -> dict[str, Any]:
    item = {"type": ["integer", "number", "boolean", "string"]}
    return {
        "title": "Axis",
        "description": 'the values of an axis: a list, or ranges such as "0,10,20", "0-40+10", "1-64*2"',
        "anyOf": [{"type": "array", "items": item, "minItems": 1}, {"type": "string", "minLength": 1}],
    }


def _axes(table: Field) -> dict[str, Any]:
    keys = {
        path: {"$ref": "#/$defs/Axis", "description": f"{field.description} ({field.allowed})"}
        for path, field in FIELDS.items()
        if not field.is_table
    }
    nested = {section: _nested(section) for section in SECTIONS[""] if section not in ("labels", "sweep")}
    return {
        "description": table.description,
        "properties": {
            **keys,
            **nested,
            "labels": {"type": "object", "additionalProperties": {"$ref": "#/$defs/Axis"}},
        },
        "patternProperties": {r"^labels\..*\S": {"$ref": "#/$defs/Axis"}},
        "additionalProperties": False,
    }


def _nested(section: str) -> dict[str, Any]:
    """Axes written without quotes: tables in the table."""
    inside = {
        key: _nested(path) if path in SECTIONS else {"$ref": "#/$defs/Axis"}
        for key in SECTIONS[section]
        if (path := f"{section}.{key}")
    }
    return {"type": "object", "properties": inside, "additionalProperties": False}


def _properties(definitions: Mapping[str, Any], section: str) -> dict[str, Any]:
    """The properties of a dotted table, found by following references from the top."""
    current = definitions["Config"]
    for part in section.split(".") if section else ():
        current = definitions[str(current["properties"][part]["$ref"]).rpartition("/")[2]]
    properties: dict[str, Any] = current["properties"]
    return properties
