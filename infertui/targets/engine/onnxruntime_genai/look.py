"""How the library runs a loaded model, from its own profile of a few steps: where each operator ran, and by how many
threads.

ONNX Runtime profiles a single run where it is asked to, so that what is measured later is not profiled.
"""

import contextlib
import json
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

_STEPS = 6
"""Decode steps: a graph is captured in one of the first."""
_HEAVY = ("MatMul", "Gemm", "Attention", "MoE")
"""Parts of the names of operators that multiply matrices, fused or not, or attend."""
_WORDS = {
    "CPUExecutionProvider": "cpu",
    "CUDAExecutionProvider": "cuda",
    "NvTensorRTRTXExecutionProvider": "nv-tensorrt-rtx",
}


class Executed(Struct, frozen=True):
    """What the profile shows of a decode step. `heavy` are the providers of matrix products and attention, by word.

    `nodes` counts operators by provider. `replayed` says that graphs were to be captured, and that the last step ran
    no operator one by one, though the prompt did. `threads` is None where no operator was divided.
    """

    heavy: tuple[str, ...] = ()
    nodes: dict[str, int] = {}
    threads: int | None = None
    replayed: bool = False
    operators: tuple[str, ...] = ()

    @property
    def provider(self) -> str:
        """The one that computes; several, where several do."""
        return " and ".join(self.heavy) or "unknown"


def looked_at(generator: Any, prompt: Any, *, capturing: bool) -> Executed:
    """Run a prompt and some steps on a new generator, with the profile that the library writes of each run.

    `capturing` is whether steps are to be captured as graphs.
    """
    with tempfile.TemporaryDirectory(prefix="infertui-onnx-") as folder:
        runs = []
        for step in range(_STEPS):
            generator.set_runtime_option("enable_profiling", str(Path(folder) / f"{step:02}"))
            if step == 0:
                generator.append_tokens(prompt)
            generator.generate_next_token()
            runs.append(_events(Path(folder), f"{step:02}"))
        generator.set_runtime_option("enable_profiling", "0")
    return executed(runs, capturing=capturing)


def executed(runs: list[list[dict[str, Any]]], *, capturing: bool = False) -> Executed:
    """From the events of each run, the prompt's first: of the first step that tells of operators, else of the prompt.

    A graph is captured in runs within a run, of which the outer profile stays empty, and so does that of a replay.
    """
    prompt, *steps = ([event for event in run if event.get("cat") == "Node"] for run in runs)
    told = next((step for step in steps if step), prompt)
    found: Counter[str] = Counter()
    heavy: set[str] = set()
    threads: set[int] = set()
    operators: set[str] = set()
    for event in told:
        facts: Mapping[str, Any] = event.get("args", {})
        provider, operator = str(facts.get("provider", "")), str(facts.get("op_name", ""))
        if not provider:
            continue
        word = _WORDS.get(provider, provider)
        found[word] += 1
        operators.add(operator)
        if any(part in operator for part in _HEAVY) or provider.startswith("Nv"):
            heavy.add(word)
        stats = facts.get("thread_scheduling_stats")
        if isinstance(stats, Mapping):
            threads.add(1 + len(stats.get("sub_threads", ())))
        elif stats == "":
            threads.add(1)
    return Executed(
        heavy=tuple(sorted(heavy)),
        nodes=dict(sorted(found.items())),
        threads=max(threads, default=None),
        replayed=bool(capturing and prompt and steps and not steps[-1]),
        operators=tuple(sorted(operators)),
    )


def _events(folder: Path, prefix: str) -> list[dict[str, Any]]:
    """What was profiled under a prefix, in several files where a step took several runs; those cut off tell nothing."""
    events: list[dict[str, Any]] = []
    for path in sorted(folder.glob(f"{prefix}*.json")):
        with contextlib.suppress(ValueError, OSError):
            found = json.loads(path.read_text(encoding="utf-8", errors="replace"))
            events += [event for event in found if isinstance(event, dict)] if isinstance(found, list) else []
        path.unlink(missing_ok=True)
    return events
