"""The interface as OpenAPI 3.1, made of the table of operations and of the types that cross."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from infertui.api.operations import HELLO, WRITTEN, Operation, operations
from infertui.api.wire import PREFIX, Problem
from infertui.config.schema import Config
from infertui.runner.control import PROTOCOL, EventEnvelope, RunnerApi, Snapshot

_REFS = "#/components/schemas/{name}"
_JSON = "application/json"
_ABOUT = (
    "The runner of infertui: its queue, its runs and their results. On a unix socket, where the file's mode says who "
    "may ask, and on TCP with a token. `version` is the protocol: it grows with changes that others would misread."
)


def openapi(control: type[RunnerApi]) -> bytes:
    """The document, as JSON that people can read too."""
    return msgspec.json.format(msgspec.json.encode(document(control), order="deterministic"), indent=1)


def document(control: type[RunnerApi] = RunnerApi) -> dict[str, Any]:
    """The document of all operations of a Control, those that no Control has included."""
    all_of_them = (HELLO, WRITTEN, *operations(control).values())
    shared: dict[tuple[str, str], list[Operation]] = {}
    for one in all_of_them:
        shared.setdefault((one.route.path, one.route.verb.lower()), []).append(one)
    bodies = [one.request for one in all_of_them if one.request is not None]
    answers = [one.answer for one in all_of_them if not one.stream and one.answer is not type(None)]
    hints = list({repr(hint): hint for hint in (*bodies, *answers, Problem, Config, EventEnvelope, Snapshot)}.values())
    schemas, components = msgspec.json.schema_components(
        hints, ref_template=_REFS, schema_hook=lambda _: {"description": "anything"}
    )
    schema_of = {repr(hint): schema for hint, schema in zip(hints, schemas, strict=True)}
    asked = {f"{one.name.title().replace('_', '')}Request" for one in all_of_them if _in_the_query(one)}
    paths: dict[str, dict[str, Any]] = {}
    for (path, verb), some in shared.items():
        paths.setdefault(PREFIX + path, {})[verb] = _described(some, schema_of, components)
    return {
        "openapi": "3.1.0",
        "info": {"title": "infertui", "version": str(PROTOCOL), "description": _ABOUT},
        "servers": [{"url": "/"}],
        "security": [{"token": []}, {}],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": {name: schema for name, schema in components.items() if name not in asked},
        },
    }


def _unsaid(kind: type) -> dict[str, Any]:
    """Of a type that is none of JSON's: any value."""
    return {"description": "any value"}


def _in_the_query(one: Operation) -> bool:
    return one.name == WRITTEN.name or (one.route.verb == "GET" and not one.whole)


def _described(some: Sequence[Operation], schemas: Mapping[str, Any], components: Mapping[str, Any]) -> dict[str, Any]:
    first = some[0]
    told: dict[str, Any] = {
        "operationId": "_or_".join(one.name for one in some),
        "summary": " ".join(one.help for one in some),
        "parameters": _parameters(first, schemas, components),
        "responses": {str(first.status): _answered(first, schemas), "default": _failed(schemas)},
    }
    if first.name == WRITTEN.name:
        content = {_JSON: {"schema": schemas[repr(Config)]}, "application/toml": {"schema": {"type": "string"}}}
        told["requestBody"] = {"required": True, "content": content}
    elif first.route.verb != "GET" and first.request is not None:
        told["requestBody"] = {"required": True, "content": {_JSON: {"schema": schemas[repr(first.request)]}}}
    return told


def _parameters(one: Operation, schemas: Mapping[str, Any], components: Mapping[str, Any]) -> list[dict[str, Any]]:
    named = [name for name in one.parameters if name not in one.sent]
    found = [{"name": name, "in": "path", "required": True, "schema": {"type": "integer"}} for name in named]
    if one.request is None or not (one.route.verb == "GET" or _in_the_query(one)):
        return found
    shape = components[schemas[repr(one.request)]["$ref"].rpartition("/")[2]]
    for name, schema in shape["properties"].items():
        if one.name != WRITTEN.name or name != "config":
            required = name in shape.get("required", ())
            found.append({"name": name, "in": "query", "required": required, "schema": schema})
    if one.stream:
        found.append({"name": "runner", "in": "query", "required": False, "schema": {"type": "string"}})
    return found


def _answered(one: Operation, schemas: Mapping[str, Any]) -> dict[str, Any]:
    if one.stream:
        events = {"anyOf": [schemas[repr(EventEnvelope)], schemas[repr(Snapshot)]]}
        about = "Server-sent events: `id` is the number, `event` is `event` or `snapshot`, `data` is JSON as in x-data."
        content = {"text/event-stream": {"schema": {"type": "string"}, "x-data": events}}
        return {"description": about, "content": content}
    if one.answer is type(None):
        return {"description": "It is done."}
    return {"description": "The answer.", "content": {_JSON: {"schema": schemas[repr(one.answer)]}}}


def _failed(schemas: Mapping[str, Any]) -> dict[str, Any]:
    about = "400: the request is wrong; 401, 403, 429: not with this token; 409: not now; 500: the runner failed."
    return {"description": about, "content": {_JSON: {"schema": schemas[repr(Problem)]}}}
