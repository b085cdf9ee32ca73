"""The runner's handle on its load generators: one or several processes that execute one plan together."""

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Self

import msgspec
from msgspec.structs import replace

from infertui.errors import ConfigError
from infertui.load.levels import MOST_CONCURRENCY, MOST_RATE
from infertui.measure.clock import NS_PER_S
from infertui.worker.failure import WorkerError, log_tail, oom_kills, signal_name
from infertui.worker.loadgen.protocol import (
    KEY_VARIABLE,
    MAX_LINE,
    AdjustLoad,
    AnyClientCommand,
    AnyClientEvent,
    ClientDone,
    ClientFailure,
    PartPrepared,
    PreparePart,
    StartLoad,
    StopLoad,
    decode_event,
    encode,
)
from infertui.worker.piped import PipedChild
from infertui.worker.protocol import FailureKind

MODULE = "infertui.worker.loadgen"
PREPARE_TIMEOUT_S = 120.0
AHEAD_S = 0.02
"""How far ahead of the start it is told: the clients need so long to hear of it."""


class LoadClients:
    """Load generators and their pipes. Use as an async context manager: leaving it leaves nothing behind.

    What one of them told before it failed is kept: it is handed on before the failure is raised.
    """

    def __init__(self, children: tuple[PipedChild, ...], log: Path) -> None:
        self._children = children
        self._log = log
        self._oom_kills = oom_kills()
        self._readers: list[asyncio.Task[None]] = []
        self._heard: asyncio.Queue[tuple[int, AnyClientEvent | WorkerError]] = asyncio.Queue()
        self._ended: set[int] = set()
        """Parts that have told all: they are done, or failed."""

    @classmethod
    async def spawn(cls, log: Path, environment: Mapping[str, str], *, parts: int = 1, key: str = "") -> Self:
        """Start so many, whose output goes to `log`. `key` is the API key, which they take from their environment."""
        theirs = {**environment, KEY_VARIABLE: key} if key else environment
        children: list[PipedChild] = []
        try:
            for _ in range(parts):
                children.append(await PipedChild.spawn(MODULE, log, theirs, most_line=MAX_LINE))
        except BaseException:
            for child in children:
                await child.kill()
            raise
        return cls(tuple(children), log)

    @property
    def pids(self) -> tuple[int, ...]:
        """Of the processes, by part; also the ids of their process groups."""
        return tuple(child.pid for child in self._children)

    async def prepare(self, command: PreparePart, *, timeout_s: float = PREPARE_TIMEOUT_S) -> None:
        """Give each its part of the plan. Raises WorkerError when one cannot execute it, dies, or takes too long."""
        for part, child in enumerate(self._children):
            self._readers.append(asyncio.create_task(self._listen(part, child)))
            await self._send(part, replace(command, part=part, parts=len(self._children)))
        waited = set(range(len(self._children)))
        try:
            async with asyncio.timeout(timeout_s):
                while waited:
                    part, event = await self._next()
                    if isinstance(event, PartPrepared):
                        waited.discard(part)
        except TimeoutError:
            raise WorkerError(
                "timeout",
                f"the load generators were not ready within {timeout_s:g} s",
                remedy=f"Their last output is in {self._log}.",
                log_tail=log_tail(self._log),
            ) from None

    async def start(self, *, at_ns: int | None = None, spread_s: float = 0.0) -> int:
        """Begin at a time, or at once; that time. All of them count the plan's from there."""
        at_ns = time.monotonic_ns() + int(AHEAD_S * NS_PER_S) if at_ns is None else at_ns
        await self._send_all(StartLoad(at_ns, spread_s))
        return at_ns

    async def adjust(self, command: AdjustLoad) -> None:
        """Another level from now on. Each answers with `LoadAdjusted`, among the events. Raises ConfigError."""
        _check(command)
        await self._send_all(command)

    async def stop(self, *, drain: bool) -> None:
        """Send nothing new. Each answers with `ClientDone`, once what is in flight has ended or is aborted."""
        await self._send_all(StopLoad(drain))

    async def events(self) -> AsyncIterator[tuple[int, AnyClientEvent]]:
        """What they tell, with the number of the part, until all are done. Raises WorkerError when one fails; asked
        again, it goes on with what the others tell."""
        while len(self._ended) < len(self._children):
            part, event = await self._next()
            if isinstance(event, ClientDone):
                self._ended.add(part)
            yield part, event

    async def close(self) -> None:
        """End all of them now, whatever they are at. Nothing of them is left afterwards. Safe to call again."""
        for child in self._children:
            await child.kill()
        for reader in self._readers:
            reader.cancel()
        await asyncio.gather(*self._readers, return_exceptions=True)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

    async def _send_all(self, command: AnyClientCommand) -> None:
        for part in range(len(self._children)):
            await self._send(part, command)

    async def _send(self, part: int, command: AnyClientCommand) -> None:
        with contextlib.suppress(OSError):  # it has ended: what reads its events tells how, after what it said before
            await self._children[part].write(encode(command))

    async def _listen(self, part: int, child: PipedChild) -> None:
        """Hand on what one of them says, until it ends."""
        while (line := await child.reader.readline()).endswith(b"\n"):
            try:
                event = decode_event(line)
            except msgspec.DecodeError as error:
                problem = f"a load generator sent a message that cannot be read: {error}"
                self._heard.put_nowait((part, WorkerError("error", problem)))
                return
            self._heard.put_nowait((part, event))
        self._heard.put_nowait((part, self._epitaph(await child.wait())))

    def _epitaph(self, code: int) -> WorkerError:
        """Why one of them ended by itself, with this exit code; negative: the signal that killed it."""
        remedy, tail = f"Its last output is in {self._log}.", log_tail(self._log)
        if code >= 0:
            return WorkerError("crash", f"a load generator exited with status {code}", remedy=remedy, log_tail=tail)
        kills = oom_kills()
        if code == -signal.SIGKILL and kills is not None and self._oom_kills is not None and kills > self._oom_kills:
            problem = "the host ran out of memory under load: the kernel killed a load generator"
            return WorkerError(
                "out-of-memory", problem, remedy="Ask for fewer or shorter answers at a time.", log_tail=tail
            )
        kind: FailureKind = "killed" if code == -signal.SIGKILL else "crash"
        return WorkerError(kind, f"a load generator was killed by {signal_name(-code)}", remedy=remedy, log_tail=tail)

    async def _next(self) -> tuple[int, AnyClientEvent]:
        part, event = await self._heard.get()
        while isinstance(event, WorkerError) and part in self._ended:  # that it ended is no news
            part, event = await self._heard.get()
        if isinstance(event, WorkerError):
            self._ended.add(part)
            raise event
        if isinstance(event, ClientFailure):
            self._ended.add(part)
            kind: FailureKind = "usage" if event.kind in ("usage", "config") else "error"
            raise WorkerError(kind, event.message, remedy=event.remedy, log_tail=log_tail(self._log))
        return part, event


def _check(command: AdjustLoad) -> None:
    if command.request_rate is not None and not 0 < command.request_rate <= MOST_RATE:
        raise ConfigError(
            "load.request_rate", f"is {command.request_rate:g}", allowed=f"above 0, at most {MOST_RATE:g}"
        )
    for key, value, low, high in (
        ("load.concurrency", command.concurrency, 0, MOST_CONCURRENCY),
        ("load.shared_prefix", command.shared_prefix, 0, 1),
        ("workload.input_len", command.input_len, 1, 1 << 22),
        ("workload.output_len", command.output_len, 1, 1 << 20),
    ):
        if value is not None and not low <= value <= high:
            raise ConfigError(key, f"is {value:g}", allowed=f"{low} to {high:,}")
