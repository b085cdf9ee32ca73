"""One table: what is written over a method of RunnerApi is its route, its client and its line in the documentation."""

import asyncio
import inspect
import re
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qsl, unquote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.fake_control import FakeControl
from support.manual.routes import routes
from support.runs import HANG_S, simulated
from support.served import served
from support.structs import values_of

from infertui.api.client import Client
from infertui.api.errors import ReadOnlyError
from infertui.api.operations import OPERATIONS, Operation, operations
from infertui.api.readonly import ReadOnly
from infertui.config.sweep import Variant
from infertui.runner import control as interface
from infertui.runner.control import RunnerApi, Submission, asks, changes
from infertui.runner.runner import Runner
from infertui.runner.scheduling.queue_store import EntryState, QueueStore

CONTRIBUTING = Path(__file__).parents[2] / "CONTRIBUTING.md"
WIRE = {
    "snapshot": ("GET", "/snapshot", 200),
    "submit": ("POST", "/entries", 201),
    "cancel": ("POST", "/entries/cancel", 204),
    "skip": ("POST", "/entries/skip", 204),
    "retry": ("POST", "/entries/retry", 201),
    "duplicate": ("POST", "/entries/duplicate", 201),
    "move": ("POST", "/entries/move", 204),
    "edit": ("PATCH", "/entries/{entry}", 204),
    "remove": ("DELETE", "/entries", 204),
    "clear": ("DELETE", "/entries/ended", 204),
    "pause": ("PATCH", "/queue", 204),
    "resume": ("PATCH", "/queue", 204),
    "forecast": ("POST", "/forecast", 200),
    "models": ("GET", "/models", 200),
    "processes": ("GET", "/processes", 200),
    "results": ("GET", "/results", 200),
    "details": ("GET", "/runs", 200),
    "compare": ("POST", "/compare", 200),
    "bench": ("GET", "/benches", 200),
    "delete": ("DELETE", "/runs", 204),
    "stop": ("POST", "/stop", 204),
}
"""What runners and clients of protocol 4 say to each other."""


def test_what_other_versions_send_and_expect_stays() -> None:
    said = {name: (one.route.verb, one.route.path, one.status) for name, one in OPERATIONS.items()}
    assert WIRE.items() <= said.items()
    bodies: list[tuple[str, dict[str, object], bytes | None]] = [
        ("cancel", {"ids": (1, 2)}, b'{"ids":[1,2]}'),
        ("move", {"ids": (1,), "by": -3}, b'{"ids":[1],"by":-3}'),
        ("pause", {}, b'{"paused":true}'),
        ("resume", {}, b'{"paused":false}'),
        ("compare", {"out": "/x", "runs": ("a",)}, b'{"out":"/x","runs":["a"]}'),
        ("stop", {"now": False}, b'{"now":false}'),
        ("clear", {}, None),
    ]
    for name, arguments, expected in bodies:
        assert OPERATIONS[name].body(arguments) == expected
    assert OPERATIONS["retry"].told((7,)) == b'{"ids":[7]}'
    assert OPERATIONS["processes"].told(None) == b'{"processes":null}'
    assert OPERATIONS["models"].told(()) == b"[]"
    assert OPERATIONS["processes"].target({"gpu": "MIG 1/2&?"}) == "/processes?gpu=MIG+1%2F2%26%3F"
    assert OPERATIONS["edit"].target({"entry": 6, "variant": None}) == "/entries/6"


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=list(OPERATIONS))
def test_the_runner_does_each_operation_as_it_is_written_down(operation: Operation) -> None:
    owner = next(kind for kind in Runner.__mro__ if operation.name in vars(kind))
    assert owner is not RunnerApi, "it has to be done by somebody"
    assert inspect.signature(vars(owner)[operation.name]) == operation.signature
    assert operation.help


@pytest.mark.parametrize("operation", [one for one in OPERATIONS.values() if not one.stream], ids=lambda one: one.name)
@settings(max_examples=8, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(data=st.data())
def test_what_is_asked_and_replied_crosses_unchanged(operation: Operation, data: st.DataObject) -> None:
    arguments = {name: data.draw(values_of(kind)) for name, kind in operation.parameters.items()}
    path, _, query = operation.target(arguments).partition("?")
    names = re.findall(r"{(\w+)}", operation.route.path)
    found = re.fullmatch(re.sub(r"{\w+}", "([^/]+)", operation.route.path), path)
    assert found is not None
    placed = {name: operation.parameters[name](unquote(text)) for name, text in zip(names, found.groups(), strict=True)}
    asked = dict(parse_qsl(query, keep_blank_values=True))
    assert operation.taken(placed, asked, operation.body(arguments) or b"") == arguments
    reply = data.draw(values_of(operation.reply))
    assert operation.given(operation.told(reply)) == reply


def example() -> tuple[type[RunnerApi], type[Runner]]:
    """The operation that CONTRIBUTING.md adds, in a RunnerApi and a Runner that have it."""
    first, second = re.findall(r"```python\n# in (?:RunnerApi|Runner)\n(.*?)```", CONTRIBUTING.read_text(), re.DOTALL)
    names = {**vars(interface), "EntryState": EntryState, "Runner": Runner}
    exec("class Wider(RunnerApi):\n" + textwrap.indent(first, "    "), names)  # noqa: S102 (the page's own example)
    exec("class WiderRunner(Runner, Wider):\n" + textwrap.indent(second, "    "), names)  # noqa: S102
    return cast(type[RunnerApi], names["Wider"]), cast(type[Runner], names["WiderRunner"])


def test_the_operation_of_the_guide_is_there_everywhere(tmp_path: Path) -> None:
    wider, runner_of = example()

    def with_it(kind: type) -> Any:
        return type(kind.__name__, (kind, wider), {})

    async def scenario() -> None:
        async with runner_of(QueueStore(tmp_path / "queue.sqlite")) as runner, served(runner, tmp_path) as (plain, _):
            client = with_it(Client)(plain.place)
            await client.pause()
            ids = await client.submit(Submission("", (Variant("", simulated(), {}),) * 3, str(tmp_path / "out")))
            await client.skip(ids[1:])
            with pytest.raises(ReadOnlyError, match="cannot forget entries"):
                await with_it(ReadOnly)(client).forget("skipped")
            assert await client.forget("skipped") == ids[1:]
            assert [entry.id for entry in (await client.snapshot()).entries] == [ids[0]]
        fake = with_it(FakeControl)()
        fake.answers["forget"] = (5,)
        async with served(fake, tmp_path) as (plain, _):
            assert await with_it(Client)(plain.place).forget("failed") == (5,)
        assert fake.calls == [("forget", ("failed",))]

    asyncio.run(asyncio.wait_for(scenario(), HANG_S))
    (line,) = set(routes(wider).split("\n")) - set(routes().split("\n"))
    assert "`POST /v1/entries/forget`" in line
    assert "`ids`: list of integer | Forget all entries in one state; their ids." in line


def test_a_route_that_cannot_be_served_is_refused_when_it_is_written() -> None:
    class Twice(RunnerApi):
        @changes("DELETE", "/entries/ended", "clear it again")
        async def again(self) -> None: ...

    class Misnamed(RunnerApi):
        @changes("PATCH", "/entries/{number}/name", "rename entries")
        async def rename(self, entry: int, name: str) -> None: ...

    class ByName(RunnerApi):
        @asks("GET", "/labels/{name}")
        async def label(self, name: str) -> str: ...  # type: ignore[empty-body]

    class Listed(RunnerApi):
        @asks("GET", "/some")
        async def some(self, ids: Sequence[int]) -> int: ...  # type: ignore[empty-body]

    for control, said in (
        (Twice, "two operations are at DELETE /entries/ended"),
        (Misnamed, "rename: PATCH /entries/{number}/name names number"),
        (ByName, "names name, which is no parameter that is an integer"),
        (Listed, "POST has a body"),
    ):
        with pytest.raises(ValueError, match=re.escape(said)):
            operations(control)


def test_what_is_left_out_of_a_query_is_not_sent() -> None:
    class Wider(RunnerApi):
        @asks("GET", "/labels")
        async def labels(self, out: str, model: str | None = None, most: int = 5) -> int: ...  # type: ignore[empty-body]

    labels = operations(Wider)["labels"]
    assert labels.target(labels.bound("/x")) == "/labels?out=%2Fx&most=5"
    assert labels.taken({}, {"out": "/x", "most": "7"}, b"") == {"out": "/x", "model": None, "most": 7}


def test_an_operation_that_nobody_does_is_not_done_in_silence() -> None:
    with pytest.raises(NotImplementedError, match="pause"):
        asyncio.run(RunnerApi().pause())
    with pytest.raises(NotImplementedError, match="events"):
        RunnerApi().events(0)
