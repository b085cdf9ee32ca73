"""Watching without steering."""

import asyncio
import inspect
from typing import Any

import pytest
from support.fake_control import FakeControl

from infertui.api.errors import ReadOnlyError
from infertui.api.readonly import ReadOnly
from infertui.runner.control import Control

WATCHING = {"snapshot", "events", "forecast", "models", "processes", "results", "details", "compare", "bench"}
METHODS = {name for name, _ in inspect.getmembers(Control, inspect.isfunction) if not name.startswith("_")}


def arguments(name: str) -> list[Any]:
    parameters = list(inspect.signature(getattr(Control, name)).parameters.values())[1:]
    return [object() for parameter in parameters if parameter.kind is not parameter.KEYWORD_ONLY]


@pytest.mark.parametrize("name", sorted(METHODS - WATCHING))
def test_what_changes_something_is_refused(name: str) -> None:
    control = FakeControl()
    with pytest.raises(ReadOnlyError, match="only watches") as refusal:
        asyncio.run(getattr(ReadOnly(control), name)(*arguments(name)))
    assert "--read-only" in refusal.value.remedy
    assert control.calls == []


@pytest.mark.parametrize("name", sorted(WATCHING))
def test_what_only_asks_is_passed_on(name: str) -> None:
    control = FakeControl()
    given = arguments(name) if name != "events" else [-1]

    async def scenario() -> None:
        asked = getattr(ReadOnly(control), name)(*given)
        if name == "events":
            assert await anext(asked) == control.told
        else:
            await asked

    asyncio.run(scenario())
    assert control.calls == [(name, tuple(given))]
