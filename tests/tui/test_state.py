from msgspec.structs import replace
from support.screens import entry, machine, sample

from infertui.runner.control import (
    EntriesOrdered,
    EntryChanged,
    EventEnvelope,
    Measured,
    PausedChanged,
    ResultsChanged,
)
from infertui.runner.events import PhaseEntered, Progressed
from infertui.tui.state import ALL_TOPICS, HISTORY, ClientState


def test_a_snapshot_replaces_everything() -> None:
    mirror = ClientState()
    mirror.take(EventEnvelope(1, EntryChanged(entry(9))))
    told = replace(machine(entries=(entry(1, "running"), entry(2))).told, number=7)
    assert mirror.take(told) == ALL_TOPICS
    assert mirror.number == 7
    assert list(mirror.entries) == [1, 2]
    assert [one.id for one in mirror.running] == [1]
    assert mirror.sample == told.samples[-1]


def test_each_event_touches_what_shows_it() -> None:
    mirror = ClientState()
    assert mirror.take(EventEnvelope(1, EntryChanged(entry(1)))) == {"queue", "live"}
    assert mirror.take(EventEnvelope(2, EntryChanged(entry(2)))) == {"queue", "live"}
    assert mirror.take(EventEnvelope(3, EntriesOrdered((2, 1, 5)))) == {"queue"}
    assert list(mirror.entries) == [2, 1]
    assert mirror.take(EventEnvelope(4, EntriesOrdered((1,)))) == {"queue"}
    assert list(mirror.entries) == [1]
    assert mirror.take(EventEnvelope(5, PausedChanged(True))) == {"queue", "runner"}
    assert mirror.paused
    before = mirror.results_version
    assert mirror.take(EventEnvelope(6, ResultsChanged("/reports"))) == {"results"}
    assert mirror.results_version > before
    assert mirror.take(EventEnvelope(7, Measured(sample(1)))) == {"machine"}
    assert mirror.take(EventEnvelope(8, PhaseEntered(run="run1", t_ns=0, phase="measure"))) == {"live"}
    assert mirror.progress["run1"].phase == "measure"
    assert mirror.number == 8


def test_history_is_bounded() -> None:
    mirror = ClientState()
    for number in range(HISTORY + 10):
        mirror.take(EventEnvelope(number, Measured(sample(1, number))))
        mirror.take(
            EventEnvelope(
                number,
                Progressed(
                    run="r", t_ns=number, phase="measure", batch=0, step=number, tokens=1, tokens_per_s=1.0, resident=0
                ),
            )
        )
    assert len(mirror.samples) == HISTORY
    assert mirror.samples[-1].t_ns == HISTORY + 9
    assert len(mirror.progress["r"].rates) <= 2 * HISTORY
