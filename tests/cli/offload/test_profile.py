"""`infertui profile` as it is typed, with real workers of the simulator on the stub: it finds what the law says."""

import json
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import msgspec
import pytest
from support.offload_law import Law
from support.runs import clean_environment, infertui
from typer.testing import CliRunner

from infertui.analysis.offload.study import OffloadStudy
from infertui.cli.main import app
from infertui.errors import InfertuiError
from infertui.results.runs import Store

FAST = ("--set", "measurement.min_seconds=0", "--iterations", "3", "--osl", "4", "--set", "measurement.warmup=1")


def typed(law: Law) -> list[str]:
    """The law as settings of the simulator."""
    settings = {
        "layers": law.layers, "step_ms": law.step_ms, "ttft_ms": law.step_ms, "cpu_layer_ms": law.cpu_layer_ms,
        "gpu_layer_ms": law.gpu_layer_ms, "gpu_mib": law.base_mib, "gpu_layer_mib": law.layer_mib,
        "gpu_free_mib": law.total_mib - law.others_mib, "virtual_time": "true",
    }  # fmt: skip
    return [
        "--engine",
        "simulator",
        *FAST,
        *(f"--set=engine.simulator.{key}={value}" for key, value in settings.items()),
    ]


def on_card(law: Law, stub: Path, home: Path) -> dict[str, str]:
    return clean_environment(
        LD_LIBRARY_PATH=str(stub), NVML_STUB_TOTAL_MIB=str(law.total_mib), NVML_STUB_USED_MIB=str(law.others_mib),
        NVML_STUB_THROTTLE="1", XDG_CONFIG_HOME=str(home), HOME=str(home),
    )  # fmt: skip


@pytest.mark.parametrize(("total_mib", "others_mib"), [(4096, 0), (6144, 1100), (12288, 0)])
def test_the_optimum_is_that_of_an_exhaustive_sweep(
    tmp_path: Path, nvml_stub: Path, total_mib: int, others_mib: int
) -> None:
    law = Law(23, total_mib=total_mib, others_mib=others_mib)
    done = infertui(
        "profile", "synthetic:nano", *typed(law), "--json", cwd=tmp_path, environment=on_card(law, nvml_stub, tmp_path)
    )
    assert done.returncode == 0, done.stderr
    found = msgspec.json.decode(done.stdout, type=OffloadStudy)
    assert 4 * found.runs <= found.exhaustive == 24
    measured = {row.point.layers: row.point for row in found.rows if row.point.measured}
    for layers, point in measured.items():
        assert point.throughput == pytest.approx(law.speed(layers))
        assert point.vram == law.mib(layers) * 2**20
        assert point.vram_share == pytest.approx(law.mib(layers) / total_mib)
    assert found.optimum is not None
    assert law.speed(found.optimum) >= 0.95 * law.best()[1]
    assert found.layer_memory.measured == pytest.approx(law.layer_mib * 2**20)
    kept = (tmp_path / "reports" / found.study / "profile.json").read_bytes()
    assert msgspec.json.decode(kept, type=OffloadStudy) == found
    runs = Store(tmp_path / "reports").results(warn=pytest.fail)
    assert {run.id for run in runs} == {row.point.run for row in found.rows}
    (profiles,) = (tmp_path / "infertui" / "profiles").glob("*.toml")
    toml = tomllib.loads(profiles.read_text())
    assert toml["gpu"] == "NVIDIA Stub"
    for name, low, high in (("fast", 0, 0.5), ("balanced", 0.5, 0.7), ("performance", 0.7, 0.85)):
        if name in toml["profiles"]:
            profile = toml["profiles"][name]
            assert low <= law.mib(profile["n_gpu_layers"]) / total_mib < high
            assert profile["throughput"] == pytest.approx(law.speed(profile["n_gpu_layers"]))
    assert toml["profiles"]["cpu_fallback"]["n_gpu_layers"] == 0


def test_a_failure_is_a_row_and_the_table_says_what_it_comes_to(tmp_path: Path, nvml_stub: Path) -> None:
    law = Law(23, total_mib=4096)
    done = infertui(
        "profile", "synthetic:nano", *typed(law), "--layers", "0,8,16,-1,99", "--ascii",
        "--osl", "64", "--set", "measurement.warmup=auto",
        cwd=tmp_path, environment=on_card(law, nvml_stub, tmp_path) | {"XDG_CONFIG_HOME": "/proc/nowhere"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "the profiles could not be kept" in done.stderr
    rows = {cells[0].lstrip("*"): line for line in done.stdout.splitlines() if (cells := line.lstrip("* ").split())}
    assert "out-of-memory" in rows["23"], "-1 and 99 are all layers, once"
    assert "over the ceiling" in rows["16"]
    assert "optimum: 8 of 23 layers under the ceiling of 85%" in done.stdout
    assert "200.0 MiB per layer" in done.stdout
    assert "FAST " in done.stdout
    assert done.stdout.isascii()
    assert "kept as reports/profile-" in done.stdout
    runs = Store(tmp_path / "reports").results(warn=pytest.fail)
    warmups = [run.own_config.measurement.warmup for run in runs]
    # 64 tokens take 6 s without a layer on the GPU, 4.2 s with 8 of them, 2.4 s with 16.
    assert warmups == [2, 1, 1, 1]


def test_a_study_that_is_interrupted_goes_on(tmp_path: Path, nvml_stub: Path) -> None:
    law = Law(23)
    environment = on_card(law, nvml_stub, tmp_path)
    command = [sys.executable, "-m", "infertui", "profile", "synthetic:nano", *typed(law), "--ui", "plain"]
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        next(line for line in process.stdout if line.strip().startswith("2 of at most"))
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    study = errors.rpartition("--continue ")[2].strip()
    before = {run.id for run in Store(tmp_path / "reports").results(warn=pytest.fail) if run.state == "finished"}
    assert before
    higher = ("--vram-ceiling", "90%")
    done = infertui("profile", "--continue", study[:-2], *higher, "--json", cwd=tmp_path, environment=environment)
    assert done.returncode == 0, done.stderr
    assert '"ceiling":0.9' in done.stdout.replace(" ", "")
    found = msgspec.json.decode(done.stdout, type=OffloadStudy)
    assert before <= {row.point.run for row in found.rows}, "what was measured is not measured again"
    assert found.runs == 6
    assert law.speed(found.optimum or 0) >= 0.95 * law.best()[1]
    again = infertui("profile", "--continue", study[:-2], "--dry-run", cwd=tmp_path, environment=environment)
    assert (again.returncode, again.stdout) == (0, "nothing is left to measure\n"), again.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("synthetic:nano", "--engine", "transformers"), "transformers cannot be studied by layers on the GPU"),
        (("synthetic:nano", "--engine", "vllm"), "engine.vllm.kv_cache_mib"),
        (("synthetic:nano", "--engine", "simulator"), "engine.simulator.layers=24"),
        (("synthetic:nano", "--quick", "--full"), "exclude each other"),
        (("synthetic:nano", "--layers", "0,x"), "--layers"),
        (("synthetic:nano", "--layers", "0,2.5"), "2.5 is no number of layers"),
        (("synthetic:nano", "--vram-ceiling", "850%"), "--vram-ceiling '850%'"),
        (("--continue", "profile-2020", "--vram-ceiling", "850%"), "--vram-ceiling '850%'"),
        (("synthetic:nano", "--engine", "simulator", "--ctx", "4096"), "simulator has no n_ctx"),
        (("synthetic:nano", "--set", "engine.llama_cpp.n_gpu_layers=3"), "--layers LIST says which"),
        (("synthetic:nano", "--set", "sweep.grid.workload.batch_size=1,2"), "--layers LIST says which"),
        (("synthetic:nono",), "synthetic:nano"),
        ((), "which model?"),
        (("--continue", "profile-2020"), "there is no study 'profile-2020'"),
        (("synthetic:nano", "--continue", "profile-2020"), "nothing of what it measures can be changed"),
    ],
)
def test_what_cannot_be_is_refused_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    error = CliRunner().invoke(app, ["profile", *arguments]).exception
    assert isinstance(error, InfertuiError)
    assert said in str(error)
    assert not (tmp_path / "reports").exists()


def test_without_a_gpu_it_says_so_and_measures_no_layer_there(tmp_path: Path) -> None:
    pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed")
    done = infertui(
        "profile", "synthetic:nano", *FAST, "--quick", "--json", cwd=tmp_path,
        environment=clean_environment(XDG_CONFIG_HOME=str(tmp_path), CUDA_VISIBLE_DEVICES="-1"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert [row["point"]["layers"] for row in document["rows"]] == [0]
    assert "no layer was put on a GPU" in document["notes"][0]
    assert document["profiles"].keys() >= {"cpu_fallback"}


def test_what_would_be_measured_is_listed(tmp_path: Path, nvml_stub: Path) -> None:
    law = Law(23)
    listed = infertui(
        "profile", "synthetic:nano", *typed(law), "--full", "--dry-run",
        cwd=tmp_path, environment=on_card(law, nvml_stub, tmp_path),
    )  # fmt: skip
    assert [line.rpartition("=")[2] for line in listed.stdout.splitlines()] == [
        "0",
        "3",
        "6",
        "9",
        "12",
        "14",
        "17",
        "20",
        "23",
    ]
    assert not (tmp_path / "reports").exists()
