"""A run on an endpoint: looked at, put under load by our clients, summed up over the window in which it was settled."""

import asyncio
import contextlib
import os
import time

from msgspec.structs import replace

from infertui.config.schema import Config
from infertui.config.toml import write
from infertui.errors import StoreError
from infertui.load.planner import load_seconds, sending_seconds
from infertui.measure.clock import NS_PER_S
from infertui.measure.load.figures import LoadFigures, Steadiness, Window
from infertui.measure.load.steady import SteadyWatch, nearly_longest
from infertui.measure.load.summary import summarise_load, token_rates
from infertui.measure.load.validity import judge_load
from infertui.measure.records import request_record
from infertui.results.result import Result
from infertui.results.runs import Begun
from infertui.runner.blocking import call_with_timeout
from infertui.runner.endpoint.asked import (
    as_found,
    asked_load,
    level_asked,
    loaded_of,
    unheeded,
)
from infertui.runner.endpoint.at_work import EndpointAtWork
from infertui.runner.endpoint.heard import HeardLoad
from infertui.runner.endpoint.live import LiveClients
from infertui.runner.endpoint.others import LoadPresence
from infertui.runner.endpoint.page import PageWatch
from infertui.runner.endpoint.readying import ready_endpoint
from infertui.runner.endpoint.recent import RecentLoad
from infertui.runner.endpoint.serving import gpus_of, listening_pids
from infertui.runner.events import RunStarted
from infertui.runner.execution.kind import ConcludedError, RunContext
from infertui.runner.telemetry import MeasuredWindow, RunTelemetry
from infertui.targets.endpoint.address import EndpointAddress
from infertui.telemetry.readings import Counters
from infertui.worker.loadgen.protocol import (
    AdjustLoad,
    AnyClientEvent,
    ClientDone,
    LoadSnapshot,
    RequestsDone,
)

DRIVER_S = 2.0
DRAIN_S = 60.0
"""How long requests in flight are waited for at the end; those that take longer are aborted, and told as such."""
LOOK_S = 0.5
"""How often it is looked whether the load has settled."""
MANY_REQUESTS = 2000


class EndpointRun:
    """One run. `begun` is the run as far as it is known without being measured."""

    def __init__(self, begun: Result, context: RunContext) -> None:
        self._config: Config = begun.own_config
        self._asked = self._config
        """Before anything was found of the endpoint."""
        self._begun = begun
        self._context = context
        self._reporter = context.reporter
        self._telemetry = RunTelemetry(context.sampler)
        self._work: EndpointAtWork | None = None
        self._adjustment: AdjustLoad | None = None
        self._recent = RecentLoad(level_asked(self._config), open_loop=self._config.load.request_rate > 0)
        self._heard = HeardLoad(goes_on=context.adapts)
        self._watch: SteadyWatch | None = None
        self._found: Steadiness | None = None
        self._looked_ns = 0
        self._before: Counters | None = None
        self._after: Counters | None = None
        self._all_told = False
        self._unbroken = False
        """Whether the load goes on after this run."""
        self._rates: tuple[float, ...] = ()
        self._concluding = asyncio.Event()
        self._open = contextlib.AsyncExitStack()
        self._page: PageWatch | None = None
        self._presence = LoadPresence(begun.id)

    def conclude(self) -> None:
        self._concluding.set()

    async def execute(self) -> None:
        try:
            await self._prepare()
            await self._load()
        except ConcludedError:
            await self._end(leave=self._work is not None and self._work.clients.working)
            raise
        await self._end(leave=self._unbroken and not self.failure)

    async def _prepare(self) -> None:
        """Have an endpoint that was looked at and clients that are ready, or that are at work from the run before."""
        self._reporter.emit(_started(self._begun, self._config, self._context))
        if keys := unheeded(self._config):
            self._reporter.note("warning", f"of no account for a load: {', '.join(keys)}")
        left = self._context.left.take() if self._context.left else None
        if isinstance(left, EndpointAtWork):
            self._adjustment = left.adjustment(self._config, os.cpu_count() or 1)
            if self._adjustment is None:
                await left.close()
            else:
                self._work = left
        context = self._context
        work = self._work = self._work or await ready_endpoint(
            self._config, context.folder, self._reporter, self._open, hear=self._take
        )
        config = self._config = as_found(self._config, work.facts)
        self._context.folder.write_config(write(config))
        target = replace(config.target, url=work.url)
        begun = self._begun = replace(self._begun, config=config, loaded=loaded_of(work.facts, target))
        self._context.folder.write_begun(
            Begun(begun.name, begun.started, config, begun.fingerprint, loaded=begun.loaded)
        )
        await self._find_gpus(work.address)
        self._page = PageWatch(target, work.key)

    async def _load(self) -> None:
        """Put it under load until the plan or the time is over, and all that was sent has ended."""
        reporter, work, page = self._reporter, self._work, self._page
        if self._concluding.is_set() or work is None or page is None:
            raise ConcludedError
        await page.first()
        self._context.rates.ask(reporter, self._config.measurement.sample_hz)
        self._before = await self._counters()
        reporter.enter("warmup", time.monotonic_ns())
        self._presence.begin(work.address)
        await self._begin(work)
        page.follow()
        ending = asyncio.create_task(self._end_in_time(work.clients))
        over = asyncio.create_task(work.clients.over())
        try:
            await asyncio.wait({ending, over}, return_when=asyncio.FIRST_COMPLETED)
            self._unbroken = ending.done() and ending.result()
            if not self._unbroken:
                await over
        finally:
            for task in (ending, over):
                task.cancel()
            await asyncio.gather(ending, over, return_exceptions=True)
        self._all_told = True
        reporter.end(time.monotonic_ns())
        self._after = await self._counters()
        await page.last()

    async def _begin(self, work: EndpointAtWork) -> None:
        """Begin the load, or make it of the one before: from then on, what is sent is of this one."""
        clients = work.clients
        if self._adjustment is None:
            self._heard.origin_ns = await clients.begin(spread_s=work.token_s)
        else:
            self._recent.go_on_from(clients.latest)
            self._heard.await_adjustment()
            clients.hear = self._take
            self._heard.origin_ns = await clients.adjust(self._adjustment)
            work.adjusted(self._asked)
        self._recent.origin_ns = self._heard.origin_ns
        self._watch = SteadyWatch(self._heard.origin_ns)

    async def _end(self, *, leave: bool) -> None:
        """Leave the load at work for the next run, or end it, with the server where that was ours."""
        self._presence.close()
        work, self._work = self._work, None
        if work is not None and leave and self._context.left is not None:
            work.clients.hear = _nobody
            self._context.left.leave(work)
            return
        if work is not None:
            await work.close()
        await self._open.aclose()

    async def settle(self) -> StoreError | None:
        """Abort what is in flight, and keep what had ended."""
        full: StoreError | None = None
        if self._heard.stop_ns is None:
            self._heard.stop_ns = time.monotonic_ns()

        def keep(part: int, event: AnyClientEvent) -> None:
            nonlocal full
            try:
                self._take(part, event)
            except StoreError as error:
                full = error

        if self._work is not None and self._heard.origin_ns:
            await self._work.clients.abort(keep)
        await self._end(leave=False)
        return full

    async def ended(self) -> None:
        self._context.rates.release(self._reporter)
        if self._before and not self._after:
            self._after = await self._counters()
        if self._page is not None:
            await self._page.last()

    @property
    def complete(self) -> bool:
        return self._all_told

    @property
    def failure(self) -> str:
        if self._all_told and not self._heard.requests and not self._concluding.is_set():
            if self._adjustment is not None:
                return "nothing was measured: what was sent before the change took until the end; measure for longer"
            return "nothing was measured: no request was due before the load was over"
        return self._heard.failure

    @property
    def heavy(self) -> bool:
        return len(self._heard.requests) > MANY_REQUESTS

    def result(self, begun: Result) -> Result:
        begun = replace(begun, config=self._config, loaded=self._begun.loaded)
        if not self._heard.requests:
            return begun
        asked = asked_load(self._config, self._begun.loaded)
        asked = replace(asked, ramp_s=max(asked.ramp_s, self._heard.others_until))
        summary, load = summarise_load(
            self._heard.requests,
            asked,
            origin_ns=self._heard.origin_ns,
            stop_ns=self._heard.stop_ns,
            meters=self._heard.meters,
        )
        self._rates = token_rates(self._heard.requests, origin_ns=self._heard.origin_ns, window=load.window)
        power, device = self._telemetry.figures(
            self._window(load),
            self._before,
            self._after,
            tokens=summary.output_tokens or 0,
            idle=self._context.idle.watts(),
        )
        verdict = judge_load(summary, load, asked)
        verdict = replace(verdict, notes=(*verdict.notes, *filter(None, (self._presence.note,))))
        begun = replace(begun, phases=_by_window(begun.phases, load))
        window, page = self._window(load), self._page
        server = page.seen(window.start_ns, window.end_ns) if page and window else None
        return replace(begun, summary=summary, load=load, verdict=verdict, power=power, device=device, server=server)

    async def judged(self, result: Result) -> Result:
        return result

    def rates(self) -> tuple[float, ...]:
        if self._rates or self._found is None or not self._found.steady or self._found.window is None:
            return self._rates
        # Of the last moments not all is known: requests that are under way say nothing yet.
        since = self._found.window.start
        window = Window(since, self._found.window.end - nearly_longest(self._heard.requests))
        return token_rates(self._heard.requests, origin_ns=self._heard.origin_ns, window=window)

    def _window(self, load: LoadFigures) -> MeasuredWindow | None:
        if load.window.seconds <= 0:
            return None
        start, end = (self._heard.origin_ns + round(edge * NS_PER_S) for edge in (load.window.start, load.window.end))
        return MeasuredWindow(start, end, load.window.seconds)

    def _take(self, part: int, event: AnyClientEvent) -> None:
        """Keep what a client told. Raises StoreError where it cannot be kept."""
        match event:
            case RequestsDone(requests=requests):
                requests = self._heard.own(requests)
                self._context.folder.requests.append(
                    *(request_record(request, origin_ns=self._heard.origin_ns) for request in requests)
                )
                slim = self._heard.keep(requests)
                self._recent.add(slim)
                if self._watch:
                    self._watch.add(slim)
            case LoadSnapshot():
                if not self._heard.snapshot(event):
                    return
                self._recent.snapshot(part, event)
                self._look(event.t_ns)
                self._tell_progress()
            case ClientDone():
                self._heard.meter(part, event.meter)
                if event.why == "plan" and self._heard.stop_ns is None:
                    self._heard.stop_ns = max((request.sent_ns for request in self._heard.requests), default=event.t_ns)
            case _:
                pass

    def _look(self, now_ns: int) -> None:
        """Whether the load has settled: from then on it counts as measured, for whoever watches."""
        if self._watch is None or self._heard.stop_ns or now_ns - self._looked_ns < LOOK_S * NS_PER_S:
            return
        self._looked_ns = now_ns
        self._presence.look()
        begin = max(asked_load(self._config).ramp_s, self._heard.others_until)
        now = (now_ns - self._heard.origin_ns) / NS_PER_S
        if now <= begin:
            return
        self._found = self._watch.verdict(begin, now)
        if self._found.steady and "measure" not in self._reporter.seconds and self._reporter.phase == "warmup":
            self._reporter.enter("measure", now_ns)

    def _tell_progress(self) -> None:
        phase = self._reporter.phase
        told = self._recent.progress(self._begun.id, phase, self._found) if phase else None
        if told is not None:
            self._reporter.emit(told)

    async def _end_in_time(self, clients: LiveClients) -> bool:
        """Once it has been long enough, wait for what is in flight, and then no longer. Nothing new is sent meanwhile,
        but where the load may go on after this run: whether it does."""
        seconds = sending_seconds(self._config)
        left = None if seconds is None else max(0.0, self._heard.origin_ns / NS_PER_S + seconds - time.monotonic())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(left):
                await self._concluding.wait()
        self._heard.stop_ns = time.monotonic_ns()
        patience = min(DRAIN_S, self._config.target.request_timeout_s)
        if self._context.adapts:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(patience):
                    await clients.ended_of(self._heard.stop_ns)
                return True
        else:
            await clients.stop(drain=True)
            await asyncio.sleep(patience)
        await clients.stop(drain=False)
        return False

    async def _find_gpus(self, address: EndpointAddress) -> None:
        """The GPUs of a server on this machine are those of the run."""
        loaded = self._begun.loaded
        pids = await call_with_timeout(lambda: listening_pids(address.host, address.port), DRIVER_S) or frozenset()
        gpus = await call_with_timeout(lambda: gpus_of(pids, self._context.sampler), DRIVER_S) or ()
        if loaded is not None and gpus:
            loaded = replace(loaded, device_uuid=gpus[0].uuid)
            self._begun = replace(self._begun, loaded=loaded)
            self._telemetry.device_is(loaded, gpus, self._context.idle.degrees())

    async def _counters(self) -> Counters | None:
        counters = await call_with_timeout(self._context.sampler.counters, DRIVER_S)
        if counters is None:
            self._reporter.note("warning", f"the GPU driver did not answer within {DRIVER_S:g} s")
        return counters


def _started(begun: Result, config: Config, context: RunContext) -> RunStarted:
    """What it is told that begins."""
    workload = config.workload
    return RunStarted(
        begun.id,
        name=begun.name,
        folder=str(context.folder.path),
        number=context.number,
        total=context.total,
        wanted=workload.num_prompts,
        output_len=workload.output_len,
        batch_size=1,
        min_seconds=load_seconds(config) or 0.0,
        unit="request",
    )


def _by_window(phases: dict[str, float], load: LoadFigures) -> dict[str, float]:
    """What the phases took by the window of the figures. While it lasts, only that it had settled is known."""
    whole, window = phases.get("warmup", 0.0) + phases.get("measure", 0.0), load.window
    if window.seconds <= 0 or window.end > whole:
        return phases
    parts = {"warmup": window.start, "measure": window.seconds, "drain": whole - window.end}
    return {name: seconds for name, seconds in phases.items() if name not in parts} | parts


def _nobody(_part: int, _event: AnyClientEvent) -> None:
    """Between two runs nobody listens: what ends is of neither."""
