"""What crosses the socket arrives as it was."""

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.fake_control import FACTS
from support.structs import values_of

from infertui import errors
from infertui.api.errors import OtherVersionError, ReadOnlyError, RunnerExistsError, RunnerUnavailableError
from infertui.api.wire import KEEP_ALIVE, EventReader, Problem, encode_told, error_of, problem_of
from infertui.errors import ConfigError, InfertuiError
from infertui.runner.control import AnyQueueEvent, EventEnvelope, PausedChanged, Snapshot
from infertui.runner.events import Noted, PhaseEntered, Progressed, RunStarted
from infertui.telemetry.nvml import NvmlUnavailableError

EVENTS = values_of(AnyQueueEvent) | values_of(RunStarted | PhaseEntered | Progressed | Noted)
CLASSES = [
    *(getattr(errors, name) for name in vars(errors) if name.endswith("Error") and name != "ConfigError"),
    *(OtherVersionError, ReadOnlyError, RunnerExistsError, RunnerUnavailableError),
]


def across(error: InfertuiError) -> InfertuiError:
    return error_of(msgspec.json.decode(msgspec.json.encode(problem_of(error)), type=Problem))


@pytest.mark.parametrize("kind", CLASSES)
def test_an_error_is_raised_again_as_what_it_was(kind: type[InfertuiError]) -> None:
    again = across(kind("it broke", remedy="mend it"))
    assert type(again) is kind
    assert (again.message, again.remedy, str(again)) == ("it broke", "mend it", "it broke\nmend it")


def test_an_error_of_a_config_keeps_its_parts() -> None:
    error = ConfigError("workload.batch_size", "is 0", allowed="1 or more", source="--batch-size", remedy="raise it")
    again = across(error)
    assert isinstance(again, ConfigError)
    assert vars(again) == vars(error)
    assert str(again) == str(error)


def test_an_error_that_not_every_client_knows_arrives_as_its_nearest_kin() -> None:
    class DeepError(errors.StoreError):
        pass

    assert type(across(DeepError("disk full"))) is errors.StoreError
    assert isinstance(across(NvmlUnavailableError("no driver")), InfertuiError)
    assert type(error_of(Problem("FromTheFutureError", "hm"))) is InfertuiError


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.lists(EVENTS, max_size=4), st.data())
def test_events_arrive_however_the_stream_is_cut(events: list[AnyQueueEvent], data: st.DataObject) -> None:
    told = [EventEnvelope(number, event) for number, event in enumerate(events, start=1)]
    stream = KEEP_ALIVE + b"".join(encode_told(one) + KEEP_ALIVE for one in told)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    reader = EventReader()
    heard: list[EventEnvelope | Snapshot] = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        heard += reader.feed(stream[start:end])
    assert heard == told


def test_a_snapshot_is_told_from_an_event() -> None:
    snapshot = Snapshot(7, FACTS, paused=True, entries=())
    event = EventEnvelope(8, PausedChanged(False))
    heard = list(EventReader().feed(encode_told(snapshot) + encode_told(event)))
    assert heard == [snapshot, event]


def test_an_event_is_readable_by_hand() -> None:
    text = encode_told(EventEnvelope(8, PausedChanged(False))).decode()
    assert text == 'id: 8\nevent: event\ndata: {"number":8,"event":{"event":"paused","paused":false}}\n\n'


def test_what_cannot_be_read_is_an_error_and_not_a_guess() -> None:
    with pytest.raises(msgspec.MsgspecError):
        list(EventReader().feed(b'event: event\ndata: {"number": "x"}\n\n'))
