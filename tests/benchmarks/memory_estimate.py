"""Does the memory estimate say what a process really takes? Models of known shapes, a process for each.

    python tests/benchmarks/memory_estimate.py --device cuda --engine llama-cpp transformers --seconds 280
    python tests/benchmarks/memory_estimate.py --device cuda --holdout
    python tests/benchmarks/memory_estimate.py --device cpu

A cell is a shape, a weight format, layers on the GPU, a batch and its lengths. Each is loaded by infertui's own engine
in a process of its own, which generates two batches and then asks the driver what it holds (on a CPU: the most that
was resident). Weights are random; GGUF files are written by infertui beforehand, once for each shape and format, into
the user's cache, and removed at the end if they were not there before. Nothing is downloaded. The last lines are the
largest errors, by engine and offload.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from infertui.config.parse import decode
from infertui.config.schema import Config
from infertui.errors import InfertuiError
from infertui.measure.clock import MonotonicClock
from infertui.models.gguf.write import cached_gguf
from infertui.models.memory.estimate import DeviceKind
from infertui.models.memory.of_engine import Task, llama_cpp_form, needed
from infertui.models.resolve import resolve
from infertui.targets.engine.base import Batch, Capacity, GenerationPlan, LoadRequest, create

MIB = 1 << 20
CELL_TIMEOUT_S = 90.0
THREE_BILLION: dict[str, Any] = {
    "model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 3072, "num_hidden_layers": 28,
    "num_attention_heads": 24, "num_key_value_heads": 8, "head_dim": 128, "intermediate_size": 8192,
    "vocab_size": 128256, "max_position_embeddings": 32768, "tie_word_embeddings": True, "hidden_act": "silu",
    "rms_norm_eps": 1e-5, "rope_theta": 500000.0, "bos_token_id": 1, "eos_token_id": 2, "torch_dtype": "bfloat16",
}  # fmt: skip


class Cell(Struct, frozen=True):
    """One line of the table. `layers` is n_gpu_layers; `options` are further keys of the engine's own table."""

    engine: str
    model: str
    form: str
    batch: int
    prompt: int
    output: int
    layers: int | None = None
    mode: str = "auto"
    options: dict[str, Any] = {}

    def config(self, device: str, names: dict[str, str]) -> Config:
        """As a config: a format of plain numbers is a dtype, any other a quantization."""
        plain = {"f32": "float32", "f16": "float16", "bf16": "bfloat16"}.get(self.form)
        own = dict(self.options) | ({} if self.layers is None else {"n_gpu_layers": self.layers})
        table = self.engine.replace("-", "_")
        engine: dict[str, Any] = {"name": self.engine, "mode": self.mode, table: own} if own else {"name": self.engine}
        engine |= {"mode": self.mode} if self.mode != "auto" else {}
        engine |= {"dtype": plain} if plain else {"quantization": self.form}
        return decode({
            "model": {"id": names.get(self.model, f"synthetic:{self.model}")},
            "engine": engine,
            "device": {"name": device},
            "workload": {"batch_size": self.batch, "input_len": self.prompt, "output_len": self.output},
        })  # fmt: skip


def llama_cells() -> list[Cell]:
    """Shapes x formats x layers x contexts, the small ones first."""

    def cell(model: str, form: str, layers: int, batch: int, prompt: int, output: int = 32, **options: Any) -> Cell:
        return Cell("llama-cpp", model, form, batch, prompt, output, layers, options=options)

    return [
        cell("tinyllama-1.1b", "q8_0", -1, 1, 100),
        cell("tinyllama-1.1b", "q8_0", 12, 1, 100),
        cell("tinyllama-1.1b", "q8_0", 0, 1, 100),
        cell("tinyllama-1.1b", "q8_0", -1, 8, 1800),
        cell("tinyllama-1.1b", "q8_0", 12, 8, 1800, type_k="q8_0", type_v="q8_0"),
        cell("tinyllama-1.1b", "f16", -1, 1, 1000),
        cell("tinyllama-1.1b", "f16", 8, 1, 1000),
        cell("tinyllama-1.1b", "q8_0", -1, 1, 1000, flash_attention=False),
        cell("gpt2-124m", "q8_0", -1, 1, 900),
        cell("gpt2-124m", "f16", 6, 4, 500),
        cell("llama-3b", "q8_0", -1, 1, 100),
        cell("llama-3b", "q8_0", -1, 1, 8000),
        cell("llama-3b", "q8_0", 20, 1, 8000),
        cell("llama-3b", "q8_0", 10, 16, 1000),
        cell("llama-3b", "q8_0", 0, 1, 2000),
        cell("llama-3b", "q8_0", -1, 1, 100, n_ctx=16384, type_k="q8_0", type_v="q8_0"),
        cell("llama-3b", "q8_0", -1, 1, 4000, n_ubatch=2048),
    ]  # fmt: skip


def transformers_cells() -> list[Cell]:
    """Eager and captured steps, batches and lengths."""

    def cell(model: str, batch: int, prompt: int, output: int = 64, mode: str = "eager") -> Cell:
        return Cell("transformers", model, "bf16", batch, prompt, output, mode=mode)

    return [
        cell("tinyllama-1.1b", 1, 100),
        cell("tinyllama-1.1b", 32, 1000),
        cell("tinyllama-1.1b", 8, 1000, mode="cudagraph"),
        cell("gpt2-124m", 1, 900),
        cell("llama-3b", 1, 100),
        cell("llama-3b", 16, 2000),
        cell("llama-8b", 1, 100),
        cell("llama-8b", 32, 1000),
        cell("llama-8b", 8, 1000, mode="cudagraph"),
    ]


def holdout_cells() -> list[Cell]:
    """Chosen before any of them was measured, and nothing was fitted to them."""

    def llama(model: str, form: str, layers: int, batch: int, prompt: int, **options: Any) -> Cell:
        return Cell("llama-cpp", model, form, batch, prompt, 32, layers, options=options)

    def plain(model: str, batch: int, prompt: int, mode: str = "eager") -> Cell:
        return Cell("transformers", model, "bf16", batch, prompt, 64, mode=mode)

    return [
        llama("tinyllama-1.1b", "q4_0", -1, 4, 500),
        llama("tinyllama-1.1b", "q8_0", 18, 2, 700),
        llama("tinyllama-1.1b", "f16", 16, 4, 300),
        llama("tinyllama-1.1b", "q8_0", -1, 1, 500, n_ubatch=1024),
        llama("tinyllama-1.1b", "q8_0", -1, 32, 300, type_k="q8_0"),
        llama("tinyllama-1.1b", "q8_0", 5, 16, 100, flash_attention=False),
        llama("gpt2-124m", "f16", -1, 2, 300),
        llama("gpt2-124m", "q8_0", 4, 8, 700),
        llama("llama-3b", "f16", -1, 4, 1500),
        llama("llama-3b", "f16", 14, 1, 200),
        llama("llama-3b", "q8_0", -1, 8, 900),
        llama("llama-3b", "q8_0", 24, 1, 500, n_ctx=12288),
        plain("tinyllama-1.1b", 8, 500),
        plain("tinyllama-1.1b", 4, 500, mode="static"),
        plain("gpt2-124m", 32, 400),
        plain("gpt2-124m", 8, 500, mode="cudagraph"),
        plain("llama-3b", 4, 4000),
        plain("llama-3b", 4, 1000, mode="cudagraph"),
    ]


def cpu_cells() -> list[Cell]:
    """Small ones, for a machine without a GPU."""
    return [
        *(Cell("transformers", "nano", "f32", batch, prompt, 16) for batch, prompt in ((1, 16), (4, 512), (16, 1024))),
        Cell("transformers", "nano", "f32", 4, 1024, 16),
        Cell("transformers", "gpt2-124m", "f32", 1, 16, 16),
        Cell("transformers", "gpt2-124m", "f32", 4, 512, 16),
        Cell("transformers", "gpt2-124m", "f32", 8, 900, 16),
        *(Cell("llama-cpp", "nano", "f16", batch, prompt, 16) for batch, prompt in ((1, 16), (16, 1024))),
        *(Cell("llama-cpp", "gpt2-124m", "q8_0", batch, prompt, 16) for batch, prompt in ((1, 16), (8, 900))),
    ]


# -- in the process of a cell


class Silent:
    """Hears of tokens."""

    def step(self, tokens: int = 1) -> None:
        """One more for every sequence."""

    def gained(self, sequence: int, tokens: int = 1) -> None:
        """One more for one."""


def measure(config: Config) -> dict[str, Any]:
    """Load the model, generate two batches, and give the bytes that this process holds."""
    before = _device_used() if config.device.name != "cpu" else 0
    work = config.workload
    capacity = Capacity(sequences=work.batch_size, prompt_tokens=work.input_len, output_tokens=work.output_len)
    engine = create(config.engine.name, MonotonicClock())
    loaded = engine.load(LoadRequest(config.model, config.engine, config.device, capacity))
    prompts = tuple(
        tuple((7 * row + 3 * at) % 1000 + 3 for at in range(work.input_len)) for row in range(work.batch_size)
    )
    engine.prepare(
        GenerationPlan(work.batch_size, (work.input_len,), work.output_len),
        lambda _: None,
    )
    for _ in range(2):
        engine.generate(Batch(prompts, work.output_len), Silent())
    engine.synchronize()
    if config.device.name == "cpu":
        import resource

        return {"bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}
    own = _process_used()
    return {
        "bytes": own or _device_used() - before,
        "by": "process" if own else "device",
        "reserved": engine.memory().reserved_peak,
        "layers": loaded.offloaded_layers,
    }


def _handle() -> Any:
    import pynvml

    pynvml.nvmlInit()
    return pynvml.nvmlDeviceGetHandleByIndex(0)


def _device_used() -> int:
    import pynvml

    return int(pynvml.nvmlDeviceGetMemoryInfo(_handle()).used)


def _process_used() -> int:
    import pynvml

    with contextlib.suppress(pynvml.NVMLError):
        for process in pynvml.nvmlDeviceGetComputeRunningProcesses(_handle()):
            if process.pid == os.getpid():
                return int(process.usedGpuMemory or 0)
    return 0


# -- around them


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--engine", nargs="+", default=["llama-cpp", "transformers"])
    parser.add_argument("--seconds", type=float, default=280.0, help="begin no cell after so many")
    parser.add_argument("--only", default="", help="cells whose model's name holds this text")
    parser.add_argument("--holdout", action="store_true", help="the cells that nothing was fitted to")
    parser.add_argument("--json", type=Path, help="also write the lines to this file")
    parser.add_argument("--cell", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.cell:
        print("CELL " + json.dumps(measure(msgspec.json.decode(given.cell, type=Config))), flush=True)
        return 0
    cells = [*llama_cells(), *transformers_cells()]
    if given.holdout:
        cells = holdout_cells()
    elif given.device == "cpu":
        cells = cpu_cells()
    chosen = [cell for cell in cells if cell.engine in given.engine and given.only in cell.model]
    with _shapes() as names:
        return report(chosen, given.device, names, time.monotonic() + given.seconds, given.json)


def report(cells: list[Cell], device: str, names: dict[str, str], deadline: float, out: Path | None) -> int:
    """Measure and print each cell; 0 where all were measured."""
    say(f"{'engine':13}{'model':16}{'form':6}{'layers':>7} {'mode':10}{'batch':>6}{'prompt':>7}  {'options':34}"
        f"{'estimate':>9}{'measured':>9}{'error':>8}  of which buffers told")  # fmt: skip
    lines: list[dict[str, Any]] = []
    written: list[Path] = []
    left_out = 0
    try:
        for cell in cells:
            if time.monotonic() > deadline:
                left_out += 1
                continue
            lines.append(_line(cell, device, names, written))
            if out:
                out.write_text(json.dumps(lines, indent=1))
    finally:
        for path in written:
            path.unlink(missing_ok=True)
    for engine in dict.fromkeys(line["engine"] for line in lines):
        for kind in ("full", "partial"):
            errors = [
                line["error"] for line in lines if line["engine"] == engine and line["kind"] == kind and "error" in line
            ]
            if errors:
                worst = max(errors, key=abs)
                say(f"{engine}, {kind}: {len(errors)} cells, largest error {worst:+.1%}, "
                    f"mean of the sizes {sum(map(abs, errors)) / len(errors):.1%}")  # fmt: skip
    if left_out:
        say(f"{left_out} cells left out: the time was up")
    return 0 if all("error" in line for line in lines) and not left_out else 1


def _line(cell: Cell, device: str, names: dict[str, str], written: list[Path]) -> dict[str, Any]:
    config = cell.config(device, names)
    source = resolve(config.model.id)
    kind: DeviceKind = "cpu" if device == "cpu" else "cuda"
    found = needed(source, config.engine, kind, Task(cell.batch, cell.prompt, cell.output))
    assert found is not None
    if cell.engine == "llama-cpp":
        from infertui.models.gguf.write import cache_folder

        before = set(cache_folder().glob("*.gguf")) if cache_folder().is_dir() else set()
        path = cached_gguf(source, llama_cpp_form(source, config.engine, kind))
        written += [path] if path not in before else []
    told = _measured(config)
    partial = cell.layers is not None and cell.layers >= 0
    line: dict[str, Any] = msgspec.to_builtins(cell) | {
        "estimate": found.total,
        "kind": "partial" if partial else "full",
    }
    options = " ".join(f"{key}={value}" for key, value in cell.options.items())
    layers = "" if cell.layers is None else str(cell.layers)
    head = (f"{cell.engine:13}{cell.model:16}{cell.form:6}{layers:>7} {cell.mode:10}{cell.batch:6}{cell.prompt:7}"
            f"  {options:34}{found.total / MIB:9.0f}")  # fmt: skip
    if "bytes" not in told:
        say(f"{head}  {told['problem']}")
        return line | told
    error = found.total / told["bytes"] - 1
    reserved = f"{told['reserved'] / MIB:.0f} MiB" if told.get("reserved") else ""
    parts = " ".join(f"{term.name} {term.bytes / MIB:.0f}" for term in found.terms)
    say(f"{head}{told['bytes'] / MIB:9.0f}{error:+8.1%}  {reserved} ({parts}) by {told.get('by', 'resident')}")
    return line | {"measured": told["bytes"], "error": error, "reserved": told.get("reserved")}


def _measured(config: Config) -> dict[str, Any]:
    command = [sys.executable, __file__, "--cell", msgspec.json.encode(config).decode()]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=CELL_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        return {"problem": f"no answer in {CELL_TIMEOUT_S:.0f} s"}
    told = next((line[5:] for line in done.stdout.splitlines() if line.startswith("CELL ")), "")
    if told:
        return dict(json.loads(told))
    return {"problem": (done.stderr.strip().splitlines() or ["it said nothing"])[-1][:200]}


@contextlib.contextmanager
def _shapes() -> Iterator[dict[str, str]]:
    """Names of models whose config.json is made here, with what to call them."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.json"
        path.write_text(json.dumps(THREE_BILLION))
        yield {"llama-3b": f"synthetic:{path}"}


def say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    try:
        raise SystemExit(main())
    except InfertuiError as error:
        say(str(error))
        raise SystemExit(1) from None
