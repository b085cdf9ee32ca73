"""What the library's profile says of how it runs a model, and which of its packages are there."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from infertui.targets.engine.onnxruntime_genai import installed
from infertui.targets.engine.onnxruntime_genai.installed import probe
from infertui.targets.engine.onnxruntime_genai.loading import cuda_folder
from infertui.targets.engine.onnxruntime_genai.look import executed, looked_at


def node(operator: str, provider: str, threads: int = 1) -> dict[str, Any]:
    stats = {"main_thread": {}, "sub_threads": {str(number): {} for number in range(1, threads)}} if threads > 1 else ""
    return {"cat": "Node", "args": {"op_name": operator, "provider": provider, "thread_scheduling_stats": stats}}


SESSION = {"cat": "Session", "name": "model_run", "args": {}}
CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"


def test_steps_are_looked_at_and_not_the_prompt() -> None:
    prompt = [SESSION, node("MatMul", CUDA)]
    found = executed([prompt, [SESSION, node("MatMul", CPU, 4), node("Shape", CPU)]])
    assert (found.provider, found.threads, found.replayed) == ("cpu", 4, False)
    assert found.nodes == {"cpu": 2}
    assert found.operators == ("MatMul", "Shape")


def test_shapes_may_be_worked_out_on_the_cpu_and_products_may_not() -> None:
    step = [node("GroupQueryAttention", CUDA), node("MatMulNBits", CUDA), node("Shape", CPU)]
    assert executed([[], step]).provider == "cuda"
    assert executed([[], step]).nodes == {"cuda": 2, "cpu": 1}
    assert executed([[], [*step, node("MatMul", CPU)]]).provider == "cpu and cuda"


def test_a_graph_that_is_replayed_runs_no_operators_one_by_one() -> None:
    eager = [SESSION, node("MatMul", CUDA)]
    found = executed([eager, eager, [SESSION], [SESSION]], capturing=True)
    assert (found.replayed, found.provider) == (True, "cuda")
    found = executed([eager, [], []], capturing=True)
    assert (found.replayed, found.provider) == (True, "cuda")
    assert not executed([eager, eager, [SESSION], eager], capturing=True).replayed
    assert not executed([eager, eager, [SESSION], [SESSION]]).replayed  # none was to be captured


def test_a_profile_that_says_nothing_proves_nothing() -> None:
    silent: list[list[list[dict[str, Any]]]] = [[[]], [[], [], []], [[SESSION], [SESSION]]]
    for runs in silent:
        found = executed(runs, capturing=True)
        assert (found.provider, found.threads, found.replayed) == ("unknown", None, False)


class Profiled:
    """A generator that leaves a profile of each run, some of them cut off or empty."""

    def __init__(self, contents: list[str]) -> None:
        self._contents = contents
        self._prefix = ""
        self.options: list[str] = []

    def set_runtime_option(self, _key: str, value: str) -> None:
        self.options.append(value)
        self._prefix = value

    def append_tokens(self, _prompt: object) -> None:
        Path(f"{self._prefix}_1.json").write_text(self._contents.pop(0))

    def generate_next_token(self) -> None:
        if self._contents:
            Path(f"{self._prefix}_2.json").write_text(self._contents.pop(0))


@pytest.mark.parametrize("rest", ["", "[", '[{"cat": "Node"', "{}", "[1, 2]", "\x00"])
def test_profiles_that_are_cut_off_tell_nothing_and_are_no_error(rest: str) -> None:
    prompt = json.dumps([SESSION, node("MatMul", CUDA)])
    generator = Profiled([prompt, rest, rest])
    found = looked_at(generator, [[0, 0]], capturing=True)
    assert (found.provider, found.replayed) == ("cuda", True)
    assert generator.options[-1] == "0"
    assert not any(Path(prefix).parent.exists() for prefix in generator.options[:-1])


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installed, "find_spec", lambda name: None if name in ("onnx", "torch") else find_spec("os"))
    answer = probe()
    assert not answer.available
    assert answer.reason == "onnx and torch not installed"
    assert "infertui[onnx]" in answer.remedy


def installed_in(folder: Path, package: str, version: str, module: str) -> None:
    about = folder / f"{package.replace('-', '_')}-{version}.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
    (folder / module / "capi").mkdir(parents=True)
    (folder / module / "__init__.py").write_text("")


def test_the_packages_for_gpus_are_known_beside_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment may lie over another one that has the packages for CPUs: those that would be imported count."""
    for folder, suffixes in ((tmp_path / "over", ("-cuda", "-gpu")), (tmp_path / "under", ("", ""))):
        installed_in(folder, f"onnxruntime-genai{suffixes[0]}", "0.18.0", "onnxruntime_genai")
        installed_in(folder, f"onnxruntime{suffixes[1]}", "1.31.1", "onnxruntime")
    told = tmp_path / "over" / "onnxruntime" / "capi" / "build_and_package_info.py"
    told.write_text("package_name = 'onnxruntime-gpu'\ncuda_version = '13.0'\n")
    program = (
        "import sys; sys.path[:0] = sys.argv[1:]; "
        "from infertui.targets.engine.onnxruntime_genai.installed import probe, versions; "
        "print(versions(), probe().cuda if probe().available else '13.0')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "over"), str(tmp_path / "under")],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert done.stdout == "{'onnxruntime-genai-cuda': '0.18.0', 'onnxruntime-gpu': '1.31.1'} 13.0\n"


def test_a_folder_of_that_name_is_no_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installed, "find_spec", lambda _: find_spec("email"))
    monkeypatch.setattr(installed, "versions", dict)
    assert probe().reason == "there is a folder or module named onnxruntime_genai, but not the package"


def test_libraries_of_cuda_are_found_where_pip_put_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("cu12", "cu13"):
        (tmp_path / "nvidia" / name / "lib").mkdir(parents=True)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert cuda_folder("13.0") == str(tmp_path / "nvidia" / "cu13" / "lib")
    assert cuda_folder("14.1") is None
