"""The connections of a client: those that wait for a request, and those that are being opened."""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable

from infertui.worker.loadgen.connection import InFlight, ServerConnection
from infertui.worker.loadgen.dialing import Dialer, DialError

MOST_OPENING = 64
"""At a time: a server's queue of connections that it has not accepted is short, and a full one costs a second."""


class Pool:
    """Gives each flight a connection of its own, kept ones first, the one used last before others.

    `reserve` is how many to keep beside those in use, opened before they are wanted.
    """

    def __init__(
        self,
        dialer: Dialer,
        make: Callable[[], ServerConnection],
        *,
        refused: Callable[[InFlight, DialError], None],
        sent: Callable[[InFlight, ServerConnection], None],
    ) -> None:
        self.reserve = 0
        self.opened = 0
        self.waiting: deque[InFlight] = deque()
        """Without a connection yet."""
        self._dialer = dialer
        self._make = make
        self._refused = refused
        self._sent = sent
        self._idle: dict[ServerConnection, None] = {}
        self._opening = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._failing = False
        self._loop = asyncio.get_running_loop()

    async def prepare(self, count: int, within_s: float, *, reserve: int) -> None:
        """Open connections ahead, then keep a reserve. One that fails is no fault yet: the requests will tell."""
        self.reserve = count
        self._open_more()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while self._tasks and not self._failing:
                    await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        self.reserve = reserve

    def send(self, flight: InFlight) -> None:
        """On a connection that waits, or on the next one that opens."""
        if self._idle:
            connection, _ = self._idle.popitem()
            self._give(connection, flight)
        else:
            flight.waits_from_ns = time.monotonic_ns()
            self.waiting.append(flight)
        if len(self._idle) < self.reserve or self.waiting:
            self._open_more()

    def send_anew(self, flight: InFlight) -> None:
        """On a connection that is opened for it. That it was sent to one that the server closed is no start."""
        flight.waits_from_ns = flight.sent_ns
        self.waiting.appendleft(flight)
        self._open_more()

    def keep(self, connection: ServerConnection) -> None:
        """Nobody uses it now."""
        self._idle[connection] = None

    def forget(self, connection: ServerConnection) -> None:
        """It is closed."""
        self._idle.pop(connection, None)

    def close(self) -> None:
        """Close all that is not in use."""
        self.reserve = 0
        self.waiting.clear()
        for task in self._tasks:
            task.cancel()
        for connection in tuple(self._idle):
            connection.abandon()
        self._idle.clear()

    def _give(self, connection: ServerConnection, flight: InFlight) -> None:
        connection.send(flight)
        flight.connected(flight.sent_ns)
        self._sent(flight, connection)

    def _open_more(self) -> None:
        reserve = 0 if self._failing else self.reserve - len(self._idle)
        wanted = min(len(self.waiting) + max(0, reserve), MOST_OPENING) - self._opening
        for _ in range(wanted):
            self._opening += 1
            task = self._loop.create_task(self._open())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _open(self) -> None:
        try:
            await self._open_one()
        finally:
            self._opening -= 1
        self._open_more()

    async def _open_one(self) -> None:
        try:
            connection = await self._dialer.open(self._make)
        except DialError as error:
            self._failing = True
            if self.waiting:
                self._refused(self.waiting.popleft(), error)
        else:
            self._failing = False
            self.opened += 1
            if not connection.alive:  # closed as soon as it was open
                if self.waiting:
                    self._refused(self.waiting.popleft(), DialError("reset", "the server closed the connection"))
            elif self.waiting:
                self._give(connection, self.waiting.popleft())
            else:
                self._idle[connection] = None
