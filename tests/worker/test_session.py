"""One measurement inside the worker, on a clock that moves only as the engine says: every time is exact."""

import contextlib
import hashlib
from collections.abc import Sequence
from typing import Any

import pytest
from msgspec.structs import replace
from support.fake_engine import ALL, Behaviour, FakeEngine, loaded
from support.fake_spec import NAME, SPEC

from infertui.config.engines.registry import SPECS
from infertui.config.schema import DeviceConfig, EngineConfig, MeasurementConfig, ModelConfig, WorkloadConfig
from infertui.errors import EngineError
from infertui.measure.clock import VirtualClock
from infertui.measure.records import BatchRecord
from infertui.measure.summary import summarise
from infertui.targets.engine.base import EffectiveSettings, GenerationPlan, LoadRequest
from infertui.targets.engine.target import EngineTarget
from infertui.targets.engine.verify import check_device
from infertui.worker.protocol import BatchDone, Event, Measure, MeasureDone, MeasureEnded, PhaseStarted, Ready
from infertui.worker.session import Session
from infertui.worker.stamps import Cancelled, Progress

MS = 1_000_000
PROMPTS = ("one prompt", "another", "the third of them")


@pytest.fixture(autouse=True)
def _known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SPECS, NAME, SPEC)


class Stage:
    """A session with everything around it."""

    def __init__(
        self,
        behaviour: Behaviour,
        *,
        output_len: int = 4,
        batch_size: int = 1,
        iterations: int = 1,
        warmup: int = 0,
        prompts: Sequence[str] = PROMPTS,
        workload: dict[str, Any] | None = None,
        **settings: Any,
    ) -> None:
        self.clock = VirtualClock()
        self.events: list[Event] = []
        self.progress = Progress(self.clock)
        self.engine = FakeEngine(self.clock, behaviour)
        self.cancel = False
        request = LoadRequest(ModelConfig(), EngineConfig(name=NAME, **settings), DeviceConfig())
        self._session = Session(
            EngineTarget(self.engine, request, loaded(behaviour)),
            Measure(
                WorkloadConfig(batch_size=batch_size, output_len=output_len, **workload or {}),
                MeasurementConfig(warmup=warmup),
                tuple(prompts),
                iterations,
            ),
            clock=self.clock,
            progress=self.progress,
            emit=self.events.append,
            await_proceed=lambda: None,
            cancelled=lambda: self.cancel,
        )

    def run(self) -> "Stage":
        self._session.run()
        return self

    @property
    def batches(self) -> list[BatchRecord]:
        found = [event.batch for event in self.events if isinstance(event, BatchDone)]
        return [batch for batch in found if batch.phase == "measure"]

    def last(self, kind: type[Any]) -> Any:
        return next(event for event in reversed(self.events) if isinstance(event, kind))


# Times


def test_steps_of_several_tokens_divide_their_time_among_them() -> None:
    """4 + 1 + 3 tokens: TPOT is over the four after the first step's, ITL stays the gap between the steps."""
    stage = Stage(Behaviour(steps=[(ALL, 4, 50), (ALL, 1, 10), (ALL, 3, 14)]), output_len=8, batch_size=2).run()
    (batch,) = stage.batches
    assert batch.ttft == 0.050
    assert batch.latency == pytest.approx(0.074)
    assert batch.tpot == pytest.approx(0.024 / 4)
    assert batch.itl is not None
    assert (batch.itl.count, batch.itl.tokens, batch.itl.tokens_per_step) == (2, 4, 2.0)
    assert (batch.itl.minimum, batch.itl.maximum) == (0.010, 0.014)
    assert not batch.own_times
    assert [request.itl for request in batch.requests] == [None, None]
    assert [request.tokens for request in batch.requests] == [8, 8]
    # Of a static batch all is due and sent when it begins, and shares its times.
    start, end = batch.start_ns, batch.end_ns
    for request in batch.requests:
        assert (request.due_ns, request.sent_ns, request.first_byte_ns) == (start, start, None)
        assert (request.first_ns, request.last_ns, request.end_ns) == (start + 50 * MS, start + 74 * MS, end)
        assert (request.asked_tokens, request.asked_prompt_tokens, request.error) == (8, None, "")
    summary = summarise(stage.batches)
    assert summary.tpot is not None
    assert summary.tpot.mean == pytest.approx(0.006)


def test_all_tokens_in_one_step_have_no_time_each() -> None:
    (batch,) = Stage(Behaviour(steps=[(ALL, 4, 50)])).run().batches
    assert (batch.itl, batch.tpot) == (None, None)
    assert batch.latency == 0.050


def test_sequences_that_advance_by_themselves_have_times_of_their_own() -> None:
    steps = [(0, 1, 10.0), (0, 1, 5.0), (1, 2, 5.0), (0, 1, 5.0), (1, 1, 5.0)]
    stage = Stage(Behaviour(steps=steps), output_len=3, batch_size=2).run()
    (batch,) = stage.batches
    first, second = batch.requests
    start = batch.start_ns
    assert (first.first_ns, first.last_ns) == (start + 10 * MS, start + 25 * MS)
    assert (second.first_ns, second.last_ns) == (start + 20 * MS, start + 30 * MS)
    assert (batch.first_ns, batch.last_ns) == (start + 10 * MS, start + 30 * MS)
    assert first.itl is not None
    assert second.itl is not None
    assert (first.itl.count, first.itl.tokens) == (2, 2)
    assert (second.itl.count, second.itl.tokens) == (1, 1)
    assert (first.itl.per_token, second.itl.per_token) == pytest.approx((0.0075, 0.010))
    assert batch.itl is not None
    assert (batch.itl.count, batch.itl.minimum, batch.itl.maximum) == (3, 0.005, 0.010)
    assert batch.tpot == pytest.approx(0.025 / 3)
    summary = summarise(stage.batches)
    assert summary.latency is not None
    assert summary.ttft is not None
    assert (summary.latency.n, summary.latency.minimum, summary.latency.maximum) == (1, 0.025, 0.030)
    assert summary.ttft.mean == pytest.approx(0.015)
    assert summary.output_throughput == pytest.approx(6 / 0.030)


@pytest.mark.parametrize(
    ("steps", "counts", "complaint"),
    [
        ([(ALL, 1, 1), (0, 1, 1), (ALL, 2, 1)], None, "of all sequences and of single ones in one batch"),
        ([(0, 4, 1)], [5], "made 5 tokens of sequence 0 and told of 4"),
        ([(ALL, 3, 1)], [4], "made 4 tokens of sequence 0 and told of 3"),
        ([], [4], "told of 0"),
        ([(ALL, 0, 1), (ALL, 4, 1)], None, "a step without tokens"),
        ([(ALL, 4, 1)], [4, 4], "returned 2 sequences for a batch of 1"),
    ],
)
def test_times_that_cannot_be_right_fail_the_batch(
    steps: list[tuple[int, int, float]], counts: list[int] | None, complaint: str
) -> None:
    (batch,) = Stage(Behaviour(steps=steps, counts=counts)).run().batches
    assert complaint in batch.error
    assert batch.tokens == 0
    assert summarise([batch]).output_throughput is None


def test_progress_counts_the_tokens_of_all_sequences() -> None:
    seen: list[tuple[int, int]] = []
    for steps in ([(ALL, 2, 1.0), (ALL, 1, 1.0)], [(0, 2, 1.0), (1, 1, 1.0), (0, 1, 1.0), (1, 2, 1.0)]):
        stage = Stage(Behaviour(steps=steps), output_len=3, batch_size=2, iterations=2)

        def note(event: Event, stage: Stage = stage) -> None:
            if isinstance(event, BatchDone):
                seen.append((stage.progress.step, stage.progress.tokens))

        stage._session._emit = note
        stage.run()
    assert seen == [(3, 6), (3, 12)] * 2


def test_a_cancelled_step_ends_the_session() -> None:
    stage = Stage(Behaviour())
    stage.cancel = True
    with pytest.raises(Cancelled):
        stage.run()
    assert not stage.batches


# Getting ready


def test_compiling_and_capturing_are_phases_before_warm_up() -> None:
    stage = Stage(Behaviour(prepare=[("compile", 300), ("capture", 20), ("compile", 100)]), warmup=1).run()
    phases = [(event.phase, event.t_ns // MS) for event in stage.events if isinstance(event, PhaseStarted)]
    assert phases[:4] == [("compile", 0), ("capture", 300), ("compile", 320), ("warmup", 420)]
    assert stage.engine.calls[:2] == ["prepare", "generate"]


def test_the_plan_holds_what_the_run_will_ask() -> None:
    workload = {"temperature": 0.5, "top_k": 7, "top_p": 0.9}
    stage = Stage(Behaviour(), batch_size=2, iterations=3, workload=workload).run()
    # Prompts of 10, 7 and 17 bytes go round: batches of (10, 7), (17, 10), (7, 17).
    assert stage.engine.plans == [GenerationPlan(2, (10, 17), 4, temperature=0.5, top_k=7, top_p=0.9)]


def test_warm_up_shows_no_width_that_was_not_planned() -> None:
    stage = Stage(Behaviour(), iterations=2, warmup=5).run()
    lengths = {part.prompt_tokens for event in stage.events if isinstance(event, BatchDone)
               for part in event.batch.requests}  # fmt: skip
    assert lengths == set(stage.engine.plans[0].widths) == {10, 7}


# EffectiveSettings

ASKED: dict[str, Any] = {"mode": "cudagraph", "quantization": "int8"}


def test_effective_is_told_with_the_growth_of_its_counters() -> None:
    behaviour = Behaviour(
        effective=[
            EffectiveSettings(settings=ASKED, counters={"graph_replays": 5, "other": 1}, facts={"captured": "32"}),
            EffectiveSettings(
                settings=ASKED, counters={"graph_replays": 14, "other": 1, "late": 2}, facts={"captured": "33"}
            ),
        ]
    )
    stage = Stage(behaviour, **ASKED).run()
    assert stage.last(Ready).effective == EffectiveSettings(settings=ASKED, facts={"captured": "32"})
    found = stage.last(MeasureDone).effective
    assert found.counters == {"graph_replays": 9, "other": 0, "late": 2}
    assert found.facts == {"captured": "33"}


def test_effective_is_asked_for_outside_of_what_is_measured() -> None:
    stage = Stage(Behaviour(), iterations=2, warmup=1).run()
    assert stage.engine.calls == ["prepare", "generate", "evidence", "generate", "read", "generate", "read", "evidence"]
    kinds = [type(event) for event in stage.events]
    assert kinds.index(MeasureEnded) < kinds.index(MeasureDone)


@pytest.mark.parametrize(
    ("settings", "effective", "words"),
    [
        ({"mode": "cudagraph"}, EffectiveSettings({"mode": "eager"}, reasons={"mode": "no GPU"}),
         ["eager is in force: no GPU"]),
        ({"mode": "cudagraph"}, EffectiveSettings(), ["the engine does not say"]),
        ({"dtype": "float32"}, EffectiveSettings({"dtype": "float32 with autocast"}), ["engine.dtype = float32",
         "autocast"]),
        ({"attention": "sdpa"}, EffectiveSettings({"attention": "eager"}), ["engine.attention = sdpa", "eager"]),
        ({"quantization": "int8"}, EffectiveSettings({"quantization": "none"}), ["int8", "none is in force"]),
        ({"quantization": "int8"}, EffectiveSettings({"quantization": ""}), ["nothing is in force"]),
        ({"speculation": "prompt-lookup"}, EffectiveSettings({"speculation": "none"}), ["prompt-lookup"]),
        ({"tensor_parallel": 2}, EffectiveSettings({"tensor_parallel": "1"}), ["engine.tensor_parallel = 2",
         "1 is in force"]),
        ({}, EffectiveSettings({"speculation": "prompt-lookup"}), ["engine.speculation = none",
         "prompt-lookup is in force"]),
        ({}, EffectiveSettings({"tensor_parallel": "8"}), ["engine.tensor_parallel = 1"]),
    ],
)  # fmt: skip
def test_an_option_that_is_not_in_force_fails_the_run(
    settings: dict[str, Any], effective: EffectiveSettings, words: list[str]
) -> None:
    stage = Stage(Behaviour(effective=[effective]), **settings)
    with pytest.raises(EngineError) as caught:
        stage.run()
    for word in words:
        assert word in caught.value.message
    assert "infertui engines fake" in caught.value.remedy
    assert not stage.batches, "before anything was measured"


def test_without_warm_up_what_only_steps_show_is_looked_for_behind_the_first_batch() -> None:
    unseen = EffectiveSettings({"dtype": "float32", "speculation": "none"}, unseen=("mode", "speculation"))
    asked: dict[str, Any] = {"mode": "cudagraph", "speculation": "prompt-lookup", "dtype": "float32"}
    shown = EffectiveSettings({"mode": "cudagraph", "speculation": "prompt-lookup"}, unseen=())
    stage = Stage(Behaviour(effective=[unseen, shown]), iterations=3, **asked).run()
    assert len(stage.batches) == 3
    assert stage.engine.calls == ["prepare", "evidence", *["generate", "read"], "evidence", *["generate", "read"] * 2,
                                  "evidence"]  # fmt: skip
    assert stage.last(MeasureDone).effective.settings["mode"] == "cudagraph"


def test_what_the_first_batch_shows_not_to_be_in_force_ends_the_run_there() -> None:
    effective = [EffectiveSettings(unseen=("mode",)), EffectiveSettings({"mode": "eager"})]
    stage = Stage(Behaviour(effective=effective), iterations=9, mode="cudagraph")
    with pytest.raises(EngineError, match="eager is in force"):
        stage.run()
    assert len(stage.batches) == 1


def test_what_stays_unseen_after_a_batch_is_not_in_force() -> None:
    with pytest.raises(EngineError, match="does not say"):
        Stage(Behaviour(effective=[EffectiveSettings(unseen=("mode",))]), mode="cudagraph").run()


@pytest.mark.parametrize(("replays", "graphs"), [(9, "replayed"), (4, "captured")])
def test_graphs_that_an_earlier_run_replayed_are_not_those_of_this_one(replays: int, graphs: str) -> None:
    effective = [
        EffectiveSettings(counters={"graph_replays": count}, compiled="fresh", graphs="replayed")
        for count in (4, replays)
    ]
    assert Stage(Behaviour(effective=effective)).run().last(MeasureDone).effective.graphs == graphs


def test_what_was_not_asked_for_need_not_be_said() -> None:
    Stage(Behaviour(effective=[EffectiveSettings({"mode": "eager", "attention": "sdpa"})])).run()


def test_an_option_that_is_lost_while_measuring_fails_the_run() -> None:
    behaviour = Behaviour(effective=[EffectiveSettings({"mode": "cudagraph"}), EffectiveSettings({"mode": "eager"})])
    with pytest.raises(EngineError, match="eager is in force"):
        Stage(behaviour, mode="cudagraph").run()


@pytest.mark.parametrize(
    ("option", "word", "counter"),
    [("mode", "cudagraph", "graph_replays"), ("speculation", "draft-model", "drafted_tokens")],
)
def test_an_option_whose_counter_stands_still_was_not_in_force(option: str, word: str, counter: str) -> None:
    effective = [EffectiveSettings({option: word}, {counter: 7})]
    asked: dict[str, Any] = {option: word}
    with pytest.raises(EngineError, match=f"{counter} stood still"):
        Stage(Behaviour(effective=effective), **asked).run()
    Stage(Behaviour(effective=effective), output_len=2, **asked).run()


def test_speculation_of_which_nothing_is_counted_was_not_in_force() -> None:
    with pytest.raises(EngineError, match="drafted_tokens stood still"):
        Stage(Behaviour(effective=[EffectiveSettings({"speculation": "draft-model"})]), speculation="draft-model").run()


@pytest.mark.parametrize("counter", ["cached_prompt_tokens", "prefix_cache_hits"])
def test_prompts_from_a_cache_fail_the_run(counter: str) -> None:
    effective = [EffectiveSettings(counters={counter: 5}), EffectiveSettings(counters={counter: 29})]
    with pytest.raises(EngineError, match="24 prompt tokens came from a prefix cache"):
        Stage(Behaviour(effective=effective)).run()
    Stage(Behaviour(effective=effective[:1])).run()


@pytest.mark.parametrize(
    ("device", "found", "words"),
    [
        ("cuda:2", {"device": "cuda:0"}, ""),
        ("auto", {"device": "cuda:0"}, ""),
        ("cuda", {"device": "cpu"}, "device.name = cuda was asked of fake, but the model is on cpu"),
        ("cpu", {"device": "cuda:0"}, "device.name = cpu was asked of fake, but the model is on cuda"),
        ("cpu", {"threads": 4}, ""),
        ("cpu", {"threads": None}, ""),
        ("cpu", {"threads": 1}, "device.threads = 4 was asked of fake, but it uses 1"),
    ],
)
def test_another_device_or_fewer_threads_than_asked_fail_the_load(
    device: str, found: dict[str, Any], words: str
) -> None:
    with pytest.raises(EngineError, match=words) if words else contextlib.nullcontext():
        check_device(DeviceConfig(name=device, threads=4), replace(loaded(Behaviour()), **found))


def test_a_counter_that_goes_back_proves_nothing() -> None:
    effective = [EffectiveSettings(counters={"graph_replays": 7}), EffectiveSettings(counters={"graph_replays": 3})]
    with pytest.raises(EngineError, match="went back by 4"):
        Stage(Behaviour(effective=effective)).run()


def test_hostile_words_do_not_reach_the_terminal() -> None:
    effective = EffectiveSettings({"mode": "\x1b]0;owned\x07eager"}, reasons={"mode": "\x1b[31mred"})
    with pytest.raises(EngineError) as caught:
        Stage(Behaviour(effective=[effective]), mode="cudagraph").run()
    assert "\x1b" not in caught.value.message


# Outputs


def test_the_first_output_of_each_prompt_is_kept_and_reading_it_is_not_timed() -> None:
    stage = Stage(Behaviour(outputs=[[5, 6, 7, 8]], read_ms=1000), iterations=5).run()
    outputs = [(part.prompt, part.output) for batch in stage.batches for part in batch.requests]
    assert outputs[:3] == [(prompt, (5, 6, 7, 8)) for prompt in PROMPTS]
    assert outputs[3:] == [(prompt, ()) for prompt in PROMPTS[:2]]
    assert stage.engine.calls.count("read") == 3
    assert [batch.seconds for batch in stage.batches] == [pytest.approx(0.004)] * 5
    gaps = [after.start_ns - before.end_ns for before, after in zip(stage.batches, stage.batches[1:], strict=False)]
    assert gaps == [1000 * MS, 1000 * MS, 1000 * MS, 0], "the engine takes a second to read"
    ids = ",".join(str(byte) for byte in b"another")
    assert stage.batches[1].requests[0].prompt_sha256 == hashlib.sha256(ids.encode()).hexdigest()
    assert stage.batches[4].requests[0].prompt_sha256 == ""


def test_no_more_are_kept_than_64_prompts_of_4096_tokens() -> None:
    many = [f"prompt {number}" for number in range(70)]
    stage = Stage(Behaviour(steps=[(ALL, 5000, 1)]), output_len=5000, batch_size=35, iterations=2, prompts=many).run()
    lengths = [len(part.output) for batch in stage.batches for part in batch.requests]
    assert lengths == [4096] * 64 + [0] * 6


def test_ids_that_are_not_as_many_as_was_counted_fail_the_run() -> None:
    with pytest.raises(EngineError, match="as many tokens as it counted"):
        Stage(Behaviour(outputs=[[1, 2, 3]])).run()
