"""Runs on an endpoint, against the mock server: its own counts say what came, and its programme how long it took."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest
from msgspec.structs import replace
from support.mock_process import MockProcess, mock_process
from support.sample_gguf import write_sample

from infertui.analysis.load_text import load_rows
from infertui.config.endpoint import LoadConfig, TargetConfig
from infertui.config.schema import Config, DeviceConfig, EngineConfig, MeasurementConfig, ModelConfig, WorkloadConfig
from infertui.config.sweep import Variant
from infertui.load.planner import plan_of
from infertui.measure.records import RequestRecord
from infertui.results.result import Result
from infertui.results.runs import BEGUN, RESULT, Store
from infertui.runner.endpoint.anew import anew
from infertui.runner.events import AnyRunEvent, LoadProgressed, PhaseEntered, RunFinished, RunStarted
from infertui.runner.recompute import Recomputation
from infertui.runner.recovery import recover, requests_of
from infertui.runner.runner import Runner

OUTPUT = 8


@pytest.fixture(scope="module")
def mock() -> Iterator[MockProcess]:
    with mock_process("--ttft", "20ms", "--itl", "4ms") as server:
        yield server


def asked(
    url: str, *, requests: int = 0, seconds: float = 0.0, load: LoadConfig | None = None, **target: Any
) -> Config:
    return Config(
        target=TargetConfig(kind="endpoint", url=url, **target),
        load=load or LoadConfig(concurrency=4),
        workload=WorkloadConfig(prompts="random", input_len=16, output_len=OUTPUT, num_prompts=requests),
        measurement=MeasurementConfig(max_seconds=seconds),
    )


def run(
    config: Config, out: Path, also: Callable[[AnyRunEvent], None] = lambda _: None
) -> tuple[Result, list[AnyRunEvent]]:
    events: list[AnyRunEvent] = []

    def take(event: AnyRunEvent) -> None:
        events.append(event)
        also(event)

    async def scenario() -> Result:
        async with Runner(on_event=take) as runner:
            (result,) = await runner.run_all([Variant("", config, {})], out)
            return result

    return asyncio.run(asyncio.wait_for(scenario(), 60)), events


def lines(out: Path, run_id: str) -> list[RequestRecord]:
    found = (out / run_id / "requests.jsonl").read_bytes().splitlines()
    return [msgspec.json.decode(line, type=RequestRecord) for line in found]


def test_every_request_of_the_plan_is_sent_kept_and_counted(mock: MockProcess, tmp_path: Path) -> None:
    mock.reset()
    result, events = run(asked(mock.url, requests=60), tmp_path)
    load = result.load
    assert load is not None
    assert result.state == "finished"
    assert (result.setup.target.kind, result.setup.model, result.setup.get("target.api")) == (
        "endpoint", "mock", "openai-chat",
    )  # fmt: skip
    records = lines(tmp_path, result.id)
    assert len(records) == 60
    assert {(record.tokens, record.error, record.batch) for record in records} == {(OUTPUT, "", None)}
    assert mock.stats()["outcomes"]["done"] >= 60, "and what was asked to get to know it"
    ttft = result.summary.ttft
    assert ttft is not None
    assert ttft.minimum is not None
    assert ttft.minimum >= 0.020
    assert result.summary.output_throughput is not None
    # Each of four is in flight for at least 20 + 7 x 4 ms; the window is short.
    assert result.summary.output_throughput <= 1.1 * 4 * OUTPUT / 0.048
    assert load.asked_concurrency == 4
    assert load.counted == {"server": result.summary.output_tokens}
    started = next(event for event in events if isinstance(event, RunStarted))
    assert (started.unit, started.wanted) == ("request", 60)
    phases = [event.phase for event in events if isinstance(event, PhaseEntered)]
    assert phases[:2] == ["probe", "warmup"]
    assert isinstance(events[-1], RunFinished)
    assert not _clients()


def test_time_ends_a_load_and_what_is_in_flight_is_waited_for(mock: MockProcess, tmp_path: Path) -> None:
    config = asked(mock.url, seconds=1.5, load=LoadConfig(request_rate=40.0, arrival="constant"))
    result, events = run(config, tmp_path)
    records = lines(tmp_path, result.id)
    assert result.state == "finished"
    assert 50 <= len(records) <= 61
    assert all(record.error == "" for record in records)
    told = [event for event in events if isinstance(event, LoadProgressed)]
    assert told
    assert {event.by for event in told} == {"request_rate"}
    assert told[-1].level == 40.0
    assert result.load is not None
    assert result.load.asked_rate == 40.0


def test_a_number_of_requests_is_sent_however_late_chance_makes_the_last(mock: MockProcess, tmp_path: Path) -> None:
    """Arrivals at 40 a second, of which 20 take half a second on average: that of this seed takes longer."""
    config = asked(mock.url, requests=20, load=LoadConfig(request_rate=40.0))
    late = next(seed for seed in range(100) if _last_due(config, seed) > 0.6)
    result, _ = run(replace(config, workload=replace(config.workload, seed=late)), tmp_path)
    assert len(lines(tmp_path, result.id)) == 20


def _last_due(config: Config, seed: int) -> float:
    plan = plan_of(config.load, replace(config.workload, seed=seed))
    return max(request.due or 0.0 for request in plan.requests())


def test_a_load_in_steps_is_measured_at_its_last_one(mock: MockProcess, tmp_path: Path) -> None:
    result, _ = run(asked(mock.url, load=LoadConfig(steps="8:1,2:2.5")), tmp_path)
    load = result.load
    assert load is not None
    assert (load.asked_concurrency, result.setup.concurrency) == (2, 2)
    assert load.window.start >= 1.0
    assert load.in_flight == pytest.approx(2, abs=0.1)
    rows = dict(load_rows(result))
    assert "the last of 2 steps" in rows["window"]
    phases, window = result.phases, load.window
    assert (phases["warmup"], phases["measure"]) == pytest.approx((window.start, window.seconds))
    assert phases["drain"] >= 0
    first, last = load.steps
    assert (first.level, first.start, first.end) == (8, 0.0, 1.0)
    assert (last.level, last.start, last.window) == (2, 1.0, load.window)
    assert first.window.end <= 1.0
    assert first.requests
    assert first.requests > 8
    assert first.in_flight == pytest.approx(8, abs=1)
    assert rows["step 1"].startswith(f"concurrency 8, {first.requests} answered, ")
    assert rows["step 2"].startswith("concurrency 2, ")
    # From what is kept they are found again.
    again = anew(result, requests_of(lines(tmp_path, result.id)))
    assert again is not None
    assert again.load is not None
    assert [step.requests for step in again.load.steps] == [step.requests for step in load.steps]


def test_two_loads_on_one_server_at_once_say_so(mock: MockProcess, tmp_path: Path) -> None:
    async def scenario() -> list[Result]:
        async with Runner() as one, Runner() as two:
            config = asked(mock.url, seconds=1.5)
            both = [
                runner.run_all([Variant("", config, {})], tmp_path / name)
                for runner, name in ((one, "one"), (two, "two"))
            ]
            return [result for (result,) in await asyncio.gather(*both)]

    first, second = asyncio.run(asyncio.wait_for(scenario(), 60))
    for here, there in ((first, second), (second, first)):
        assert [note for note in here.verdict.notes if "another load" in note] == [
            f"another load of infertui was on this server meanwhile: {there.id}"
        ]
    alone, _ = run(asked(mock.url, requests=5), tmp_path / "alone")
    assert not any("another load" in note for note in alone.verdict.notes)


def test_a_load_that_was_over_before_its_first_request_failed(mock: MockProcess, tmp_path: Path) -> None:
    result, _ = run(asked(mock.url, seconds=0.2, load=LoadConfig(request_rate=0.01)), tmp_path)
    assert result.state == "failed"
    assert result.error is not None
    assert "no request was due" in result.error.message


def test_the_config_that_is_kept_says_what_was_found(mock: MockProcess, tmp_path: Path) -> None:
    result, _ = run(asked(mock.url, requests=4), tmp_path)
    kept = (tmp_path / result.id / "run.toml").read_text()
    assert 'api = "openai-chat"' in kept
    assert 'model = "mock"' in kept
    assert result.own_config.target.model == "mock"


def test_a_server_that_always_fails_fails_the_run(tmp_path: Path) -> None:
    with mock_process("--ttft", "1ms", "--itl", "1ms", "--dressing", "error-in-stream") as server:
        result, _ = run(asked(server.url, requests=8, api="openai-chat"), tmp_path)
    assert result.state == "failed"
    assert result.error is not None
    assert len(lines(tmp_path, result.id)) in (0, 8)


def test_nobody_there_is_an_error_that_says_so(tmp_path: Path) -> None:
    result, _ = run(asked("http://127.0.0.1:9", requests=8), tmp_path)
    assert result.state == "failed"
    assert result.error is not None
    assert "127.0.0.1:9" in result.error.message


def test_an_interrupted_load_keeps_what_had_ended(mock: MockProcess, tmp_path: Path) -> None:
    async def scenario() -> None:
        reached = asyncio.Event()

        def take(event: AnyRunEvent) -> None:
            if isinstance(event, LoadProgressed) and event.done >= 8:
                reached.set()

        async with Runner(on_event=take) as runner:
            task = asyncio.create_task(runner.run_all([Variant("", asked(mock.url, seconds=600), {})], tmp_path))
            await reached.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(asyncio.wait_for(scenario(), 60))
    (result,) = Store(tmp_path).results(warn=lambda text: pytest.fail(text))
    assert result.state == "interrupted"
    records = lines(tmp_path, result.id)
    ended = [record for record in records if not record.error]
    assert len(ended) >= 8
    assert {record.error_kind for record in records} <= {"", "aborted"}
    assert result.load is not None
    assert result.load.error_rate == 0
    assert not _clients()
    assert result.summary.cut_off
    (outcome,) = Recomputation(Store(tmp_path)).outcomes()
    assert (outcome.refused, outcome.changes) == ("", ())


def test_a_client_that_is_killed_fails_the_run_and_keeps_what_it_told(mock: MockProcess, tmp_path: Path) -> None:
    def kill(event: AnyRunEvent) -> None:
        if isinstance(event, LoadProgressed) and event.done >= 8:
            for child in _clients():
                os.kill(child.pid, signal.SIGKILL)

    async def scenario() -> Result:
        async with Runner(on_event=kill) as runner:
            (result,) = await runner.run_all([Variant("", asked(mock.url, seconds=600), {})], tmp_path)
            return result

    result = asyncio.run(asyncio.wait_for(scenario(), 60))
    assert result.state == "failed"
    assert len([record for record in lines(tmp_path, result.id) if not record.error]) >= 8
    assert result.summary.requests is not None


def test_a_load_whose_runner_was_killed_is_recovered_from_its_lines(mock: MockProcess, tmp_path: Path) -> None:
    begun: list[bytes] = []

    def keep(event: AnyRunEvent) -> None:
        if isinstance(event, LoadProgressed):
            begun[:] = [(tmp_path / event.run / BEGUN).read_bytes()]

    whole, _ = run(asked(mock.url, requests=80), tmp_path, keep)
    folder = tmp_path / whole.id
    (folder / BEGUN).write_bytes(begun[0])
    (folder / RESULT).unlink()
    (tmp_path / "results.jsonl").unlink()
    (found,) = recover(Store(tmp_path))
    assert found.state == "interrupted"
    assert found.load is not None
    assert found.summary.output_tokens is not None
    assert found.summary.ttft is not None
    assert whole.summary.ttft is not None
    assert found.summary.ttft.minimum == pytest.approx(whole.summary.ttft.minimum, rel=0.2)
    assert any("killed" in note for note in found.verdict.notes)
    assert json.loads((folder / RESULT).read_bytes())["load"]["window"]
    assert (found.setup.model, found.setup.get("target.api")) == ("mock", "openai-chat")
    assert found.loaded == whole.loaded


def test_figures_are_derived_anew_from_the_lines_and_come_to_the_same(tmp_path: Path) -> None:
    with mock_process("--ttft", "20ms", "--itl", "4ms", "--fault", "server-error,cut", "--fault-every", "7") as server:
        load = LoadConfig(concurrency=4, slo="ttft.p90<30ms tpot<4.5ms")
        result, _ = run(asked(server.url, requests=80, load=load), tmp_path)
    assert result.load is not None
    assert len(result.load.errors) == 2
    store = Store(tmp_path)
    (outcome,) = Recomputation(store).outcomes()
    assert (outcome.refused, outcome.changes) == ("", ())
    # Figures as somebody else had them.
    wrong = replace(
        result, summary=replace(result.summary, ttft=None), load=replace(result.load, goodput=99.0, stop=None)
    )
    store.supersede(result, wrong)
    (outcome,) = Recomputation(store).outcomes()
    assert outcome.result is not None
    assert outcome.result.load is not None
    assert outcome.result.load.goodput == pytest.approx(result.load.goodput)
    assert outcome.result.summary.ttft == result.summary.ttft
    assert outcome.result.load.client == result.load.client
    (tmp_path / result.id / "requests.jsonl").write_bytes(b"")
    (outcome,) = Recomputation(store).outcomes()
    assert "request lines" in outcome.refused


def test_a_server_that_the_run_starts_is_measured_and_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the place of llama-server a program that starts the mock on the port that it is told."""
    script = tmp_path / "llama-server"
    script.write_text(
        f"#!{sys.executable}\n"
        "import os, sys\n"
        "port = sys.argv[sys.argv.index('--port') + 1]\n"
        "command = [sys.executable, '-m', 'infertui', 'mock-server', '--port', port, '--ttft', '5ms', '--itl', '1ms']\n"
        "os.execv(sys.executable, command)\n"
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    config = asked("", requests=20, serve="llama-server")
    model = write_sample(tmp_path / "model.gguf")
    config = msgspec.structs.replace(
        config,
        model=ModelConfig(id=str(model)),
        engine=EngineConfig(name="llama-cpp"),
        device=DeviceConfig(name="cpu"),
    )
    result, events = run(config, tmp_path / "out")
    assert result.state == "finished", result.error
    assert result.setup.model == str(model)
    phases = [event.phase for event in events if isinstance(event, PhaseEntered)]
    assert phases[:3] == ["load", "probe", "warmup"]
    assert (tmp_path / "out" / result.id / "server.log").exists()
    assert 'url = ""' in (tmp_path / "out" / result.id / "run.toml").read_text()
    assert not [child for child in psutil.Process().children(recursive=True) if "mock-server" in child.cmdline()[3:]]


def test_a_tokenizer_here_counts_beside_the_server(mock: MockProcess, tmp_path: Path) -> None:
    """Of a synthetic model it makes a token of each byte: of the mock's words several."""
    result, _ = run(asked(mock.url, requests=8, tokenizer="synthetic:nano"), tmp_path)
    records = lines(tmp_path, result.id)
    assert all(record.local_tokens is not None and record.local_tokens > 2 * OUTPUT for record in records)
    assert {record.asked_prompt_tokens for record in records} == {16}
    assert result.load is not None
    assert result.load.local_ratio is not None
    assert result.load.local_ratio > 2
    refused, _ = run(asked(mock.url, requests=8, tokenizer=str(tmp_path)), tmp_path)
    assert refused.state == "failed"
    assert refused.error is not None
    assert "target.tokenizer" in refused.error.message


def test_the_server_s_own_page_is_read_while_it_is_under_load(mock: MockProcess, tmp_path: Path) -> None:
    result, _ = run(asked(mock.url, seconds=3.0), tmp_path)
    server = result.server
    assert server is not None
    assert server.counted is not None
    assert server.pages >= 3
    assert server.running_max is not None
    assert 0 < server.running_max <= 4
    good = len([record for record in lines(tmp_path, result.id) if not record.error])
    assert server.counted.output_tokens == pytest.approx(good * OUTPUT, rel=0.1)


def _clients() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if "infertui.worker.loadgen" in child.cmdline()]
