"""What is due soon does not wait for what is due late; what is due at about the same time is drawn together."""

import asyncio
from collections.abc import Awaitable, Callable

from infertui.tui.redraw import RedrawScheduler
from infertui.tui.settings import Settings
from infertui.tui.topics import Topic

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
