"""An engine in this process as a target: the engine generates, and this holds what it says against what was asked."""

import time
from collections.abc import Callable

from msgspec.structs import replace

from infertui.config.schema import EngineConfig
from infertui.errors import EngineError
from infertui.measure.clock import Clock, MonotonicClock, VirtualClock
from infertui.measure.records import EngineMemory
from infertui.targets.base import TargetName
from infertui.targets.engine import verify
from infertui.targets.engine.base import (
    Adapting,
    Batch,
    Closing,
    EffectiveSettings,
    Engine,
    Generated,
    GenerationPlan,
    Getting,
    Loaded,
    LoadRequest,
    Scoring,
    Sink,
    create,
    spec_of,
)
from infertui.targets.engine.resident import reset_resident_peak, resident_peak


class EngineTarget:
    """An engine and what is asked of it; `loaded` is for one that has its model already."""

    def __init__(self, engine: Engine, request: LoadRequest, loaded: Loaded | None = None) -> None:
        self._engine = engine
        self._request = request
        self._config: EngineConfig = request.engine
        self._loaded = loaded
        self.name = TargetName("engine", request.engine.name)

    def load(self) -> Loaded:
        """Load the model. Raises EngineError or ModelError, also for another engine, format or device than asked."""
        request = self._request
        loaded = self._engine.load(request)
        self._engine.synchronize()
        verify.check_loaded(request.engine, loaded)
        verify.check_device(request.device, loaded)
        # Whom it stands in for an engine need not know, nor may it say otherwise.
        asked = request.requested or request.engine.name
        self._loaded = replace(loaded, engine_requested=asked, fallback_reason=request.fallback_reason)
        return self._loaded

    def adapt(self, request: LoadRequest) -> Loaded:
        """Take options anew with the model that is loaded. Raises EngineError for an engine that cannot."""
        engine: object = self._engine
        if not isinstance(engine, Adapting):
            raise EngineError(f"{request.engine.name} takes no options anew while its model is loaded")
        loaded = engine.adapt(request)
        self._engine.synchronize()
        verify.check_loaded(request.engine, loaded)
        self._request, self._config = request, request.engine
        asked = request.requested or request.engine.name
        self._loaded = replace(loaded, engine_requested=asked, fallback_reason=request.fallback_reason)
        return self._loaded

    @property
    def loaded(self) -> Loaded:
        """What the engine found by looking."""
        assert self._loaded is not None  # noqa: S101
        return self._loaded

    @property
    def scorer(self) -> Scoring | None:
        """The engine, where it can tell likelihoods."""
        able: object = self._engine
        return able if isinstance(able, Scoring) else None

    def encode(self, text: str) -> list[int]:
        """As the model's tokenizer does it."""
        return self._engine.encode(text)

    def prepare(self, plan: GenerationPlan, enter: Callable[[Getting], None]) -> None:
        """Compile, capture and allocate."""
        self._engine.prepare(plan, enter)
        self._engine.synchronize()

    def generate(self, batch: Batch, sink: Sink) -> Generated:
        """Returns with the device synchronised."""
        generated = self._engine.generate(batch, sink)
        self._engine.synchronize()
        return generated

    def synchronize(self) -> None:
        """Return when the device is idle."""
        self._engine.synchronize()

    def effective(self, *, seen: bool) -> EffectiveSettings:
        """What the engine found by looking. Where nothing was generated yet, some of it may not be seen."""
        effective = self._engine.effective()
        verify.check(self._config, spec_of(self._config.name), effective, seen=seen)
        return effective

    def check_growth(self, grown: dict[str, int], output_len: int) -> None:
        verify.check_growth(self._config, grown, output_len)

    def release_memory(self) -> None:
        """So that a run's memory is its own."""
        self._engine.release_memory()

    def reset_peak_memory(self) -> None:
        """Of the allocator and of the process."""
        self._engine.reset_peak_memory()
        reset_resident_peak()

    def memory(self) -> EngineMemory:
        """The engine's peaks; resident is what this process and those that the engine generates in hold together."""
        known = self._engine.memory()
        elsewhere = known.resident_peak or 0
        return EngineMemory(known.allocated_peak, known.reserved_peak, resident_peak() + elsewhere)

    def close(self) -> None:
        """End processes and services that the engine has started."""
        engine: object = self._engine
        if isinstance(engine, Closing):
            engine.close()


def clock_of(request: LoadRequest) -> Clock:
    """What its runs are timed by: the simulator can have a clock that moves as it says."""
    engine = request.engine
    virtual = engine.name == "simulator" and engine.simulator.virtual_time
    return VirtualClock(time.monotonic_ns()) if virtual else MonotonicClock()


def engine_target(request: LoadRequest, clock: Clock) -> EngineTarget:
    """Nothing is loaded yet. Raises EngineError for an engine that there is not."""
    return EngineTarget(create(request.engine.name, clock), request)
