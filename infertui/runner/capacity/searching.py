"""A search for the most load on a live endpoint: levels are changed while it runs, each stay lasts until it is settled.

Clients go on from level to level. Only after a rate that was too much for the server, whose requests would be in its
queue for long, do new ones begin, with other prompts: none may find its own in the server's cache.
"""

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from infertui.analysis.capacity.boundary import Boundary
from infertui.analysis.capacity.curve import LevelFigures
from infertui.analysis.capacity.observed import unknown
from infertui.analysis.capacity.outcome import CapacityOutcome, Stay, outcome_of
from infertui.analysis.capacity.search import Ending, NextStep, next_step
from infertui.config.endpoint import LoadConfig
from infertui.errors import EngineError, InfertuiError, UsageError
from infertui.load.texts import TokenScale, salt_of
from infertui.measure.clock import NS_PER_S
from infertui.measure.load.summary import AskedLoad
from infertui.runner.capacity.folder import CapacityFolder
from infertui.runner.capacity.state import StayLive
from infertui.runner.capacity.stay import LevelStay, StayEnd
from infertui.runner.endpoint.asked import asked_load, processes_for
from infertui.runner.endpoint.live import LiveClients
from infertui.runner.endpoint.recent import RecentLoad
from infertui.runner.events import LoadProgressed
from infertui.targets.endpoint.dialect import Api
from infertui.targets.endpoint.probe import probe
from infertui.targets.engine.contract import Loaded
from infertui.worker.loadgen.protocol import (
    AdjustLoad,
    AnyClientEvent,
    LoadSnapshot,
    PreparePart,
    RequestsDone,
)

LOOK_S = 0.2
"""How often it is looked whether a level has settled: about as often as clients tell how things are."""
BACK_S, MOST_GONE = 30.0, 3
"""How long a server that went away is waited for, in seconds, and how often."""
_OTHER_PROMPTS = 7919
"""By so much the seed grows with new clients."""


class EndpointFound(Struct, frozen=True):
    """What was found of the endpoint. `token_s` is about the time of a token, over which a start is spread; `scale` is
    what it counts of a text's tokens, and `loaded` what `loaded_of` says of it."""

    api: Api
    model: str
    server: str = ""
    token_s: float = 0.0
    without: tuple[str, ...] = ()
    scale: TokenScale | None = None
    loaded: Loaded | None = None


class StayProgress(Struct, frozen=True):
    """How a stay goes, and the load of the last seconds; `boundary` is what is known from those before."""

    live: StayLive
    boundary: Boundary
    load: LoadProgressed | None = None


class StayOver(Struct, frozen=True):
    """One is over, and what is known by it."""

    stay: Stay
    boundary: Boundary


Told = StayProgress | StayOver
Completing = Callable[[LevelFigures, int, int], LevelFigures]
"""Adds to figures what devices and the server itself told from one time to another, monotonic nanoseconds."""


class CapacitySearch:
    """One search, from where its folder ends."""

    def __init__(
        self,
        folder: CapacityFolder,
        found: EndpointFound,
        *,
        key: str = "",
        prompts: tuple[str, ...] = (),
        stays: Sequence[Stay] = (),
        tell: Callable[[Told], None] = lambda _: None,
        complete: Completing = lambda figures, _start, _end: figures,
    ) -> None:
        self._folder = folder
        self._plan = folder.record.plan
        self._config = folder.config
        self._found = found
        self._key = key
        self._prompts = prompts
        self._tell = tell
        self._complete = complete
        self._stays = list(stays)
        self._seed = max((stay.seed for stay in stays), default=self._config.workload.seed - _OTHER_PROMPTS)
        self._spent_s = self._earlier_s = sum(stay.took_s for stay in stays)
        self._recent = RecentLoad(0.0, open_loop=self._plan.kind == "rate")
        self._recent.origin_ns = time.monotonic_ns() - round(self._earlier_s * NS_PER_S)
        self._clients: LiveClients | None = None
        self._stay: LevelStay | None = None
        self._gone = 0

    async def run(self) -> CapacityOutcome:
        """Until it is over. What was found is kept, and so it is where this is cancelled or a client fails.

        Raises WorkerError when a client fails, EngineError when the server is gone, StoreError when nothing can be
        kept, and UsageError for objectives of which requests of this kind say nothing.
        """
        ending: Ending | Literal["interrupted"] = "interrupted"
        try:
            step = self._next()
            while step.level is not None:
                stay = await self._stay_at(step.level, step)
                if stay is None:
                    await self._leave()
                    await self._back()
                    continue
                step = self._next()
                self._folder.conclude(outcome_of(self._plan, self._stays, "interrupted"))
                self._tell(StayOver(stay, step.boundary))
                if names := unknown(stay.observation, self._plan.objectives):
                    raise UsageError(
                        f"no request says anything of {', '.join(names)}",
                        remedy="Answers that come at once have no TTFT, those of one token no TPOT and no ITL.",
                    )
                if stay.end == "overloaded":
                    await self._leave()
            ending = step.ending
        finally:
            outcome = outcome_of(self._plan, self._stays, ending)
            try:
                self._folder.conclude(outcome)
            finally:
                await self._leave()
        return outcome

    def _next(self) -> NextStep:
        return next_step(self._plan, [stay.observation for stay in self._stays], self._spent_s)

    async def _stay_at(self, level: float, step: NextStep) -> Stay | None:
        """None: nobody listened there by its end, which says nothing of the level."""
        begin_ns = await self._go_to(level)
        stay = self._stay = LevelStay(
            level,
            self._asked(level),
            begin_ns=begin_ns,
            stay_s=self._folder.record.stay_s,
        )
        number = len(self._stays)
        self._recent.level = level
        end: StayEnd | None = None
        now_ns = begin_ns
        while end is None:
            await self._hear()
            now_ns = time.monotonic_ns()
            end = stay.look(now_ns)
            live = StayLive(
                number=number + 1,
                level=level,
                why=step.why,
                elapsed=stay.elapsed(now_ns),
                in_flight=stay.in_flight,
                requests=stay.requests,
                reason=stay.found.reason if stay.found else "the level is not reached yet",
            )
            load = self._recent.progress(self._folder.record.search, "measure", stay.found)
            self._tell(StayProgress(live, step.boundary, load))
        self._stay = None
        if stay.unheard:
            self._spent_s += stay.elapsed(now_ns)
            return None
        kept = stay.result(end, now_ns, number=number, at=self._spent_s, seed=self._seed)
        kept = replace(kept, figures=self._complete(kept.figures, *stay.window_ns(now_ns)))
        self._folder.add(kept)
        self._stays.append(kept)
        self._spent_s += kept.took_s
        return kept

    async def _go_to(self, level: float) -> int:
        """Load the endpoint like that; from when on (monotonic nanoseconds)."""
        whole = int(level) if self._plan.kind == "concurrency" else None
        rate = level if whole is None else None
        if self._clients is not None and self._clients.parts < self._processes(level):
            await self._leave()
        if self._clients is None:
            return await self._begin(level)
        return await self._clients.adjust(
            AdjustLoad(concurrency=whole, request_rate=rate, spread_s=self._found.token_s)
        )

    async def _begin(self, level: float) -> int:
        """With clients of its own, and prompts that were not used before."""
        self._seed += _OTHER_PROMPTS
        config, load = self._config, self._load(level)
        workload = replace(config.workload, num_prompts=0, seed=self._seed)
        found = self._found
        self._clients = await LiveClients.prepared(
            self._folder.log,
            PreparePart(
                config.target,
                load,
                workload,
                found.api,
                found.model,
                self._prompts,
                found.without,
                salt=salt_of(self._folder.record.search),
                scale=found.scale,
            ),
            parts=self._processes(level),
            key=self._key,
            hear=self._take,
        )
        return await self._clients.begin(spread_s=found.token_s)

    async def _leave(self) -> None:
        """Abort what is in flight, and end the clients."""
        clients, self._clients, self._stay = self._clients, None, None
        self._recent.forget_clients()
        if clients is not None:
            await clients.leave()

    async def _back(self) -> None:
        """Wait until the server listens again. Raises EngineError where it does not, or has gone too often."""
        self._gone += 1
        target, deadline = self._config.target, time.monotonic() + BACK_S
        while self._gone <= MOST_GONE:
            try:
                await probe(target, exactly=False, wait_s=max(1.0, deadline - time.monotonic()))
            except InfertuiError as error:
                if time.monotonic() >= deadline:
                    raise EngineError(
                        f"nobody listens at {self._folder.record.url} any more: {error.message}",
                        remedy="It goes on once the server is back: --continue, or R on its entry.",
                    ) from error
                await asyncio.sleep(1.0)
            else:
                return
        raise EngineError(
            f"the server at {self._folder.record.url} went away {self._gone} times",
            remedy="Its own log says why; a level that it does not survive is more than it can do.",
        )

    async def _hear(self) -> None:
        """A moment of what clients tell. Raises WorkerError where one of them fails."""
        await asyncio.sleep(LOOK_S)
        if self._clients is not None:
            self._clients.check()

    def _take(self, part: int, event: AnyClientEvent) -> None:
        match event:
            case RequestsDone(requests=requests):
                self._recent.add(requests)
                if self._stay is not None:
                    self._stay.add(requests)
            case LoadSnapshot():
                self._recent.snapshot(part, event)
                if self._stay is not None:
                    self._stay.snapshot(part, event)
            case _:
                pass

    def _load(self, level: float) -> LoadConfig:
        """The config's, at a level."""
        whole = self._plan.kind == "concurrency"
        concurrency, rate = (int(level), 0.0) if whole else (0, level)
        return replace(self._config.load, concurrency=concurrency, request_rate=rate, ramp_s=0.0, steps="")

    def _processes(self, level: float) -> int:
        return processes_for(replace(self._config, load=self._load(level)), os.cpu_count() or 1)

    def _asked(self, level: float) -> AskedLoad:
        return asked_load(replace(self._config, load=self._load(level)), self._found.loaded)
