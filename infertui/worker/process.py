"""The runner's handle on a worker: spawn it, talk to it, end it and all that it started."""

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Self

import msgspec

from infertui.measure.clock import NS_PER_S
from infertui.worker.failure import LastSigns, WorkerError, host_available, log_tail, of_exit, oom_kills
from infertui.worker.piped import PipedChild
from infertui.worker.protocol import (
    MAX_LINE,
    AdaptModel,
    AnyEvent,
    Cancel,
    Command,
    Failure,
    FindGaps,
    GapsFound,
    Heartbeat,
    LoadDone,
    LoadModel,
    Measure,
    MeasureDone,
    PhaseStarted,
    Score,
    Scored,
    Shutdown,
    decode_event,
    encode,
)

SPAWN_TIMEOUT_S = 60.0
CANCEL_GRACE_S = 1.0
LEAVE_GRACE_S = 1.0
UNREAD_GRACE_S = 0.25
SCORE_GRACE_S = 5.0
PREPARING = ("prepare", "compile", "capture")
STEPPING = ("warmup", "measure")


class WorkerProcess:
    """A worker process and its pipes. Use as an async context manager: leaving it leaves nothing behind."""

    def __init__(self, child: PipedChild, log: Path) -> None:
        self._child = child
        self._log = log
        self._signs = LastSigns(oom_kills=oom_kills())
        self._phase = "spawn"

    @classmethod
    async def spawn(cls, log: Path, environment: Mapping[str, str], python: str = sys.executable) -> Self:
        """Start a worker whose output goes to `log`. It says `Hello` before it imports any backend.

        `python` is the interpreter, of whichever environment holds the engine; infertui has to be importable there.
        """
        child = await PipedChild.spawn("infertui.worker.child", log, environment, most_line=MAX_LINE, python=python)
        return cls(child, log)

    @property
    def pid(self) -> int:
        """Also the id of its process group."""
        return self._child.pid

    @property
    def alive(self) -> bool:
        """Whether the process has not ended."""
        return self._child.alive

    async def send(self, command: Command) -> None:
        """Send a command whole. Raises WorkerError when the worker is gone."""
        try:
            await self._child.write(encode(command))
        except OSError as error:
            raise await self._epitaph() from error

    async def load(
        self, command: LoadModel | AdaptModel, *, timeout_s: float, limit: str = "load_timeout_s"
    ) -> AsyncIterator[AnyEvent]:
        """Load a model, or let the loaded one take options anew; yields events up to and including `LoadDone`.

        Raises WorkerError when loading fails, takes longer than `timeout_s` (called `limit`), or the worker dies.
        """
        await self.send(command)
        deadline = time.monotonic() + timeout_s
        complaint = f"loading was not done within {limit} ({timeout_s:.4g} s left for it)"
        while True:
            event = await self._next(deadline - time.monotonic(), complaint)
            yield event
            if isinstance(event, LoadDone):
                return
            if time.monotonic() > deadline:
                raise self._too_long(complaint)

    async def measure(
        self, command: Measure, *, deadline: float | None, loading_s: float = 0.0
    ) -> AsyncIterator[AnyEvent]:
        """Get ready, warm up and measure; yields events up to and including `MeasureDone`.

        The caller answers `Ready` with `Proceed`. Raises WorkerError when measuring fails, one step takes longer
        than its time-out, `deadline` (of `time.monotonic`) passes, or the worker dies. Compiling and capturing have
        what `load_timeout_s` leaves after the `loading_s` that loading took.
        """
        await self.send(command)
        self._phase = "prepare"
        measurement = command.measurement
        step, ready = measurement.step_timeout_s, max(0.0, measurement.load_timeout_s - loading_s)
        stalled = f"no token step for step_timeout_s ({step:g} s)"
        unready = f"getting ready was not done within load_timeout_s ({ready:.4g} s left for it)"
        overdue = f"the run took longer than total_timeout_s ({measurement.total_timeout_s:g} s)"
        began_ns: int | None = None
        while True:
            preparing = self._phase in PREPARING
            limit, complaint = (ready, unready) if preparing else (step, stalled)
            left = limit if deadline is None else min(limit, deadline - time.monotonic())
            event = await self._next(left, complaint if left == limit else overdue)
            # The worker's own clock judges: a runner that was suspended meanwhile finds old news first.
            if isinstance(event, Heartbeat):
                if event.phase in STEPPING and event.t_ns - event.progress_ns > step * NS_PER_S:
                    raise self._too_long(f"{stalled} during {event.phase}")
                if event.phase in PREPARING:
                    began_ns = event.t_ns if began_ns is None else began_ns
                    if event.t_ns - began_ns > ready * NS_PER_S:
                        raise self._too_long(f"{unready} during {event.phase}")
            yield event
            if isinstance(event, MeasureDone):
                return
            if deadline is not None and time.monotonic() > deadline:
                raise self._too_long(overdue)

    async def score(self, command: Score) -> AsyncIterator[AnyEvent]:
        """Score a text; yields events up to and including `Scored`.

        Raises WorkerError when the worker fails at it, dies, or has not given up some time after its time-out.
        """
        await self.send(command)
        self._phase = "score"
        deadline = time.monotonic() + command.timeout_s + SCORE_GRACE_S
        complaint = f"scoring was not done within score_timeout_s ({command.timeout_s:.4g} s)"
        while True:
            event = await self._next(deadline - time.monotonic(), complaint)
            yield event
            if isinstance(event, Scored):
                return

    async def find_gaps(self, command: FindGaps) -> GapsFound:
        """How nearly the last run would have gone another way. Raises WorkerError as `score` does."""
        await self.send(command)
        self._phase = "score"
        deadline = time.monotonic() + command.timeout_s + SCORE_GRACE_S
        complaint = f"logits were not found within {command.timeout_s:.4g} s"
        while True:
            event = await self._next(deadline - time.monotonic(), complaint)
            if isinstance(event, GapsFound):
                return event

    async def hello(self) -> AnyEvent:
        """The first event: the worker runs. Raises WorkerError when it does not come up."""
        return await self._next(SPAWN_TIMEOUT_S, f"no sign of life for {SPAWN_TIMEOUT_S:g} s")

    async def cancel(self) -> list[AnyEvent]:
        """Ask the worker to stop at its next token step, and kill its group if it has not within a second.

        Returns what it still sent meanwhile: batches that were complete are not lost.
        """
        late: list[AnyEvent] = []
        with contextlib.suppress(WorkerError, TimeoutError):
            async with asyncio.timeout(CANCEL_GRACE_S):
                await self.send(Cancel())
                while self._phase != "idle":
                    late.append(await self._next(CANCEL_GRACE_S, "no answer to cancel"))
        if self._phase != "idle":
            await self.kill()
        return late

    async def close(self) -> None:
        """End the worker: ask, wait a second, then kill the group. Nothing of it is left afterwards."""
        if self.alive:
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(LEAVE_GRACE_S):
                    await self._child.write(encode(Shutdown()))
                    await self._child.wait()
        await self.kill()

    async def kill(self) -> None:
        """Kill the whole process group now and release the pipes. Safe to call again."""
        await self._child.kill()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

    async def _next(self, within_s: float, complaint: str) -> AnyEvent:
        """The next event. Raises WorkerError for a failure, the end of the pipe, or silence for longer than that."""
        try:
            async with asyncio.timeout(max(0.0, within_s)):
                line = await self._child.reader.readline()
        except TimeoutError:
            line = await self._unread(complaint)
        if not line.endswith(b"\n"):
            raise await self._epitaph()
        try:
            event = decode_event(line)
        except msgspec.DecodeError as error:
            raise WorkerError("error", f"the worker sent a message that cannot be read: {error}") from error
        self._note(event)
        if isinstance(event, Failure):
            self._phase = "idle"
            raise WorkerError.of(event)
        return event

    async def _unread(self, complaint: str) -> bytes:
        """What came while nobody listened: after the runner was suspended, its clocks ring before it reads."""
        try:
            async with asyncio.timeout(UNREAD_GRACE_S):
                return await self._child.reader.readline()
        except TimeoutError:
            raise self._too_long(complaint) from None

    def _too_long(self, complaint: str) -> WorkerError:
        return WorkerError(
            "timeout", complaint, remedy="Raise the limit, or look at worker.log.", log_tail=log_tail(self._log)
        )

    def _note(self, event: AnyEvent) -> None:
        if isinstance(event, Heartbeat):
            self._signs.resident, self._signs.available = event.resident, host_available()
        elif isinstance(event, PhaseStarted):
            self._phase = event.phase
        elif isinstance(event, LoadDone | MeasureDone | Scored | GapsFound):
            self._phase = "idle"

    async def _epitaph(self) -> WorkerError:
        code = await self._child.wait()
        return of_exit(code, self._phase, self._signs, self._log)
