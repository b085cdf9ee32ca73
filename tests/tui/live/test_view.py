from itertools import zip_longest

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.text import Text
from support.scenes import S, entry, gpus, loaded, progress, sample
from support.structs import values_of

from infertui.measure.itl import Gaps
from infertui.measure.records import Phase
from infertui.runner.events import LoadProgressed
from infertui.runner.execution.progress import RunProgress
from infertui.runner.scheduling.queue_store import Entry
from infertui.targets.engine.base import Loaded
from infertui.tui.live.view import (
    Figure,
    LiveRun,
    began_ns,
    compact_lines,
    elapsed_s,
    energy_since,
    figure_columns,
    figures,
    head_line,
    idle_lines,
    live_run,
    phase_line,
    power_points,
    progress_line,
    step_latency,
)
from infertui.tui.themes import DEFAULT_PALETTE
from infertui.tui.widgets.cells import RenderContext

LOOK = RenderContext(DEFAULT_PALETTE)
RUN = LiveRun(entry(5, "running", name="bs=4"), progress("run-5"), elapsed_s=12.0, power_w=512.0, energy_j=41_200.0)


def values(run: LiveRun) -> dict[str, str]:
    return {figure.name: figure.value for figure in figures(run)}


def test_figures_of_a_measured_run() -> None:
    assert values(RUN) == {
        "tok/s": "1,931", "mean": "427", "TTFT": "182 ms", "step": "2.07 ms", "ITL p50": "8.3 ms",
        "ITL p99": "-", "tokens": "768", "power": "512 W", "energy": "41.2 kJ",
    }  # fmt: skip


def test_before_the_first_token_there_is_nothing_to_say() -> None:
    assert set(values(LiveRun(entry(5, "running"), RunProgress())).values()) == {"-"}


def test_a_step_takes_batch_over_rate() -> None:
    assert step_latency(2000.0, 4) == 2.0


def test_the_phases_tell_what_is_done() -> None:
    assert phase_line(RUN, 100, LOOK).plain == "spawn → load 4.20 s → warmup 2 → [measure]  for 0:12"
    assert phase_line(RUN, 38, LOOK).plain == "[measure] 0:12  load 4.20 s  warmup 2"
    assert phase_line(RUN, 12, LOOK).cell_len <= 12
    assert progress_line(RUN, 60, LOOK).plain.endswith(" 3/5   70%  ETA 0:01")
    assert "NVIDIA H100" in head_line(RUN, 120, LOOK).plain
    assert head_line(RUN, 120, LOOK, number=1, total=2).plain.startswith("[1/2] #5")


def test_compiling_and_capturing_are_told_where_a_run_had_them() -> None:
    known = progress("run-5", "warmup")
    known.entered = [(0, "load"), (4 * S, "compile"), (34 * S, "capture"), (35 * S, "compile"), (37 * S, "warmup")]
    run = LiveRun(entry(5, "running"), known)
    assert phase_line(run, 120, LOOK).plain == (
        "spawn → load 4.20 s → compile 32.0 s → capture 1.00 s → [warmup] → measure"
    )
    known.phase, known.entered = "compile", known.entered[:4]
    assert phase_line(run, 120, LOOK).plain == ("spawn → load 4.20 s → [compile] → capture 1.00 s → warmup → measure")
    assert elapsed_s(known, 36 * S) == 1.0
    assert phase_line(run, 30, LOOK).cell_len <= 30


def test_a_fallback_of_the_engine_is_said() -> None:
    known = progress("run-5")
    known.loaded = msgspec.structs.replace(loaded(), engine_requested="tensorrt-llm")
    line = head_line(LiveRun(entry(5, "running"), known), 150, LOOK).plain
    assert "FALLBACK, not tensorrt-llm:  transformers" in line


FIGURES = st.lists(st.builds(Figure, st.text(max_size=8), st.text(max_size=20)), min_size=1, max_size=12)
PROGRESS = st.builds(
    RunProgress,
    started=st.none() | st.just(progress("run-1").started),
    phase=values_of(Phase | None),
    loaded=values_of(Loaded | None),
    load_seconds=st.none() | st.floats(0, 1e6),
    measured=st.integers(0, 10**9),
    measured_tokens=st.integers(0, 10**12),
    measured_seconds=st.floats(0, 1e9),
    tokens_per_s=st.none() | st.floats(0, 1e9),
    ttft=st.none() | st.floats(0, 1e6),
    itl=values_of(Gaps | None),
)


@given(FIGURES, st.integers(9, 200))
def test_figures_stand_in_columns_that_fit(items: list[Figure], width: int) -> None:
    columns = figure_columns(items, width, LOOK)
    assert sum(column[0].cell_len for column in columns if column) <= width
    assert sum(map(len, columns)) == len(items)


def test_figures_of_a_load_do_not_touch_in_a_narrow_pane() -> None:
    """`TTFT9957.6 ms` would be read as ten seconds."""
    load = LoadProgressed(
        "r", 0, "measure", 12.0, 2, "concurrency", 2, 32, 30, 0, 1.2, 194.0, 0.0506, 0.0576, 0.00991, 0.0191, cpu=0.01
    )  # fmt: skip
    columns = figure_columns(figures(LiveRun(entry(5, "running"), RunProgress(load=load))), 28, LOOK)
    lines = ["".join(cell.plain for cell in row) for row in zip_longest(*columns, fillvalue=Text())]
    assert [" ".join(line.split()) for line in lines] == [
        "tok/s 194 req/s 1.20", "TTFT 50.6 ms p99 57.6 ms", "ITL 9.91 ms p99 19.1 ms", "open 2 done 30",
        "fail 0 cpu 0.01 co…", "power -",
    ]  # fmt: skip


def test_a_model_that_stayed_loaded_took_no_time_to_load() -> None:
    known = progress("run-5", "warmup")
    known.load_seconds = 0.0
    assert "→ loaded →" in phase_line(LiveRun(entry(5, "running"), known), 120, LOOK).plain


@settings(max_examples=30)
@given(values_of(Entry), PROGRESS, st.integers(5, 160))
def test_any_run_gives_lines_that_fit(one: Entry, known: RunProgress, width: int) -> None:
    run = LiveRun(one, known)
    for line in (head_line(run, width, LOOK), *compact_lines(run, width, LOOK)[2:], phase_line(run, width, LOOK)):
        assert line.cell_len <= width
        assert "\x1b" not in line.plain


def test_phases_are_timed_from_their_beginning() -> None:
    known = RunProgress(phase="measure", entered=[(1 * S, "load"), (3 * S, "warmup"), (4 * S, "measure")])
    assert elapsed_s(known, 10 * S) == 6.0
    assert began_ns(known, "load") == 1 * S
    assert began_ns(known, "spawn") is None
    assert elapsed_s(RunProgress(), 10 * S) is None


def test_power_is_that_of_the_runs_device() -> None:
    samples = [sample(gpus(2), tick) for tick in range(3)]
    on_gpu = power_points(samples, entry(1, "running", lane="gpu0"), progress("run-1"))
    assert [round(watts) for _, watts in on_gpu] == [510, 518, 525]
    by_lane = power_points(samples, entry(1, "running", lane="gpu1"), RunProgress())
    assert [round(watts) for _, watts in by_lane] == [531, 534, 535]
    assert power_points(samples, entry(1, "running", lane="cpu"), RunProgress())[0][1] == 120.0
    assert power_points([sample(gpus(1), lost=[0])], entry(1, "running"), progress("run-1")) == []


def test_energy_is_known_from_a_start_that_was_sampled() -> None:
    points = [(second * S, 100.0) for second in range(11)]
    assert energy_since(points, 2 * S) == 800.0
    assert energy_since(points, None) is None
    assert energy_since(points[5:], 2 * S) is None
    assert energy_since(points, 10 * S) is None


def test_a_live_run_brings_everything_together() -> None:
    known = progress("run-5")
    known.entered = [(1000 * S, "warmup"), (1010 * S, "measure")]
    samples = [sample(gpus(1), tick) for tick in range(30)]
    run = live_run(entry(5, "running"), known, samples, 1029 * S)
    assert run.elapsed_s == 19.0
    assert run.power_w
    assert run.energy_j == pytest.approx(510 * 19, rel=0.1)


@pytest.mark.parametrize(
    ("entries", "paused", "expected"),
    [
        ([], False, ["Nothing has run yet.", "r in Config starts a run."]),
        ([entry(1, "finished")], False, ["Last: demo: 1,932 tok/s", "r in Config starts a run."]),
        (
            [entry(1, "finished", valid=False)],
            False,
            ["Last: demo: 1,932 tok/s  (invalid)", "r in Config starts a run."],
        ),
        ([entry(1, "failed", reason="OOM"), entry(2)], False, ["Last: demo: failed: OOM", "1 waits to start."]),
        (
            [entry(1), entry(2)],
            True,
            ["Nothing has run yet.", "2 wait, and the queue is paused: P in Queue goes on."],
        ),
    ],
)
def test_when_nothing_runs_two_lines_say_what_to_do(entries: list[Entry], paused: bool, expected: list[str]) -> None:
    assert idle_lines(entries, LOOK, paused=paused) == expected
