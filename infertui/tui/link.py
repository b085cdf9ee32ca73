"""The connection to the runner: made after the first paint, kept, and made again when it breaks."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import NoReturn, Protocol, cast

from infertui.errors import InfertuiError
from infertui.runner.control import Control, Numbered, Snapshot
from infertui.tui.state import Mirror
from infertui.tui.topics import Topic

FIRST_WAIT_S = 0.25
LONGEST_WAIT_S = 5.0
EVENTS_IN_A_ROW = 50
"""After so many the loop gets a turn, so that keys are never kept waiting by a flood of events."""

CONNECTING = "connecting"
GONE = "runner gone, trying again"

Connect = Callable[[], AbstractAsyncContextManager[Control]]
"""Opens a connection; entering it may start a runner. Raises InfertuiError or OSError when there is none."""


class Watcher(Protocol):
    """Who is told what the connection brings."""

    def touched(self, topics: frozenset[Topic]) -> None:
        """The mirror changed. Called for each event: it has to be cheap."""
        ...

    def connected(self) -> None:
        """A snapshot came, and events follow."""
        ...

    def trouble(self, summary: str, error: Exception | None) -> None:
        """There is no connection: `summary` in a few words. Called at each failed attempt."""
        ...


class _Absent:
    """Stands in for a runner while there is none: every method raises InfertuiError."""

    def __getattr__(self, name: str) -> Callable[..., NoReturn]:
        def refuse(*_arguments: object, **_named: object) -> NoReturn:
            raise InfertuiError("there is no connection to the runner yet", remedy="It is being tried; press again.")

        return refuse


ABSENT = cast(Control, _Absent())


class Link:
    """Reads events into the mirror, and connects again when the runner goes.

    Nothing is drawn here: the watcher collects the topics and draws on its own clock.
    """

    def __init__(self, connect: Connect, mirror: Mirror, watcher: Watcher) -> None:
        self._connect = connect
        self._mirror = mirror
        self._watcher = watcher
        self.control: Control = ABSENT

    async def run(self) -> None:
        """Until cancelled."""
        wait = FIRST_WAIT_S
        while True:
            error: Exception | None = None
            reached = False
            try:
                async with self._connect() as control:
                    told = await control.snapshot()
                    self.control, reached = control, True
                    self._mirror.connected = True
                    self._watcher.touched(self._mirror.take(told))
                    self._watcher.connected()
                    await self._follow(control.events(told.number))
            except (InfertuiError, OSError, EOFError) as failure:
                error = failure
            finally:
                self.control = ABSENT
                self._mirror.connected = False
            self._watcher.trouble(GONE if self._mirror.runner is not None else "no runner, trying again", error)
            wait = FIRST_WAIT_S if reached else min(LONGEST_WAIT_S, 2 * wait)
            await asyncio.sleep(wait)

    async def _follow(self, events: AsyncIterator[Numbered | Snapshot]) -> None:
        take, touched = self._mirror.take, self._watcher.touched
        count = 0
        try:
            async for told in events:
                touched(take(told))
                count += 1
                if count >= EVENTS_IN_A_ROW:
                    count = 0
                    await asyncio.sleep(0)
        finally:
            close = getattr(events, "aclose", None)
            if close is not None:
                await close()
