"""The screen's clock: draws what changed, no oftener than the settings and the terminal allow."""

import asyncio
from collections.abc import Callable, Iterable

from infertui.tui.pace import Pace
from infertui.tui.topics import Topic

Draw = Callable[[frozenset[Topic]], None]


class Painter:
    """Calls `draw` with the topics that are due. While nothing changes it does not even wake up."""

    def __init__(
        self, pace: Pace, draw: Draw, *, behind: Callable[[], bool], post: Callable[[Callable[[], None]], object]
    ) -> None:
        self.pace = pace
        self._draw = draw
        self._behind = behind
        self._post = post
        """Runs a function among the application's own messages."""
        self._timer: asyncio.TimerHandle | None = None
        self._stopped = False

    def touched(self, topics: Iterable[Topic]) -> None:
        """These changed. Costs next to nothing."""
        topics = frozenset(topics)
        more = self.pace.touch(topics)
        if self._timer is None:
            self._arm()
        elif more and self._is_held_up(topics, self._timer):
            self.again()

    def again(self) -> None:
        """Something may be due at another time than it was: the rates changed, or the picture was frozen."""
        self._disarm()
        self._arm()

    def stop(self) -> None:
        """Draw no more."""
        self._stopped = True
        self._disarm()

    def _is_held_up(self, topics: frozenset[Topic], timer: asyncio.TimerHandle) -> bool:
        """Whether what came waits for the timer by more than a period of its own: charts must not hold up the queue.

        Within a period it may wait: what is drawn once a second is drawn together, and not each at its own time.
        """
        now = asyncio.get_running_loop().time()
        wait = self.pace.wait(now)
        return wait is not None and now + wait + min(self.pace.periods[topic] for topic in topics) < timer.when()

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self) -> None:
        loop = asyncio.get_running_loop()
        wait = self.pace.wait(loop.time())
        if wait is not None and not self._stopped:
            self._timer = loop.call_later(wait, self._post, self._tick)

    def _tick(self) -> None:
        self._timer = None
        due = self.pace.take(asyncio.get_running_loop().time(), behind=self._behind())
        if due and not self._stopped:
            self._draw(due)
        self._arm()
