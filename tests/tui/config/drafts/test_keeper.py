"""The form comes back as it was left: values, a line half typed, the entry that was edited; until it is discarded."""

from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from support.fake_control import FakeControl
from support.pane_bench import Bench, act
from support.scenes import HOST
from support.settled import settled
from textual.pilot import Pilot
from textual.widgets import Input

from infertui.config.parse import decode
from infertui.runner.control import RunnerFacts, Snapshot
from infertui.runner.scheduling.queue_store import Entry
from infertui.targets.engine.base import Probe
from infertui.tui.config.pane import ConfigPane
from infertui.tui.state import ClientState

ENTRY = Entry(
    7, 3, "gpu-short", "bs=4", decode({"workload": {"batch_size": 4}}), "/reports", "2026-01-01T00:00:00+00:00"
)
Play = Callable[[Bench, Pilot[None]], Awaitable[None]]


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("infertui.tui.config.estimate.QUIET_S", 0.0)


def screen(scene: Play, *, entries: tuple[Entry, ...] = ()) -> None:
    """A screen from its start to its end."""
    client_state = ClientState()
    facts = RunnerFacts("0", 1, 1, HOST, "2026-01-01T00:00:00+00:00", engines=(Probe("transformers", True, ""),))
    client_state.take(Snapshot(0, facts, False, entries))
    pane: Any = partial(ConfigPane, environ={"HOME": str(Path.cwd())})

    async def played(stage: Bench, pilot: Pilot[None]) -> None:
        await settle(pilot)
        await scene(stage, pilot)
        await settle(pilot)

    act(Bench(pane, client_state, control=FakeControl()), played)


async def settle(pilot: Pilot[None]) -> None:
    await settled(pilot.app)
    await pilot.pause()
    await pilot.pause()


def said(stage: Bench) -> str:
    return "\n".join(str(what) for kind, what in stage.told if kind == "say")


def test_values_and_a_line_half_typed_come_back_and_are_discarded() -> None:
    async def leaves(stage: Bench, pilot: Pilot[None]) -> None:
        assert "Restored" not in said(stage)
        stage.pane.editor.put("workload.output_len", 99)
        await pilot.press("j", "j", "j", "enter", "1", "2", "x")

    async def finds(stage: Bench, pilot: Pilot[None]) -> None:
        left = "Restored what you left here: preset demo, a moment ago. enter goes on with the line. X discards it."
        assert left in said(stage)
        assert stage.pane.form.text("workload.output_len") == "99"
        line = stage.query_one("#config-edit", Input)
        assert line.value == "12x"
        assert not line.has_focus  # the first keys at a start mean what they always do
        assert "not allowed" in stage.text
        await pilot.press("r")
        await settle(pilot)
        assert "Not queued, a line is not finished" in said(stage)
        await pilot.press("enter", "backspace", "enter")
        await settle(pilot)
        assert stage.pane.form.text("workload.batch_size") == "12"
        await pilot.press("X")
        await settle(pilot)
        assert stage.pane.form.values == stage.pane.form.base.values
        await pilot.press("u")
        await settle(pilot)
        assert stage.pane.form.text("workload.batch_size") == "12"
        await pilot.press("X")

    async def finds_nothing(stage: Bench, pilot: Pilot[None]) -> None:
        assert said(stage) == ""
        await pilot.press("X")
        assert "nothing to discard" in said(stage)

    for scene in (leaves, finds, finds_nothing):
        screen(scene)


def test_whoever_edits_another_row_leaves_the_line_that_was_half_typed() -> None:
    async def leaves(stage: Bench, pilot: Pilot[None]) -> None:
        await pilot.press("j", "j", "j", "enter", "x")

    async def finds(stage: Bench, pilot: Pilot[None]) -> None:
        assert stage.query_one("#config-edit", Input).value == "x"
        stage.pane.editor.go_to("workload.output_len")
        await pilot.press("enter", "7", "enter")
        await settle(pilot)
        assert stage.pane.form.text("workload.output_len") == "7"
        assert stage.pane.form.text("workload.batch_size") == "1"
        assert not stage.query("#config-edit")

    screen(leaves)
    screen(finds)


def test_another_preset_a_sweep_and_a_label_come_back() -> None:
    async def leaves(stage: Bench, pilot: Pilot[None]) -> None:
        stage.pane.load("load", "")
        stage.pane.editor.put("target.url", "http://[::1]:8000")
        stage.pane.form.sweep("load.concurrency")
        stage.pane.form.set_text("load.concurrency", "1-64*2")
        stage.pane.form.add_label("wer = Jörg 模型")

    async def finds(stage: Bench, pilot: Pilot[None]) -> None:
        form = stage.pane.form
        assert form.base.label == "preset load"
        assert form.run_count() == 7
        assert form.text("labels.wer") == "Jörg 模型"
        assert form.problem is None
        await pilot.press("X", "X")
        await settle(pilot)
        assert form.base.label == "preset demo"

    screen(leaves)
    screen(finds)


def test_an_axis_that_was_only_begun_ends_with_esc() -> None:
    async def leaves(stage: Bench, pilot: Pilot[None]) -> None:
        stage.pane.editor.put("workload.output_len", 99)
        await pilot.press("j", "j", "j", "A", *"1,2,")

    async def finds(stage: Bench, pilot: Pilot[None]) -> None:
        assert stage.query_one("#config-edit", Input).value == "1,2,"
        await pilot.press("enter", "escape")
        await settle(pilot)
        assert not stage.query("#config-edit")
        assert stage.pane.form.axes() == []
        assert stage.pane.form.text("workload.output_len") == "99"

    screen(leaves)
    screen(finds)


def test_an_entry_is_put_back_if_it_still_waits() -> None:
    async def leaves(stage: Bench, pilot: Pilot[None]) -> None:
        stage.pane.edit(ENTRY)
        stage.pane.editor.put("workload.batch_size", 8)

    async def finds(stage: Bench, pilot: Pilot[None]) -> None:
        assert stage.pane.form.entry == ENTRY
        await pilot.press("r")
        await settle(pilot)
        assert [name for name, _ in stage.calls if name in ("edit", "submit")] == ["edit"]

    async def finds_it_gone(stage: Bench, pilot: Pilot[None]) -> None:
        assert stage.pane.form.entry is None
        assert "Entry 7 of the queue waits no more" in said(stage)
        assert stage.pane.form.text("workload.batch_size") == "8"
        await pilot.press("r")
        await settle(pilot)
        assert [name for name, _ in stage.calls if name in ("edit", "submit")] == ["submit"]

    screen(leaves, entries=(ENTRY,))
    screen(finds, entries=(ENTRY,))
    screen(leaves, entries=(ENTRY,))
    screen(finds_it_gone)


def test_what_is_half_typed_waits_while_one_looks_elsewhere() -> None:
    async def scene(stage: Bench, pilot: Pilot[None]) -> None:
        await pilot.press("j", "j", "j", "enter", "1", "x")
        stage.screen.set_focus(None)
        await settle(pilot)
        assert stage.query_one("#config-edit", Input).value == "1x"
        stage.pane.focus_inside()
        await settle(pilot)
        await pilot.press("backspace", "6", "enter")
        await settle(pilot)
        assert stage.pane.form.text("workload.batch_size") == "16"

    screen(scene)


def test_a_disk_that_takes_nothing_is_told_once() -> None:
    Path(".local").write_text("a file where the folder would be")

    async def scene(stage: Bench, pilot: Pilot[None]) -> None:
        await pilot.press("j", "j", "j", "l", "l")
        await settle(pilot)
        assert said(stage).count("drafts cannot be kept") == 1
        assert stage.pane.form.text("workload.batch_size") == "4"

    screen(scene)
