"""Executes a part of a plan: what is sent when, and what becomes of it."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Literal

from infertui.load.plan import PlannedRequest
from infertui.measure.clock import NS_PER_S
from infertui.worker.loadgen.answers import AnswerReading
from infertui.worker.loadgen.connection import InFlight, ServerConnection
from infertui.worker.loadgen.dialing import Dialer, DialError
from infertui.worker.loadgen.meter import BEAT_NS, ClientMetering
from infertui.worker.loadgen.pacer import Pacer
from infertui.worker.loadgen.pool import Pool
from infertui.worker.loadgen.protocol import ClientEvent, ClientMeter, LoadSnapshot
from infertui.worker.loadgen.slots import Slots
from infertui.worker.loadgen.turns import Staged, Turns

SNAPSHOT_NS = NS_PER_S // 4
MOST_BACKLOG = 1024
PREPARE_S = 3.0
OPEN_LOOP_RESERVE = 32
"""Connections that wait for requests beside those in use: a new one takes a while to open."""
_now = time.monotonic_ns
_NOTHING_HEARD = ("connect", "tls", "reset")


class Executor:
    """One client's load on one server. All of it happens on one event loop, and nothing waits."""

    def __init__(
        self,
        turns: Turns,
        reading: AnswerReading,
        dialer: Dialer,
        emit: Callable[[ClientEvent], None],
        *,
        timeout_s: float,
        open_loop: bool,
        part: int,
        parts: int,
    ) -> None:
        self.meter = ClientMetering()
        self.sent = 0
        self.in_flight = 0
        self.finished = asyncio.Event()
        self.why: Literal["plan", "stop"] = "plan"
        self._emit = emit
        self._turns = turns
        self._reading = reading
        self._timeout_ns = int(timeout_s * NS_PER_S)
        self._open = open_loop
        self._loop = asyncio.get_running_loop()
        self._pacer = Pacer(self._loop)
        self._pool = Pool(dialer, lambda: ServerConnection(self), refused=self._refused, sent=self._sent)
        self._slots = Slots(self._pacer, self._fill, part=part, parts=parts, bounded=not open_loop)
        self._backlog: deque[tuple[Staged, int]] = deque()
        self._active: dict[InFlight, ServerConnection] = {}
        self._watching = False
        self._pieces = 0
        self._working = self._stopping = False
        self._start_ns = 0
        self._awaited_ns = 0
        self._held = False
        """More is due than is kept of what is due."""

    async def prepare(self, connections: int) -> None:
        """Open connections and make requests ahead, so that the first is sent when it is due."""
        while self._turns.wants_more and self._turns.stage():
            pass
        await self._pool.prepare(connections, PREPARE_S, reserve=OPEN_LOOP_RESERVE if self._open else 0)

    def start(self, at_ns: int, levels: Iterable[tuple[float, int]], *, spread_s: float) -> None:
        """The plan's times count from `at_ns`. `levels` are those of requests in flight over all parts, by second."""
        self.meter.begin()
        self._start_ns = at_ns
        self._slots.follow(levels, at_ns, spread_s=spread_s, over=self._let_run_out)
        if self._open:
            self._await_arrival()
        self._pacer.at(max(at_ns, _now()) + BEAT_NS, self._beat)
        self._pacer.at(max(at_ns, _now()) + SNAPSHOT_NS, self._tell_now)
        self._work_soon()

    def change_level(self, total: int, at_ns: int, spread_s: float) -> None:
        """Of requests in flight over all parts, instead of whatever the plan had for now and later."""
        self._slots.change(total, at_ns, spread_s)

    def replan(self, requests: Callable[[int], Iterator[PlannedRequest]]) -> None:
        """What was not sent yet is that of another plan, which is asked for its requests from an index on."""
        self._turns.replan(requests)
        if self._open:
            self._await_arrival()
        self._work_soon()

    def stop(self, *, drain: bool) -> None:
        """Send nothing new, and wait for what is under way or abort it."""
        self.why = "stop"
        self._stopping = True
        self._turns.drop()
        self._backlog.clear()
        self._slots.close()
        self._pool.reserve = 0
        if not drain:
            self.in_flight -= len(self._pool.waiting)
            self._pool.waiting.clear()
            for connection in tuple(self._active.values()):
                connection.break_off("aborted", "stopped before it was answered")
        self._work_soon()

    def snapshot(self) -> LoadSnapshot:
        """As things are now."""
        return LoadSnapshot(
            _now(),
            in_flight=self.in_flight,
            sent=self.sent,
            done=self._reading.done,
            failed=self._reading.failed,
            tokens=self._tokens(),
            lag_ns=self.meter.lag.take_recent_ns(),
            late_ns=self.meter.late.take_recent_ns(),
            cpu=self.meter.take_cpu(),
        )

    def _tokens(self) -> int:
        """Of answers that were read what they held, and of the others' pieces, which are not all tokens, as much."""
        reading = self._reading
        unread = self._pieces + sum(len(flight.body) for flight in self._active) - reading.pieces
        return reading.tokens + round(unread * (reading.tokens / reading.pieces if reading.pieces else 1.0))

    def result(self) -> ClientMeter:
        """The honesty meter of all of it."""
        self.meter.skipped = self._turns.skipped
        return self.meter.result(self._pool.opened)

    def close(self) -> None:
        """Nothing is left running."""
        self._pacer.close()
        self._pool.close()

    # What connections and the pool tell.

    def ended(self, connection: ServerConnection | None, flight: InFlight) -> None:
        del self._active[flight]
        self.in_flight -= 1
        self._pieces += len(flight.body)
        if flight.first_byte_ns is not None:
            self._slots.answered()
        elif flight.broken in _NOTHING_HEARD:
            self._slots.rest()
        if connection is not None:
            following = self._next(flight.end_ns) if self.in_flight < self._slots.room else None
            if following is None:
                self._pool.keep(connection)
            else:
                self.in_flight += 1
                connection.send(following)
                self._sent(following, connection)
        self._reading.add(flight)
        self._fill(flight.end_ns)
        self._work_soon()

    def closed_unused(self, connection: ServerConnection, flight: InFlight | None) -> None:
        self._pool.forget(connection)
        if flight is not None:
            del self._active[flight]
            flight.retried = True
            self.meter.retried += 1
            self.sent -= 1
            self._pool.send_anew(flight)

    def _sent(self, flight: InFlight, connection: ServerConnection) -> None:
        self._active[flight] = connection
        self.sent += 1
        self.meter.late.add(flight.sent_ns - flight.due_ns - flight.connect_ns)
        if not self._watching:
            self._watching = True
            self._pacer.at(flight.sent_ns + self._timeout_ns, self._watch)

    def _refused(self, flight: InFlight, error: DialError) -> None:
        flight.sent_ns = flight.end_ns = _now()
        flight.connected(flight.sent_ns)
        flight.broken, flight.message = error.kind, str(error)
        self.sent += 1
        self.in_flight -= 1
        self._reading.add(flight)
        self._slots.rest()
        self._fill(flight.end_ns)
        self._work_soon()

    # When something is sent.

    def _fill(self, due_ns: int) -> None:
        while self.in_flight < self._slots.room:
            flight = self._next(due_ns)
            if flight is None:
                return
            self.in_flight += 1
            self._pool.send(flight)

    def _next(self, due_ns: int) -> InFlight | None:
        staged = self._turns.released()
        if staged is None:
            if self._open:
                if not self._backlog:
                    return None
                staged, due_ns = self._backlog.popleft()
                if self._held and len(self._backlog) < MOST_BACKLOG // 2:
                    self._held = False
                    self._await_arrival()
            while staged is None:
                if self._turns.peek() is None:
                    return None
                staged = self._turns.take()
        return InFlight(staged.planned, staged.wire, staged.messages, due_ns)

    def _let_run_out(self) -> None:
        """The plan's levels are over, and so is the plan."""
        self._turns.drop()
        self._work_soon()

    def _due_ns(self, due: float | None) -> int:
        if due is None:
            return 0
        return self._start_ns + int(due * NS_PER_S)

    def _await_arrival(self) -> None:
        planned = self._turns.peek()
        if planned is not None:
            self._awaited_ns = self._due_ns(planned.due)
            self._pacer.at(self._awaited_ns, self._arrived)

    def _arrived(self, at_ns: int) -> None:
        if at_ns != self._awaited_ns:
            return  # the plan is another one since
        while (planned := self._turns.peek()) is not None:
            due_ns = self._due_ns(planned.due)
            if due_ns > _now():
                self._awaited_ns = due_ns
                self._pacer.at(due_ns, self._arrived)
                break
            if len(self._backlog) >= MOST_BACKLOG:
                self._held = True
                break
            staged = self._turns.take()
            if staged is not None:
                self._backlog.append((staged, due_ns or _now()))
                self._fill(due_ns)
        self._work_soon()

    def _watch(self, _at_ns: int) -> None:
        """Ends what has taken too long. All have the same time, so the one that was sent first is the next."""
        while self._active:
            flight, connection = next(iter(self._active.items()))
            if flight.sent_ns + self._timeout_ns > _now():
                self._pacer.at(flight.sent_ns + self._timeout_ns, self._watch)
                return
            connection.break_off("timeout", f"not answered within {self._timeout_ns / NS_PER_S:g} s")
        self._watching = False

    # What can wait.

    def _work_soon(self) -> None:
        if not self._working:
            self._working = True
            self._loop.call_soon(self._work)

    def _work(self) -> None:
        """A little of what can wait, so that what comes meanwhile is stamped in time."""
        self._working = False
        busy = self._reading.step(self._read)
        if not busy and self._turns.wants_more:
            busy = self._turns.stage()
        if busy:
            self._work_soon()
        elif not self.in_flight and not self._backlog and (self._stopping or self._turns.over):
            self.tell()
            self.finished.set()

    def _read(self, flight: InFlight, text: str | None) -> None:
        if flight.planned.conversation is not None and not self._stopping:
            self._turns.answered(flight.planned, flight.messages, text)
            self._fill(flight.end_ns)

    def tell(self) -> None:
        """Say now what has ended."""
        self._reading.tell()

    def _tell_now(self, at_ns: int) -> None:
        self.tell()
        self._emit(self.snapshot())
        self._pacer.at(max(at_ns, _now() - SNAPSHOT_NS) + SNAPSHOT_NS, self._tell_now)

    def _beat(self, at_ns: int) -> None:
        now_ns = _now()
        self.meter.lag.add(now_ns - at_ns)
        self._pacer.at(max(at_ns + BEAT_NS, now_ns), self._beat)
