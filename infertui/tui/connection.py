"""The connection to the runner: made after the first paint, kept, and made again when it breaks."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, NoReturn, cast

from infertui.errors import InfertuiError
from infertui.tui import notify
from infertui.tui.frame.topics import Topic

if TYPE_CHECKING:
    from infertui.runner.control import EventEnvelope, RunnerApi, Snapshot
    from infertui.tui.frame.context import AppContext
    from infertui.tui.state import ClientState

FIRST_WAIT_S = 0.25
LONGEST_WAIT_S = 5.0
EVENTS_IN_A_ROW = 50
"""After so many the loop gets a turn, so that keys are never kept waiting by a flood of events."""

Connect = Callable[[], AbstractAsyncContextManager["RunnerApi"]]
"""Opens a connection; entering it may start a runner. Raises InfertuiError or OSError when there is none."""


class _Absent:
    """Stands in for a runner while there is none: every method raises InfertuiError."""

    def __getattr__(self, name: str) -> Callable[..., NoReturn]:
        def refuse(*_arguments: object, **_named: object) -> NoReturn:
            raise InfertuiError("there is no connection to the runner yet", remedy="It is being tried; press again.")

        return refuse


ABSENT = cast("RunnerApi", _Absent())


class RunnerConnection:
    """Reads the runner's events into the mirror, connects again when the runner goes, and says what is wrong meanwhile.

    Nothing is drawn here: `changed` is told the topics that each event touched, so it has to be cheap, and `reached`
    that a snapshot came. `stop_other` ends an idle runner of another version; without it that is not offered.
    """

    def __init__(
        self,
        connect: Connect,
        app_context: "AppContext",
        *,
        changed: Callable[[frozenset[Topic]], None],
        reached: Callable[[], None],
        stop_other: "Callable[[], Awaitable[object]] | None" = None,
    ) -> None:
        self._connect = connect
        self._app_context = app_context
        self._changed = changed
        self._reached = reached
        self._stop_other = stop_other
        self._told: set[str] = set()
        self._failures = 0
        self.control: RunnerApi = ABSENT
        """The runner; while there is none, one that refuses everything."""
        self.missing = "connecting"
        """Why there is no connection, in a few words; empty while there is one."""
        self.gave_up = asyncio.Event()
        """Set once it failed in a way that trying again is not likely to mend; `problem` says how."""
        self.problem: Exception | None = None

    async def run(self) -> None:
        """Keep a connection until cancelled."""
        wait, client_state = FIRST_WAIT_S, self._app_context.client_state
        while True:
            error: Exception | None = None
            reached = False
            try:
                async with self._connect() as control:
                    told = await control.snapshot()
                    self.control, reached = control, True
                    client_state.connected = True
                    self._changed(client_state.take(told))
                    self.connected()
                    await self._follow(client_state, control.events(told.number))
            except (InfertuiError, OSError, EOFError) as failure:
                error = failure
            finally:
                self.control = ABSENT
                client_state.connected = False
            self.trouble(
                "runner gone, trying again" if client_state.runner is not None else "no runner, trying again", error
            )
            wait = FIRST_WAIT_S if reached else min(LONGEST_WAIT_S, 2 * wait)
            await asyncio.sleep(wait)

    async def _follow(self, client_state: "ClientState", events: "AsyncIterator[EventEnvelope | Snapshot]") -> None:
        take, changed = client_state.take, self._changed
        count = 0
        try:
            async for told in events:
                changed(take(told))
                count += 1
                if count >= EVENTS_IN_A_ROW:
                    count = 0
                    await asyncio.sleep(0)
        finally:
            close = getattr(events, "aclose", None)
            if close is not None:
                await close()

    def connected(self) -> None:
        """A snapshot came, and events follow."""
        self.missing, self._failures = "", 0
        self._told.clear()
        self._reached()
        self._changed(frozenset({"runner"}))

    def trouble(self, summary: str, error: Exception | None) -> None:
        """An attempt failed: `summary` in a few words. Each error is told once, as long as there is no connection."""
        from infertui.api.errors import RunnerUnavailableError

        lost, self.missing = not self.missing, summary
        self._failures += 1
        if isinstance(error, InfertuiError) and (self._failures > 1 or not isinstance(error, RunnerUnavailableError)):
            self.problem = error
            self.gave_up.set()
        if lost and isinstance(error, RunnerUnavailableError):
            # What to do about it is what is being done.
            self._app_context.say(f"{error.message}; connecting again", "warning")
        elif isinstance(error, InfertuiError) and str(error) not in self._told:
            self._told.add(str(error))
            self._tell(error)
        self._changed(frozenset({"runner", "queue", "live"}))

    def _tell(self, error: InfertuiError) -> None:
        from infertui.api.errors import OtherVersionError

        stop = self._stop_other
        if isinstance(error, OtherVersionError) and not error.busy and stop is not None:
            self._app_context.confirm(
                f"{error.message}.\nIt is idle. The queue is kept.",
                yes="Replace it by this version",
                then=lambda: self._app_context.intend(lambda _: stop(), done="the other runner ends"),
            )
        else:
            self._app_context.say(notify.of_error(error), "warning")
