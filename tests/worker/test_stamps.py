"""What the sink says of its own time, on a clock that moves by itself."""

import pytest

from infertui.measure.clock import VirtualClock
from infertui.worker.stamps import Cancelled, Progress, StampSink


class Ticking(VirtualClock):
    """Each reading takes 7 ns."""

    def now_ns(self) -> int:
        now = super().now_ns()
        self.sleep_until(now + 7)
        return now


def test_a_call_takes_from_its_stamp_to_its_end() -> None:
    """A reading at the stamp and one at the end are 7 ns apart; what the engine does between the calls is not its."""
    clock = Ticking()
    sink = StampSink(2, clock, Progress(clock), lambda: False)
    for _ in range(3):
        sink.step()
        clock.sleep_until(clock.now_ns() + 1_000_000)
    assert sink.spent_ns == 3 * 7
    sink.gained(1)
    assert sink.spent_ns == 4 * 7


def test_all_that_is_done_within_a_call_counts() -> None:
    clock = VirtualClock()

    def slow() -> bool:
        clock.sleep_until(clock.now_ns() + 500)
        return False

    sink = StampSink(1, clock, Progress(clock), slow)
    sink.step()
    sink.step(4)
    assert (sink.spent_ns, sink.stamps_ns) == (1000, [0, 500])


def test_a_call_that_stops_the_batch_adds_nothing() -> None:
    clock = Ticking()
    sink = StampSink(1, clock, Progress(clock), lambda: True)
    with pytest.raises(Cancelled):
        sink.step()
    assert (sink.spent_ns, len(sink.stamps_ns)) == (0, 1)


def stretched(steps: int, *, start_ns: int = 5, end_ns: int = 1_000_005) -> tuple[int, ...]:
    """Of steps that end at 10, 20, 30 ..."""
    clock = VirtualClock()
    sink = StampSink(1, clock, Progress(clock), lambda: False)
    for _ in range(steps):
        clock.sleep_until(clock.now_ns() + 10)
        sink.step()
    return sink.stretches(start_ns, end_ns)


def test_a_batch_is_kept_in_parts_of_equally_many_steps() -> None:
    """64 steps in 16 parts of four: the first from 5 to 40, the last to the end; nothing of the time is left out."""
    assert stretched(64) == (35, *([40] * 14), 1_000_005 - 600)
    assert sum(stretched(64)) == 1_000_000


@pytest.mark.parametrize(("steps", "parts"), [(0, 0), (1, 0), (2, 2), (3, 2), (15, 8), (16, 16), (17, 16), (1000, 16)])
def test_fewer_steps_make_fewer_parts(steps: int, parts: int) -> None:
    found = stretched(steps)
    assert len(found) == parts
    assert sum(found) == (1_000_000 if parts else 0)


def test_seventeen_steps_are_divided_as_evenly_as_they_can_be() -> None:
    assert set(stretched(17)[1:-1]) <= {10, 20}
