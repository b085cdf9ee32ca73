from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infertui.errors import UsageError
from infertui.runner.events import PhaseEntered, Progressed
from infertui.runner.execution.progress import RunProgress
from infertui.runner.past.kept import COARSE_S, FINE_S, KEPT_S, MARK_S, MOST_MARKS, MOST_POINTS, Past
from infertui.telemetry.readings import Sample

S = 1_000_000_000


def filled(seconds: int, hz: int = 1) -> Past:
    past = Past()
    for tick in range(seconds * hz):
        past.sampled(Sample((1000 * hz + tick) * S // hz))
    return past


def everything(past: Past) -> list[float]:
    """Seconds of the samples that are kept."""
    stretches = [(start * S, (start + 1000) * S - 1) for start in range(0, 30_000, 1000)]
    return [one.t_ns / S for start, end in stretches for one in past.between(start, end, MOST_POINTS).samples]


def test_the_last_minutes_are_kept_by_the_second_and_two_hours_in_all() -> None:
    kept = everything(filled(3 * KEPT_S))
    newest = kept[-1]
    fine = [at for at in kept if at >= newest - FINE_S]
    assert len(fine) == FINE_S + 1
    assert newest - KEPT_S <= kept[0] <= newest - KEPT_S + COARSE_S
    gaps = {round(after - before, 3) for before, after in pairwise(kept) if after < fine[0]}
    assert gaps == {COARSE_S}
    assert len(kept) < FINE_S + KEPT_S / COARSE_S  # 2,400 samples, however long it runs


def test_a_run_that_is_sampled_ten_times_a_second_takes_no_more() -> None:
    assert len(everything(filled(100, hz=10))) == 100
    assert len(filled(100, hz=10).latest(30)) == 30
    assert Past().latest(30) == ()


@given(st.integers(2, 60), st.integers(0, 300), st.integers(0, 300), st.integers(0, 200))
def test_a_stretch_is_thinned_evenly_and_keeps_its_ends(points: int, start: int, length: int, seconds: int) -> None:
    past = filled(seconds)
    told = past.between((1000 + start) * S, (1000 + start + length) * S, points)
    inside = [1000 + tick for tick in range(seconds) if start <= tick <= start + length]
    stamps = [sample.t_ns // S for sample in told.samples]
    assert len(stamps) == min(points, len(inside))
    assert sorted(set(stamps)) == stamps
    assert set(stamps) <= set(inside)
    assert not inside or (stamps[0], stamps[-1]) == (inside[0], inside[-1])
    assert told.oldest_ns == (1000 * S if seconds else 0)


@pytest.mark.parametrize(
    ("start", "end", "points"), [(0, 1, 1), (0, 1, 0), (0, 1, -5), (0, 1, MOST_POINTS + 1), (2, 1, 9)]
)
def test_what_is_no_stretch_is_refused(start: int, end: int, points: int) -> None:
    with pytest.raises(UsageError):
        filled(3).between(start, end, points)


class Runs:
    """Runs that go on by a clock that a test holds."""

    def __init__(self) -> None:
        self.now = 1000 * S
        self.past = Past(lambda: self.now)
        self.progress: dict[str, RunProgress] = {}

    def goes_on(self, run: str, seconds: float, rate: float = 100.0) -> None:
        self.now += round(seconds * S)
        progress = self.progress.setdefault(run, RunProgress())
        progress.take(Progressed(run, self.now, "measure", 0, 1, 1, rate, 0))
        self.past.progressed(run, progress)

    def enters(self, run: str, phase: str) -> None:
        progress = self.progress.setdefault(run, RunProgress())
        progress.take(PhaseEntered(run, self.now, phase))  # type: ignore[arg-type]
        self.past.progressed(run, progress)


def test_marks_are_two_seconds_apart_but_for_a_new_phase() -> None:
    runs = Runs()
    runs.enters("a", "load")
    runs.enters("a", "measure")
    for _ in range(100):
        runs.goes_on("a", 0.1, 500.0)
    told = runs.past.between(0, runs.now, 100)
    assert [mark.phase for mark in told.marks[:2]] == ["load", "measure"]
    assert len(told.marks) == pytest.approx(10 / MARK_S + 2, abs=1)
    assert told.marks[-1].tokens_per_s == 500.0
    assert told.runs["a"].rates == []
    assert [phase for _, phase in told.runs["a"].entered] == ["load", "measure"]


def test_a_stretch_has_the_last_mark_before_it_and_none_after() -> None:
    runs = Runs()
    for run in ("a", "b"):
        for _ in range(5):
            runs.goes_on(run, 10)
    told = runs.past.between(1080 * S, 1090 * S, 10)
    assert [(mark.run, mark.t_ns // S) for mark in told.marks] == [("a", 1050), ("b", 1070), ("b", 1080), ("b", 1090)]
    assert set(told.runs) == {"a", "b"}


def test_marks_and_runs_are_bounded() -> None:
    runs = Runs()
    for number in range(MOST_MARKS + 50):
        runs.goes_on(f"run-{number // 10}", 10)
        if number % 10 == 9:
            runs.past.ended(f"run-{number // 10}")
    told = runs.past.between(0, runs.now, 100)
    assert len(told.marks) <= KEPT_S / 10 + 20
    assert len(told.runs) <= KEPT_S / 100 + 2
    runs.past.ended("never heard of")
