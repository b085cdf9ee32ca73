"""The runner's HTTP interface: every route with what it takes and gives, and the types that cross."""

import inspect
import re
import types
import typing
from collections.abc import Iterator

import msgspec
from litestar.handlers import HTTPRouteHandler
from support.manual.markdown import code, table

from infertui.api.http import ROUTES
from infertui.api.wire import PREFIX, Problem
from infertui.config.schema import Config
from infertui.results.result import Result
from infertui.results.table import ResultQuery
from infertui.runner.control import Control

_ELSEWHERE: dict[object, str] = {Config: "[Config](config.md)", Result: "Result, a line of results.jsonl"}
"""Types that are told elsewhere."""
_INNER = {"control", "presence", "identity", "request", "return"}
"""Parameters of a handler that the request does not bring."""


def routes() -> str:
    """A table of all routes, in the order in which they are registered."""
    rows = []
    for route in _handlers():
        (method,), (path,) = route.http_methods, route.paths
        shown = re.sub(r"\{(\w+):\w+\}", r"{\1}", path)
        takes, gives = _takes(route), _gives(route)
        rows.append((code(f"{method} {PREFIX}{shown}"), takes, gives, _about(route)))
    return table(("route", "takes", "gives", "does"), rows)


def wire_types() -> str:
    """A table a type that a route takes or gives, with those within it, in the order of the alphabet."""
    found: dict[str, type] = {}
    for root in (Problem, ResultQuery, *(hint for route in _handlers() for hint in _hints(route).values())):
        _collect(root, found)
    parts = []
    for name, struct in sorted(found.items()):
        rows = []
        for field in msgspec.structs.fields(struct):
            default = "" if field.required else code(_plain(field.default))
            rows.append((code(field.encode_name), _name(field.type), default))
        parts += [f"#### {name}", _first(struct.__doc__)]
        parts += [table(("field", "type", "default"), rows)] if rows else []
    return "\n\n".join(parts)


def _handlers() -> Iterator[HTTPRouteHandler]:
    for route in ROUTES:
        assert isinstance(route, HTTPRouteHandler)
        yield route


def _hints(route: HTTPRouteHandler) -> dict[str, object]:
    hints = typing.get_type_hints(route.fn)
    return {name: hint for name, hint in hints.items() if name not in _INNER or name == "return"}


def _takes(route: HTTPRouteHandler) -> str:
    if route.fn.__name__ == "results":
        return f"query: {_name(ResultQuery)}"
    path = next(iter(route.paths))
    parts = []
    for name, hint in _hints(route).items():
        if name == "data":
            parts.append(f"body: {_name(hint)}")
        elif name != "return" and f"{{{name}:" not in path:
            parts.append(f"query: {code(name)}")
    return ", ".join(parts)


def _gives(route: HTTPRouteHandler) -> str:
    if route.fn.__name__ == "events":
        return "a stream of server-sent events"
    return _name(_hints(route)["return"]) if _hints(route)["return"] is not types.NoneType else ""


def _about(route: HTTPRouteHandler) -> str:
    """The handler's words; those that name methods of Control with what these say of themselves."""
    said = _first(inspect.getdoc(route.fn))
    named = re.findall(r"`Control\.(\w+)`", said)
    if not named:
        return said
    told = " ".join(_first(inspect.getdoc(getattr(Control, name))) for name in named)
    rest = re.sub(r"^`Control\.\w+`( and `Control\.\w+`)?[.;]? ?(as server-sent events\. )?", "", said)
    return f"{told} {rest[:1].upper()}{rest[1:]}".strip()


def _first(text: str | None) -> str:
    return " ".join((text or "").partition("\n\n")[0].split())


def _collect(hint: object, found: dict[str, type]) -> None:
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        if hint in _ELSEWHERE or hint.__name__ in found:
            return
        found[hint.__name__] = hint
        for field in msgspec.structs.fields(hint):
            _collect(field.type, found)
    elif typing.get_origin(hint) is not typing.Literal:
        for part in typing.get_args(hint):
            _collect(part, found)


def _name(hint: object) -> str:
    """A type in JSON's words, with links to the structs that stand on the same page."""
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if isinstance(hint, type) and hint in _ELSEWHERE:
        return _ELSEWHERE[hint]
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return f"[{hint.__name__}](#{hint.__name__.lower()})"
    if origin is typing.Annotated:
        return _name(parts[0])
    if origin is typing.Literal:
        return ", ".join(code(str(word)) for word in parts)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_name(part) for part in parts)
    if origin in (tuple, list, frozenset):
        return f"list of {_name(parts[0])}"
    if origin is not None and parts and issubclass(origin, typing.Mapping):
        return f"object of {_name(parts[1])}"
    words: dict[object, str] = {
        str: "text", int: "integer", float: "number", bool: "boolean", type(None): "null", types.NoneType: "null",
        object: "anything",
    }  # fmt: skip
    return words.get(hint, str(getattr(hint, "__name__", hint)))


def _plain(value: object) -> str:
    if isinstance(value, msgspec.Struct):
        return "{}"
    try:
        return msgspec.json.encode(value).decode()
    except (TypeError, msgspec.MsgspecError):
        return ""
