"""What really ran is kept with every result, and what was asked for and is not in force fails its run."""

import asyncio
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support.fake_engine import ALL, Behaviour, install
from support.fake_spec import NAME
from support.runs import requests_of, run, simulated

from infertui.analysis.effective import identity
from infertui.config.schema import Config, EngineConfig
from infertui.config.sweep import Variant
from infertui.errors import EngineError
from infertui.measure.quality import agreement
from infertui.measure.summary import summarise
from infertui.results.result import Result
from infertui.results.results_file import append_line
from infertui.results.row import ResultLine, row_of
from infertui.results.runs import Store
from infertui.runner.events import AnyRunEvent, BatchMeasured, ModelLoaded, Noted, PhaseEntered
from infertui.runner.execution import loading
from infertui.runner.execution.loading import load_request
from infertui.runner.recovery import batches_of
from infertui.runner.runner import Runner
from infertui.targets.engine.base import Capacity, EffectiveSettings, Probe

Install = Callable[..., None]


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Install:
    def make(spec: str = "SPEC", **behaviour: Any) -> None:
        install(monkeypatch, tmp_path, Behaviour(**behaviour), spec)

    return make


def config(*, output_len: int = 4, batch_size: int = 1, engine: str = NAME, **settings: Any) -> Config:
    made = simulated(
        workload__output_len=output_len,
        workload__batch_size=batch_size,
        measurement__iterations=2,
        validity__min_iterations=0,
    )
    return msgspec.structs.replace(made, engine=EngineConfig(name=engine, **settings))


def one(result: list[Result]) -> Result:
    (found,) = result
    return found


def test_what_was_in_force_is_kept_with_the_result(fake: Install, tmp_path: Path) -> None:
    settings = {"mode": "cudagraph", "speculation": "draft-model"}
    counters = {"graph_replays": 3, "drafted_tokens": 10, "accepted_tokens": 4}
    later = {"graph_replays": 9, "drafted_tokens": 30, "accepted_tokens": 19}
    fake(
        effective=[
            EffectiveSettings(settings, counters),
            EffectiveSettings(settings, later, {"kernel": "flash\x1b[31m"}),
        ],
        prepare=[("compile", 30.0), ("capture", 20.0)],
        dtype="bfloat16",
    )
    asked = config(mode="cudagraph", speculation="draft-model", dtype="bfloat16")
    (result,), events = run(asked, out=tmp_path / "out")
    assert (result.state, result.error) == ("finished", None)
    assert result.effective is not None
    assert result.effective.settings == settings
    assert result.effective.counters == {"graph_replays": 6, "drafted_tokens": 20, "accepted_tokens": 15}
    phases = [event.phase for event in events if isinstance(event, PhaseEntered)]
    assert phases == ["spawn", "load", "compile", "capture", "warmup", "measure"]
    assert list(result.phases) == phases
    assert result.phases["compile"] >= 0.03
    assert result.phases["capture"] >= 0.02
    rows = dict(identity(result, full=True))
    assert rows["speculation"].startswith("accepted 15 of 20 (75%), which means nothing for random weights")
    assert rows["in force"] == "attention sdpa  mode cudagraph  speculation draft-model"
    assert rows["getting ready"].startswith("compile ")
    assert rows["fake"].startswith("1.0  /")
    assert rows["kernel"] == "flash"
    kept = msgspec.json.decode((tmp_path / "out" / result.id / "result.json").read_bytes(), type=Result)
    assert kept == result


@pytest.mark.parametrize(
    ("settings", "behaviour", "words", "phases"),
    [
        (
            {"mode": "cudagraph"},
            {"effective": [EffectiveSettings({"mode": "eager"}, reasons={"mode": "this GPU is too old"})]},
            ["engine.mode = cudagraph", "eager is in force: this GPU is too old"],
            ["spawn", "load", "warmup"],
        ),
        ({"quantization": "int8"}, {}, ["engine.quantization", "does not say"], ["spawn", "load", "warmup"]),
        ({"dtype": "bfloat16"}, {"dtype": "float32"}, ["engine.dtype = bfloat16", "float32"], ["spawn", "load"]),
        ({}, {"says_engine": "other"}, ["other loaded the model"], ["spawn", "load"]),
        ({}, {"effective_error": "it is gone"}, ["RuntimeError: it is gone"], ["spawn", "load", "warmup"]),
        (
            {"mode": "cudagraph"},
            {"effective": [EffectiveSettings({"mode": "cudagraph"}, {"graph_replays": 8})]},
            ["graph_replays stood still"],
            ["spawn", "load", "warmup", "measure"],
        ),
    ],
)
def test_an_engine_that_does_otherwise_fails_the_run(
    fake: Install, tmp_path: Path, settings: dict[str, Any], behaviour: dict[str, Any], words: list[str],
    phases: list[str],
) -> None:  # fmt: skip
    fake(**behaviour)
    (result,), events = run(config(**settings), out=tmp_path / "out")
    assert result.state == "failed"
    assert result.error is not None
    for word in words:
        assert word in result.error.message
    assert [event.phase for event in events if isinstance(event, PhaseEntered)] == phases


def test_an_engine_cannot_pass_for_another(fake: Install, tmp_path: Path) -> None:
    fake(says_requested="vllm")
    (result,), _ = run(config(), out=tmp_path / "out")
    assert result.loaded is not None
    assert result.loaded.engine_requested == NAME


def test_effective_of_a_run_that_was_cut_off_is_kept(fake: Install, tmp_path: Path) -> None:
    fake(effective=[EffectiveSettings({"mode": "eager"}, {"graph_replays": 8})], steps=[(ALL, 1, 20.0)])
    long = simulated(measurement__iterations=100_000, measurement__warmup=0).measurement
    endless = msgspec.structs.replace(config(output_len=1), measurement=long)

    async def scenario() -> None:
        measured = asyncio.Event()

        def take(event: AnyRunEvent) -> None:
            if isinstance(event, BatchMeasured):
                measured.set()

        async with Runner(on_event=take) as runner:
            task = asyncio.create_task(runner.run_all([Variant("", endless, {})], tmp_path / "out"))
            await measured.wait()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    asyncio.run(asyncio.wait_for(scenario(), 60))
    result = one(Store(tmp_path / "out").results(warn=lambda text: pytest.fail(text)))
    assert result.state == "interrupted"
    assert result.effective == EffectiveSettings({"mode": "eager"})


def test_getting_ready_counts_against_the_time_to_load(fake: Install, tmp_path: Path) -> None:
    fake(hang_in_prepare=True, prepare=[("compile", 1.0)])
    limits = {"measurement.load_timeout_s": 0.7, "measurement.step_timeout_s": 0.1}
    made = simulated(**{key.replace(".", "__"): value for key, value in limits.items()})
    (result,), _ = run(msgspec.structs.replace(made, engine=EngineConfig(name=NAME)), out=tmp_path / "out")
    assert result.state == "failed"
    assert result.error is not None
    assert result.error.kind == "timeout"
    assert "load_timeout_s" in result.error.message


def test_a_slow_compilation_is_no_slow_step(fake: Install, tmp_path: Path) -> None:
    fake(prepare=[("compile", 900.0)])
    made = simulated(measurement__step_timeout_s=0.5)
    (result,), _ = run(msgspec.structs.replace(made, engine=EngineConfig(name=NAME)), out=tmp_path / "out")
    assert (result.state, result.error) == ("finished", None)


# Fallback


def unavailable(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    def probe_for(engine: EngineConfig) -> Probe:
        available = engine.name not in names
        return Probe(engine.name, available=available, reason=f"{engine.name} is not here\x1b[31m", remedy="Get it.")

    monkeypatch.setattr(loading, "probe_for", probe_for)


def test_a_fallback_runs_transformers_and_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason="it is what stands in")
    unavailable(monkeypatch, "vllm")
    asked = config(engine="vllm", fallback=True, dtype="float32", mode="compile", quantization="int8")
    asked = msgspec.structs.replace(asked, device=msgspec.structs.replace(asked.device, name="cpu", threads=1))
    (result,), events = run(asked, out=tmp_path)
    assert (result.state, result.error) == ("finished", None)
    assert result.config == asked
    assert result.loaded is not None
    assert (result.loaded.engine, result.loaded.engine_requested) == ("transformers", "vllm")
    assert "not here" in result.loaded.fallback_reason
    assert "without engine.mode = compile, engine.quantization = int8" in result.loaded.fallback_reason
    assert result.loaded.dtype == "float32"
    assert not result.loaded.quantized_layers
    assert any(isinstance(event, Noted) and "FALLBACK" in event.text for event in events)
    line = (tmp_path / "results.jsonl").read_bytes()
    assert "fallback" in row_of(msgspec.json.decode(line, type=ResultLine)).flags
    name, told = identity(result)[0]
    assert name == "FALLBACK"
    assert told.startswith("transformers was measured, NOT vllm")
    assert "\x1b" not in told
    assert any(note.startswith("FALLBACK") for note in result.verdict.notes)


def test_there_is_no_fallback_unless_it_is_allowed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    unavailable(monkeypatch, "vllm")
    with pytest.raises(EngineError, match="engine vllm cannot be used: vllm is not here") as caught:
        run(config(engine="vllm"), out=tmp_path)
    assert caught.value.remedy == "Get it."


def test_when_neither_can_be_used_both_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    unavailable(monkeypatch, "vllm", "transformers")
    with pytest.raises(EngineError, match=r"vllm is not here.*engine transformers cannot be used"):
        run(config(engine="vllm", fallback=True), out=tmp_path)


def test_an_engine_that_loads_and_fails_has_failed(fake: Install, tmp_path: Path) -> None:
    fake(load_error="no such kernel")
    (result,), events = run(config(fallback=True), out=tmp_path / "out")
    assert result.state == "failed"
    assert result.error is not None
    assert "no such kernel" in result.error.message
    assert not any(isinstance(event, ModelLoaded) for event in events)


# Capacity


def test_engines_that_reserve_while_they_load_are_told_how_much(fake: Install) -> None:
    fake("SIZED")
    asked = config(batch_size=3, output_len=9)
    request = load_request(asked, loading.choose(asked.engine), ["short", "a long one: ä"])
    assert request.capacity == Capacity(3, len("a long one: ä".encode()) + 2, 9)
    fixed = msgspec.structs.replace(asked, workload=msgspec.structs.replace(asked.workload, input_len=100))
    request = load_request(fixed, loading.choose(asked.engine), ())
    assert request.capacity == Capacity(3, 100, 9)
    assert request.capacity.positions == 109


def test_only_those_load_again_for_another_workload(fake: Install, tmp_path: Path) -> None:
    for spec, reused in (("SPEC", [False, True]), ("SIZED", [False, False])):
        fake(spec)
        _, events = run(config(), config(batch_size=2), out=tmp_path / spec)
        assert [event.reused for event in events if isinstance(event, ModelLoaded)] == reused


# Times and outputs, through the pipe and the files


def test_times_of_scheduled_sequences_come_back_from_the_lines(fake: Install, tmp_path: Path) -> None:
    fake(steps=[(0, 2, 4.0), (1, 1, 2.0), (1, 2, 2.0), (0, 1, 2.0)])
    out = tmp_path / "out"
    (result,), _ = run(config(output_len=3, batch_size=2), out=out)
    assert (result.state, result.verdict.invalid) == ("finished", ())
    lines = requests_of(out, result.id)
    assert all(line.own_times for line in lines)
    assert lines[0].ttft is not None
    assert lines[1].ttft is not None
    assert lines[0].ttft < lines[1].ttft
    assert lines[0].tpot == pytest.approx((lines[0].latency or 0) - lines[0].ttft)
    again = summarise(batches_of(lines))
    for figure in ("latency", "ttft", "tpot"):
        assert getattr(again, figure).mean == pytest.approx(getattr(result.summary, figure).mean, rel=1e-6)
        assert getattr(again, figure).n == 2
    assert again.itl == result.summary.itl
    append_line(tmp_path / "one.jsonl", result)


def test_outputs_are_kept_and_compared(fake: Install, tmp_path: Path) -> None:
    out = tmp_path / "out"
    found = []
    for outputs in ([[7, 8, 9, 10]], [[7, 8, 0, 10]]):
        fake(outputs=outputs)
        result = one(run(config(), out=out)[0])
        found.append(Store(out).outputs(result.id))
    (prompt, other), compared = found[0], agreement(found[0], found[1])
    assert len(prompt) == len(other) == hashlib.sha256().digest_size * 2
    assert found[0][prompt] == (7, 8, 9, 10)
    assert (compared.prompts, compared.equal, compared.share, compared.first_divergence) == (2, 0, 0.75, 2)


def test_who_watches_is_not_sent_what_was_generated(fake: Install, tmp_path: Path) -> None:
    fake()
    _, events = run(config(), out=tmp_path / "out")
    parts = [part for event in events if isinstance(event, BatchMeasured) for part in event.batch.requests]
    assert parts
    assert {part.output for part in parts} == {()}
