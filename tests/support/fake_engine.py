"""An engine that does what a test tells it, the truth or not. A real worker finds it through an entry point.

What it does stands in the environment variable FAKE_ENGINE, as JSON; it loads no model and takes no time of its own.
"""

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import pytest
from msgspec import Struct, field
from msgspec.structs import replace
from support import fake_spec
from support.fake_spec import NAME

from infertui.config.engines import registry
from infertui.errors import EngineError
from infertui.measure.clock import Clock
from infertui.measure.records import EngineMemory
from infertui.targets.engine.base import (
    Batch,
    EffectiveSettings,
    Generated,
    GenerationPlan,
    Getting,
    Loaded,
    LoadRequest,
    Probe,
    ScoringWay,
    Sink,
)

NS_PER_MS = 1_000_000
ALL = -1
"""In place of a sequence: a step of all of them."""


class Behaviour(Struct):
    """What the engine does. `steps` are (sequence or ALL, tokens, milliseconds before) of each batch.

    `effective` is given in turn, the last one over and over; `prepare` holds phases with their milliseconds.
    """

    steps: list[tuple[int, int, float]] | None = None
    counts: list[int] | None = None
    outputs: list[list[int]] | None = None
    prepare: list[tuple[Getting, float]] = []
    effective: list[EffectiveSettings] = field(default_factory=lambda: [EffectiveSettings()])
    effective_error: str = ""
    load_error: str = ""
    read_ms: float = 0.0
    hang_in_prepare: bool = False
    unavailable: str = ""
    says_engine: str = NAME
    says_requested: str = NAME
    dtype: str = "float32"
    random_weights: bool = True
    on_a_gpu: bool = False
    """It says that the model is on the device asked for, by the first UUID that it may see."""
    likelihood: float | None = None
    """ln p that it gives each token; None: it cannot score."""
    likelihoods: dict[int, float] = {}
    """ln p of single tokens, wherever they stand."""
    score_positions: int | None = None
    score_fault: str = ""
    """Half-way through scoring: `refuse` with an error of ours, `raise` another one, `exit`, `wait` until stopped."""


def told() -> Behaviour:
    return msgspec.json.decode(os.environ.get("FAKE_ENGINE", "{}"), type=Behaviour)


def probe() -> Probe:
    reason = told().unavailable
    return Probe(NAME, available=not reason, reason=reason or "always", remedy="Be another.")


class FakeEngine:
    """See `Engine`."""

    def __init__(self, clock: Clock, behaviour: Behaviour) -> None:
        self._clock, self._does = clock, behaviour
        self._asked = 0
        self.plans: list[GenerationPlan] = []
        self.calls: list[str] = []
        self.requests: list[LoadRequest] = []

    def load(self, request: LoadRequest) -> Loaded:
        self.requests.append(request)
        if self._does.load_error:
            raise EngineError(self._does.load_error)
        found = loaded(self._does)
        seen = os.environ.get("CUDA_VISIBLE_DEVICES", "unset")
        if self._does.on_a_gpu:
            found = replace(found, device="cuda:0", device_name="GPU", device_uuid=seen.split(",")[0])
        return replace(found, details={"visible": seen, "device": request.device.name})

    def encode(self, text: str) -> list[int]:
        return list(text.encode())

    def prepare(self, plan: GenerationPlan, enter: Callable[[Getting], None]) -> None:
        self.plans.append(plan)
        self.calls.append("prepare")
        while self._does.hang_in_prepare:
            self._pass(10)
        for phase, milliseconds in self._does.prepare:
            enter(phase)
            self._pass(milliseconds)

    def generate(self, batch: Batch, sink: Sink) -> Generated:
        self.calls.append("generate")
        told = self._does.steps
        steps = told if told is not None else [(ALL, 1, 1.0)] * batch.output_len
        gained = [0] * len(batch.prompts)
        for sequence, tokens, milliseconds in steps:
            self._pass(milliseconds)
            for each in range(len(gained)) if sequence == ALL else (sequence,):
                gained[each] += tokens
            if sequence == ALL:
                sink.step(tokens)
            else:
                sink.gained(sequence, tokens)
        counts = self._does.counts or gained
        return Generated(counts, lambda: self._read(counts))

    def _read(self, counts: list[int]) -> list[list[int]]:
        self.calls.append("read")
        self._pass(self._does.read_ms)
        return self._does.outputs or [[*range(count)] for count in counts]

    def effective(self) -> EffectiveSettings:
        self.calls.append("evidence")
        if self._does.effective_error:
            raise RuntimeError(self._does.effective_error)
        self._asked += 1
        return self._does.effective[min(self._asked, len(self._does.effective)) - 1]

    def synchronize(self) -> None: ...

    def release_memory(self) -> None: ...

    def reset_peak_memory(self) -> None: ...

    def memory(self) -> EngineMemory:
        return EngineMemory()

    def _pass(self, milliseconds: float) -> None:
        self._clock.sleep_until(self._clock.now_ns() + round(milliseconds * NS_PER_MS))


class ScoringEngine(FakeEngine):
    """See `Scoring`, too."""

    def scoring(self) -> ScoringWay:
        if self._does.score_fault == "refuse":
            raise EngineError("the fake engine was told not to score")
        return ScoringWay("the fake engine", positions=self._does.score_positions)

    def score(self, ids: Sequence[int], going_on: Callable[[], None]) -> float:
        going_on()
        match self._does.score_fault:
            case "raise":
                raise RuntimeError("the fake engine was told to break")
            case "exit":
                os._exit(9)
            case "wait":
                while True:
                    going_on()
                    time.sleep(0.01)
        assert self._does.likelihood is not None
        usual = self._does.likelihood
        return sum(self._does.likelihoods.get(token, usual) for token in ids[1:])


def create(clock: Clock) -> FakeEngine:
    behaviour = told()
    return FakeEngine(clock, behaviour) if behaviour.likelihood is None else ScoringEngine(clock, behaviour)


def loaded(does: Behaviour) -> Loaded:
    return Loaded(
        engine=does.says_engine, engine_requested=does.says_requested, versions={"fake": "1.0"}, device="cpu",
        device_name="CPU", dtype=does.dtype, attention="sdpa", parameters=None, weight_bytes=None, vocabulary=256,
        random_weights=does.random_weights, memory_policy="none", paths={"fake": __file__},
    )  # fmt: skip


def install(monkeypatch: pytest.MonkeyPatch, folder: Path, behaviour: Behaviour, spec: str = "SPEC") -> None:
    """Make the engine known to this process, as far as running it goes, and to the workers that it starts.

    The keys and words of configs were collected when this process began: theirs is not known here.
    """
    monkeypatch.setitem(registry.SPECS, NAME, getattr(fake_spec, spec))
    monkeypatch.setattr("infertui.runner.runner.accepted", lambda submission: submission)
    package = folder / "fake-1.0.dist-info"
    package.mkdir(exist_ok=True)
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: fake\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text(f"[{registry.GROUP}]\n{NAME} = support.fake_spec:{spec}\n")
    paths = (str(folder), str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", ""))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    monkeypatch.setenv("FAKE_ENGINE", msgspec.json.encode(behaviour).decode())
