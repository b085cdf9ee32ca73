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
from infertui.load.prompts import load_prompts
from infertui.load.texts import salt_of
from infertui.measure.clock import NS_PER_S
from infertui.measure.load.figures import LoadFigures, Steadiness
from infertui.measure.load.steady import SteadyWatch
from infertui.measure.load.summary import summarise_load
from infertui.measure.load.validity import judge_load
from infertui.measure.records import Request, request_record
from infertui.results.result import Result
from infertui.results.runs import Begun
from infertui.runner.blocking import call_with_timeout, run_blocking
from infertui.runner.endpoint.asked import (
    as_found,
    asked_load,
    level_asked,
    loaded_of,
    processes_for,
    server_environment,
)
from infertui.runner.endpoint.page import PageWatch
from infertui.runner.endpoint.recent import RecentLoad
from infertui.runner.endpoint.serving import gpus_of, listening_pids
from infertui.runner.events import RunStarted
from infertui.runner.execution.kind import ConcludedError, RunContext
from infertui.runner.telemetry import MeasuredWindow, RunTelemetry
from infertui.targets.endpoint.address import EndpointAddress, parse_url
from infertui.targets.endpoint.extras import key_of
from infertui.targets.endpoint.probe import probe
from infertui.telemetry.readings import Counters
from infertui.worker.failure import WorkerError
from infertui.worker.loadgen.clients import LoadClients
from infertui.worker.loadgen.protocol import (
    AnyClientEvent,
    ClientDone,
    ClientMeter,
    LoadSnapshot,
    PreparePart,
    RequestsDone,
)
from infertui.worker.serving.launch import launched

DRIVER_S = 2.0
DRAIN_S = 60.0
"""How long requests in flight are waited for at the end; those that take longer are aborted, and told as such."""
ABORT_S = 5.0
SERVER_LOG = "server.log"
LOOK_S = 0.5
"""How often it is looked whether the load has settled."""
MANY_REQUESTS = 2000


class EndpointRun:
    """One run. `begun` is the run as far as it is known without being measured."""

    def __init__(self, begun: Result, context: RunContext) -> None:
        self._config: Config = begun.own_config
        self._begun = begun
        self._context = context
        self._reporter = context.reporter
        self._telemetry = RunTelemetry(context.sampler)
        self._clients: LoadClients | None = None
        self._recent = RecentLoad(level_asked(self._config), open_loop=self._config.load.request_rate > 0)
        self._requests: list[Request] = []
        self._meters: dict[int, ClientMeter] = {}
        self._origin_ns = 0
        self._stop_ns: int | None = None
        self._watch: SteadyWatch | None = None
        self._found: Steadiness | None = None
        self._looked_ns = 0
        self._before: Counters | None = None
        self._after: Counters | None = None
        self._all_told = False
        self._concluding = asyncio.Event()
        self._open = contextlib.AsyncExitStack()
        self._page: PageWatch | None = None
        self._token_s = 0.0

    def conclude(self) -> None:
        self._concluding.set()

    async def execute(self) -> None:
        try:
            await self._prepare()
            await self._load()
        except ConcludedError:
            await self._close()
            raise
        await self._close()

    async def _prepare(self) -> None:
        """Start the server where it is ours, look at it, and have clients that are ready."""
        config, reporter = self._config, self._reporter
        self._tell_of()
        prompts = () if config.load.trace else await run_blocking(lambda: load_prompts(config.workload))
        target = config.target
        if target.serve != "none":
            reporter.enter("load", time.monotonic_ns())
            environment = server_environment(config.device, os.environ)
            served = await self._open.enter_async_context(
                launched(config, self._context.folder.path / SERVER_LOG, environment)
            )
            target = replace(target, url=served.url)
        reporter.enter("probe", time.monotonic_ns())
        address = parse_url(target.url)
        key = key_of(target, address)
        facts = await probe(
            target,
            exactly=config.load.ignore_eos,
            scale=bool(config.workload.input_len or config.load.trace),
            told=lambda text: reporter.note("info", text),
        )
        for note in facts.notes:
            reporter.note("info", note)
        config = self._config = as_found(config, facts)
        self._context.folder.write_config(write(config))
        begun = self._begun = replace(self._begun, config=config, loaded=loaded_of(facts, target))
        self._context.folder.write_begun(
            Begun(begun.name, begun.started, config, begun.fingerprint, loaded=begun.loaded)
        )
        await self._find_gpus(address)
        self._page = PageWatch(target, key)
        parts = processes_for(config, os.cpu_count() or 1)
        self._clients = await LoadClients.spawn(self._context.folder.log, os.environ, parts=parts, key=key)
        await self._clients.prepare(
            PreparePart(
                replace(target, api=facts.api, model=facts.model),
                config.load,
                config.workload,
                facts.api,
                facts.model,
                prompts,
                facts.without,
                salt=salt_of(self._begun.id),
                scale=facts.scale,
            )
        )
        self._token_s = facts.token_s or 0.0

    async def _load(self) -> None:
        """Put it under load until the plan or the time is over, and all that was sent has ended."""
        reporter, clients, page = self._reporter, self._clients, self._page
        if self._concluding.is_set() or clients is None or page is None:
            raise ConcludedError
        await page.first()
        self._context.rates.ask(reporter, self._config.measurement.sample_hz)
        self._before = await self._counters()
        reporter.enter("warmup", time.monotonic_ns())
        self._origin_ns = await clients.start(spread_s=self._token_s)
        self._recent.origin_ns = self._origin_ns
        self._watch = SteadyWatch(self._origin_ns)
        page.follow()
        ending = asyncio.create_task(self._end_in_time(clients))
        try:
            async for part, event in clients.events():
                self._take(part, event)
        finally:
            ending.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await ending
        self._all_told = True
        reporter.end(time.monotonic_ns())
        self._after = await self._counters()
        await page.last()

    async def _close(self) -> None:
        """End the clients, and the server where it was ours."""
        if self._clients is not None:
            await self._clients.close()
        await self._open.aclose()

    async def settle(self) -> StoreError | None:
        """Abort what is in flight, and keep what had ended."""
        clients, full = self._clients, None
        if self._stop_ns is None:
            self._stop_ns = time.monotonic_ns()
        if clients is None or not self._origin_ns:
            await self._close()
            return None
        with contextlib.suppress(WorkerError, TimeoutError):
            async with asyncio.timeout(ABORT_S):
                await clients.stop(drain=False)
                async for part, event in clients.events():
                    try:
                        self._take(part, event)
                    except StoreError as error:
                        full = error
        await self._close()
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
        if self._all_told and not self._requests:
            return "nothing was measured: no request was due before the load was over"
        good = any(not request.error for request in self._requests)
        failed = next((request.error for request in self._requests if request.error_kind != "aborted"), "")
        return f"every request failed: {failed}" if failed and not good else ""

    @property
    def heavy(self) -> bool:
        return len(self._requests) > MANY_REQUESTS

    def result(self, begun: Result) -> Result:
        begun = replace(begun, config=self._config, loaded=self._begun.loaded)
        if not self._requests:
            return begun
        asked = asked_load(self._config, self._begun.loaded)
        summary, load = summarise_load(
            self._requests, asked, origin_ns=self._origin_ns, stop_ns=self._stop_ns, meters=tuple(self._meters.values())
        )
        power, device = self._telemetry.figures(
            self._window(load),
            self._before,
            self._after,
            tokens=summary.output_tokens or 0,
            idle=self._context.idle.watts(),
        )
        verdict = judge_load(summary, load, asked)
        window, page = self._window(load), self._page
        server = page.seen(window.start_ns, window.end_ns) if page and window else None
        return replace(begun, summary=summary, load=load, verdict=verdict, power=power, device=device, server=server)

    async def judged(self, result: Result) -> Result:
        return result

    def _window(self, load: LoadFigures) -> MeasuredWindow | None:
        if load.window.seconds <= 0:
            return None
        start, end = (self._origin_ns + round(edge * NS_PER_S) for edge in (load.window.start, load.window.end))
        return MeasuredWindow(start, end, load.window.seconds)

    def _take(self, part: int, event: AnyClientEvent) -> None:
        """Keep what a client told. Raises StoreError where it cannot be kept."""
        match event:
            case RequestsDone(requests=requests):
                self._context.folder.requests.append(
                    *(request_record(request, origin_ns=self._origin_ns) for request in requests)
                )
                slim = [replace(request, prompt="") for request in requests]
                self._requests += slim
                self._recent.add(slim)
                if self._watch:
                    self._watch.add(slim)
            case LoadSnapshot():
                self._recent.snapshot(part, event)
                self._look(event.t_ns)
                self._tell_progress()
            case ClientDone():
                self._meters[part] = event.meter
                if event.why == "plan" and self._stop_ns is None:
                    self._stop_ns = max((request.sent_ns for request in self._requests), default=event.t_ns)
            case _:
                pass

    def _look(self, now_ns: int) -> None:
        """Whether the load has settled: from then on it counts as measured, for whoever watches."""
        if self._watch is None or self._stop_ns or now_ns - self._looked_ns < LOOK_S * NS_PER_S:
            return
        self._looked_ns = now_ns
        begin, now = asked_load(self._config).ramp_s, (now_ns - self._origin_ns) / NS_PER_S
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

    async def _end_in_time(self, clients: LoadClients) -> None:
        """Send nothing new once it has been long enough, wait for what is in flight, and then no longer."""
        seconds = sending_seconds(self._config)
        left = None if seconds is None else max(0.0, self._origin_ns / NS_PER_S + seconds - time.monotonic())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(left):
                await self._concluding.wait()
        self._stop_ns = time.monotonic_ns()
        await clients.stop(drain=True)
        await asyncio.sleep(min(DRAIN_S, self._config.target.request_timeout_s))
        await clients.stop(drain=False)

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

    def _tell_of(self) -> None:
        workload = self._config.workload
        self._reporter.emit(
            RunStarted(
                self._begun.id,
                name=self._begun.name,
                folder=str(self._context.folder.path),
                number=self._context.number,
                total=self._context.total,
                wanted=workload.num_prompts,
                output_len=workload.output_len,
                batch_size=1,
                min_seconds=load_seconds(self._config) or 0.0,
                unit="request",
            )
        )
