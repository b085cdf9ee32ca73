"""The screen's side of its connection to the runner: who is asked, and what is said of it when it breaks."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from infertui.errors import InfertuiError
from infertui.tui import notify
from infertui.tui.topics import Topic

if TYPE_CHECKING:
    from infertui.runner.control import Control
    from infertui.tui.context import Cockpit
    from infertui.tui.link import Connect, Link


class Connection:
    """Watches the link. `touched` is told what changed in the mirror, `reached` that a snapshot came.

    `stop_other` ends an idle runner of another version; without it that is not offered.
    """

    def __init__(
        self,
        connect: "Connect",
        cockpit: "Cockpit",
        *,
        touched: Callable[[frozenset[Topic]], None],
        reached: Callable[[], None],
        stop_other: "Callable[[], Awaitable[object]] | None" = None,
    ) -> None:
        self._connect = connect
        self._cockpit = cockpit
        self._touched = touched
        self._reached = reached
        self._stop_other = stop_other
        self._link: Link | None = None
        self._told: set[str] = set()
        self.gave_up = asyncio.Event()
        """Set once it failed in a way that trying again is not likely to mend; `problem` says how."""
        self.problem: Exception | None = None
        self._failures = 0
        self.missing = "connecting"
        """Why there is no connection, in a few words; empty while there is one."""

    @property
    def control(self) -> "Control":
        """The runner; before `run`, one that refuses everything."""
        from infertui.tui.link import ABSENT

        return ABSENT if self._link is None else self._link.control

    async def run(self) -> None:
        """Keep a connection until cancelled. Imports what the first paint does without."""
        from infertui.tui.link import Link

        self._link = Link(self._connect, self._cockpit.mirror, self)
        await self._link.run()

    # Watcher.

    def touched(self, topics: frozenset[Topic]) -> None:
        """See `Watcher`."""
        self._touched(topics)

    def connected(self) -> None:
        """See `Watcher`."""
        self.missing, self._failures = "", 0
        self._told.clear()
        self._reached()
        self._touched(frozenset({"runner"}))

    def trouble(self, summary: str, error: Exception | None) -> None:
        """See `Watcher`. Each error is told once, as long as there is no connection."""
        from infertui.api.errors import RunnerUnavailableError

        lost, self.missing = not self.missing, summary
        self._failures += 1
        if isinstance(error, InfertuiError) and (self._failures > 1 or not isinstance(error, RunnerUnavailableError)):
            self.problem = error
            self.gave_up.set()
        if lost and isinstance(error, RunnerUnavailableError):
            # What to do about it is what is being done.
            self._cockpit.say(f"{error.message}; connecting again", "warning")
        elif isinstance(error, InfertuiError) and str(error) not in self._told:
            self._told.add(str(error))
            self._tell(error)
        self._touched(frozenset({"runner", "queue", "live"}))

    def _tell(self, error: InfertuiError) -> None:
        from infertui.api.errors import OtherVersionError

        stop = self._stop_other
        if isinstance(error, OtherVersionError) and not error.busy and stop is not None:
            self._cockpit.confirm(
                f"{error.message}.\nIt is idle. The queue is kept.",
                yes="Replace it by this version",
                then=lambda: self._cockpit.intend(lambda _: stop(), done="the other runner ends"),
            )
        else:
            self._cockpit.say(notify.of_error(error), "warning")
