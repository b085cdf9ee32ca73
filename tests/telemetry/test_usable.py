"""GPUs that the driver shows and PyTorch cannot use."""

import subprocess
import sys
from pathlib import Path

import pytest
from support.runs import clean_environment, infertui

from infertui.targets.engine.base import Probe
from infertui.targets.engine.base import probe as engine_probe
from infertui.targets.engine.torch_build import NO_CUDA, cuda_of_torch
from infertui.telemetry.readings import GpuInfo
from infertui.telemetry.usable import hindrance


def gpu(cuda: str | None) -> GpuInfo:
    return GpuInfo(index=0, uuid="GPU-0", name="NVIDIA H200", driver="580.65", cuda_driver=cuda)


def probe(cuda: str, *, available: bool = True) -> Probe:
    return Probe("transformers", available=available, reason="", versions={"torch": "2.13.0"}, cuda=cuda)


@pytest.mark.parametrize(
    ("built", "driver", "said"),
    [
        (NO_CUDA, "13.0", "built without CUDA"),
        (NO_CUDA, None, "built without CUDA"),
        ("13.0", "12.9", "built for CUDA 13.0, and the driver 580.65 supports CUDA 12.9 at most"),
        ("13.2", "13.0", ""),  # minor versions of a major one run on each other
        ("12.8", "13.0", ""),
        ("12.8", "12.2", ""),
        ("13.0", None, ""),
        ("", "12.2", ""),
    ],
)
def test_what_keeps_pytorch_from_a_gpu_is_told_with_a_remedy(built: str, driver: str | None, said: str) -> None:
    found = hindrance(probe(built), [gpu(driver)])
    assert (found is not None) == bool(said)
    if found:
        assert said in found.reason
        assert "pytorch.org" in found.remedy


def test_without_gpus_or_without_the_engine_there_is_nothing_to_hinder() -> None:
    assert hindrance(probe(NO_CUDA), []) is None
    assert hindrance(probe(NO_CUDA, available=False), [gpu("13.0")]) is None


@pytest.mark.parametrize(
    ("text", "cuda"),
    [
        ("cuda: Optional[str] = '12.8'\n", "12.8"),
        ('__version__ = "1"\ncuda = "11.7"\nhip = None\n', "11.7"),
        ("cuda: Optional[str] = None\nhip: Optional[str] = '6.4'\n", NO_CUDA),
        ("nothing of the kind", ""),
        ("\0" * 100, ""),
    ],
)
def test_what_pytorch_was_built_for_is_read_without_importing_it(text: str, cuda: str, tmp_path: Path) -> None:
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text("raise ImportError('it was imported')")
    (tmp_path / "torch" / "version.py").write_text(text)
    code = "from infertui.targets.engine.torch_build import cuda_of_torch; print(cuda_of_torch())"
    done = subprocess.run(
        [sys.executable, "-c", code], env=clean_environment(PYTHONPATH=str(tmp_path)), capture_output=True, text=True,
        check=True, timeout=60,
    )  # fmt: skip
    assert done.stdout.strip() == cuda


def test_it_is_what_pytorch_says_of_itself() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    assert cuda_of_torch() == (torch.version.cuda or NO_CUDA)


def stubbed(nvml_stub: Path, **more: str) -> dict[str, str]:
    return clean_environment(LD_LIBRARY_PATH=str(nvml_stub), **more)


def test_a_gpu_that_cannot_be_used_is_refused_at_once_and_leaves_no_folder(tmp_path: Path, nvml_stub: Path) -> None:
    if cuda_of_torch() != NO_CUDA:
        pytest.skip("this PyTorch is built for CUDA, or is not installed")
    done = infertui("run", "demo", "--device", "cuda", cwd=tmp_path, environment=stubbed(nvml_stub))
    assert done.returncode == 2
    assert "built without CUDA" in done.stderr
    assert "pytorch.org" in done.stderr
    assert not (tmp_path / "reports").exists()
    told = infertui("doctor", cwd=tmp_path, environment=stubbed(nvml_stub)).stdout
    assert "is built without CUDA and cannot use the GPUs" in told


def test_a_llama_cpp_for_the_cpu_is_no_reason_for_a_failed_run(tmp_path: Path, nvml_stub: Path) -> None:
    pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed")
    if engine_probe("llama-cpp").cuda != NO_CUDA:
        pytest.skip("this llama-cpp-python is built for GPUs, or does not tell")
    request = ("run", "--engine", "llama-cpp", "--model", "synthetic:nano", "--device", "cuda")
    for environment in (stubbed(nvml_stub), clean_environment()):
        done = infertui(*request, cwd=tmp_path, environment=environment)
        assert done.returncode == 2
        assert "is built without CUDA" in done.stderr
        assert "llama-cpp-python" in done.stderr
        assert not (tmp_path / "reports").exists()
    found = hindrance(engine_probe("llama-cpp"), [gpu("13.0")])
    assert found is not None
    assert "GGML_CUDA" in found.remedy


def test_hidden_gpus_are_told(tmp_path: Path, nvml_stub: Path) -> None:
    environment = stubbed(nvml_stub, CUDA_VISIBLE_DEVICES="-1")
    told = infertui("doctor", cwd=tmp_path, environment=environment).stdout
    assert "CUDA_VISIBLE_DEVICES=-1 hides every GPU from runs" in told


@pytest.mark.parametrize(
    ("request_", "code", "said"),
    [
        (("--model", "no-such/model", "--device", "cpu"), 1, "is not on this machine"),
        (("--model", "https://me:secret@hub/x", "--device", "cpu"), 1, "'https://***@hub/x' is neither"),
        (("--engine", "simulator", "--prompts-file", "missing.txt"), 2, "cannot read"),
        (("--engine", "transformers", "--engine-python", "/no/such/python"), 1, "there is no such file"),
        (("--engine", "openvino", "--device", "cuda"), 2, "computes on CPUs alone"),
        (
            ("--model", "synthetic:nano", "--device", "cpu", "--speculation", "prompt-lookup", "--isl", "8"),
            2,
            "has random weights",
        ),
    ],
)
def test_a_request_that_is_known_to_be_wrong_leaves_no_folder(
    request_: tuple[str, ...], code: int, said: str, tmp_path: Path
) -> None:
    done = infertui("run", *request_, cwd=tmp_path)
    assert done.returncode == code
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "reports").exists()


def test_of_a_sweep_what_can_run_runs(tmp_path: Path) -> None:
    done = infertui(
        "run", "--engine", "simulator,transformers", "--set", "engine.simulator.virtual_time=true", "--model",
        "no-such/model", "-n", "3", "--json", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 1
    assert [line.count('"state":"finished"') for line in done.stdout.splitlines()] == [1]
    assert "engine=transformers is refused" in done.stderr
    assert "infertui models pull no-such/model" in done.stderr
    assert len([path for path in (tmp_path / "reports").iterdir() if path.is_dir()]) == 1
