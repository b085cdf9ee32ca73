"""Runs through the Runner: faults in every phase, interruption, reuse, what is kept."""

import asyncio
import errno
import os
import signal
import sys
from pathlib import Path

import psutil
import pytest
from support.runs import requests_of, run, simulated

from infertui.config.sources import load
from infertui.config.sweep import Variant, expand
from infertui.errors import ConfigError, ModelError
from infertui.results.result import Result
from infertui.results.runs import Store
from infertui.runner.events import (
    AnyRunEvent,
    BatchMeasured,
    ModelLoaded,
    Noted,
    PhaseEntered,
    RunFinished,
    RunStarted,
    Sampled,
)
from infertui.runner.runner import Runner


def test_events_tell_a_run_in_order(tmp_path: Path) -> None:
    _, events = run(simulated(), out=tmp_path)
    told = [event for event in events if not isinstance(event, Sampled)]
    assert isinstance(told[0], RunStarted)
    assert isinstance(told[-1], RunFinished)
    assert [event.phase for event in told if isinstance(event, PhaseEntered)] == [
        "spawn", "load", "warmup", "measure",
    ]  # fmt: skip
    assert [event.batch.phase for event in told if isinstance(event, BatchMeasured)] == ["warmup"] + ["measure"] * 3
    assert {event.run for event in events} == {told[0].run}


def test_a_run_folder_holds_everything(tmp_path: Path) -> None:
    (result,), _ = run(simulated(), out=tmp_path)
    names = {path.name for path in (tmp_path / result.id).iterdir()}
    assert names == {"run.toml", "requests.jsonl", "outputs.jsonl", "telemetry.jsonl", "result.json", "worker.log"}


def test_run_toml_repeats_the_run(tmp_path: Path) -> None:
    config = simulated(workload__batch_size=3, labels__owner='"quoted" \x1b[31m')
    (result,), _ = run(config, out=tmp_path)
    again = load(str(tmp_path / result.id / "run.toml"), environ={}).config
    assert again == config
    (repeated,), _ = run(again, out=tmp_path)
    assert repeated.summary.output_throughput == result.summary.output_throughput
    assert repeated.fingerprint.config_hash == result.fingerprint.config_hash


def test_the_loaded_model_is_used_again_when_only_the_workload_differs(tmp_path: Path) -> None:
    other_model = simulated(engine__simulator__step_ms=1.0)
    results, events = run(simulated(), simulated(workload__batch_size=2), other_model, out=tmp_path)
    assert [event.reused for event in events if isinstance(event, ModelLoaded)] == [False, True, False]
    assert all(result.state == "finished" for result in results)
    assert "load" not in results[1].phases


def test_a_fresh_process_can_be_asked_for(tmp_path: Path) -> None:
    fresh = simulated(measurement__fresh_process=True)
    _, events = run(fresh, fresh, out=tmp_path)
    assert [event.reused for event in events if isinstance(event, ModelLoaded)] == [False, False]


@pytest.mark.parametrize(("fault_batch", "kept"), [(0, 0), (1, 0), (3, 1)], ids=["load", "warmup", "measure"])
@pytest.mark.parametrize(("fault", "kind"), [("crash", "crash"), ("out-of-memory", "out-of-memory"), ("exit", "crash")])
def test_a_fault_fails_the_run_and_keeps_what_was_measured(
    tmp_path: Path, fault: str, kind: str, fault_batch: int, kept: int
) -> None:
    config = simulated(engine__simulator__fault=fault, engine__simulator__fault_batch=fault_batch)
    (result, after), _ = run(config, simulated(), out=tmp_path)
    assert result.state == "failed"
    assert result.error is not None
    assert result.error.kind == kind
    assert len(requests_of(tmp_path, result.id)) == result.summary.iterations == kept
    assert after.state == "finished", "the next run is not affected"
    assert len(Store(tmp_path).results(warn=lambda text: pytest.fail(text))) == 2


def test_a_model_that_is_not_there_names_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(ModelError) as caught:
        run(simulated(engine__name="transformers", model__id="synthetic:nanoo"), out=tmp_path / "out")
    assert "synthetic:nano" in caught.value.remedy
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("phase", ["load", "warmup", "measure"])
def test_interruption_keeps_what_was_measured(tmp_path: Path, phase: str) -> None:
    slow = {"engine__simulator__load_ms": 3_600_000.0} if phase == "load" else {}
    config = simulated(
        engine__simulator__virtual_time=False,
        workload__output_len=2,
        measurement__warmup=0 if phase == "measure" else 100_000,
        measurement__iterations=100_000,
        **slow,
    )
    events: list[AnyRunEvent] = []

    async def scenario() -> None:
        reached = asyncio.Event()

        def take(event: AnyRunEvent) -> None:
            events.append(event)
            wanted = isinstance(event, BatchMeasured) if phase != "load" else isinstance(event, PhaseEntered)
            if wanted and (phase != "load" or getattr(event, "phase", "") == "load"):
                reached.set()

        async with Runner(on_event=take) as runner:
            task = asyncio.create_task(runner.run_all([Variant("", config, {})], tmp_path))
            await reached.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(asyncio.wait_for(scenario(), 60))
    (result,) = Store(tmp_path).results(warn=lambda text: pytest.fail(text))
    assert result.state == "interrupted"
    records = requests_of(tmp_path, result.id)
    assert len(records) == result.summary.iterations
    assert bool(records) == (phase == "measure")
    assert [record.batch for record in records] == list(range(len(records)))
    assert isinstance(events[-1], RunFinished)
    _nothing_is_left()


def test_a_killed_worker_fails_its_run(tmp_path: Path) -> None:
    config = simulated(engine__simulator__virtual_time=False, measurement__iterations=100_000)

    def kill(event: AnyRunEvent) -> None:
        if isinstance(event, BatchMeasured) and event.batch.phase == "measure" and event.batch.index == 2:
            for child in psutil.Process().children():
                os.kill(child.pid, signal.SIGKILL)

    (result,), _ = run(config, out=tmp_path, on_event=kill)
    assert result.state == "failed"
    assert result.error is not None
    assert result.error.kind == "killed"
    assert (result.summary.iterations or 0) >= 3
    _nothing_is_left()


def test_a_sweep_runs_every_variant(tmp_path: Path) -> None:
    variants = expand(simulated(**{"sweep.grid.workload.batch_size": "1,2,4"}))
    assert [variant.name for variant in variants] == ["bs=1", "bs=2", "bs=4"]

    async def scenario() -> list[Result]:
        async with Runner(on_event=lambda _: None) as runner:
            return await runner.run_all(variants, tmp_path)

    results = asyncio.run(asyncio.wait_for(scenario(), 60))
    assert [result.own_config.workload.batch_size for result in results] == [1, 2, 4]
    assert [result.name for result in results] == ["bs=1", "bs=2", "bs=4"]


def test_telemetry_is_kept_while_measuring(tmp_path: Path) -> None:
    config = simulated(engine__simulator__virtual_time=False, engine__simulator__ttft_ms=200.0)
    (result,), events = run(config, out=tmp_path)
    lines = (tmp_path / result.id / "telemetry.jsonl").read_text().splitlines()
    assert len(lines) == sum(isinstance(event, Sampled) for event in events)
    assert result.device is not None
    assert result.device.samples > 0
    assert result.device.ram_peak is not None


def test_no_samples_are_taken_when_none_are_wanted(tmp_path: Path) -> None:
    config = simulated(
        engine__simulator__virtual_time=False, engine__simulator__ttft_ms=300.0, measurement__sample_hz=0.0
    )
    (result,), events = run(config, out=tmp_path)
    assert result.device is not None
    assert result.device.samples <= 1, "at most the one that the change of rate took"
    assert not [event for event in events if isinstance(event, Noted) and event.level == "warning"]


def test_a_config_that_contradicts_itself_never_starts() -> None:
    with pytest.raises(ConfigError, match=r"workload\.input_len"):
        simulated(workload__prompts="random")


def test_a_run_that_timed_out_leaves_nothing_to_the_next(tmp_path: Path) -> None:
    slow = {"engine__simulator__virtual_time": False, "engine__simulator__ttft_ms": 60.0, "workload__output_len": 1}
    late = simulated(**slow, measurement__iterations=1000, measurement__total_timeout_s=1.0)
    (first, second), events = run(late, simulated(**{**slow, "workload__output_len": 2}), out=tmp_path)
    assert first.state == "failed"
    assert first.error is not None
    assert "total_timeout_s" in first.error.message
    assert second.state == "finished"
    assert [event.reused for event in events if isinstance(event, ModelLoaded)] == [False, False]
    assert [record.batch for record in requests_of(tmp_path, second.id)] == [0, 1, 2]


def test_when_every_batch_fails_the_run_failed(tmp_path: Path) -> None:
    (result,), _ = run(simulated(engine__simulator__fail_every=1), out=tmp_path)
    assert result.state == "failed"
    assert result.error is not None
    assert "every batch failed" in result.error.message


def test_cancelling_again_and_again_loses_nothing(tmp_path: Path) -> None:
    config = simulated(engine__simulator__fault="hang", measurement__warmup=0, workload__output_len=1)

    async def scenario() -> None:
        entered = asyncio.Event()

        def take(event: AnyRunEvent) -> None:
            if isinstance(event, PhaseEntered) and event.phase == "measure":
                entered.set()

        async with Runner(on_event=take) as runner:
            task = asyncio.create_task(runner.run_all([Variant("", config, {})], tmp_path))
            await entered.wait()
            while not task.done():
                task.cancel()
                await asyncio.wait([task], timeout=0.05)

    asyncio.run(asyncio.wait_for(scenario(), 60))
    (result,) = Store(tmp_path).results(warn=lambda text: pytest.fail(text))
    assert result.state == "interrupted"
    _nothing_is_left()


def test_a_bug_of_ours_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: object) -> None:
        raise KeyError("\x1b[31mno such thing")

    monkeypatch.setattr("infertui.runner.execution.preparing.load_prompts", broken)
    (result,), _ = run(simulated(), out=tmp_path)
    assert result.state == "failed"
    assert result.error is not None
    assert result.error.kind == "internal"
    assert "KeyError" in result.error.log_tail
    assert "\x1b" not in result.error.message + result.error.log_tail
    assert len(Store(tmp_path).results(warn=lambda text: pytest.fail(text))) == 1


@pytest.mark.parametrize(
    "refused",
    [
        PermissionError(errno.EACCES, "Permission denied", sys.executable),
        BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"),
        OSError(errno.EMFILE, "Too many open files"),
    ],
    ids=lambda error: errno.errorcode[error.errno],
)
def test_a_worker_that_the_system_does_not_start_is_no_bug(
    refused: OSError, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: object, **__: object) -> None:
        raise refused

    monkeypatch.setattr("asyncio.create_subprocess_exec", refuse)
    (result,), _ = run(simulated(), out=tmp_path)
    assert result.state == "failed"
    assert result.error is not None
    assert str(refused.strerror) in result.error.message
    assert result.error.remedy
    assert "bug" not in result.error.remedy
    assert result.error.log_tail == ""


def _nothing_is_left() -> None:
    me = psutil.Process()
    assert not [child for child in me.children(recursive=True) if "infertui.worker" in " ".join(child.cmdline())]
