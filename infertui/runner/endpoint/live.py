"""Load generators that go on from level to level: begun once, adjusted while they work, and left."""

import asyncio
import contextlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from msgspec import Struct

from infertui.measure.clock import NS_PER_S
from infertui.worker.failure import WorkerError
from infertui.worker.loadgen.clients import LoadClients
from infertui.worker.loadgen.protocol import (
    AdjustLoad,
    AnyClientEvent,
    LoadAdjusted,
    LoadSnapshot,
    PreparePart,
    RequestsDone,
)

ABORT_S = 5.0
"""How long clients may take to end what is in flight."""
Hear = Callable[[int, AnyClientEvent], None]
"""Is told what a client tells, with the number of its part."""


class ClientSeen(Struct, frozen=True):
    """What snapshots told of clients, as a meter."""

    cpu_s: float
    wall_s: float
    lag_p99_s: float
    lag_max_s: float
    start_s: float = 0.0
    connections: int = 0
    retried: int | None = None


def client_seen(snapshots: Sequence[LoadSnapshot], wall_s: float) -> list[ClientSeen]:
    """A meter of clients that have not ended; none where they told nothing."""
    if not snapshots:
        return []
    most = max(each.cpu for each in snapshots)
    usual = sum(each.cpu for each in snapshots) / len(snapshots)
    lags = sorted(each.lag_ns / NS_PER_S for each in snapshots)
    return [ClientSeen(min(most, usual) * wall_s, wall_s, lags[int(0.99 * (len(lags) - 1))], lags[-1])]


class LiveClients:
    """Those of one load. `hear` may be changed while they work: each level has somebody else who listens."""

    def __init__(self, clients: LoadClients, log: Path, hear: Hear) -> None:
        self.hear = hear
        self._clients = clients
        self._log = log
        self._listening: asyncio.Task[None] | None = None
        self._adjusting: asyncio.Future[int] | None = None
        self._adjusted: dict[int, int] = {}
        self._awaited: _Outstanding | None = None
        self._told = [0] * self.parts
        self.latest: dict[int, LoadSnapshot] = {}
        """What each told last of itself."""

    @classmethod
    async def prepared(cls, log: Path, command: PreparePart, *, parts: int, key: str, hear: Hear) -> "LiveClients":
        """New ones that have their parts of a plan. Raises WorkerError; then none is left."""
        clients = await LoadClients.spawn(log, os.environ, parts=parts, key=key)
        try:
            await clients.prepare(command)
        except BaseException:
            await clients.close()
            raise
        return cls(clients, log, hear)

    @property
    def parts(self) -> int:
        """How many processes they are."""
        return len(self._clients.pids)

    @property
    def working(self) -> bool:
        """Whether they were begun, and have not ended."""
        return self._listening is not None and not self._listening.done()

    async def begin(self, *, spread_s: float) -> int:
        """Begin; from when on, in monotonic nanoseconds."""
        begun_ns = await self._clients.start(spread_s=spread_s)
        self._listening = asyncio.create_task(self._listen())
        return begun_ns

    async def adjust(self, command: AdjustLoad) -> int:
        """Another level; from when on all of them keep it. Raises WorkerError where one fails, and ConfigError."""
        self._adjusted.clear()
        self._adjusting = asyncio.get_running_loop().create_future()
        await self._clients.adjust(command)
        return await self._first_of(self._adjusting)

    async def over(self) -> None:
        """Wait until all have ended. Raises what one of them failed with, or what `hear` raised."""
        if self._listening is not None:
            await asyncio.wait((self._listening,))  # it goes on where whoever waits is cancelled
            self._listening.result()

    async def ended_of(self, at_ns: int) -> None:
        """Wait until all requests have ended that were sent by then, while others go on. Raises as `over`."""
        self._awaited = _Outstanding(at_ns, self._told)
        try:
            await self._first_of(self._awaited.over)
        finally:
            self._awaited = None

    async def stop(self, *, drain: bool) -> None:
        """Send nothing new; see `LoadClients.stop`."""
        await self._clients.stop(drain=drain)

    def check(self) -> None:
        """Raises WorkerError where they have ended by themselves, or failed."""
        if self._listening is not None and self._listening.done():
            self._listening.result()
            raise WorkerError("error", "the load ended by itself", remedy=f"See {self._log}.")

    async def abort(self, hear: Hear) -> None:
        """Abort what is in flight, and let `hear` have what is told until then, for some seconds at most."""
        self.hear = hear
        if self._listening is None:
            return
        if self._listening.done():  # what listened before raised something
            self._listening = asyncio.create_task(self._listen())
        with contextlib.suppress(WorkerError, TimeoutError):
            await self._clients.stop(drain=False)
            await asyncio.wait_for(asyncio.shield(self._listening), ABORT_S)

    async def leave(self) -> None:
        """Abort what is in flight, let it be told, and end them."""
        try:
            if self.working:
                await self.abort(self.hear)
        finally:
            await self.close()

    async def close(self) -> None:
        """End them now."""
        listening, self._listening = self._listening, None
        if listening is not None:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
        await self._clients.close()

    async def _first_of(self, awaited: "asyncio.Future[int]") -> int:
        listening = self._listening
        assert listening is not None  # noqa: S101
        await asyncio.wait((awaited, listening), return_when=asyncio.FIRST_COMPLETED)
        if not awaited.done():
            awaited.cancel()
            self.check()
        return awaited.result()

    async def _listen(self) -> None:
        async for part, event in self._clients.events():
            match event:
                case RequestsDone(requests=requests):
                    self._told[part] += len(requests)
                    if self._awaited is not None:
                        self._awaited.ended(part, [request.sent_ns for request in requests])
                case LoadSnapshot(t_ns=t_ns, sent=sent):
                    self.latest[part] = event
                    if self._awaited is not None:
                        self._awaited.snapshot(part, t_ns, sent)
                case LoadAdjusted(t_ns=t_ns):
                    self._adjusted[part] = t_ns
                    if self._adjusting is not None and len(self._adjusted) == self.parts and not self._adjusting.done():
                        self._adjusting.set_result(max(self._adjusted.values()))
                case _:
                    pass
            self.hear(part, event)


class _Outstanding:
    """Requests that were sent by a time. Each client's next snapshot tells how many there are; `told` is how many of
    each have ended so far."""

    def __init__(self, at_ns: int, told: list[int]) -> None:
        self.over: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._at_ns = at_ns
        self._told = told
        self._counted: dict[int, tuple[int, int]] = {}
        self._later = [0] * len(told)

    def snapshot(self, part: int, t_ns: int, sent: int) -> None:
        if t_ns >= self._at_ns and part not in self._counted:
            self._counted[part] = (t_ns, sent)
            self._look()

    def ended(self, part: int, sent_ns: Sequence[int]) -> None:
        if part in self._counted:
            since = self._counted[part][0]
            self._later[part] += sum(one > since for one in sent_ns)
            self._look()

    def _look(self) -> None:
        known = len(self._counted) == len(self._told) and not self.over.done()
        if known and all(self._told[part] - self._later[part] >= sent for part, (_, sent) in self._counted.items()):
            self.over.set_result(max(t_ns for t_ns, _ in self._counted.values()))
