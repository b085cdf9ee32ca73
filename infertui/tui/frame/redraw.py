"""The screen's clock: draws what changed, no oftener than the settings and the terminal allow."""

import asyncio
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from infertui.tui.frame.topics import ALL_TOPICS, Topic

if TYPE_CHECKING:
    from infertui.tui.settings.stored import Settings

QUICK_S = 0.1
"""What a key or a run changed is drawn at once, but at most ten times a second."""
SLOW_GAUGES_S = 5.0
SLOW_LIVE_S = 4.0
SLOW_QUICK_S = 0.5
LONGEST_S = 5.0
"""However slow the terminal is, so often a redraw is tried."""
_FIRST_BACKOFF_S = 0.2
FASTER = (0.1, 0.2, 0.5, 1.0, 2.0, 4.0, 10.0)
"""The rates that `+` and `-` step through."""


Draw = Callable[[frozenset[Topic]], None]


class RedrawScheduler:
    """Collects the topics that changed, and calls `draw` with those that are due.

    While nothing changes it does not even wake up. Before `start` topics only wait, and `touch`, `wait` and `take` are
    pure: time, in seconds of the event loop's clock, is given. `post` runs a function among the application's messages.
    """

    def __init__(self, draw: Draw, *, behind: Callable[[], bool], post: Callable[[Callable[[], None]], object]) -> None:
        self._draw = draw
        self._behind = behind
        self._post = post
        self._pending: set[Topic] = set()
        self._drawn: dict[Topic, float] = {}
        self._backoff = 0.0
        self._blocked_until = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._running = False
        self._stopped = False
        self.frozen = False
        """Nothing is due while the user looks at a still picture."""
        self.sharing = False
        """Whether a run computes on the CPUs that drawing takes time from: what it does is drawn half as often."""
        self.periods: dict[Topic, float] = {}

    def configure(self, settings: "Settings") -> None:
        """Take over the rates of the settings."""
        slow = settings.slow_link
        quick = SLOW_QUICK_S if slow else QUICK_S
        charts = max(1 / settings.chart_hz, SLOW_LIVE_S if slow else 0.0)
        self.periods = {
            "machine": max(1 / settings.gauge_hz, SLOW_GAUGES_S if slow else 0.0),
            "live": charts,
            "tuning": charts,
            "capacity": charts,
            "pulls": max(quick, 0.5),
            "queue": quick,
            "runner": quick,
            "results": max(quick, 0.5),
        }

    def start(self, settings: "Settings") -> None:
        """From now on draw what is touched; needs a running event loop."""
        self.configure(settings)
        self._running = not self._stopped
        self._arm()

    def stop(self) -> None:
        """Draw no more, for good."""
        self._stopped, self._running = True, False
        self._disarm()

    def touched(self, topics: Iterable[Topic]) -> None:
        """These changed. Costs next to nothing."""
        topics = frozenset(topics)
        more = self.touch(topics)
        if self._timer is None:
            self._arm()
        elif more and self._is_held_up(topics, self._timer):
            self.again()

    def redraw_all(self) -> None:
        """Everything is to be drawn as soon as can be."""
        self._pending |= ALL_TOPICS
        self._drawn.clear()
        self.again()

    def again(self) -> None:
        """Something may be due at another time than it was: the rates changed, or the picture was frozen."""
        self._disarm()
        self._arm()

    # What is due when.

    def touch(self, topics: Iterable[Topic]) -> bool:
        """These wait from now on; whether any of them did not already."""
        waiting = len(self._pending)
        self._pending.update(topics)
        return len(self._pending) > waiting

    @property
    def backoff(self) -> float:
        """Seconds between redraws that the terminal imposes; 0: it keeps up."""
        return self._backoff

    def wait(self, now: float) -> float | None:
        """Seconds until something is due; None: nothing changed, or the screen is frozen."""
        if self.frozen or not self._pending:
            return None
        first = min(self._due(topic) for topic in self._pending)
        return max(0.0, first - now, self._blocked_until - now)

    def take(self, now: float, *, behind: bool) -> frozenset[Topic]:
        """The topics to draw now. With the terminal `behind` there are none, and the next try is later each time."""
        if self.frozen:
            return frozenset()
        if behind:
            self._backoff = min(LONGEST_S, max(_FIRST_BACKOFF_S, 2 * self._backoff))
            self._blocked_until = now + self._backoff
            return frozenset()
        if now < self._blocked_until:
            return frozenset()
        due = frozenset(topic for topic in self._pending if self._due(topic) <= now + 1e-3)
        if due:
            self._backoff = 0.0 if self._backoff <= _FIRST_BACKOFF_S else self._backoff / 2
            self._blocked_until = now + self._backoff
            self._pending -= due
            self._drawn.update(dict.fromkeys(due, now))
        return due

    def _due(self, topic: Topic) -> float:
        last = self._drawn.get(topic)
        period = self.periods[topic] * (2 if self.sharing and topic == "live" else 1)
        return 0.0 if last is None else last + period

    # The timer.

    def _is_held_up(self, topics: frozenset[Topic], timer: asyncio.TimerHandle) -> bool:
        """Whether what came waits for the timer by more than a period of its own: charts must not hold up the queue.

        Within a period it may wait: what is drawn once a second is drawn together, and not each at its own time.
        """
        now = asyncio.get_running_loop().time()
        wait = self.wait(now)
        return wait is not None and now + wait + min(self.periods[topic] for topic in topics) < timer.when()

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self) -> None:
        if not self._running:
            return
        loop = asyncio.get_running_loop()
        wait = self.wait(loop.time())
        if wait is not None:
            self._timer = loop.call_later(wait, self._post, self._tick)

    def _tick(self) -> None:
        self._timer = None
        due = self.take(asyncio.get_running_loop().time(), behind=self._behind())
        if due and self._running:
            self._draw(due)
        self._arm()


def stepped(rate: float, by: int) -> float:
    """The next faster (`by` 1) or slower (-1) rate."""
    if by > 0:
        return next((step for step in FASTER if step > rate * 1.001), FASTER[-1])
    return next((step for step in reversed(FASTER) if step < rate * 0.999), FASTER[0])
