"""What a worker sees: the GPUs planned for it alone, whatever is numbered how, and the names that it gives them."""

from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace
from support.fake_engine import Behaviour, install
from support.fake_spec import NAME
from support.runs import run, simulated

from infertui.config.schema import DeviceConfig, EngineConfig
from infertui.errors import ConfigError
from infertui.results.result import Result
from infertui.runner.execution.loading import Choice, as_asked, as_the_worker_sees, planned_gpus, worker_environment
from infertui.targets.engine.base import Probe
from infertui.telemetry.readings import GpuInfo
from infertui.telemetry.sampler import Sampler

FIRST, SECOND, THIRD = (GpuInfo(index, f"GPU-{index}") for index in range(3))
HERE = (FIRST, SECOND, THIRD)
UUIDS = [f"GPU-{0xA0000000 + index:08x}-0000-4000-8000-{index:012d}" for index in range(3)]
"""Those of the stub driver."""


def test_a_worker_gets_no_credentials() -> None:
    current = {"HF_TOKEN": "a", "OPENAI_API_KEY": "b", "db_password": "c", "HF_HOME": "/models", "TOKENIZERS_X": "d"}
    assert worker_environment(DeviceConfig(), (), current).keys() - {
        "PYTHONUNBUFFERED", "CUDA_DEVICE_ORDER", "TOKENIZERS_PARALLELISM",
    } == {"HF_HOME", "TOKENIZERS_X"}  # fmt: skip


def planned(device: DeviceConfig, gpus: tuple[GpuInfo, ...] = HERE, ranks: int = 1) -> tuple[GpuInfo, ...]:
    engine = EngineConfig(name="transformers", tensor_parallel=ranks)
    choice = Choice(engine, Probe(engine.name, available=True, reason=""))
    return planned_gpus(replace(simulated(), device=device), gpus, choice)


@pytest.mark.parametrize(
    ("name", "visible", "ranks", "inherited", "value", "seen"),
    [
        ("auto", "", 1, None, "GPU-0", "auto"),
        ("cuda", "", 1, None, "GPU-0", "cuda"),
        ("cuda:0", "", 1, None, "GPU-0", "cuda:0"),
        ("cuda:1", "", 1, None, "GPU-1", "cuda:0"),
        ("cuda:2", "", 1, None, "GPU-2", "cuda:0"),
        # The user's own variable, which the config repeats, numbers what is left.
        ("cuda:0", "1", 1, "1", "GPU-1", "cuda:0"),
        ("cuda:1", "2,0", 1, "2,0", "GPU-0", "cuda:0"),
        ("auto", "GPU-2", 1, "GPU-2", "GPU-2", "auto"),
        # The runner was started with another variable than the run's: the run's counts.
        ("cuda:1", "", 1, "2", "GPU-1", "cuda:0"),
        ("auto", "", 2, None, "GPU-0,GPU-1", "auto"),
        ("cuda:1", "", 2, None, "GPU-1,GPU-2", "cuda:0"),
        ("cuda:1", "2,1,0", 2, None, "GPU-1,GPU-0", "cuda:0"),
        ("cpu", "", 1, "1", "-1", "cpu"),
    ],
)
def test_a_worker_sees_the_gpus_of_its_run_and_no_others(
    name: str, visible: str, ranks: int, inherited: str | None, value: str | None, seen: str
) -> None:
    device = DeviceConfig(name=name, visible=visible)
    gpus = planned(device, ranks=ranks)
    current = {} if inherited is None else {"CUDA_VISIBLE_DEVICES": inherited}
    assert worker_environment(device, HERE, current, planned=gpus).get("CUDA_VISIBLE_DEVICES") == value
    assert as_the_worker_sees(device, gpus).name == seen


@pytest.mark.parametrize(
    ("name", "visible", "said"),
    [
        ("cuda:3", "", "is cuda:3, but this run can see 3 of 3 GPUs"),
        ("cuda:1", "2", "is cuda:1, but this run can see 1 of 3 GPUs, since device.visible"),
        ("cuda", "-1", "is cuda, but this run can see 0 of 3 GPUs, since device.visible"),
    ],
)
def test_a_gpu_that_the_run_cannot_see_is_refused_before_a_worker_starts(name: str, visible: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        planned(DeviceConfig(name=name, visible=visible))


def test_the_only_gpu_of_a_machine_needs_no_name() -> None:
    device = DeviceConfig(name="cuda:0")
    assert "CUDA_VISIBLE_DEVICES" not in worker_environment(device, (FIRST,), {}, planned=planned(device, (FIRST,)))


def test_without_a_driver_to_ask_the_engine_finds_the_gpu_by_its_number() -> None:
    device = DeviceConfig(name="cuda:1")
    assert planned(device, ()) == ()
    assert "CUDA_VISIBLE_DEVICES" not in worker_environment(device, (), {})
    assert as_the_worker_sees(device, ()) == device


@pytest.mark.parametrize(
    ("found", "name", "told"),
    [
        ("cuda:0", "cuda:2", "cuda:2"),
        ("cuda:1", "cuda:1", "cuda:2"),
        ("cuda:0", "auto", "cuda:0"),
        ("cpu", "auto", "cpu"),
    ],
)
def test_what_a_worker_calls_its_gpu_is_told_in_the_numbers_of_the_config(found: str, name: str, told: str) -> None:
    assert as_asked(found, DeviceConfig(name=name), HERE[:1]) == told


def test_runs_on_two_gpus_each_see_their_own(
    tmp_path: Path, stub_settings: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In real worker processes, over a driver that shows two GPUs."""
    stub_settings(gpus=2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr("infertui.runner.runner.Sampler", Sampler)
    install(monkeypatch, tmp_path, Behaviour(on_a_gpu=True))
    made = simulated(measurement__iterations=2, workload__output_len=2)
    on = [
        replace(made, engine=EngineConfig(name=NAME), device=DeviceConfig(name=f"cuda:{index}")) for index in range(2)
    ]
    results, _ = run(*on, *on, out=tmp_path / "out")
    assert [result.state for result in results] == ["finished"] * 4

    def told(result: Result) -> tuple[str, str, str, str]:
        assert result.loaded is not None
        details = result.loaded.details
        return result.loaded.device, result.loaded.device_uuid, details["visible"], details["device"]

    assert [told(result) for result in results] == [
        (f"cuda:{index}", UUIDS[index], UUIDS[index], "cuda:0") for index in (0, 1, 0, 1)
    ]
