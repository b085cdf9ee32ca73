from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.scenes import client_state, entry, gpus, progress, sample

from infertui.runner.past.kept import RunMark, RunnerPast
from infertui.runner.scheduling.queue_store import Entry, EntryState
from infertui.tui.rewind.moment import entry_at, held, progress_at, state_at
from infertui.tui.state import ClientState, RunOutcome

S = 1_000_000_000
HOUR = 1_777_626_000.0
"""2026-05-01T09:00:00Z."""


def lived(state: EntryState = "finished") -> Entry:
    return entry(
        5, state, submitted="2026-05-01T09:00:00+00:00", started="2026-05-01T09:01:00+00:00",
        ended="2026-05-01T09:03:00+00:00" if state != "running" else "", reason="why",
    )  # fmt: skip


def test_an_entry_waits_then_runs_then_has_ended() -> None:
    for seconds, state in (
        (-1, None),
        (0, "queued"),
        (59, "queued"),
        (60, "running"),
        (179, "running"),
        (180, "finished"),
    ):
        then = entry_at(lived(), HOUR + seconds)
        assert (then.state if then else None) == state
        if then and state != "finished":
            assert (then.reason, then.throughput, then.ended) == ("", None, "")
            assert bool(then.run) == bool(then.started) == (state == "running")
    assert entry_at(lived("running"), HOUR + 70) == lived("running")
    before = entry_at(lived("running"), HOUR + 10)
    assert before is not None
    assert before.state == "queued"


def test_one_that_never_began_waited_until_it_ended() -> None:
    refused = entry(5, "refused", started="", run="", ended="2026-05-01T09:03:00+00:00")
    for seconds, state in ((10, "queued"), (180, "refused")):
        then = entry_at(refused, HOUR + seconds)
        assert then is not None
        assert then.state == state
    for odd in ("", "yesterday", "2026-99-99"):
        assert entry_at(entry(5, submitted=odd), HOUR) is not None


def mark(second: int, **changes: object) -> RunMark:
    values: dict[str, object] = {
        "phase": "measure",
        "loaded": True,
        "tokens_per_s": float(second),
        "measured": second // 10,
    }
    return RunMark((1000 + second) * S, "run-5", **{**values, **changes})  # type: ignore[arg-type]


def past(*marks: RunMark, seconds: range = range(0)) -> RunnerPast:
    return RunnerPast(1, tuple(sample(gpus(1), tick) for tick in seconds), marks, {"run-5": progress("run-5", ticks=0)})


def test_a_run_is_as_far_as_its_last_mark_says() -> None:
    known = progress("run-5", ticks=0)
    known.entered = [(1000 * S, "load"), (1010 * S, "measure"), (1100 * S, "score")]
    then = progress_at(known, [mark(20), mark(40)], 1045 * S)
    assert (then.phase, then.tokens_per_s, then.measured) == ("measure", 40.0, 4)
    assert then.rates == [(1020 * S, 20.0), (1040 * S, 40.0)]
    assert then.loaded is not None
    early = progress_at(known, [mark(2, phase="load", loaded=False, tokens_per_s=None)], 1003 * S)
    assert (early.phase, early.loaded, early.rates) == ("load", None, [])


def test_without_marks_a_run_is_what_is_still_known_of_it() -> None:
    known = progress("run-5", ticks=60)
    known.entered = [(990 * S, "measure")]
    then = progress_at(known, [], 1030 * S)
    assert then.phase == "measure"
    assert then.rates[-1][0] == 1030 * S
    assert then.measured == 0
    assert progress_at(known, [], 900 * S).phase is None


def test_a_state_of_before_has_what_was_then_and_nothing_of_later() -> None:
    now = client_state(gpus(1), [lived(), entry(6, submitted="2026-05-01T09:02:50+00:00")])
    now.samples = deque(sample(gpus(1), tick) for tick in range(80, 90))
    then = state_at(now, [past(mark(20), mark(60), seconds=range(20, 85))], 1030 * S, HOUR + 100)
    assert [(one.id, one.state) for one in then.entries.values()] == [(5, "running")]
    assert then.progress["run-5"].tokens_per_s == 20.0
    assert [one.t_ns // S for one in then.samples] == list(range(1020, 1031))
    assert then.moment_ns == 1030 * S
    assert then.runner is now.runner
    assert now.moment_ns is None
    assert not then.ended
    later = state_at(now, [past(seconds=range(20, 85))], 1089 * S, HOUR + 200)
    assert [one.t_ns // S for one in later.samples] == list(range(1020, 1090))
    assert [one.state for one in later.entries.values()] == ["finished", "queued"]


def test_the_outcome_of_a_run_is_not_known_before_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    now = client_state(gpus(1), [lived()])
    now.outcomes["run-5"] = RunOutcome(None, progress("run-5", ticks=60))  # type: ignore[arg-type]
    assert state_at(now, [], 1030 * S, HOUR + 100).outcomes == {}
    assert state_at(now, [], 1030 * S, HOUR + 100).progress["run-5"].rates
    assert set(state_at(now, [], 1300 * S, HOUR + 300).outcomes) == {"run-5"}


def test_what_is_held_stays_as_it_is() -> None:
    now = client_state(gpus(1), [entry(3, "running")])
    now.progress["run-3"] = progress("run-3")
    then = held(now, 1089 * S, HOUR)
    before = (list(then.entries), len(then.samples), len(then.progress["run-3"].rates))
    now.entries.clear()
    now.samples.clear()
    now.progress["run-3"].rates.clear()
    assert (list(then.entries), len(then.samples), len(then.progress["run-3"].rates)) == before


@given(st.lists(st.integers(0, 100), max_size=30), st.lists(st.integers(0, 100), max_size=30), st.integers(0, 120))
def test_samples_of_all_sources_stand_in_order_and_once(kept: list[int], living: list[int], at: int) -> None:
    now = ClientState()
    now.samples.extend(sample((), tick) for tick in sorted(set(living)))
    pasts = [RunnerPast(1, tuple(sample((), tick) for tick in sorted(set(kept))))] * 2
    then = state_at(now, pasts, (1000 + at) * S, HOUR)
    assert [one.t_ns // S - 1000 for one in then.samples] == [tick for tick in sorted({*kept, *living}) if tick <= at]
