"""Figures of static batches stay as they once were, to the last digit.

same_numbers.json holds summaries, and request lines, as of when a batch was what was measured; see `write` for how it
came about. A figure that was only added is not looked at, and one that changed is a fault.
"""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace
from support.fake_engine import ALL, Behaviour, FakeEngine, loaded
from support.fake_spec import NAME, SPEC

from infertui.config.engines.registry import SPECS
from infertui.config.engines.simulator import SimulatorOptions
from infertui.config.schema import DeviceConfig, EngineConfig, MeasurementConfig, ModelConfig, WorkloadConfig
from infertui.measure.clock import VirtualClock
from infertui.measure.records import BatchRecord, EngineMemory, RequestRecord, request_records
from infertui.measure.summary import summarise
from infertui.runner.recovery import batches_of
from infertui.targets.engine.base import LoadRequest
from infertui.targets.engine.simulator import SimulatorEngine
from infertui.targets.engine.target import EngineTarget
from infertui.worker.protocol import BatchDone, Event, Measure
from infertui.worker.session import Session
from infertui.worker.stamps import Progress

KEPT_RUNS = Path(__file__).parents[1] / "kept_runs"
EXPECTED = Path(__file__).with_name("same_numbers.json")
PROMPTS = ("a", "three words here", "a longer one, of several more bytes", "short")
SIMULATED: dict[str, tuple[SimulatorOptions, int, int, int]] = {
    "one at a time": (SimulatorOptions(ttft_ms=7.3, step_ms=1.7, jitter_ms=0.9), 1, 5, 24),
    "eight at a time": (SimulatorOptions(ttft_ms=31.1, step_ms=3.3, jitter_ms=2.1), 8, 12, 40),
    "some fail": (SimulatorOptions(ttft_ms=5, step_ms=2, jitter_ms=0.5, fail_every=3), 2, 7, 10),
    "too short": (SimulatorOptions(ttft_ms=5, step_ms=2, jitter_ms=0.5, short_by=2), 3, 4, 9),
    "one token": (SimulatorOptions(ttft_ms=5.5, step_ms=2), 4, 3, 1),
}
"""By name: the simulator, requests in a batch, batches, and tokens of each request."""
BY_SEQUENCE = [(0, 1, 10.0), (0, 1, 5.5), (1, 2, 5.1), (0, 2, 5.7), (1, 1, 5.3), (1, 1, 4.9)]
TOGETHER = [(ALL, 2, 50.3), (ALL, 1, 10.7), (ALL, 1, 14.9)]


@pytest.fixture(autouse=True)
def _known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SPECS, NAME, SPEC)


@pytest.fixture(scope="module")
def expected() -> dict[str, Any]:
    """By the name of a run."""
    found: dict[str, Any] = msgspec.json.decode(EXPECTED.read_bytes())
    return found


def simulated(options: SimulatorOptions, size: int, iterations: int, output_len: int) -> list[BatchRecord]:
    """The measured batches of a session with the simulator on a virtual clock."""
    clock = VirtualClock()
    config = EngineConfig(name="simulator", simulator=options)
    engine = SimulatorEngine(clock)
    told = engine.load(LoadRequest(ModelConfig(id="synthetic:nano"), config, DeviceConfig()))
    command = Measure(
        WorkloadConfig(batch_size=size, output_len=output_len), MeasurementConfig(warmup=2), PROMPTS, iterations
    )
    return _measured(engine, told, config, command, clock)


def faked(steps: list[Any]) -> list[BatchRecord]:
    """The same of an engine that tells of its steps as it is told to."""
    clock, behaviour = VirtualClock(), Behaviour(steps=steps)
    command = Measure(WorkloadConfig(batch_size=2, output_len=4), MeasurementConfig(warmup=1), PROMPTS, 4)
    return _measured(FakeEngine(clock, behaviour), loaded(behaviour), EngineConfig(name=NAME), command, clock)


def _measured(engine: Any, told: Any, config: EngineConfig, command: Measure, clock: VirtualClock) -> list[BatchRecord]:
    events: list[Event] = []
    target = EngineTarget(engine, LoadRequest(ModelConfig(), config, DeviceConfig()), told)
    Session(
        target, command, clock=clock, progress=Progress(clock), emit=events.append,
        await_proceed=lambda: None, cancelled=lambda: False,
    ).run()  # fmt: skip
    batches = [event.batch for event in events if isinstance(event, BatchDone) and event.batch.phase == "measure"]
    # What this process takes of the host's memory is another number every time.
    return [replace(batch, memory=EngineMemory()) for batch in batches]


def lines_of(batches: list[BatchRecord]) -> list[RequestRecord]:
    """As a run's folder has them."""
    origin = batches[0].start_ns
    return [
        line
        for batch in batches
        for line in request_records(batch, origin_ns=origin, power_w=50.0, energy_j=batch.seconds * 50)
    ]


def summary_of(batches: list[BatchRecord]) -> dict[str, Any]:
    """As a result has it, through JSON."""
    found: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(summarise(batches)))
    return found


def runs() -> dict[str, list[BatchRecord]]:
    """All that are measured here."""
    found = {name: simulated(*setting) for name, setting in SIMULATED.items()}
    return found | {"by sequence": faked(BY_SEQUENCE), "steps of several": faked(TOGETHER)}


def kept(run: str) -> list[RequestRecord]:
    """The request lines of a kept run, as an earlier version wrote them."""
    lines = (KEPT_RUNS / run / "requests.jsonl").read_bytes().splitlines()
    return [msgspec.json.decode(line, type=RequestRecord) for line in lines]


def write() -> None:
    """Make the file anew, of the code as it is: done once, before a request became what is measured.

    `live` is summed up from what a worker sent, `read` from the lines as they come back from a file.
    """
    SPECS[NAME] = SPEC
    found: dict[str, Any] = {
        name: {
            "live": summary_of(batches),
            "lines": lines_of(batches),
            "read": summary_of(batches_of(lines_of(batches))),
        }
        for name, batches in runs().items()
    }
    for path in sorted(KEPT_RUNS.glob("*/requests.jsonl")):
        found[path.parent.name] = {"read": summary_of(batches_of(kept(path.parent.name)))}
    EXPECTED.write_bytes(msgspec.json.encode(found) + b"\n")


def same(now: Any, before: Any) -> None:
    """Every figure of before is there, and the same, at any depth."""
    if isinstance(before, dict):
        assert {key for key in before if key not in now} == set()
        for key, value in before.items():
            same(now[key], value)
    elif isinstance(before, list):
        assert len(now) == len(before)
        for one, other in zip(now, before, strict=True):
            same(one, other)
    else:
        assert now == before


@pytest.mark.parametrize("run", sorted(path.parent.name for path in KEPT_RUNS.glob("*/requests.jsonl")))
def test_a_kept_run_has_the_same_figures(run: str, expected: dict[str, Any]) -> None:
    same(summary_of(batches_of(kept(run))), expected[run]["read"])


@pytest.mark.parametrize("run", [*SIMULATED, "by sequence", "steps of several"])
def test_a_run_has_the_same_figures_and_lines(run: str, expected: dict[str, Any]) -> None:
    batches, before = runs()[run], expected[run]
    same(summary_of(batches), before["live"])
    lines = lines_of(batches)
    same(msgspec.json.decode(msgspec.json.encode(lines)), before["lines"])
    same(summary_of(batches_of(lines)), before["read"])
    # Lines of an earlier version are read as they were.
    same(summary_of(batches_of(msgspec.convert(before["lines"], list[RequestRecord], str_keys=True))), before["read"])


def test_what_is_compared_is_no_empty_thing(expected: dict[str, Any]) -> None:
    assert len(expected) == 15
    for name, run in expected.items():
        assert run["read"]["requests"] > 0, name
        assert run["read"]["output_throughput"] > 0, name
    assert expected["some fail"]["live"]["failed"] > 0
    assert [expected[name]["lines"][0]["own_times"] for name in ("by sequence", "steps of several")] == [True, False]
