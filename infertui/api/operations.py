"""The table of operations: what each method of `RunnerApi` is on the wire. Nothing about one is written a second time.

Parameters named in the path are there. Of the others, GET takes all in the query; with other verbs a single one that is
a structure is the whole body, and otherwise the body is an object that holds them by name. `Route` says the rest.
"""

import inspect
import re
import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, get_args, get_origin, get_type_hints
from urllib.parse import quote, urlencode

import msgspec
from msgspec import Struct

from infertui.api.wire import RunnerHello
from infertui.config.schema import Config
from infertui.runner.control import Route, RunnerApi


@dataclass(frozen=True)
class Operation:
    """One operation: `parameters` are those of the method, with the types that they have on the wire."""

    name: str
    route: Route
    signature: inspect.Signature
    parameters: Mapping[str, Any]
    reply: Any
    """What the method returns; NoneType: nothing."""
    help: str

    @property
    def writes(self) -> bool:
        """Whether it changes something: those who only watch are refused it."""
        return bool(self.route.act)

    @property
    def stream(self) -> bool:
        """Whether its answer is the event stream."""
        return self.name == "events"

    @property
    def sent(self) -> tuple[str, ...]:
        """The parameters that are not in the path."""
        return tuple(name for name in self.parameters if f"{{{name}}}" not in self.route.path)

    @property
    def whole(self) -> str:
        """The parameter that is the whole body, or query; empty where there is none."""
        kind = self.parameters[self.sent[0]] if len(self.sent) == 1 else None
        return self.sent[0] if isinstance(kind, type) and issubclass(kind, Struct) else ""

    @cached_property
    def request(self) -> Any:
        """The type of the body, or of the query as an object; None where neither is read."""
        if self.whole:
            return self.parameters[self.whole]
        fields: list[Any] = [(key, type(value)) for key, value in self.route.fixed.items()]
        for name in self.sent:
            default = self.signature.parameters[name].default
            fields.append((name, self.parameters[name]) if default is inspect.Parameter.empty else
                          (name, self.parameters[name], default))  # fmt: skip
        return msgspec.defstruct(f"{self._title}Request", fields, kw_only=True, frozen=True) if fields else None

    @cached_property
    def answer(self) -> Any:
        """The type of the answer; NoneType: it is empty."""
        if not self.route.reply:
            return self.reply
        return msgspec.defstruct(f"{self._title}Reply", [(self.route.reply, self.reply)], frozen=True)

    @property
    def _title(self) -> str:
        return self.name.title().replace("_", "")

    @property
    def status(self) -> int:
        """The status of an answer that is no error: 201 where something was made."""
        if self.answer is type(None):
            return 204
        return 201 if self.writes and self.route.verb == "POST" else 200

    def bound(self, *arguments: object, **named: object) -> dict[str, Any]:
        """The arguments of a call by name, with the defaults. Raises TypeError as the method would."""
        found = self.signature.bind(None, *arguments, **named)
        found.apply_defaults()
        return dict(list(found.arguments.items())[1:])

    def target(self, arguments: Mapping[str, Any]) -> str:
        """Path and query of a request. Raises UnicodeEncodeError for text that is none."""
        path = self.route.path.format_map({name: quote(str(value), safe="") for name, value in arguments.items()})
        if self.route.verb != "GET" or not self.sent:
            return path
        values = msgspec.structs.asdict(arguments[self.whole]) if self.whole else {k: arguments[k] for k in self.sent}
        return f"{path}?{urlencode({key: str(value) for key, value in values.items() if value is not None})}"

    def body(self, arguments: Mapping[str, Any]) -> bytes | None:
        """The body of a request, as JSON; None where there is none. Raises UnicodeEncodeError for text that is none."""
        if self.route.verb == "GET" or self.request is None:
            return None
        if self.whole:
            return msgspec.json.encode(arguments[self.whole])
        return msgspec.json.encode({**self.route.fixed, **{name: arguments[name] for name in self.sent}})

    def taken(self, path: Mapping[str, Any], query: Mapping[str, str], body: bytes) -> dict[str, Any] | None:
        """The arguments that a request brings; None: it is that of another operation with this path and verb.

        Raises msgspec.MsgspecError, UnicodeDecodeError or RecursionError where it cannot be read.
        """
        if self.request is None:
            return dict(path)
        if self.route.verb == "GET":
            found = msgspec.convert(dict(query), self.request, strict=False)
        else:
            found = msgspec.json.decode(body, type=self.request, strict=False)
        if self.whole:
            return {**path, self.whole: found}
        if any(getattr(found, key) != value for key, value in self.route.fixed.items()):
            return None
        return {**path, **{name: getattr(found, name) for name in self.sent}}

    def given(self, content: bytes) -> Any:
        """The reply that an answer holds. Raises msgspec.MsgspecError where it cannot be read."""
        if self.answer is type(None):
            return None
        found = msgspec.json.decode(content, type=self.answer)
        return getattr(found, self.route.reply) if self.route.reply else found

    def told(self, reply: object) -> bytes:
        """The answer that holds a reply; empty where there is none."""
        if self.answer is type(None):
            return b""
        return msgspec.json.encode({self.route.reply: reply} if self.route.reply else reply)


def operations(control: type[RunnerApi]) -> Mapping[str, Operation]:
    """The operations of a Control by name, in the order in which they are written down.

    Raises ValueError for a route that could not be served, or that another one has.
    """
    if control not in _known:
        found = {name: _operation(method, route) for name, method, route in _declared(control)}
        places = [(one.route.verb, one.route.path, tuple(one.route.fixed.items())) for one in found.values()]
        if twice := next((place for place in places if places.count(place) > 1), None):
            raise ValueError(f"two operations are at {twice[0]} {twice[1]}")
        _known[control] = found
    return _known[control]


def _declared(control: type) -> list[tuple[str, Any, Route]]:
    found: dict[str, tuple[str, Any, Route]] = {}
    for base in reversed(control.__mro__):  # who implements an operation says no route again
        for name, method in vars(base).items():
            if isinstance(route := getattr(method, "route", None), Route):
                found[name] = (name, method, route)
    return list(found.values())


def _operation(method: Any, route: Route) -> Operation:
    hints = get_type_hints(method)
    reply = hints.pop("return")
    signature = inspect.signature(method)
    words = " ".join((inspect.getdoc(method) or "").partition("\n\n")[0].split())
    parameters = {name: _on_the_wire(kind) for name, kind in hints.items()}
    where = f"{method.__name__}: {route.verb} {route.path}"
    if named := set(re.findall(r"{(\w+)}", route.path)) - {name for name, kind in parameters.items() if kind is int}:
        raise ValueError(f"{where} names {', '.join(named)}, which is no parameter that is an integer")
    if route.verb == "GET" and any(get_origin(kind) is tuple for kind in parameters.values()):
        raise ValueError(f"{where} takes a list, which is no part of a query: POST has a body")
    return Operation(method.__name__, route, signature, parameters, reply, words)


def _on_the_wire(kind: Any) -> Any:
    """A sequence crosses as a list, and is read as a tuple."""
    return types.GenericAlias(tuple, (*get_args(kind), ...)) if get_origin(kind) is Sequence else kind


_known: dict[type[RunnerApi], Mapping[str, Operation]] = {}


async def _hello() -> RunnerHello:
    """Who answers, and whether it is busy."""
    raise NotImplementedError


async def _queue_written(
    self: object, config: Config, out: str = "", title: str = "", *, front: bool = False
) -> tuple[int, ...]:
    """Queue a config as it is written for `infertui run FILE`, in TOML or JSON, a sweep included; the ids of its
    entries. `out` is an absolute folder; without one the reports folder of a runner that listens on TCP."""
    raise NotImplementedError


OPERATIONS = operations(RunnerApi)
HELLO = replace(_operation(_hello, Route("GET", "/hello")), name="hello")
"""What a client of every version asks first. The route itself answers it; it is none of a Control's."""
WRITTEN = replace(_operation(_queue_written, Route("POST", "/runs", "queue runs", reply="ids")), name="queue_written")
"""For those who have a file and no client: the route itself makes a Submission of it. Its body is the config, and what
else it takes is in the query."""
