"""The runner's HTTP interface: every route with what it takes and gives, and the types that cross."""

import inspect
import types
import typing

import msgspec
from support.manual.markdown import code, table

from infertui.api.operations import HELLO, OPERATIONS, WRITTEN, Operation, operations
from infertui.api.wire import PREFIX, Problem
from infertui.config.schema import Config
from infertui.results.result import Result
from infertui.runner.control import RunnerApi

_ELSEWHERE: dict[object, str] = {Config: "[Config](config.md)", Result: "Result, a line of results.jsonl"}
"""Types that are told elsewhere."""


def routes(control: type[RunnerApi] = RunnerApi) -> str:
    """A table of all operations, in the order in which they are written down."""
    rows = []
    for one in (HELLO, WRITTEN, *operations(control).values()):
        rows.append((code(f"{one.route.verb} {PREFIX}{one.route.path}"), _takes(one), _gives(one), one.help))
    return table(("route", "takes", "gives", "does"), rows)


def wire_types() -> str:
    """A table a type that an operation takes or gives, with those within it, in the order of the alphabet."""
    found: dict[str, type] = {}
    _collect(Problem, found)
    for one in (HELLO, *OPERATIONS.values()):
        for hint in (*one.parameters.values(), *(() if one.stream else (one.reply,))):
            _collect(hint, found)
    parts = []
    for name, struct in sorted(found.items()):
        rows = []
        for field in msgspec.structs.fields(struct):
            default = "" if field.required else code(_plain(field.default))
            rows.append((code(field.encode_name), _name(field.type), default))
        parts += [f"#### {name}", _first(struct.__doc__)]
        parts += [table(("field", "type", "default"), rows)] if rows else []
    return "\n\n".join(parts)


def _takes(operation: Operation) -> str:
    if operation.name == WRITTEN.name:
        kinds = (("out", "text"), ("title", "text"), ("front", "boolean"))
        query = ", ".join(f"{code(name)}: {kind}" for name, kind in kinds)
        return f"body: {_name(Config)}, TOML or JSON; query: {query}"
    where = "query" if operation.route.verb == "GET" else "body"
    if operation.whole:
        return f"{where}: {_name(operation.request)}"
    fields = [f"{code(key)}: {_plain(value)}" for key, value in operation.route.fixed.items()]
    for name in operation.sent:
        default = operation.signature.parameters[name].default
        told = "" if default is inspect.Parameter.empty else f" ({code(_plain(default))} if left out)"
        fields.append(f"{code(name)}: {_name(operation.parameters[name])}{told}")
    fields += [f"{code('runner')}: text"] if operation.stream else []
    return f"{where}: {', '.join(fields)}" if fields else ""


def _gives(operation: Operation) -> str:
    if operation.stream:
        return "a stream of server-sent events"
    reply = "" if operation.reply is types.NoneType else _name(operation.reply)
    return f"{code(operation.route.reply)}: {reply}" if operation.route.reply else reply


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
