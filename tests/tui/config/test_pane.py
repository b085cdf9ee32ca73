"""The Config pane under the keys: what is typed, chosen, found, queued, opened and saved."""

from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from support.fake_control import FakeControl
from support.pane_bench import Bench, act
from support.scenes import HOST, HOSTILE, gpus
from support.settled import settled
from textual.pilot import Pilot
from textual.widgets import Input

from infertui.config import toml
from infertui.config.parse import decode
from infertui.config.sweep import Variant
from infertui.errors import EngineError
from infertui.models.hub.progress import PullProgress, PullView
from infertui.models.local import LocalModel
from infertui.results.details import RunDetails
from infertui.results.index import ResultPage, ResultRow
from infertui.runner.control import EventEnvelope, Forecast, PullChanged, RunnerFacts, Snapshot, Submission
from infertui.runner.scheduling.queue_store import Entry
from infertui.targets.engine.base import Probe
from infertui.tui.config.dialogs import ForecastScreen, PickerScreen
from infertui.tui.config.pane import ACTIONS, ConfigPane
from infertui.tui.frame.actions import RESERVED
from infertui.tui.state import ClientState

GIB = 1 << 30
FITS = Forecast(("weights 1 GiB", "total 3.10 GiB: fits"), True, needed=3 * GIB, free=78 * GIB, seconds=40.0)
ENTRY = Entry(
    7, 3, "gpu-short", "bs=4", decode({"workload": {"batch_size": 4}}), "/reports", "2026-01-01T00:00:00+00:00"
)
GPT2 = LocalModel("openai-community/gpt2", "hub", "/c/gpt2", 548 << 20, True, dtype="float32")
TORN = LocalModel("org/torn", "hub", "/c/torn", GIB, False, problem="2 weight files are missing")

Play = Callable[[Bench, Pilot[None]], Awaitable[None]]


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "TEXTUAL_THEME", "COLUMNS", "LINES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("infertui.tui.config.estimate.QUIET_S", 0.0)
    monkeypatch.chdir(tmp_path)


def bench(
    control: FakeControl | None = None, *, environ: dict[str, str] | None = None, known: bool = True, **options: Any
) -> Bench:
    client_state = ClientState()
    if known:
        broken = Probe("vllm", False, "torch is missing", remedy="Install it.")
        engines = (broken, Probe("transformers", True, ""), Probe("simulator", True, ""))
        facts = RunnerFacts("0", 1, 1, HOST, "2026-01-01T00:00:00+00:00", gpus=gpus(2), engines=engines)
        client_state.take(Snapshot(0, facts, False, ()))
    fake = control or FakeControl()
    fake.answers["forecast"] = fake.answers["forecast"] if control else FITS
    pane: Any = partial(ConfigPane, environ={"HOME": str(Path.cwd()), **(environ or {})})
    return Bench(pane, client_state, control=fake, **options)


def play(acts: Play, *, size: tuple[int, int] = (120, 36), on: Bench | None = None) -> None:
    async def scene(stage: Bench, pilot: Pilot[None]) -> None:
        stage.pane.show(frozenset({"runner"}))
        await settle(pilot)
        await acts(stage, pilot)

    act(on or bench(), scene, size=size)


async def settle(pilot: Pilot[None]) -> None:
    """Until nothing is under way."""
    await settled(pilot.app)
    await pilot.pause()
    await pilot.pause()


async def go_to(pilot: Pilot[None], key: str) -> None:
    """The cursor to a field, its group unfolded."""
    pane: ConfigPane = pilot.app.pane  # type: ignore[attr-defined]
    pane.editor.go_to(key)
    await pilot.pause()


async def typed(pilot: Pilot[None], text: str) -> None:
    """Replace what stands in the line that is being edited."""
    line = pilot.app.query_one("#config-edit", Input)
    line.value = text
    await settle(pilot)


async def filtered(pilot: Pilot[None], text: str) -> None:
    """Choose in a picker what `text` leaves."""
    await pilot.press("slash")
    pilot.app.screen.query_one(Input).value = text
    await settle(pilot)
    await pilot.press("enter")


def submitted(stage: Bench) -> list[Submission]:
    return [arguments[0] for name, arguments in stage.calls if name == "submit"]  # type: ignore[misc]


def said(stage: Bench) -> str:
    return "\n".join(str(what) for kind, what in stage.told if kind in ("say", "done"))


def test_the_first_key_starts_a_first_run() -> None:
    async def scene(stage: Bench, pilot: Pilot[None]) -> None:
        assert "press r to run this" in stage.text
        assert "preset demo" in stage.text
        await pilot.press("r")
        await settle(pilot)
        (submission,) = submitted(stage)
        assert submission.title == "demo"
        assert submission.out == "/reports"
        assert not submission.front
        assert [variant.name for variant in submission.variants] == [""]
        assert submission.variants[0].config.workload.output_len == 512
        assert "Queued demo" in said(stage)

    play(scene)


def test_capital_r_goes_before_everything_that_waits() -> None:
    async def scene(stage: Bench, pilot: Pilot[None]) -> None:
        await pilot.press("R")
        await settle(pilot)
        assert submitted(stage)[0].front

    play(scene)


def test_numbers_step_choices_turn_and_booleans_switch() -> None:
    async def scene(stage: Bench, pilot: Pilot[None]) -> None:
        form = stage.pane.form
        await go_to(pilot, "workload.batch_size")
        await pilot.press("l", "right", "l", "h")
        assert form.text("workload.batch_size") == "4"
        await pilot.press("0")
        assert form.text("workload.batch_size") == "1"
        await go_to(pilot, "engine.dtype")
        await pilot.press("right", "space")
        assert form.text("engine.dtype") == "float16"
        await pilot.press("backspace", "u")
        assert form.text("engine.dtype") == "float16"
        await go_to(pilot, "device.force")
        await pilot.press("space")
        assert form.text("device.force") == "on"
        await go_to(pilot, "device.name")
        await pilot.press("l", "l")
        assert form.text("device.name") == "cuda:0"
        assert "NVIDIA H100" in stage.text

    play(scene)


@pytest.mark.parametrize("size", [(160, 48), (120, 40), (80, 24), (40, 18), (24, 10)])
def test_an_invalid_value_says_why_while_it_is_typed_and_is_refused(size: tuple[int, int]) -> None:
    async def scene(stage: Bench, pilot: Pilot[None]) -> None:
        await go_to(pilot, "workload.batch_size")
        await pilot.press("enter", "backspace", "0")
        await settle(pilot)
        assert "0 is not allowed" in " ".join(stage.text.replace("│", " ").split())
        await pilot.press("enter")
        await settle(pilot)
        assert stage.pane.form.text("workload.batch_size") == "1"
        assert stage.query("#config-edit")
        await pilot.press("backspace", "1", "6")
        await settle(pilot)
        assert "not allowed" not in stage.text
        await pilot.press("enter")
        await settle(pilot)
        assert stage.pane.form.text("workload.batch_size") == "16"
        assert not stage.query("#config-edit")

    play(scene, size=size)


def test_escape_restores_what_was_there() -> None:
    async def scene(stage: Bench, pilot: Pilot[None]) -> None:
        await go_to(pilot, "workload.output_len")
        await pilot.press("enter", "x", "escape")
        await settle(pilot)
        assert stage.pane.form.text("workload.output_len") == "512"
        assert "not allowed" not in stage.text
        await pilot.press("l")
        assert stage.pane.form.text("workload.output_len") == "1024"

    play(scene)


def test_going_elsewhere_keeps_what_was_typed_if_it_can() -> None:
    async def scene(stage: Bench, pilot: Pilot[None]) -> None:
        await go_to(pilot, "workload.output_len")
        await pilot.press("enter")
        await typed(pilot, "77")
        stage.pane.editor.list.focus()
        await settle(pilot)
        assert stage.pane.form.text("workload.output_len") == "77"
        await pilot.press("enter")
        await typed(pilot, "77x")
        stage.pane.editor.list.focus()
        await settle(pilot)
        assert stage.pane.form.text("workload.output_len") == "77"

    play(scene)


def test_the_line_to_type_in_lies_over_the_value() -> None:
    async def scene(stage: Bench, pilot: Pilot[None]) -> None:
        await go_to(pilot, "workload.num_prompts")
        await pilot.press("enter")
        await settle(pilot)
        line = stage.query_one("#config-edit").region
        rows = stage.text.splitlines()
        assert "num_prompts" in rows[line.y]
        assert rows[line.y][line.x] == "0"
        assert line.height == 1

    for size in ((120, 36), (80, 24), (40, 12)):
        play(scene, size=size)


def test_a_contradiction_shows_at_the_top_and_keeps_r_back() -> None:
    async def scene(stage: Bench, pilot: Pilot[None]) -> None:
        stage.pane.form.set("workload.prompts", "random")
        stage.pane._form_changed()
        await settle(pilot)
        assert "random prompts need a length" in stage.text
        await pilot.press("r")
        await settle(pilot)
        assert submitted(stage) == []
        assert "Not queued" in said(stage)
        assert stage.pane.editor.key == "workload.input_len"

    play(scene)


def test_a_sweep_is_made_counted_named_turned_and_queued() -> None:
    async def scene(stage: Bench, pilot: Pilot[None]) -> None:
        await go_to(pilot, "workload.batch_size")
        await pilot.press("A")
        await typed(pilot, "1-4*2")
        await pilot.press("enter")
        await go_to(pilot, "workload.input_len")
        await pilot.press("A")
        await typed(pilot, "16,32,64,128")
        await pilot.press("enter")
        await settle(pilot)
        assert "12 runs (grid" in stage.text
        assert "bs=1 isl=16" in stage.text
        assert "x3" in stage.text or "×3" in stage.text
        await pilot.press("Z")
        await settle(pilot)
        assert "differ in length" in " ".join(stage.text.split())
        await pilot.press("u", "r")
        await settle(pilot)
        (submission,) = submitted(stage)
        assert len(submission.variants) == 12
        assert submission.variants[0].name == "bs=1 isl=16"
        assert "12 runs" in said(stage)
        await pilot.press("A")
        await settle(pilot)
        assert "3 runs" in stage.text

    play(scene)


def test_an_axis_that_one_leaves_at_once_is_none() -> None:
    async def scene(stage: Bench, pilot: Pilot[None]) -> None:
        await go_to(pilot, "workload.batch_size")
        await pilot.press("A", "escape")
        await settle(pilot)
        assert stage.pane.form.axes() == []

    play(scene)


def test_fields_are_found_by_name_and_by_what_others_call_them() -> None:
    async def scene(stage: Bench, pilot: Pilot[None]) -> None:
        await pilot.press("slash", *"osl")
        await settle(pilot)
        assert "output_len" in stage.text
        assert "batch_size" not in stage.text
        await pilot.press("enter")
        await settle(pilot)
        assert stage.pane.editor.key == "workload.output_len"
        assert "batch_size" in stage.text
        await pilot.press("slash", *"trust", "escape")
        await settle(pilot)
        assert stage.pane.editor.key == "workload.output_len"
        await pilot.press("slash", *"step_timeout", "enter")
        await settle(pilot)
        assert stage.pane.editor.key == "measurement.step_timeout_s"

    play(scene)


def test_a_field_of_another_engine_is_found_and_says_whose_it_is() -> None:
    async def scene(stage: Bench, pilot: Pilot[None]) -> None:
        await go_to(pilot, "workload.output_len")
        await pilot.press("slash", *"ngl", "enter")
        await settle(pilot)
        assert stage.pane.editor.key == "workload.output_len"  # not on whatever stands first, to be changed by mistake
        assert "n_gpu_layers: only with the engine llama-cpp" in said(stage)
        assert "▸ advanced" in stage.text

    play(scene)


def test_only_what_differs_shows_old_and_new() -> None:
    async def scene(stage: Bench, pilot: Pilot[None]) -> None:
        await go_to(pilot, "workload.output_len")
        await pilot.press("l", "F")
        await settle(pilot)
        assert "512 → 1024" in stage.text
        assert "batch_size" not in stage.text
        await pilot.press("F")
        await settle(pilot)
        assert "0 → 5" in stage.text
        await pilot.press("F")
        await settle(pilot)
        assert "batch_size" in stage.text

    play(scene)


def test_headings_fold_and_say_what_changed_inside() -> None:
    async def scene(stage: Bench, pilot: Pilot[None]) -> None:
        assert "top_k" not in stage.text
        assert "fields: warmup=2 min_seconds=10 max_seconds=20 threads=1" in stage.text
        stage.pane.editor.list.cursor = stage.pane.editor.places["#advanced"]
        await pilot.press("enter")
        await settle(pilot)
        assert "quantization" in stage.text
        assert "top_k" not in stage.text
        await go_to(pilot, "model.seed")
        assert "top_k" in stage.text
        await pilot.press("l")
        stage.pane.editor.list.cursor = stage.pane.editor.places["#seldom"]
        await pilot.press("space")
        await settle(pilot)
        assert "17 fields, 1 changed: seed=1 threads=1" in stage.text
        stage.pane.editor.list.cursor = stage.pane.editor.places["#advanced"]
        await pilot.press("space")
        await settle(pilot)
        assert "fields, 1 changed: warmup=2" in stage.text
        assert "quantization" not in stage.text


def test_the_first_page_fits_a_small_terminal_and_says_what_0_stands_for() -> None:
    async def scene(stage: Bench, pilot: Pilot[None]) -> None:
        for word in (
            "model", "engine", "device", "batch_size", "prompts", "input_len", "output_len", "iterations", "advanced"
        ):  # fmt: skip
            assert any(line[3:].lstrip(" ▸").startswith(f"{word} ") for line in stage.text.splitlines()), word
        assert "from the prompts" in stage.text
        assert "needs 3.00 GiB" in stage.text

    # What is left of 80x24 below the GPUs, and of a pane of tmux that is 80x15.
    play(scene, size=(80, 12))
    play(scene, size=(80, 13))


def test_a_value_is_edited_with_its_text_selected() -> None:
    async def scene(stage: Bench, pilot: Pilot[None]) -> None:
        await pilot.press("j", "j", "j", "enter", "8", "enter")
        await settle(pilot)
        assert stage.pane.form.text("workload.batch_size") == "8"
        await pilot.press("enter", "right", "0", "enter")
        await settle(pilot)
        assert stage.pane.form.text("workload.batch_size") == "80"

    play(scene)


def test_a_server_stands_among_the_engines() -> None:
    async def scene(stage: Bench, pilot: Pilot[None]) -> None:
        await go_to(pilot, "workload.output_len")
        await pilot.press("enter", *"77", "enter", "E")
        await filtered(pilot, "server")
        await settle(pilot)
        await pilot.press(*"http://127.0.0.1:8000", "enter")
        await settle(pilot)
        form = stage.pane.form
        assert form.text("target.url") == "http://127.0.0.1:8000"
        assert form.problem is None
        assert form.config().workload.output_len == 77  # what was typed goes along, the rest is of the preset of loads
        assert form.config().workload.input_len == 512
        for name in ("url", "api", "concurrency", "request_rate", "slo", "max_seconds"):
            assert f" {name} " in stage.text
        assert "batch_size" not in stage.text
        await pilot.press("E")
        await filtered(pilot, "simulator")
        await settle(pilot)
        assert form.text("target.kind") == "engine"
        assert "batch_size" in stage.text

    play(scene)

    play(scene)


def test_labels_are_added_edited_and_removed() -> None:
    async def scene(stage: Bench, pilot: Pilot[None]) -> None:
        stage.pane.editor.list.cursor = stage.pane.editor.places["#advanced"]
        await pilot.press("enter")
        stage.pane.editor.list.cursor = stage.pane.editor.places["#labels"]
        await pilot.press("j", "enter", *"owner", "enter")
        await settle(pilot)
        assert "a label is a key and a value" in stage.text
        await pilot.press(*"=me", "enter")
        await settle(pilot)
        assert stage.pane.form.text("labels.owner") == "me"
        stage.pane.editor.list.cursor = stage.pane.editor.places["labels.owner"]
        await pilot.press("enter", "end", "!", "enter")
        await settle(pilot)
        assert stage.pane.form.text("labels.owner") == "me!"
        await pilot.press("backspace")
        await settle(pilot)
        assert "labels.owner" not in stage.pane.form.values

    play(scene)


def test_models_are_picked_from_the_machine_and_the_synthetic_ones() -> None:
    control = FakeControl()
    control.answers["models"] = (GPT2, TORN)

    async def scene(stage: Bench, pilot: Pilot[None]) -> None:
        await pilot.press("M")
        await settle(pilot)
        assert "openai-community/gpt2" in stage.text
        assert "2 weight files are missing" in stage.text
        assert "synthetic:nano" in stage.text
        assert "random weights" in stage.text
        await pilot.press("escape", "G", "M")
        await settle(pilot)
        await pilot.press("slash", *"gpt2", "enter")
        await settle(pilot)
        assert stage.pane.form.text("model.id") == "openai-community/gpt2"
        assert stage.pane.editor.key == "model.id"  # what was chosen is under the cursor

    play(scene, on=bench(control))


def test_a_model_that_is_not_here_says_how_to_download_it() -> None:
    async def scene(stage: Bench, pilot: Pilot[None]) -> None:
        await pilot.press("M")
        await settle(pilot)
        await filtered(pilot, "org/new")
        await settle(pilot)
        assert stage.pane.form.text("model.id") == "org/new"
        assert "org/new is not on this machine: D in the form downloads it" in said(stage)
        await pilot.press("M")
        await settle(pilot)
        await filtered(pilot, "模型/neu")  # which no hub has
        await settle(pilot)
        assert "not the id of a model on the hub" in stage.text
        await pilot.press("D")
        await settle(pilot)
        assert not [name for name, _ in stage.calls if name == "pull"]

    play(scene)


def test_where_there_is_nothing_to_download_the_key_says_why() -> None:
    async def scene(stage: Bench, pilot: Pilot[None]) -> None:
        pull = next(action for action in stage.pane.ACTIONS if action.id == "config.pull")
        assert stage.pane.reason(pull) == "synthetic:nano needs no download"
        stage.pane.editor.put("model.id", "org/new")
        assert stage.pane.reason(pull) == ""
        stage.pane.editor.put("engine.name", "simulator")
        assert stage.pane.reason(pull) == "no model is loaded"

    play(scene)


def asked_of(stage: Bench, *names: str) -> list[tuple[str, tuple[object, ...]]]:
    return [(name, arguments) for name, arguments in stage.calls if name in names]


def test_a_missing_model_is_downloaded_from_here_and_tells_how_far_it_is() -> None:
    control = FakeControl()
    control.answers["models"] = (GPT2,)

    async def scene(stage: Bench, pilot: Pilot[None]) -> None:
        stage.pane.editor.put("model.id", "org/new")
        await settle(pilot)
        assert "not on this machine: D downloads it" in stage.text
        await pilot.press("D")
        await settle(pilot)
        assert asked_of(stage, "pull") == [("pull", ("org/new", ""))]
        state = stage.client_state
        half = PullProgress(GIB // 4, GIB, 0, "model.safetensors", 0, 2)
        for pull in (PullView("org/new"), PullView("org/new", progress=half, rate=64 * 1024 * 1024)):
            stage.pane.show(state.take(EventEnvelope(state.number + 1, PullChanged(pull))))
        await settle(pilot)
        assert "downloading 25% of 1.00 GiB, 64.0 MiB/s, 12.0 s left" in stage.text
        await pilot.press("r")  # not queued yet
        await settle(pilot)
        assert "being downloaded" in stage.text
        await pilot.press("escape", "D")
        await settle(pilot)
        ((question, yes),) = stage.asked
        assert "What has arrived is kept" in question
        yes()
        await settle(pilot)
        assert asked_of(stage, "cancel_pull") == [("cancel_pull", ("org/new", ""))]
        control.answers["models"] = (GPT2, LocalModel("org/new", "hub", "/c/new", GIB, True))
        stage.pane.show(state.take(EventEnvelope(state.number + 1, PullChanged(PullView("org/new", state="done")))))
        await settle(pilot)
        assert "downloading" not in stage.text
        assert "not on this machine" not in stage.text
        await pilot.press("D")
        await settle(pilot)
        assert len(asked_of(stage, "pull")) == 1
        await pilot.press("r")
        await settle(pilot)
        assert len(submitted(stage)) == 1

    play(scene, on=bench(control))


def test_a_run_of_a_missing_model_offers_the_download_first() -> None:
    async def scene(stage: Bench, pilot: Pilot[None]) -> None:
        stage.pane.editor.put("model.id", "org/new")
        stage.pane.editor.put("model.revision", "v2")
        for keys in (["r", "enter"], ["r", "j", "enter"], ["r", "j", "j", "enter"]):
            await pilot.press(keys[0])
            await settle(pilot)
            assert "org/new is not on this machine." in stage.text
            await pilot.press(*keys[1:])
            await settle(pilot)
        assert asked_of(stage, "pull") == [("pull", ("org/new", "v2"))]
        assert len(submitted(stage)) == 1
        stage.pane.editor.put("engine.name", "simulator")  # which loads none
        await pilot.press("r")
        await settle(pilot)
        assert len(submitted(stage)) == 2

    play(scene)


def test_another_engine_shows_its_own_options_and_says_which_options_it_reset() -> None:
    async def scene(stage: Bench, pilot: Pilot[None]) -> None:
        await go_to(pilot, "engine.mode")
        await pilot.press("l", "l")
        assert stage.pane.form.text("engine.mode") == "static"
        assert "tuning" in stage.text
        await pilot.press("E")
        await filtered(pilot, "llama-cpp")
        assert "llama-cpp does not take engine.mode = static: back to the default." in said(stage)
        assert "n_gpu_layers" in stage.text
        assert "tuning" not in stage.text
        await pilot.press("u")
        assert stage.pane.form.text("engine.mode") == "static"
        await pilot.press("E")
        await filtered(pilot, "vllm")
        await go_to(pilot, "engine.mode")
        seen = []
        for _ in range(3):
            seen.append(stage.pane.form.text("engine.mode"))
            await pilot.press("l")
        assert seen == ["auto", "eager", "compile"]
        assert stage.pane.form.text("engine.mode") == "auto"

    play(scene)


def test_an_engine_that_does_not_work_here_is_chosen_with_a_warning_only() -> None:
    async def scene(stage: Bench, pilot: Pilot[None]) -> None:
        await pilot.press("E")
        await settle(pilot)
        assert "torch is missing" in stage.text
        await filtered(pilot, "simulator")
        assert stage.pane.form.text("engine.name") == "simulator"
        assert said(stage) == ""
        await pilot.press("E")
        await filtered(pilot, "vllm")
        await settle(pilot)
        assert stage.pane.form.text("engine.name") == "vllm"
        assert "torch is missing. Install it." in said(stage)

    play(scene)


def test_the_forecast_stands_below_and_its_arithmetic_is_on_v() -> None:
    async def scene(stage: Bench, pilot: Pilot[None]) -> None:
        assert "needs 3.00 GiB of 78.0 GiB free: fits; about 40.0 s" in stage.text
        await pilot.press("v")
        await settle(pilot)
        assert isinstance(stage.screen, ForecastScreen)
        assert "weights 1 GiB" in stage.text
        await pilot.press("escape")
        await settle(pilot)
        assert not isinstance(stage.screen, ForecastScreen)

    play(scene)


def test_what_does_not_fit_is_queued_only_after_a_second_yes() -> None:
    control = FakeControl()
    control.answers["forecast"] = Forecast(("total",), False, needed=90 * GIB, free=78 * GIB)

    async def scene(stage: Bench, pilot: Pilot[None]) -> None:
        assert "does not fit" in stage.text
        await pilot.press("r")
        await settle(pilot)
        assert submitted(stage) == []
        ((question, yes),) = stage.asked
        assert "needs 90.0 GiB of 78.0 GiB free: does not fit" in question
        yes()
        await settle(pilot)
        assert len(submitted(stage)) == 1

    play(scene, on=bench(control))


def test_what_is_not_usable_here_is_queued_only_after_a_second_yes() -> None:
    async def scene(stage: Bench, pilot: Pilot[None]) -> None:
        await pilot.press("E")
        await filtered(pilot, "vllm")
        await pilot.press("r")
        await settle(pilot)
        await go_to(pilot, "device.name")
        stage.pane.editor.put("engine.name", "simulator")
        stage.pane.editor.put("device.name", "cuda:9")
        await pilot.press("r")
        await settle(pilot)
        assert submitted(stage) == []
        (engine, _), (device, _) = stage.asked
        assert "torch is missing" in engine
        assert "there is no GPU 9 here" in device
        stage.pane.load("load", "")  # nothing of that matters to a server
        stage.pane.editor.put("target.url", "http://127.0.0.1:1")
        await pilot.press("r")
        await settle(pilot)
        assert len(submitted(stage)) == 1

    play(scene)


def test_a_load_without_a_url_asks_for_it() -> None:
    async def scene(stage: Bench, pilot: Pilot[None]) -> None:
        stage.pane.load("load", "")
        await settle(pilot)
        assert "needed" in stage.text
        await pilot.press("r")
        await settle(pilot)
        assert "needs the URL of a server" in said(stage)
        await pilot.press(*"unix:/run/server.sock", "enter", "r")
        await settle(pilot)
        assert submitted(stage)[0].variants[0].config.target.url == "unix:/run/server.sock"

    play(scene)


def test_the_answer_about_what_was_just_changed_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infertui.tui.config.estimate.QUIET_S", 600.0)
    control = FakeControl()
    control.answers["forecast"] = Forecast(("total",), False, needed=90 * GIB, free=78 * GIB)

    async def scene(stage: Bench, pilot: Pilot[None]) -> None:
        stage.pane.editor.put("engine.name", "simulator")
        await pilot.press("r")
        await settle(pilot)
        assert submitted(stage) == []
        assert len(stage.asked) == 1

    play(scene, on=bench(control))


def test_a_lost_runner_leaves_the_form_as_it_is() -> None:
    control = FakeControl()
    control.failures = dict.fromkeys(("forecast", "submit"), EngineError("no connection to a runner"))

    async def scene(stage: Bench, pilot: Pilot[None]) -> None:
        stage.pane.editor.put("engine.name", "simulator")
        stage.pane.editor.put("workload.batch_size", 8)
        await pilot.press("r")
        await settle(pilot)
        assert ("error", "no connection to a runner") in stage.told
        assert stage.pane.form.text("workload.batch_size") == "8"

    play(scene, on=bench(control, known=False))


def test_runs_are_called_by_what_differs() -> None:
    async def scene(stage: Bench, pilot: Pilot[None]) -> None:
        form = stage.pane.form
        for key, value in (("engine.name", "simulator"), ("workload.batch_size", 8), ("workload.output_len", 16)):
            form.set(key, value)
        await pilot.press("r")
        await settle(pilot)
        form.sweep("workload.batch_size")
        form.set_text("workload.batch_size", "1,2")
        await pilot.press("r")
        await settle(pilot)
        stage.pane.load_toml("[workload]\nbatch_size = 3\n[engine]\nname = 'simulator'\n", "demo gpt2 bs=3")
        form.set("workload.batch_size", 4)
        await pilot.press("r")
        await settle(pilot)
        names = [f"{one.title} {variant.name}" for one in submitted(stage) for variant in one.variants]
        assert names == ["demo simulator bs=8 osl=16", "demo simulator osl=16 bs=1", "demo simulator osl=16 bs=2",
                         "demo gpt2 bs=4"]  # fmt: skip
        await pilot.press("W")
        await settle(pilot)
        assert stage.screen.query_one(Input).value == "demo-gpt2-bs4"

    play(scene)


def test_without_a_runner_the_form_works_and_says_why_there_is_no_estimate() -> None:
    control = FakeControl()
    control.failures = {name: EngineError("no connection to a runner") for name in ("forecast", "models")}

    async def scene(stage: Bench, pilot: Pilot[None]) -> None:
        assert "no estimate: no connection" in stage.text
        await pilot.press("M")
        await settle(pilot)
        assert "cannot list the models" in stage.text
        await pilot.press("escape")

    play(scene, on=bench(control, known=False))


def test_when_the_connection_is_back_the_estimate_comes() -> None:
    control = FakeControl()
    control.failures = {"forecast": EngineError("no connection to a runner")}

    async def scene(stage: Bench, pilot: Pilot[None]) -> None:
        assert "no connection" in stage.text
        control.failures = {}
        control.answers["forecast"] = FITS
        stage.pane.show(frozenset({"runner"}))
        await settle(pilot)
        assert "needs 3.00 GiB" in stage.text

    play(scene, on=bench(control))


def test_an_entry_of_the_queue_is_edited_and_put_back() -> None:
    async def scene(stage: Bench, pilot: Pilot[None]) -> None:
        stage.pane.edit(ENTRY)
        await settle(pilot)
        assert "editing queue entry 7" in stage.text
        await go_to(pilot, "workload.batch_size")
        await pilot.press("l", "r")
        await settle(pilot)
        edits = [arguments for name, arguments in stage.calls if name == "edit"]
        assert len(edits) == 1
        entry, variant = edits[0]
        assert entry == 7
        assert isinstance(variant, Variant)
        assert variant.name == "bs=8"
        assert variant.config.workload.batch_size == 8
        assert "Put back" in said(stage)
        assert "editing queue entry" not in stage.text
        assert submitted(stage) == []

    play(scene)


def test_a_run_is_loaded_exactly_as_it_was_and_the_load_can_be_undone() -> None:
    async def scene(stage: Bench, pilot: Pilot[None]) -> None:
        stage.pane.load_toml("[workload]\nbatch_size = 3\n", "run 17")
        await settle(pilot)
        assert stage.pane.form.text("workload.batch_size") == "3"
        assert "run 17" in stage.text
        await pilot.press("u")
        await settle(pilot)
        assert stage.pane.form.base.label == "preset demo"

    play(scene, on=bench(environ={"BATCH_SIZE": "4"}))


def test_saving_asks_for_a_name_and_before_overwriting(tmp_path: Path) -> None:
    async def scene(stage: Bench, pilot: Pilot[None]) -> None:
        await pilot.press("w")
        await settle(pilot)
        await typed_name(pilot, str(tmp_path / "mine"))
        await pilot.press("enter")
        await settle(pilot)
        file = tmp_path / "mine.toml"
        assert decode(toml.read(file)) == stage.pane.form.config()
        assert stage.pane.form.base.file == str(file)
        await go_to(pilot, "workload.batch_size")
        await pilot.press("l", "w")
        await settle(pilot)
        assert decode(toml.read(file)).workload.batch_size == 2
        assert stage.asked == []
        file.write_text("# my own words\n" + file.read_text())
        await pilot.press("l", "w")
        await settle(pilot)
        ((question, yes),) = stage.asked
        assert "changed since it was opened" in question
        yes()
        await settle(pilot)
        assert decode(toml.read(file)).workload.batch_size == 4

    play(scene)


async def typed_name(pilot: Pilot[None], name: str) -> None:
    pilot.app.screen.query_one(Input).value = name
    await settle(pilot)


def test_save_as_asks_before_overwriting_and_refuses_no_name(tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    other.write_text("# words of mine\n[workload]\nbatch_size = 2\n")

    async def scene(stage: Bench, pilot: Pilot[None]) -> None:
        await pilot.press("W")
        await settle(pilot)
        await typed_name(pilot, "")
        await pilot.press("enter")
        await settle(pilot)
        assert "a name is needed" in stage.text
        await typed_name(pilot, f"/x/{'a' * 300}/x")  # of which not even `exists` can be asked
        assert stage.is_running
        await typed_name(pilot, str(other))
        assert "exists already" in " ".join(stage.text.replace("│", " ").split())
        await pilot.press("enter")
        await settle(pilot)
        ((question, _),) = stage.asked
        assert str(other) in question
        assert "words of mine" in other.read_text()

    play(scene)


def test_a_disk_that_takes_nothing_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    async def scene(stage: Bench, pilot: Pilot[None]) -> None:
        await pilot.press("W")
        await settle(pilot)
        await typed_name(pilot, str(tmp_path / "file" / "x"))
        await pilot.press("enter")
        await settle(pilot)
        assert "cannot save" in said(stage)

    play(scene)


def test_presets_files_and_runs_are_opened(tmp_path: Path) -> None:
    (tmp_path / "here.toml").write_text("[workload]\nbatch_size = 3\n")
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    own = tmp_path / ".config" / "infertui" / "configs"
    own.mkdir(parents=True)
    (own / "mine.toml").write_text("[workload]\nbatch_size = 5\n")
    control = FakeControl()
    row = ResultRow(
        id="20260101-x",
        name="demo",
        state="finished",
        started="",
        model="synthetic:nano",
        engine="simulator",
        mode="auto",
        device="cpu",
        batch_size=9,
        input_len="short",
        output_len=8,
        valid=True,
    )
    control.answers["results"] = ResultPage(1, 1, 0, (row,))
    control.answers["details"] = RunDetails("20260101-x", "/r", "[workload]\nbatch_size = 9\n")

    async def scene(stage: Bench, pilot: Pilot[None]) -> None:
        for wanted, size in (("here.toml", "3"), ("mine", "5"), ("20260101", "9"), ("gpu-batch4", "4")):
            await pilot.press("O")
            await settle(pilot)
            assert isinstance(stage.screen, PickerScreen)
            assert "pyproject" not in stage.text
            await filtered(pilot, wanted)
            await settle(pilot)
            assert stage.pane.form.text("workload.batch_size") == size
        assert stage.pane.form.base.label == "preset gpu-batch4"

    play(scene, on=bench(control))


def test_a_file_with_a_mistake_leaves_the_form_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text("[workload]\nbatch_size = 0\n")

    async def scene(stage: Bench, pilot: Pilot[None]) -> None:
        await pilot.press("O")
        await settle(pilot)
        await filtered(pilot, "bad.toml")
        await settle(pilot)
        assert "workload.batch_size: 0 is not allowed" in said(stage)
        assert stage.pane.form.base.label == "preset demo"

    play(scene)


def test_the_command_line_is_copied() -> None:
    async def scene(stage: Bench, pilot: Pilot[None]) -> None:
        await go_to(pilot, "workload.batch_size")
        await pilot.press("l", "c")
        assert ("copy", "infertui run demo --set workload.batch_size=2") in stage.told

    play(scene)


def test_a_wrong_variable_of_the_environment_is_said_and_left_out() -> None:
    async def scene(stage: Bench, pilot: Pilot[None]) -> None:
        assert "BATCH_SIZE" in said(stage)
        assert stage.pane.form.text("workload.batch_size") == "1"

    play(scene, on=bench(environ={"BATCH_SIZE": "many"}))


def test_nothing_hostile_acts_wherever_it_is_shown() -> None:
    control = FakeControl()
    evil = HOSTILE.replace("\x00", "")
    control.answers["models"] = (LocalModel(evil, "local", evil, 1, False, problem=evil),)
    control.answers["forecast"] = Forecast((evil,), None)

    async def scene(stage: Bench, pilot: Pilot[None]) -> None:
        stage.pane.load_toml(toml.write(decode({"model": {"id": evil}, "labels": {evil: evil}})), evil)
        stage.pane.editor.view.toggled["labels"] = False
        stage.pane.editor.draw()
        await settle(pilot)
        for keys in (["M"], ["escape", "v"], ["escape", "F"], ["F", "F", "W"], ["escape", "slash", "o"]):
            await pilot.press(*keys)
            await settle(pilot)
            assert "\x1b" not in stage.text
            assert "evil" in stage.text
        await pilot.press("escape")
        await go_to(pilot, "model.revision")

    play(scene, on=bench(control))


def test_ascii_terminals_are_shown_ascii() -> None:
    async def scene(stage: Bench, pilot: Pilot[None]) -> None:
        await go_to(pilot, "workload.output_len")
        await pilot.press("l", "A")
        await settle(pilot)
        await pilot.press("escape", "F")
        await settle(pilot)
        inside = [line[1:-1] for line in stage.text.splitlines()[1:-1]]
        assert all(line.isascii() for line in inside), inside

    play(scene, on=bench(ascii_only=True))


def test_a_change_repaints_what_differs_and_asks_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(stage: Bench, pilot: Pilot[None]) -> None:
        asked = sum(name == "forecast" for name, _ in stage.calls)
        stage.pane.show(frozenset({"machine", "queue", "live"}))
        stage.pane.show(frozenset({"runner"}))
        await settle(pilot)
        assert sum(name == "forecast" for name, _ in stage.calls) == asked

    play(scene)


def test_every_key_is_declared_once_and_none_is_reserved() -> None:
    keys = [key for action in ACTIONS for key in action.keys.split(",")]
    assert len(keys) == len(set(keys))
    assert not RESERVED & set(keys)
    for action in ACTIONS:
        assert callable(getattr(ConfigPane, f"action_{action.name}"))
    taken = {"question_mark", "colon", "q", "escape", "tab", "z", "p", "plus", "minus", "m", "T", "comma", *"123456"}
    assert not taken & set(keys)


def test_esc_leaves_what_differs() -> None:
    async def play(bench: Bench, pilot: Pilot[None]) -> None:
        await pilot.press("F")
        await pilot.pause()
        assert "nothing" in bench.text
        assert "batch_size" not in bench.text
        assert bench.pane.step_back()
        await pilot.pause()
        assert "batch_size" in bench.text
        assert "▸   model" in bench.text
        assert not bench.pane.step_back()

    act(bench(), play)


def test_the_frame_says_where_the_cursor_is_while_fields_are_found() -> None:
    async def scene(stage: Bench, pilot: Pilot[None]) -> None:
        for keys in (["slash", "b", "a"], ["t", "down"], ["enter"]):
            await pilot.press(*keys)
            await settle(pilot)
            assert stage.pane.border_subtitle == stage.pane.editor.list.position

    play(scene)
