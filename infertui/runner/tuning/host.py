"""The tuning sessions of a runner: begun, steered and told of."""

import logging
import shutil
from collections import deque
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from pathlib import Path

from infertui.analysis.capacity.plan import is_search
from infertui.config.schema import Config
from infertui.config.sweep import Variant, rooted
from infertui.errors import InfertuiError, UsageError
from infertui.runner.blocking import MODEL_S, run_blocking
from infertui.runner.control import AnyQueueEvent, ResultsChanged, Submission, TuningChanged, TuningMeasured
from infertui.runner.execution.loading import choose, planned_gpus
from infertui.runner.scheduling.device_slots import slot_of
from infertui.runner.scheduling.queue import accepted
from infertui.runner.scheduling.scheduler import Dispatcher, Executing
from infertui.runner.scheduling.vetting import LIMIT_S, refusals
from infertui.runner.telemetry import power_of
from infertui.runner.tuning.folder import KeptTuning, TuningFolder, new_id
from infertui.runner.tuning.session import Readings, TuningSession
from infertui.runner.tuning.settings import Changeable, OfGpus, OfServer
from infertui.runner.tuning.state import TuningLive, TuningPoint, TuningRequest, TuningView
from infertui.telemetry.gpu_settings import GpuSettings
from infertui.telemetry.readings import GpuInfo, Sample
from infertui.telemetry.sampler import Sampler
from infertui.text import clean

_log = logging.getLogger(__name__)
MOST_POINTS = 1200
"""Points that are kept of a session for whoever comes later: ten minutes of them."""
MOST_ENDED = 4
"""Sessions that are still told of, and can be pinned from, after they ended."""
MOST_STEPS = 10_000


class TuningSessions:
    """Those of one runner, each of which holds a device while it lasts."""

    def __init__(self, dispatcher: Dispatcher, sampler: Sampler, tell: Callable[[AnyQueueEvent], None]) -> None:
        self._dispatcher, self._sampler, self._tell = dispatcher, sampler, tell
        self._sessions: dict[str, TuningSession] = {}
        self._points: dict[str, deque[TuningPoint]] = {}
        self._devices: dict[str, tuple[GpuInfo, ...]] = {}
        self._gpus: dict[str, Changeable] = {}
        self.beginning = 0
        """Sessions that are asked for, and have no device yet."""

    @property
    def views(self) -> tuple[TuningView, ...]:
        """Those under way, and the last that ended."""
        return tuple(session.view for session in self._sessions.values())

    @property
    def points(self) -> dict[str, tuple[TuningPoint, ...]]:
        """Their points, by id."""
        return {name: tuple(points) for name, points in self._points.items()}

    @property
    def under_way(self) -> list[str]:
        """The ids of those that have not ended."""
        return [view.id for view in self.views if view.status != "ended"]

    async def begin(self, request: TuningRequest) -> str:
        """Begin a session, or go on with one; its id. Raises InfertuiError for what cannot be."""
        if len(request.steps) > MOST_STEPS:
            raise UsageError(f"a script of {len(request.steps):,} steps is too long; up to {MOST_STEPS:,} are taken")
        if any(not (request.seconds if step.seconds is None else step.seconds) > 0 for step in request.steps):
            raise UsageError("a script has to say for how many seconds each of its segments is measured")
        asked = await run_blocking(lambda: accepted(_as_submission(request)))
        config = rooted(asked.variants[0].config)
        if is_search(config):
            raise UsageError("a search for a capacity has no knobs", remedy="Set capacity.by = none, or queue it.")
        if wrong := await self._wrong(config):
            raise wrong
        gpus = self._sampler.gpus
        lane = await run_blocking(lambda: slot_of(config, gpus), MODEL_S)
        devices = await run_blocking(lambda: planned_gpus(config, gpus, choose(config.engine)), MODEL_S)
        self._dispatcher.require_free(lane)
        folder = await run_blocking(lambda: _folder(request, config, asked.title))

        async def vet(changed: Config) -> InfertuiError | None:
            if wrong := await self._wrong(changed):
                return wrong
            if await run_blocking(lambda: slot_of(changed, gpus), MODEL_S) != lane:
                return UsageError(f"a tuning session stays on its device, and that would not run on {lane}")
            return None

        session = TuningSession(
            folder, vet=vet, readings=_readings(devices), told=self._told, pointed=self._pointed(folder.kept.id)
        )
        try:
            await run_blocking(folder.claim)
            if request.continues:
                await run_blocking(session.take_up, MODEL_S)
            if request.gpu_settings or folder.kept.gpu_settings:
                await self._allow(session, config, devices)
            self._dispatcher.occupy(lane, session, partial(self._work, session))
        except InfertuiError:
            folder.release()
            await self._take_back(session.id)
            if not request.continues:
                shutil.rmtree(folder.path, ignore_errors=True)  # it was made for this, and nothing was measured
            raise
        self._devices[session.id] = devices
        self._sessions[session.id] = session
        self._points[session.id] = deque(maxlen=MOST_POINTS)
        self._forget()
        self._told(session.view)
        return session.id

    async def allow(self, tuning: str) -> None:
        """As `RunnerApi.allow_gpu_settings`."""
        session = self._session(tuning)
        if session.view.status == "ended":
            raise UsageError("that tuning session has ended")
        if not session.allowed:
            await self._allow(session, session.view.config, self._devices[tuning])

    async def _allow(self, session: TuningSession, config: Config, devices: tuple[GpuInfo, ...]) -> None:
        if config.target.kind == "endpoint":
            if config.target.serve != "none":
                raise UsageError("settings of a server that a session starts are those of its config")
            of_server = await OfServer.asked(config.target)
            self._gpus[session.id] = of_server
            session.allow(of_server)
            return
        whole = [gpu.uuid for gpu in devices if gpu.parent is None]
        if not whole or len(whole) < len(devices):
            raise UsageError(
                "there are no settings of a GPU to change: the session uses "
                + ("a part of a GPU" if devices else "the CPU")
            )
        settings = OfGpus(await run_blocking(lambda: GpuSettings(whole)))
        self._gpus[session.id] = settings
        session.allow(settings)

    async def _work(self, session: TuningSession, execute: Executing) -> None:
        await session.work(execute, lambda: self._take_back(session.id))

    async def _take_back(self, tuning: str) -> list[str]:
        settings = self._gpus.pop(tuning, None)
        left = await settings.close() if settings is not None else []
        for text in left:
            _log.error("a setting was not put back: %s", text)
        return left

    async def turn(self, tuning: str, changes: Mapping[str, str]) -> None:
        """As `RunnerApi.turn`."""
        await self._session(tuning).change(changes)

    def undo(self, tuning: str) -> None:
        """As `RunnerApi.undo_turn`."""
        self._session(tuning).undo()

    def mark(self, tuning: str, segment: int) -> None:
        """As `RunnerApi.mark_segment`."""
        self._session(tuning).mark(segment)

    def climb(self, tuning: str, key: str, budget_s: float) -> None:
        """As `RunnerApi.climb`."""
        self._session(tuning).climb(key, budget_s)

    async def pin(self, tuning: str, segment: int) -> str:
        """As `RunnerApi.pin_segment`."""
        session = self._session(tuning)
        await session.ended_of(segment)
        result = await run_blocking(lambda: session.pin(segment))
        session.pinned(segment, result.id)
        self._tell(ResultsChanged(str(session.folder.path.parent)))
        return result.id

    def end(self, tuning: str) -> None:
        """As `RunnerApi.end_tuning`."""
        self._session(tuning).stop()

    def _session(self, tuning: str) -> TuningSession:
        if (found := self._sessions.get(tuning)) is None:
            raise UsageError(f"there is no tuning session {clean(tuning)[:100]} here")
        return found

    async def _wrong(self, config: Config) -> InfertuiError | None:
        (wrong,) = await refusals([config], self._sampler.gpus, LIMIT_S)
        return wrong

    def _forget(self) -> None:
        ended = [view.id for view in self.views if view.status == "ended"]
        for name in ended[:-MOST_ENDED]:
            del self._sessions[name], self._points[name], self._devices[name]

    def _told(self, view: TuningView) -> None:
        if view.id in self._sessions:
            self._tell(TuningChanged(view))

    def _pointed(self, name: str) -> Callable[[TuningPoint, TuningLive], None]:
        def pointed(point: TuningPoint, live: TuningLive) -> None:
            self._points[name].append(point)
            self._tell(TuningMeasured(name, point, live))

        return pointed


def _as_submission(request: TuningRequest) -> Submission:
    return Submission(request.title, (Variant("", request.config, {}),), request.out)


def _folder(request: TuningRequest, config: Config, title: str) -> TuningFolder:
    if request.continues:
        return TuningFolder.found(Path(request.out), request.continues)
    now = datetime.now().astimezone()
    kept = KeptTuning(
        new_id(now),
        now.isoformat(timespec="milliseconds"),
        title,
        request.seconds,
        request.until_clear,
        request.steps,
        request.gpu_settings,
        request.most_seconds,
    )
    return TuningFolder.begin(Path(request.out), config, kept)


def _readings(gpus: tuple[GpuInfo, ...]) -> Readings:
    uuids = {gpu.uuid for gpu in gpus}

    def read(sample: Sample) -> tuple[int | None, float | None]:
        used = [reading.memory_used for reading in sample.gpus if reading.uuid in uuids]
        known = [one for one in used if one is not None]
        return (sum(known) if known and len(known) == len(uuids) else None), power_of(sample, gpus)

    return read
