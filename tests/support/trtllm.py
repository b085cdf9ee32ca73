"""A fake `tensorrt_llm`, generated from the recorded public surface, installed in a folder of its own."""

import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import invalidate_caches
from pathlib import Path
from typing import Any

from infertui.targets.engine.gpus import Driver, Gpu

SURFACE = Path(__file__).parents[1] / "targets/engine/tensorrt_llm/surface.json"
RUNTIME = Path(__file__).parent / "trtllm_runtime.py"
H200 = Driver("580.65.06", 13000, (Gpu("NVIDIA H200", "GPU-aaaa", (9, 0)), Gpu("NVIDIA H200", "GPU-bbbb", (9, 0))))
VERSIONS = {"1.0": "1.0.0", "1.1": "1.1.0", "1.2": "1.2.1", "later": "1.4.0rc1"}
TAG = f"{sys.version_info[0]}{sys.version_info[1]}"

_INIT = """
from tensorrt_llm import _runtime
from tensorrt_llm._runtime import LLM, SamplingParams
from tensorrt_llm import llmapi
__version__ = _runtime.VERSION
print("[TensorRT-LLM] TensorRT-LLM version:", __version__)
"""
_LLMAPI = """
from tensorrt_llm import _runtime
TorchLlmArgs = _runtime.TorchLlmArgs
globals().update(_runtime.CLASSES)
SamplingParams = _runtime.SamplingParams
if _runtime.LINE["engine"]:
    TrtLlmArgs = _runtime.TrtLlmArgs
"""


def surface() -> dict[str, Any]:
    """The recorded surface."""
    found: dict[str, Any] = json.loads(SURFACE.read_text())
    return found


def write(folder: Path, line: str = "1.2", *, version: str = "", before: str = "", **does: Any) -> Path:
    """Write the package into `folder`; its root. `does` are its misdeeds, `before` is code that runs on import."""
    package = folder / "tensorrt_llm"
    shutil.rmtree(package, ignore_errors=True)
    (package / "libs").mkdir(parents=True)
    version = version or VERSIONS[line]
    recorded = surface()
    for name in ("libtensorrt_llm.so", "libth_common.so"):
        (package / "libs" / name).touch()
    (package / f"bindings.cpython-{TAG}-x86_64-linux-gnu.so").touch()
    (package / "__init__.py").write_text(before + _INIT)
    (package / "llmapi.py").write_text(_LLMAPI)
    (package / "_runtime.py").write_text(RUNTIME.read_text())
    setup = {"surface": recorded, "line": line, "version": version, "does": does}
    (package / "_fake.json").write_text(json.dumps(setup))
    if recorded["versions"][line]["engine"]:
        (package / "_tensorrt_engine").mkdir()
        (package / "_tensorrt_engine" / "__init__.py").write_text("from tensorrt_llm._runtime import TrtLLM as LLM\n")
    distribution(folder, version)
    return package


def distribution(folder: Path, version: str) -> None:
    """The metadata that pip would have left."""
    for old in folder.glob("tensorrt_llm-*.dist-info"):
        shutil.rmtree(old)
    info = folder / f"tensorrt_llm-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: tensorrt-llm\nVersion: {version}\n")


@contextmanager
def importable(folder: Path) -> Iterator[None]:
    """Let what is in `folder` be found, and forget it afterwards."""
    sys.path.insert(0, str(folder))
    invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        for name in [name for name in sys.modules if name.split(".")[0] == "tensorrt_llm"]:
            del sys.modules[name]
        invalidate_caches()


def calls(package: Path) -> list[dict[str, Any]]:
    """What `LLM` was told, each time."""
    path = package / "_calls.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


_CONVERT = """
import json, os, pathlib, subprocess, sys, time
given = dict(zip(sys.argv[1::2], sys.argv[2::2])) if len(sys.argv) % 2 else {}
out = pathlib.Path(sys.argv[sys.argv.index("--output_dir") + 1])
open(os.environ["FAKE_RAN"], "a").write("convert\\n")
print("[TensorRT-LLM] TensorRT-LLM version: 1.2.1")
print("1.2.1")
sys.stdout.write("\\rLoading checkpoint shards:  50%|#####     | 1/2 [00:01<00:01]\\r")
if os.environ.get("FAKE_CONVERT") == "fail":
    print("Traceback (most recent call last):\\n  File \\"x\\", line 1\\nKeyError: 'model.norm.weight'")
    sys.exit(1)
out.mkdir(parents=True, exist_ok=True)
(out / "config.json").write_text("{}")
(out / "rank0.safetensors").write_bytes(b"w" * 1024)
print("Total time of converting checkpoints: 00:00:01")
"""
_BUILD = """
import json, os, pathlib, subprocess, sys, time
given = dict(zip(sys.argv[1::2], sys.argv[2::2]))
does = os.environ.get("FAKE_BUILD", "")
out = pathlib.Path(given["--output_dir"])
open(os.environ["FAKE_RAN"], "a").write("build\\n")
def log(text, part="TRT-LLM"):
    print(f"[11/20/2026-12:00:00] [{part}] [I] {text}", flush=True)
print("[TensorRT-LLM] TensorRT-LLM version: 1.2.1")
log("Set gemm_plugin to auto.")
log("Total time of constructing network from module object 2.3651156425476074 seconds")
log("Build TensorRT engine Unnamed Network 0")
if does == "fail":
    print("[11/20/2026-12:00:00] [TRT] [E] IBuilder::buildSerializedNetwork: Error Code 4: Internal Error")
    print("Traceback (most recent call last):\\n  File \\"build.py\\", line 9")
    print("AssertionError: Engine building failed, please check error log.")
    sys.exit(1)
if does == "full":
    print("OSError: [Errno 28] No space left on device: 'rank0.engine'")
    sys.exit(1)
if does == "crash":
    os.kill(os.getpid(), 9)
out.mkdir(parents=True, exist_ok=True)
(out / "rank0.engine").write_bytes(b"half")
if does in ("hang", "deaf"):
    # It has processes of its own, as the real one has.
    import signal
    if does == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    open(os.environ["FAKE_RAN"] + ".pids", "w").write(f"{os.getpid()} {child.pid}")
    log("Detected 17 inputs and 1 output network tensors.", "TRT")
    time.sleep(600)
log("Engine generation completed in 5.37531 seconds.", "TRT")
ranks = int(given["--workers"])
for rank in range(ranks):
    log(f"Serializing engine to {out}/rank{rank}.engine...")
    (out / f"rank{rank}.engine").write_bytes(b"e" * 2048)
    log("Engine serialized. Total time: 00:00:00")
quant = os.environ.get("FAKE_QUANT") or None
config = {
    "version": "1.2.1",
    "pretrained_config": {
        "dtype": os.environ.get("FAKE_DTYPE", "float16"), "vocab_size": 4096, "max_position_embeddings": 4096,
        "mapping": {"tp_size": ranks}, "quantization": {"quant_algo": quant, "kv_cache_quant_algo": None},
    },
    "build_config": {
        "max_batch_size": int(os.environ.get("FAKE_BATCH", given["--max_batch_size"])),
        "max_input_len": int(given["--max_input_len"]), "max_seq_len": int(given["--max_seq_len"]),
    },
}
(out / "config.json").write_text(json.dumps(config))
log("Total time of building all engines: 00:00:11")
"""


def tools(folder: Path) -> tuple[Path, Path]:
    """Fake tools that print what the real ones do: a folder for the PATH, and one of examples."""
    binaries, examples = folder / "bin", folder / "examples"
    scripts = ("models/core/llama/convert_checkpoint.py", "quantization/quantize.py")
    for script in scripts:
        (examples / script).parent.mkdir(parents=True, exist_ok=True)
        (examples / script).write_text(_CONVERT)
    binaries.mkdir()
    build = binaries / "trtllm-build"
    build.write_text(f"#!{sys.executable}\n{_BUILD}")
    build.chmod(0o755)
    return binaries, examples


def weighty(folder: Path, **config: Any) -> Path:
    """A model with weights of a kind: enough to be found, not to be loaded."""
    folder.mkdir(parents=True)
    nano = json.loads((Path(__file__).parents[2] / "data/models/nano/config.json").read_text())
    (folder / "config.json").write_text(json.dumps(nano | config))
    (folder / "model.safetensors").write_bytes(b"x" * 64)
    return folder
