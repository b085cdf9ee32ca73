"""The seam between measuring and what is measured: a second kind of target, which answers from a table."""

from collections.abc import Callable
from typing import Any, cast

import pytest
from msgspec import Struct
from support.fake_engine import Behaviour, loaded

from infertui.config.schema import MeasurementConfig, WorkloadConfig
from infertui.errors import EngineError
from infertui.measure.clock import Clock, VirtualClock
from infertui.measure.records import EngineMemory
from infertui.measure.summary import summarise
from infertui.targets import kinds
from infertui.targets.base import Target, TargetName
from infertui.targets.engine.contract import (
    Batch,
    EffectiveSettings,
    Generated,
    GenerationPlan,
    Getting,
    Loaded,
    Scoring,
    Sink,
)
from infertui.targets.kinds import KnownKind, kind_of
from infertui.worker.protocol import BatchDone, Event, Measure, MeasureDone, MeasureEnded, PhaseStarted, Ready
from infertui.worker.scoring import scored
from infertui.worker.session import Session
from infertui.worker.stamps import Progress

MS = 1_000_000
TOKENS = 3


class Table(Struct, frozen=True):
    """What a worker would be asked to load: milliseconds before each token, by the prompt."""

    rows: dict[str, tuple[float, ...]]


class TableTarget:
    """Answers as a table says. It has no engine, no device and no memory that anybody could look at."""

    def __init__(self, request: Table, clock: Clock) -> None:
        self._rows, self._clock = request.rows, clock
        self.name = TargetName(cast("Any", "table"), "a table")
        self.loaded = loaded(Behaviour())
        self.scorer: Scoring | None = None
        self.asked: list[str] = []

    def load(self) -> Loaded:
        return self.loaded

    def encode(self, text: str) -> list[int]:
        return list(text.encode())

    def prepare(self, plan: GenerationPlan, enter: Callable[[Getting], None]) -> None:
        self.asked.append(f"prepare {plan.batch_size}x{plan.output_len}")

    def generate(self, batch: Batch, sink: Sink) -> Generated:
        (prompt,) = batch.prompts
        for wait in self._rows[bytes(prompt).decode()][: batch.output_len]:
            if wait < 0:
                raise EngineError("it does not answer")
            self._clock.sleep_until(self._clock.now_ns() + round(wait * MS))
            sink.step()
        return Generated([batch.output_len], lambda: [[7] * batch.output_len])

    def synchronize(self) -> None:
        pass

    def effective(self, *, seen: bool) -> EffectiveSettings:
        return EffectiveSettings(facts={"server": "a table"}, counters={"answers": len(self.asked)})

    def check_growth(self, grown: dict[str, int], output_len: int) -> None:
        self.asked.append(f"grown {output_len}")

    def release_memory(self) -> None:
        pass

    def reset_peak_memory(self) -> None:
        pass

    def memory(self) -> EngineMemory:
        return EngineMemory()

    def close(self) -> None:
        self.asked.append("close")


def measured(target: Target, clock: Clock, prompts: tuple[str, ...], iterations: int) -> list[Event]:
    events: list[Event] = []
    workload = WorkloadConfig(batch_size=1, output_len=TOKENS)
    Session(
        target, Measure(workload, MeasurementConfig(warmup=1), prompts, iterations), clock=clock,
        progress=Progress(clock), emit=events.append, await_proceed=lambda: None, cancelled=lambda: False,
    ).run()  # fmt: skip
    return events


@pytest.fixture
def second_kind(monkeypatch: pytest.MonkeyPatch) -> KnownKind:
    """All that a second kind adds: an entry."""
    kind = KnownKind(cast("Any", "table"), Table, lambda _: VirtualClock(), TableTarget)
    monkeypatch.setattr(kinds, "KINDS", [*kinds.KINDS, kind])
    return kind


def test_a_second_kind_of_target_is_measured_through_the_same_seam(second_kind: KnownKind) -> None:
    """10 + 5 + 5 ms, and 20 + 10 + 10: TTFT 10 and 20, TPOT 5 and 10, six tokens in 60 ms."""
    request = Table({"a": (10, 5, 5), "bb": (20, 10, 10)})
    kind = kind_of(request)
    assert kind is second_kind
    clock = kind.clock(request)
    target = kind.create(request, clock)
    assert target.load().engine
    events = measured(target, clock, ("a", "bb"), 2)
    batches = [event.batch for event in events if isinstance(event, BatchDone) and event.batch.phase == "measure"]
    assert [batch.ttft for batch in batches] == pytest.approx([0.010, 0.020])
    assert [batch.tpot for batch in batches] == pytest.approx([0.005, 0.010])
    assert [batch.latency for batch in batches] == pytest.approx([0.020, 0.040])
    summary = summarise(batches)
    assert summary.output_throughput == pytest.approx(6 / 0.060)
    assert (summary.requests, summary.failed, summary.prompt_tokens, summary.output_tokens) == (2, 0, 3, 6)
    assert summary.memory == EngineMemory(), "what is not known of its memory is not that of this process"
    assert [type(event) for event in events if not isinstance(event, BatchDone | PhaseStarted)] == [
        Ready, MeasureEnded, MeasureDone,
    ]  # fmt: skip
    (done,) = [event for event in events if isinstance(event, MeasureDone)]
    assert (done.effective.facts, done.effective.counters) == ({"server": "a table"}, {"answers": 0})
    assert cast("TableTarget", target).asked == [f"prepare 1x{TOKENS}", f"grown {TOKENS}"]


def test_requests_that_it_does_not_answer_fail_and_the_rest_counts(second_kind: KnownKind) -> None:
    request = Table({"a": (10, 5, 5), "b": (10, -1, 0)})
    clock = second_kind.clock(request)
    target = second_kind.create(request, clock)
    events = measured(target, clock, ("a", "b"), 4)
    batches = [event.batch for event in events if isinstance(event, BatchDone) and event.batch.phase == "measure"]
    assert [batch.error for batch in batches] == ["", "it does not answer", "", "it does not answer"]
    assert summarise(batches).good == 2


def test_what_no_kind_takes_is_refused() -> None:
    with pytest.raises(TypeError, match="no kind of target takes a Table"):
        kind_of(Table({}))


def test_a_target_that_cannot_score_says_so() -> None:
    from infertui.worker.protocol import Score

    clock = VirtualClock()
    found = scored(TableTarget(Table({}), clock), Score("text", 16, 1.0), Progress(clock), lambda: False)
    assert "cannot tell how likely a text is" in found.reason
