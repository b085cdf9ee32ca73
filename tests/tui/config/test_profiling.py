"""A study of layers on the GPU, begun from the form."""

from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from support.fake_control import FakeControl
from support.pane_bench import Bench, act
from textual.pilot import Pilot

from infertui.config.schema import Config
from infertui.errors import UsageError
from infertui.runner.control import StudyOutline
from infertui.tui.config.pane import ConfigPane
from infertui.tui.config.profile_dialog import ProfileScreen, about, layers_of_words
from infertui.tui.config.profiling import continuing
from infertui.tui.state import ClientState
from infertui.tui.widgets.prompt import LineInput

Play = Callable[[Bench, Pilot[None]], Awaitable[None]]


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "TEXTUAL_THEME", "COLUMNS", "LINES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("infertui.tui.config.estimate.QUIET_S", 0.0)
    monkeypatch.chdir(tmp_path)


def play(acts: Play, *, control: FakeControl | None = None, size: tuple[int, int] = (120, 36), **options: Any) -> Bench:
    pane: Any = partial(ConfigPane, environ={"HOME": str(Path.cwd())})
    stage = Bench(pane, ClientState(), control=control, **options)

    async def scene(stage: Bench, pilot: Pilot[None]) -> None:
        stage.pane.form.set("engine.name", "llama-cpp")
        await settle(pilot)
        await acts(stage, pilot)

    act(stage, scene, size=size)
    return stage


async def settle(pilot: Pilot[None]) -> None:
    """Until nothing is under way."""
    await pilot.app.workers.wait_for_complete()
    await pilot.pause()
    await pilot.pause()


async def press(pilot: Pilot[None], *keys: str) -> None:
    await pilot.press(*keys)
    await settle(pilot)


async def typed(pilot: Pilot[None], text: str) -> None:
    pilot.app.screen.query_one(LineInput).value = text
    await settle(pilot)


def begun(stage: Bench) -> list[tuple[Config, tuple[int, ...], str]]:
    return [arguments for name, arguments in stage.calls if name == "begin_study"]  # type: ignore[misc]


@pytest.mark.parametrize("size", [(120, 36), (80, 24)])
def test_a_study_of_a_few_layers_is_queued(size: tuple[int, int]) -> None:
    async def acts(stage: Bench, pilot: Pilot[None]) -> None:
        await press(pilot, "P")
        assert isinstance(pilot.app.screen, ProfileScreen)
        assert "23 layers that can be on NVIDIA Stub" in stage.text
        assert "4 runs: 0, 12, 18, 23" in stage.text
        assert "9 runs: 0, 3, 6, 9, 12, 14, 17, 20, 23" in stage.text
        await press(pilot, "enter")
        assert not isinstance(pilot.app.screen, ProfileScreen)

    stage = play(acts, size=size)
    ((config, layers, out),) = begun(stage)
    assert (layers, out, config.engine.name) == ((0, 12, 18, 23), "/reports", "llama-cpp")
    # As the command has it: quality is not looked at. What the preset says stays.
    assert (config.quality.perplexity, config.quality.reference) == ("off", "none")
    (said,) = [text for kind, text in stage.told if kind == "say" and "profile" in str(text)]
    assert said == (
        "Queued a profile of 2 runs. Afterwards: "
        "infertui profile --continue profile-20260101-000000-abcd --out /reports"
    )


def test_full_or_a_list_can_be_chosen_and_what_is_wrong_is_told() -> None:
    async def acts(stage: Bench, pilot: Pilot[None]) -> None:
        await press(pilot, "P", "down")
        assert pilot.app.screen.query_one(LineInput).value == "full"
        await typed(pilot, "0,x")
        await press(pilot, "enter")
        assert isinstance(pilot.app.screen, ProfileScreen)
        assert "layers: " in stage.text
        await typed(pilot, "0,10-20+5,-1,99")
        assert "5 runs: 0, 10, 15, 20, 23" in stage.text
        await press(pilot, "enter")

    assert [layers for _, layers, _ in begun(play(acts))] == [(0, 10, 15, 20, 23)]


def test_escape_queues_nothing() -> None:
    async def acts(stage: Bench, pilot: Pilot[None]) -> None:
        await press(pilot, "P", "escape")
        assert not isinstance(pilot.app.screen, ProfileScreen)

    assert begun(play(acts)) == []


def test_an_engine_that_cannot_be_studied_is_refused_with_the_reason() -> None:
    control = FakeControl()
    control.failures["study_outline"] = UsageError("transformers cannot be studied by layers on the GPU: for a reason")

    async def acts(stage: Bench, pilot: Pilot[None]) -> None:
        await press(pilot, "P")
        assert not isinstance(pilot.app.screen, ProfileScreen)

    errors = [str(text) for kind, text in play(acts, control=control).told if kind == "error"]
    assert len(errors) == 1
    assert "cannot be studied by layers on the GPU: for a reason" in errors[0]


def test_without_a_gpu_it_says_why_and_measures_one_point() -> None:
    control = FakeControl()
    control.answers["study_outline"] = StudyOutline(23, why_none="llama.cpp is built without CUDA")

    async def acts(stage: Bench, pilot: Pilot[None]) -> None:
        await press(pilot, "P")
        assert "No layer can be on a GPU: llama.cpp is built without CUDA" in stage.text
        assert "1 run: 0" in stage.text
        await press(pilot, "enter")

    assert [layers for _, layers, _ in begun(play(acts, control=control))] == [(0,)]


def test_a_sweep_and_a_study_exclude_each_other() -> None:
    async def acts(stage: Bench, pilot: Pilot[None]) -> None:
        stage.pane.editor.go_to("workload.batch_size")
        await press(pilot, "A", "enter", "P")
        assert not isinstance(pilot.app.screen, ProfileScreen)

    stage = play(acts)
    assert any("end the axes with A" in str(text) for _, text in stage.told)
    assert not [name for name, _ in stage.calls if name == "study_outline"]


def test_the_time_is_that_of_the_runs() -> None:
    assert about((0, 12, 23), 50.0) == "3 runs: 0, 12, 23; about 2:30, going by earlier runs"
    assert about((0,), None) == "1 run: 0"
    assert about(tuple(range(14)), None).endswith("10, 11 and more")


def test_words_and_lists_are_layers() -> None:
    assert layers_of_words(" Quick ", 4) == (0, 2, 3, 4)
    assert layers_of_words("full", 3) == (0, 1, 2, 3)
    for wrong in ("", "some", "2.5", "-2"):
        with pytest.raises(UsageError, match="layers: "):
            layers_of_words(wrong, 4)


def test_the_command_names_a_folder_that_it_would_not_look_in_by_itself(tmp_path: Path) -> None:
    assert continuing("profile-1", tmp_path / "reports") == "infertui profile --continue profile-1"
    assert (
        continuing("profile-1", tmp_path / "other") == f"infertui profile --continue profile-1 --out {tmp_path}/other"
    )
