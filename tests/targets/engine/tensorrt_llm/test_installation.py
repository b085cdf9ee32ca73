"""Whether TensorRT-LLM can be used, found out without importing it, and its import on trial."""

import json
import re
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from support import trtllm
from support.daemons import wait_until

from infertui.errors import EngineError
from infertui.targets.engine.base import Probe, probe
from infertui.targets.engine.gpus import Driver, Gpu, visible
from infertui.targets.engine.tensorrt_llm import installation
from infertui.targets.engine.tensorrt_llm import installation as trial
from infertui.targets.engine.tensorrt_llm.options import parse

Install = Callable[..., Path]
Put = Callable[[Driver | None], None]


def found() -> Probe:
    answer = probe("tensorrt-llm")
    assert "tensorrt_llm" not in sys.modules, "it was imported"
    return answer


def test_nothing_installed_is_said_with_the_way_out() -> None:
    answer = found()
    assert not answer.available
    assert answer.reason == "tensorrt_llm is not installed"
    assert "3.12" in answer.remedy
    assert "nvcr.io" in answer.remedy


@pytest.mark.parametrize("line", ["1.0", "1.1", "1.2", "later"])
def test_each_line_is_usable_and_says_what_it_can_and_that_it_was_not_run(line: str, install: Install) -> None:
    install(line, before="raise SystemExit('imported')\n")
    answer = found()
    assert answer.available
    assert answer.versions["tensorrt_llm"] == trtllm.VERSIONS[line]
    assert ("built engines" in answer.reason) is True
    assert ("alone, no built engines" in answer.reason) is (line == "later")
    assert installation.NOT_RUN in answer.reason


def test_it_takes_milliseconds(install: Install) -> None:
    install()
    found()
    began = time.process_time()
    for _ in range(20):
        found()
    assert (time.process_time() - began) / 20 < 0.05


def test_the_stub_of_pypi_is_told_by_what_it_lacks(install: Install, tmp_path: Path) -> None:
    package = install()
    shutil.rmtree(package / "libs")
    next(package.glob("bindings*")).unlink()
    assert "is a stub: it holds none of the compiled libraries" in found().reason
    shutil.rmtree(package)
    assert "the stub of PyPI" in found().reason


def test_an_incomplete_installation_names_what_is_missing(install: Install) -> None:
    package = install()
    (package / "libs/libth_common.so").unlink()
    assert found().reason == "tensorrt_llm 1.2.1 is incomplete: libs/libth_common.so missing"


def test_a_folder_of_that_name_is_no_library(install: Install, tmp_path: Path) -> None:
    install()
    for info in (tmp_path / "site").glob("*.dist-info"):
        shutil.rmtree(info)
    assert "a folder named tensorrt_llm" in found().reason


def test_wheels_for_another_python_are_refused(install: Install) -> None:
    package = install()
    next(package.glob("bindings*")).rename(package / "bindings.cpython-39-x86_64-linux-gnu.so")
    assert "is built for Python 3.9, and this is" in found().reason
    assert "infertui engines use tensorrt-llm --python" in found().remedy


def test_without_mpi_it_cannot_be_imported(install: Install, mpi: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install()
    (mpi / "libmpi.so.40").unlink()
    monkeypatch.setattr(installation, "_LIBMPI_FOLDERS", ())
    monkeypatch.setattr(installation, "find_library", lambda name: None)
    assert found().reason.startswith("libmpi is not found")
    assert "libopenmpi" in found().remedy


@pytest.mark.parametrize(
    ("driver_found", "reason"),
    [
        (None, "no NVIDIA GPU"),
        (Driver("580", 13000, ()), "no NVIDIA GPU"),
        (Driver("580", 13000, (Gpu("Tesla T4", "GPU-1", (7, 5)),)), "Tesla T4 has compute capability 7.5"),
        (Driver("550", 12040, (Gpu("NVIDIA H100", "GPU-1", (9, 0)),)), "driver 550 supports CUDA 12; .* for CUDA 13"),
    ],
)
def test_gpus_and_drivers_that_do_not_do(
    driver_found: Driver | None, reason: str, install: Install, driver: Put
) -> None:
    install()
    driver(driver_found)
    answer = found()
    assert not answer.available
    assert re.search(reason, answer.reason)


def test_the_line_of_cuda_12_runs_with_an_older_driver(install: Install, driver: Put) -> None:
    install("1.0")
    driver(Driver("550", 12040, (Gpu("NVIDIA H100", "GPU-1", (9, 0)),)))
    assert found().available


def test_a_weak_gpu_counts_only_where_it_is_visible(
    install: Install, driver: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    install()
    pair = Driver("580", 13000, (Gpu("Tesla T4", "GPU-1", (7, 5)), Gpu("NVIDIA H100", "GPU-22", (9, 0))))
    driver(pair)
    assert not found().available
    for spec in ("1", "GPU-2"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", spec)
        assert found().available, spec
    for spec in ("", "-1", "7"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", spec)
        assert found().reason == "CUDA_VISIBLE_DEVICES hides every GPU"
    assert [gpu.name for gpu in visible(pair, "1,9,0")] == ["NVIDIA H100"]


@pytest.mark.parametrize(
    ("text", "line", "note"),
    [("0.21.0", "older", ""), ("1.0.0", "1.0", ""), ("1.1.0rc3", "1.1", ""), ("1.2.0", "1.2", "corrupts"),
     ("1.2.1", "1.2", ""), ("1.3.0rc15", "later", ""), ("1.4.0rc1", "later", ""), ("2.0", "later", "")],
)  # fmt: skip
def test_versions(text: str, line: str, note: str) -> None:
    version = parse(text)
    assert version is not None
    assert version.line == line
    assert (note in version.note) if note else version.note == ""


def test_old_and_unreadable_versions_are_refused_and_a_bad_one_is_marked(install: Install) -> None:
    for version, reason in {"0.21.0": "is older than 1.0", "spam": "cannot be read"}.items():
        install(version=version)
        assert reason in found().reason
        assert not found().available
    install(version="1.2.0")
    assert found().available
    assert "corrupts its KV cache" in found().reason


# -- the import on trial


def test_an_import_that_works_gives_the_version(install: Install) -> None:
    install()
    assert trial.try_import() == "1.2.1"
    assert "tensorrt_llm" not in sys.modules


def test_an_import_that_hangs_is_ended(install: Install, tmp_path: Path) -> None:
    # Its child hangs, too, as MPI's do: the whole group has to go.
    pid = tmp_path / "pid"
    install(
        before="import subprocess, time\n"
        f"child = subprocess.Popen(['sleep', '600']); open({str(pid)!r}, 'w').write(str(child.pid))\n"
        "time.sleep(600)\n"
    )
    with pytest.raises(EngineError, match="was not done in 5 s: it waits for MPI") as caught:
        trial.try_import(timeout_s=5)
    assert "OMPI_MCA_btl_tcp_if_include=lo" in caught.value.remedy
    state = Path(f"/proc/{pid.read_text()}/stat")
    wait_until(lambda: not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z")


@pytest.mark.parametrize(
    ("raised", "reason", "remedy"),
    [
        ("ImportError('/x/libth_common.so: undefined symbol: _ZN3c10')", "do not fit the installed torch", "2.9.1"),
        (
            "ImportError('/x/bindings.cpython-312-x86_64-linux-gnu.so: undefined symbol: _ZN3c10')",
            "do not fit the installed torch", "2.9.1",
        ),
        (
            "ImportError('libpython3.12.so.1.0: cannot open shared object file: No such file')",
            "shared library of Python is missing", "libpython",
        ),
        ("OSError('libmpi.so.40: cannot open shared object file')", "MPI library is missing", "libopenmpi-dev"),
        ("RuntimeError(\"Didn't find wheel for tensorrt-llm 1.2.1\")", "stub of PyPI", "pypi.nvidia.com"),
        ("ModuleNotFoundError(\"No module named 'mpi4py'\")", "Python package that it needs is missing", "pip"),
        ("ValueError('some \\x1b[31mother\\x1b[0m thing')", "ValueError: some other thing", ""),
    ],
)  # fmt: skip
def test_imports_that_fail_are_explained(raised: str, reason: str, remedy: str, install: Install) -> None:
    install(before=f"raise {raised}\n")
    with pytest.raises(EngineError) as caught:
        trial.try_import()
    assert reason in caught.value.message
    assert remedy in caught.value.remedy
    assert "\x1b" not in str(caught.value)


def test_an_import_that_crashes_names_the_signal(install: Install) -> None:
    install(before="import os, signal; os.kill(os.getpid(), signal.SIGBUS)\n")
    with pytest.raises(EngineError, match="crashed with SIGBUS") as caught:
        trial.try_import()
    assert "--ipc=host" in caught.value.remedy


def test_what_it_prints_besides_is_not_taken_for_its_version(install: Install) -> None:
    install(before="print('infertui-tensorrt-llm 9.9.9')\nraise ImportError('no')\n")
    with pytest.raises(EngineError, match="ImportError: no"):
        trial.try_import()


def test_the_recorded_surface_names_its_sources() -> None:
    recorded = json.loads(trtllm.SURFACE.read_text())
    assert recorded["version"] == "1.2.1"
    assert all({"repo", "path", "commit"} <= set(source) for source in recorded["sources"])
