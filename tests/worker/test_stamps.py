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
