"""A search as an entry of the queue: the server looked at, searched, its devices read meanwhile, kept and told of."""

import asyncio
import contextlib
import os
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from infertui.analysis.capacity.boundary import Boundary
from infertui.analysis.capacity.curve import LevelFigures
from infertui.analysis.capacity.outcome import CapacityOutcome, Stay
from infertui.analysis.capacity.plan import plan_of, stay_of
from infertui.analysis.capacity.wording import found_text
from infertui.config.schema import Config
from infertui.config.sweep import Variant
from infertui.errors import InfertuiError, StoreError
from infertui.load.prompts import load_prompts
from infertui.results.jsonl import JsonlWriter
from infertui.runner.blocking import call_with_timeout, finish_despite_cancel, run_blocking
from infertui.runner.capacity.folder import SERVER_LOG, TELEMETRY, CapacityFolder, CapacityRecord, search_id
from infertui.runner.capacity.searching import CapacitySearch, EndpointFound, StayOver, StayProgress
from infertui.runner.capacity.state import CapacityStatus, CapacityView, StayLive, shown_stays
from infertui.runner.endpoint.asked import loaded_of, server_environment
from infertui.runner.endpoint.page import PageWatch
from infertui.runner.endpoint.serving import gpus_of, listening_pids
from infertui.runner.events import AnyRunEvent, Noted, PhaseEntered, RunStarted
from infertui.runner.telemetry import RunTelemetry, SampleRates
from infertui.targets.endpoint.address import parse_url
from infertui.targets.endpoint.extras import key_of
from infertui.targets.endpoint.probe import EndpointFacts, probe
from infertui.telemetry.readings import Sample
from infertui.telemetry.sampler import Sampler
from infertui.text import clean
from infertui.worker.serving.launch import launched

DRIVER_S = 2.0


class SearchEnd(Struct, frozen=True):
    """How a search ended, as its entry says it."""

    state: Literal["finished", "interrupted"]
    found: str
    valid: bool


class CapacityRun:
    """One search, which holds the machine as any load does. All of it lives on the event loop."""

    def __init__(
        self,
        variant: Variant,
        out: Path,
        *,
        sampler: Sampler,
        rates: SampleRates,
        emit: Callable[[AnyRunEvent], None],
        told: Callable[[CapacityView], None],
        measured: Callable[[str, StayLive, Boundary], None],
        number: int = 1,
        total: int = 1,
    ) -> None:
        """Raises UsageError and StoreError where a search that is to go on cannot be read."""
        self.ended_by = ""
        self._sampler, self._rates = sampler, rates
        self._emit, self._told, self._measured = emit, told, measured
        self._name, self._number, self._total = variant.name or "capacity", number, total
        asked = variant.config
        if asked.capacity.continues:
            self._folder = _taken_up(out, asked)
        else:
            self._folder = _new(out, asked)
        self._telemetry = RunTelemetry(sampler)
        self._here = False
        self._page: PageWatch | None = None
        self._samples: JsonlWriter | None = None
        self._stays: list[Stay] = []
        self._status: CapacityStatus = "probing"
        self._live: StayLive | None = None
        self._boundary = Boundary()
        self._error = ""
        self._earlier_s = 0.0

    @property
    def id(self) -> str:
        """The search's name, which is its folder's."""
        return self._folder.path.name

    @property
    def view(self) -> CapacityView:
        """As it is shown."""
        record = self._folder.record
        return CapacityView(
            id=self.id,
            folder=str(self._folder.path),
            record=record,
            status=self._status,
            stays=shown_stays(record.plan, self._stays),
            live=self._live,
            boundary=self._boundary,
            error=self._error,
        )

    def sampled(self, sample: Sample) -> None:
        """Take a telemetry sample."""
        if self._samples is not None:
            with contextlib.suppress(StoreError):  # figures come from memory; what is kept besides ends no search
                self._samples.append(sample)

    async def run(self) -> SearchEnd:
        """Search until that is over; `interrupted` when this was cancelled. What was measured is kept in any case.

        Raises InfertuiError for what keeps it from being measured.
        """
        self._tell()
        try:
            outcome = await self._searched()
        except asyncio.CancelledError:
            self._error = clean(self.ended_by)
            return SearchEnd("interrupted", _found(self._folder.record) or self._error, valid=True)
        except InfertuiError as error:
            self._error = error.message
            raise
        else:
            return SearchEnd("finished", _found(self._folder.record), valid=not outcome.notes)
        finally:
            self._status, self._live = "ended", None
            self._rates.release(self)
            if self._samples is not None:
                self._samples.close()
                self._samples = None
            self._folder.release()
            self._tell()

    async def _searched(self) -> CapacityOutcome:
        folder, config = self._folder, self._folder.config
        if folder.path.exists():
            await run_blocking(folder.claim)
            self._stays = await run_blocking(lambda: folder.stays(self._note))
        self._earlier_s = sum(stay.took_s for stay in self._stays)
        self._start()
        async with contextlib.AsyncExitStack() as opened:
            target = config.target
            if target.serve != "none":
                self._phase("load")
                await run_blocking(self._make)
                environment = server_environment(config.device, os.environ)
                served = await opened.enter_async_context(launched(config, folder.path / SERVER_LOG, environment))
                target = replace(target, url=served.url)
            self._phase("probe")
            prompts = await run_blocking(lambda: load_prompts(config.workload))
            facts = await self._looked_at(replace(config, target=target))
            folder.config = replace(config, target=target)
            key = key_of(target, parse_url(target.url))
            self._page = PageWatch(target, key)
            await self._page.first()
            await self._find_gpus(facts, target.url)
            self._rates.ask(self, config.measurement.sample_hz)
            self._status = "searching"
            self._phase("measure")
            self._tell()
            self._page.follow()
            search = CapacitySearch(
                folder,
                EndpointFound(
                    facts.api,
                    facts.model,
                    _server(facts),
                    facts.token_s or 0.0,
                    facts.without,
                    facts.scale,
                    loaded_of(facts, target),
                ),
                key=key,
                prompts=prompts,
                stays=self._stays,
                tell=self._take,
                complete=self._complete,
            )
            try:
                return await search.run()
            finally:
                await finish_despite_cancel(self._page.last())

    async def _looked_at(self, config: Config) -> EndpointFacts:
        """Asks the server what it is, and keeps that with the search."""
        facts = await probe(
            config.target,
            exactly=config.load.ignore_eos,
            scale=bool(config.workload.input_len),
            told=self._note,
        )
        for note in facts.notes:
            self._note(note)
        await run_blocking(self._make)  # not before: a server that is not there leaves nothing behind
        record = replace(self._folder.record, api=facts.api, model=facts.model, server=_server(facts))
        await run_blocking(lambda: self._folder.keep(record))
        self._samples = self._samples or JsonlWriter(self._folder.path / TELEMETRY)
        return facts

    def _make(self) -> None:
        self._folder.make()
        self._folder.claim()

    async def _find_gpus(self, facts: EndpointFacts, url: str) -> None:
        """Those of a server on this machine are those of the search."""
        address = parse_url(url)
        pids = await call_with_timeout(lambda: listening_pids(address.host, address.port), DRIVER_S) or frozenset()
        self._here = bool(pids)
        gpus = await call_with_timeout(lambda: gpus_of(pids, self._sampler), DRIVER_S) or ()
        if gpus:
            loaded = replace(loaded_of(facts, self._folder.config.target), device_uuid=gpus[0].uuid)
            self._telemetry.device_is(loaded, gpus)

    def _complete(self, figures: LevelFigures, start_ns: int, end_ns: int) -> LevelFigures:
        watts = self._telemetry.mean_power(start_ns, end_ns) if self._here else None
        speed = figures.output_throughput
        page = self._page.seen(start_ns, end_ns) if self._page else None
        return replace(
            figures,
            power_w=watts,
            joules_per_token=watts / speed if watts is not None and speed else None,
            running=page.running_mean if page else None,
            waiting=page.waiting_mean if page else None,
            kv_usage=page.kv_usage_mean if page else None,
        )

    def _take(self, told: StayProgress | StayOver) -> None:
        self._boundary = told.boundary
        if isinstance(told, StayProgress):
            self._live = told.live
            self._measured(self.id, told.live, told.boundary)
            if told.load is not None:
                self._emit(told.load)
        else:
            self._live = None
            self._stays.append(told.stay)
            self._tell()

    def _start(self) -> None:
        workload = self._folder.config.workload
        self._emit(
            RunStarted(
                self.id,
                name=self._name,
                folder=str(self._folder.path),
                number=self._number,
                total=self._total,
                wanted=0,
                output_len=workload.output_len,
                batch_size=1,
                min_seconds=self._folder.record.plan.most_seconds,
                unit="request",
            )
        )

    def _phase(self, phase: Literal["load", "probe", "measure"]) -> None:
        self._emit(PhaseEntered(self.id, time.monotonic_ns(), phase))

    def _note(self, text: str) -> None:
        self._emit(Noted(self.id, "info", clean(text)))

    def _tell(self) -> None:
        self._told(self.view)


def _new(out: Path, config: Config) -> CapacityFolder:
    now = datetime.now().astimezone()
    plan, asked = plan_of(config), config.capacity
    url = parse_url(config.target.url).shown if config.target.url else config.target.serve
    record = CapacityRecord(
        search_id(now), now.isoformat(), url, config.load.slo, asked.attainment, plan, stay_of(asked)
    )
    return CapacityFolder(out / record.search, record, config)


def _taken_up(out: Path, config: Config) -> CapacityFolder:
    """As it was, but for as long as is asked for now where that is longer."""
    folder, asked = CapacityFolder.open(out, config.capacity.continues), config.capacity
    plan = folder.record.plan
    plan = replace(
        plan,
        most_stays=max(plan.most_stays, asked.max_stays),
        most_seconds=max(plan.most_seconds, asked.max_seconds),
    )
    folder.record = replace(folder.record, plan=plan)
    return folder


def _server(facts: EndpointFacts) -> str:
    return " ".join(part for part in (facts.server, facts.version) if part)


def _found(record: CapacityRecord) -> str:
    return found_text(record.plan, record.outcome) if record.outcome is not None else ""
