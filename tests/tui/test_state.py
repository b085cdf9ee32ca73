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
    client_state = ClientState()
    client_state.take(EventEnvelope(1, EntryChanged(entry(9))))
    told = replace(machine(entries=(entry(1, "running"), entry(2))).told, number=7)
    assert client_state.take(told) == ALL_TOPICS
    assert client_state.number == 7
    assert list(client_state.entries) == [1, 2]
    assert [one.id for one in client_state.running] == [1]
    assert client_state.sample == told.samples[-1]


def test_each_event_touches_what_shows_it() -> None:
    client_state = ClientState()
    assert client_state.take(EventEnvelope(1, EntryChanged(entry(1)))) == {"queue", "live"}
    assert client_state.take(EventEnvelope(2, EntryChanged(entry(2)))) == {"queue", "live"}
    assert client_state.take(EventEnvelope(3, EntriesOrdered((2, 1, 5)))) == {"queue"}
    assert list(client_state.entries) == [2, 1]
    assert client_state.take(EventEnvelope(4, EntriesOrdered((1,)))) == {"queue"}
    assert list(client_state.entries) == [1]
    assert client_state.take(EventEnvelope(5, PausedChanged(True))) == {"queue", "runner"}
    assert client_state.paused
    before = client_state.results_version
    assert client_state.take(EventEnvelope(6, ResultsChanged("/reports"))) == {"results"}
    assert client_state.results_version > before
    assert client_state.take(EventEnvelope(7, Measured(sample(1)))) == {"machine"}
    assert client_state.take(EventEnvelope(8, PhaseEntered(run="run1", t_ns=0, phase="measure"))) == {"live"}
    assert client_state.progress["run1"].phase == "measure"
    assert client_state.number == 8


def test_history_is_bounded() -> None:
    client_state = ClientState()
    for number in range(HISTORY + 10):
        client_state.take(EventEnvelope(number, Measured(sample(1, number))))
        client_state.take(
            EventEnvelope(
                number,
                Progressed(
                    run="r", t_ns=number, phase="measure", batch=0, step=number, tokens=1, tokens_per_s=1.0, resident=0
                ),
            )
        )
    assert len(client_state.samples) == HISTORY
    assert client_state.samples[-1].t_ns == HISTORY + 9
    assert len(client_state.progress["r"].rates) <= 2 * HISTORY
