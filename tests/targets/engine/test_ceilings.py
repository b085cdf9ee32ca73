"""What is measured of a device, with plans so small that the figures mean nothing."""

import builtins
from typing import Any

import pytest

from infertui.errors import EngineError
from infertui.measure.roofline import FORMATS
from infertui.targets.engine.peaks.cpu import CpuBench
from infertui.targets.engine.peaks.cuda import CudaBench
from infertui.targets.engine.peaks.peaks import (
    FULL_CUDA,
    Missing,
    PeaksDone,
    PeaksPlan,
    Rate,
    Started,
    best_size,
    measure,
)
from infertui.targets.engine.peaks.pick import pick

TINY = PeaksPlan(copy_s=0.02, format_s=0.02, repeats=3, copy_bytes=1 << 24, largest=512)


def without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def refuse(name: str, *rest: Any, **more: Any) -> Any:
        if name == "torch":
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", refuse)


def test_a_cpu_is_measured_in_each_format() -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed here")
    bench = CpuBench(1, TINY)
    assert bench.subject.threads == 1
    assert bench.subject.software.startswith("torch ")
    told = list(measure(bench))
    assert [one.what for one in told if isinstance(one, Started)] == ["copy", *bench.formats]
    rates = {one.what: one for one in told if isinstance(one, Rate)}
    assert set(rates) >= {"copy", "float32", "bfloat16"}
    assert all(len(rate.rates) >= 3 and min(rate.rates) > 0 for rate in rates.values())
    assert rates["copy"].size == "16.0 MiB to another 16.0 MiB by 1 threads"
    assert rates["float32"].size == "512 x 512 x 512"
    assert isinstance(told[-1], PeaksDone)


def test_without_torch_numpy_measures_what_it_can(monkeypatch: pytest.MonkeyPatch) -> None:
    without_torch(monkeypatch)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    bench = CpuBench(0, TINY)
    assert bench.subject.software.startswith("numpy ")
    assert bench.subject.threads == 2
    told = list(measure(bench))
    assert {one.what for one in told if isinstance(one, Rate)} == {"copy", "float32"}
    missing = {one.what: one.reason for one in told if isinstance(one, Missing)}
    assert set(missing) == {"float16", "bfloat16", "int8"}
    assert all("PyTorch is not installed" in reason for reason in missing.values())


def test_a_gpu_that_was_asked_for_has_to_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed here")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(EngineError, match="there is no cuda:2: PyTorch sees 2 GPUs"):
        pick("cuda:2", 0, quick=True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(EngineError) as told:
        pick("cuda", 0, quick=True)
    assert "--device cpu" in told.value.remedy
    assert isinstance(pick("auto", 1, quick=True), CpuBench)
    without_torch(monkeypatch)
    with pytest.raises(EngineError, match="not installed"):
        pick("cuda", 0, quick=True)


def sizes_tried(budget_s: float, seconds: dict[int, float]) -> tuple[list[int], int, int]:
    """Sizes, the best one, and its repetitions, with a clock that is told what each takes."""
    tried: list[int] = []

    def prepare(n: int) -> Any:
        tried.append(n)
        return lambda: seconds[n]

    found = best_size(tuple(seconds), budget_s, prepare, 5)
    assert found is not None
    return tried, found[0], len(found[1])


def test_the_size_with_the_highest_rate_counts() -> None:
    # 1024^3 / 1 ms, 2048^3 / 4 ms (twice the rate), 4096^3 / 40 ms (less).
    assert sizes_tried(10.0, {1024: 1e-3, 2048: 4e-3, 4096: 40e-3}) == ([1024, 2048, 4096], 2048, 5)


def test_a_size_that_does_not_fit_into_the_time_is_not_tried() -> None:
    # After 1 + 3 times 0.1 s there is 0.6 s left; eight times the work, thrice, would be 2.4 s.
    assert sizes_tried(1.0, {1024: 0.1, 2048: 0.2}) == ([1024], 1024, 5)
    assert best_size((), 1.0, lambda n: lambda: 1.0, 5) is None


@pytest.mark.gpu
def test_a_gpu_reaches_much_of_its_datasheet() -> None:
    from infertui.analysis.roofline import device_named

    bench = CudaBench(0, FULL_CUDA)
    assert bench.subject.uuid.startswith("GPU-")
    device = device_named(bench.subject.device)
    for told in measure(bench):
        assert not isinstance(told, Missing), told
        if isinstance(told, Rate) and device:
            sheet = device.datasheet(told.what)
            assert sheet is not None
            assert 0.4 < max(told.rates) / sheet < 1.05, told
    assert set(bench.formats) == set(FORMATS)
