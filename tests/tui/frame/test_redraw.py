"""When what is drawn: each topic at its rate, as far as the terminal keeps up.

What is due soon does not wait for what is due late; what is due at about the same time is drawn together.
"""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infertui.tui.frame.redraw import FASTER, LONGEST_S, QUICK_S, SLOW_GAUGES_S, RedrawScheduler, stepped
from infertui.tui.frame.topics import ALL_TOPICS, Topic
from infertui.tui.settings.stored import Settings

Drawing = Callable[[], Awaitable[frozenset[Topic]]]


def play(settings: Settings, act: Callable[[RedrawScheduler, Drawing], Awaitable[None]]) -> None:
    """Let `act` touch topics, and wait for what is drawn next."""

    async def scenario() -> None:
        drawn: asyncio.Queue[frozenset[Topic]] = asyncio.Queue()

        async def drawing() -> frozenset[Topic]:
            async with asyncio.timeout(5):
                return await drawn.get()

        def post(draw: Callable[[], None]) -> None:
            draw()

        scheduler = RedrawScheduler(drawn.put_nowait, behind=lambda: False, post=post)
        scheduler.start(settings)
        await act(scheduler, drawing)
        assert drawn.empty()
        scheduler.stop()

    asyncio.run(scenario())


def test_a_run_that_ends_is_not_held_up_by_charts_that_are_due_later() -> None:
    async def act(scheduler: RedrawScheduler, drawing: Drawing) -> None:
        scheduler.touched({"live", "queue"})
        assert await drawing() == {"live", "queue"}
        scheduler.touched({"live"})  # in ten seconds
        scheduler.touched({"queue", "live"})
        assert await drawing() == {"queue"}
        scheduler.touched({"live"})
        assert scheduler.wait(asyncio.get_running_loop().time()), "it was not drawn, and is not forgotten"

    play(Settings(gauge_hz=0.1, chart_hz=0.1), act)


def test_gauges_wait_for_charts_that_are_due_within_their_period() -> None:
    async def act(scheduler: RedrawScheduler, drawing: Drawing) -> None:
        scheduler.touched({"live", "machine"})
        assert await drawing() == {"live", "machine"}
        scheduler.touched({"live"})  # in 0.2 s
        scheduler.touched({"machine"})  # in 0.14 s
        assert await drawing() == {"live", "machine"}

    play(Settings(gauge_hz=7, chart_hz=5), act)


def test_gauges_do_not_wait_for_charts_that_are_due_long_after_them() -> None:
    async def act(scheduler: RedrawScheduler, drawing: Drawing) -> None:
        scheduler.touched({"live", "machine"})
        assert await drawing() == {"live", "machine"}
        scheduler.touched({"live"})  # in ten seconds
        scheduler.touched({"machine"})
        assert await drawing() == {"machine"}

    play(Settings(gauge_hz=10, chart_hz=0.1), act)


def waiting(settings: Settings) -> RedrawScheduler:
    """One that was not started: when what is due is asked of it, and it draws nothing by itself."""
    made = RedrawScheduler(lambda _: None, behind=lambda: False, post=lambda _: None)
    made.configure(settings)
    return made


def test_each_topic_has_its_rate() -> None:
    pace = waiting(Settings(gauge_hz=1, chart_hz=2))
    pace.touch(ALL_TOPICS)
    assert pace.take(0.0, behind=False) == ALL_TOPICS
    pace.touch(ALL_TOPICS)
    assert pace.wait(0.0) == 0.1
    assert pace.take(0.11, behind=False) == {"queue", "runner"}
    assert pace.take(0.2, behind=False) == frozenset()
    assert pace.take(0.5, behind=False) == {"live", "results", "tuning", "capacity", "pulls"}
    assert pace.take(1.0, behind=False) == {"machine"}
    assert pace.wait(1.0) is None


def test_a_run_on_the_cpu_is_drawn_half_as_often() -> None:
    pace = waiting(Settings(gauge_hz=1, chart_hz=2))
    pace.sharing = True
    pace.touch({"live", "machine"})
    assert pace.take(0.0, behind=False) == {"live", "machine"}
    pace.touch({"live", "machine"})
    assert pace.wait(0.0) == 1.0
    pace.sharing = False
    assert pace.wait(0.0) == 0.5


def test_nothing_changed_means_no_waking_up() -> None:
    assert waiting(Settings()).wait(5.0) is None


def test_a_slow_link_is_drawn_rarely() -> None:
    pace = waiting(Settings(slow_link=True, gauge_hz=10))
    pace.touch({"machine"})
    assert pace.take(0.0, behind=False) == {"machine"}
    pace.touch({"machine"})
    assert pace.wait(0.0) == SLOW_GAUGES_S


def test_a_terminal_that_does_not_keep_up_is_spared_and_recovers() -> None:
    pace = waiting(Settings())
    pace.touch(ALL_TOPICS)
    now, waits = 0.0, []
    for _ in range(8):
        assert pace.take(now, behind=True) == frozenset()
        wait = pace.wait(now)
        assert wait is not None
        waits.append(wait)
        now += wait
    assert waits == sorted(waits)
    assert waits[-1] == LONGEST_S
    for _ in range(10):
        pace.touch(ALL_TOPICS)
        now += LONGEST_S
        assert pace.take(now, behind=False) == ALL_TOPICS
    assert pace.backoff == 0


def test_the_back_off_doubles_from_a_fifth_of_a_second_and_halves_again() -> None:
    """By hand: 0.2, 0.4, 0.8, 1.6, 3.2 and then never more than 5 s; one redraw that goes well halves it."""
    pace = waiting(Settings())
    pace.touch({"queue"})
    now = 100.0
    for expected in (0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0):
        assert pace.take(now, behind=True) == frozenset()
        assert pace.backoff == pytest.approx(expected)
        assert pace.wait(now) == pytest.approx(expected)
        assert pace.wait(now + expected / 4) == pytest.approx(expected * 3 / 4)
        assert pace.take(now + expected / 2, behind=False) == frozenset(), "not before the time is over"
        now += expected
    for expected in (2.5, 1.25, 0.625, 0.3125, 0.15625, 0.0):
        pace.touch({"queue"})
        assert pace.take(now, behind=False) == {"queue"}
        assert pace.backoff == pytest.approx(expected)
        pace.touch({"queue"})
        assert pace.wait(now) == pytest.approx(max(expected, QUICK_S))
        now += max(expected, QUICK_S)
    pace.take(now, behind=True)
    assert pace.backoff == pytest.approx(0.2), "it begins anew"


def test_frozen_keeps_what_changed_for_later() -> None:
    pace = waiting(Settings())
    pace.frozen = True
    pace.touch({"queue"})
    assert pace.wait(0.0) is None
    assert pace.take(9.0, behind=False) == frozenset()
    pace.frozen = False
    assert pace.take(9.0, behind=False) == {"queue"}


@given(st.lists(st.tuples(st.sets(st.sampled_from(sorted(ALL_TOPICS))), st.floats(0, 0.3), st.booleans())))
def test_nothing_is_forgotten_and_nothing_is_drawn_too_often(steps: list[tuple[set[str], float, bool]]) -> None:
    pace = waiting(Settings())
    now = 0.0
    pending: set[str] = set()
    drawn: dict[str, float] = {}
    for topics, pause, behind in steps:
        now += pause
        pace.touch(topics)  # type: ignore[arg-type]
        pending |= topics
        due = pace.take(now, behind=behind)
        assert due <= pending
        for topic in due:
            assert now - drawn.get(topic, -99.0) >= pace.periods[topic] - 2e-3
            drawn[topic] = now
        pending -= due
    assert pace.take(now + 1000, behind=False) == pending


def test_rates_step_through_a_few() -> None:
    assert stepped(1.0, 1) == 2.0
    assert stepped(1.0, -1) == 0.5
    assert stepped(1.5, 1) == 2.0
    assert stepped(FASTER[-1], 1) == FASTER[-1]
    assert stepped(FASTER[0], -1) == FASTER[0]
