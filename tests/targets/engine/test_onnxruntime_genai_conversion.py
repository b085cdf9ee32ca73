"""Models made for ONNX Runtime GenAI and kept: which are one, which another, and what a killed maker leaves.

Files stand for the model builder's, but where a test says that it runs.
"""

import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from infertui.errors import EngineError, ModelError
from infertui.models.resolve import resolve
from infertui.targets.engine.onnxruntime_genai import conversion
from infertui.targets.engine.onnxruntime_genai.asked import Recipe
from infertui.targets.engine.onnxruntime_genai.conversion import OnnxOrder, cache_folder, converted, is_whole

NANO = "synthetic:nano"
FP32 = Recipe("cpu", "fp32", "float32")


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"XDG_CACHE_HOME": str(tmp_path / "cache")}


@pytest.fixture
def orders(monkeypatch: pytest.MonkeyPatch) -> list[OnnxOrder]:
    """What the builder is told, which writes two files."""
    told: list[OnnxOrder] = []

    def run(order: OnnxOrder, _name: str) -> None:
        told.append(order)
        (Path(order.target) / "model.onnx").write_bytes(b"graph")
        (Path(order.target) / "model.onnx.data").write_bytes(b"weights")

    monkeypatch.setattr(conversion, "_run", run)
    monkeypatch.setattr(conversion, "versions", lambda: {"onnxruntime-genai": "0.18.0"})
    return told


def test_a_model_is_made_once_and_read_afterwards(environ: dict[str, str], orders: list[OnnxOrder]) -> None:
    said: list[str] = []
    folder = converted(resolve(NANO), FP32, environ=environ, tell=said.append)
    assert converted(resolve(NANO), FP32, environ=environ, tell=said.append) == folder
    assert len(orders) == len(said) == 1
    assert is_whole(folder)
    assert folder.parent == cache_folder(environ)
    assert folder.name.startswith("nano-fp32-cpu-")
    assert (orders[0].architecture, orders[0].dtype, orders[0].files) == ("LlamaForCausalLM", "float32", ())


def test_the_cache_is_keyed_by_all_that_matters(
    environ: dict[str, str], orders: list[OnnxOrder], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = resolve(NANO)
    config = tmp_path / "config.json"
    config.write_bytes(source.path.read_bytes().replace(b"704", b"736"))

    def ask(model: Any = source, recipe: Recipe = FP32, seed: int = 0) -> Path:
        return converted(model, recipe, seed=seed, environ=environ)

    found = {
        ask(), ask(seed=1), ask(recipe=replace(FP32, precision="int4")), ask(recipe=replace(FP32, provider="cuda")),
        ask(recipe=replace(FP32, dtype="float16")), ask(recipe=replace(FP32, options={"prune_lm_head": "true"})),
        ask(resolve(f"synthetic:{config}")),
    }  # fmt: skip
    monkeypatch.setattr(conversion, "versions", lambda: {"onnxruntime-genai": "0.19.0"})
    found.add(ask())
    monkeypatch.setattr(conversion, "_RECIPE", 99)
    found.add(ask())
    assert len(found) == 9 == len(orders)


def test_a_checkpoint_is_known_by_its_files(environ: dict[str, str], orders: list[OnnxOrder], tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    shutil.copy(resolve(NANO).path, folder / "config.json")
    (folder / "model.safetensors").write_bytes(b"weights")
    first = converted(resolve(str(folder)), FP32, environ=environ)
    assert converted(resolve(str(folder)), FP32, seed=5, environ=environ) == first
    assert orders[0].files == (str(folder / "model.safetensors"),)
    os.utime(folder / "model.safetensors", ns=(0, 0))
    assert converted(resolve(str(folder)), FP32, environ=environ) != first


@pytest.mark.parametrize("damage", ["cut", "gone", "no record", "nonsense"])
def test_what_is_not_whole_is_made_again(environ: dict[str, str], orders: list[OnnxOrder], damage: str) -> None:
    folder = converted(resolve(NANO), FP32, environ=environ)
    match damage:
        case "cut":
            (folder / "model.onnx.data").write_bytes(b"weig")
        case "gone":
            (folder / "model.onnx").unlink()
        case "no record":
            (folder / conversion.RECORD).unlink()
        case _:
            (folder / conversion.RECORD).write_bytes(b"[]")
    assert not is_whole(folder)
    assert converted(resolve(NANO), FP32, environ=environ) == folder
    assert is_whole(folder)
    assert len(orders) == 2


def test_a_builder_that_fails_leaves_nothing_and_says_why(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def script(text: str) -> None:
        def run(command: list[str], **how: Any) -> Any:
            return real([sys.executable, "-c", text], **how)

        monkeypatch.setattr(subprocess, "run", run)

    real = subprocess.run
    script("print('The \\x1b[31mmodel is odd'); raise SystemExit(1)")
    with pytest.raises(ModelError, match=r"cannot make synthetic:nano: The .*model is odd") as caught:
        converted(resolve(NANO), FP32, environ=environ)
    assert "\x1b" not in caught.value.message
    script("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    with pytest.raises(EngineError, match=r"was killed \(signal 9\) while it made synthetic:nano"):
        converted(resolve(NANO), FP32, environ=environ)
    script("pass")
    with pytest.raises(EngineError, match=r"ended well and made no model\.onnx"):
        converted(resolve(NANO), FP32, environ=environ)
    assert list(cache_folder(environ).iterdir()) == []


def test_a_full_disk_is_said_before_making(
    environ: dict[str, str], orders: list[OnnxOrder], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1 << 20))
    with pytest.raises(ModelError, match=r"takes .* but .* has 1\.00 MiB free") as caught:
        converted(resolve(NANO), FP32, environ=environ)
    assert "XDG_CACHE_HOME" in caught.value.remedy
    assert orders == []
    assert list(cache_folder(environ).iterdir()) == []


MAKER = """
import sys
from pathlib import Path
from infertui.models.resolve import resolve
from infertui.targets.engine.onnxruntime_genai import conversion
from infertui.targets.engine.onnxruntime_genai.asked import Recipe

def run(order, name):
    (Path(order.target) / "model.onnx").write_bytes(b"graph")
    print("making", flush=True)
    sys.stdin.readline()

conversion._run = run
conversion.versions = lambda: {"onnxruntime-genai": "0.18.0"}
print(conversion.converted(resolve("synthetic:nano"), Recipe("cpu", "fp32", "float32")), flush=True)
"""


def maker(environ: dict[str, str]) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", MAKER], env={**os.environ, **environ}, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        text=True,
    )  # fmt: skip


def test_a_process_that_is_killed_in_the_middle_leaves_nothing_that_is_used(
    environ: dict[str, str], orders: list[OnnxOrder]
) -> None:
    with maker(environ) as process:
        assert process.stdout
        assert process.stdout.readline() == "making\n"
        process.send_signal(signal.SIGKILL)
    (left,) = cache_folder(environ).iterdir()
    assert left.name.endswith(".part")
    folder = converted(resolve(NANO), FP32, environ=environ)
    assert list(cache_folder(environ).iterdir()) == [folder]
    assert len(orders) == 1


def test_of_two_processes_at_once_one_makes_it(environ: dict[str, str], orders: list[OnnxOrder]) -> None:
    waiting = threading.Event()
    found: list[Path] = []

    def ask() -> None:
        found.append(converted(resolve(NANO), FP32, environ=environ, tell=lambda _: waiting.set()))

    with maker(environ) as process:
        assert process.stdin
        assert process.stdout
        assert process.stdout.readline() == "making\n"
        thread = threading.Thread(target=ask)
        thread.start()
        assert waiting.wait(30)
        process.stdin.write("\n")
        process.stdin.flush()
        assert Path(process.stdout.readline().strip()) == cache_folder(environ) / found_name(environ)
        thread.join(30)
    assert found == [cache_folder(environ) / found_name(environ)]
    assert orders == []


def found_name(environ: dict[str, str]) -> str:
    (name,) = (path.name for path in cache_folder(environ).iterdir())
    return name
