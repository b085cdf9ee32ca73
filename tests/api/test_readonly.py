"""Watching without steering."""

import asyncio
from typing import Any

import pytest
from support.fake_control import FakeControl

from infertui.api.errors import ReadOnlyError
from infertui.api.operations import OPERATIONS
from infertui.api.readonly import ReadOnly
from infertui.runner.control import changes

WATCHING = {
    "snapshot", "events", "forecast", "study_outline", "models", "processes", "results", "details", "compare", "bench",
    "curves", "capacity", "capacities", "history",
}  # fmt: skip
CHANGING = {
    "submit", "cancel", "skip", "retry", "duplicate", "edit", "move", "remove", "clear", "pause", "resume", "delete",
    "stop", "begin_study", "begin_tuning", "turn", "undo_turn", "mark_segment", "climb", "pin_segment", "end_tuning",
    "allow_gpu_settings", "pull", "cancel_pull",
}  # fmt: skip


def arguments(name: str) -> list[Any]:
    parameters = list(OPERATIONS[name].signature.parameters.values())[1:]
    return [object() for parameter in parameters if parameter.kind is not parameter.KEYWORD_ONLY]


def test_what_changes_something_is_told_from_what_only_asks() -> None:
    assert {name for name, operation in OPERATIONS.items() if operation.writes} >= CHANGING
    assert {name for name, operation in OPERATIONS.items() if not operation.writes} >= WATCHING
    with pytest.raises(ValueError, match="say what"):
        changes("POST", "/entries/shuffle", "")


@pytest.mark.parametrize("name", [name for name in OPERATIONS if name not in WATCHING])
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
    defaults_aside = [(called, told[: len(given)]) for called, told in control.calls]
    assert defaults_aside == [(name, tuple(given))]
