"""What the command line does for a pipeline: it shows, pulls, builds, measures in the foreground, writes the report."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from msgspec.structs import replace

from infertui.cli.flags import Ui
from infertui.cli.machine.models import fetch
from infertui.cli.output import say
from infertui.cli.reading.report import with_charts_if_possible, write
from infertui.cli.running.benchview import Standing, bench_view
from infertui.cli.running.foreground import INTERRUPTED, RunView, run_in_foreground
from infertui.config.schema import Config
from infertui.config.sweep import Variant
from infertui.errors import EngineError
from infertui.load.prompts import load_prompts
from infertui.pipeline.host import Ran
from infertui.report.produce import ReportOrder, WrittenReport
from infertui.results.result import Result
from infertui.results.runs import Store
from infertui.runner.events import AnyRunEvent, RunRefused, RunStarted
from infertui.runner.execution.loading import capacity_of

_PRECISIONS = {"auto": "fp16", "float16": "fp16", "bfloat16": "bf16", "float32": "fp32"}


class CommandHost:
    """Runs go to `out`. `quiet`: standard output is kept for the one document in the end."""

    def __init__(self, out: Path, ui: Ui, *, quiet: bool, charts: bool) -> None:
        self._out = out
        self._ui: Ui = ui
        self._quiet = quiet
        self._charts = charts
        self._stream = sys.stderr if quiet else sys.stdout
        self._standing: dict[str, Standing] = {}

    def tell(self, text: str) -> None:
        """Show a line."""
        say(text, stream=self._stream)

    def pull(self, model: str, revision: str) -> None:
        """Bring a model here from the hub. Raises ModelError and UsageError."""
        fetch(model, revision)

    def build(self, config: Config) -> None:
        """`infertui build` in a process of its own, as TensorRT-LLM may live in another Python. Raises EngineError."""
        command = [sys.executable, "-P", "-m", "infertui", *build_arguments(config)]
        done = subprocess.run(command, stdout=subprocess.DEVNULL, check=False)
        if done.returncode == INTERRUPTED:
            raise KeyboardInterrupt
        if done.returncode:
            raise EngineError(
                f"`infertui build {config.model.id}` ended with exit code {done.returncode}; what it said is above"
            )

    def measure(self, variants: Sequence[Variant], *, first: int, total: int) -> Ran:
        """Measure these in the foreground. Raises InfertuiError."""
        bench = next((variant.place.bench for variant in variants if variant.place), "")
        standing = self._standing.setdefault(bench, Standing())
        inner = bench_view(self._ui, self._stream, standing, quiet=self._quiet)
        kept: list[Result] = []
        code = run_in_foreground(
            variants, out=self._out, save_json=None, as_json=False, ui=self._ui,
            view=_Counted(inner, first, total), take=kept.append,
        )  # fmt: skip
        return Ran(tuple(kept), interrupted=code == INTERRUPTED)

    def report(self, order: ReportOrder, results: Sequence[Result], store: Store) -> WrittenReport:
        """Write a report; without charts where they cannot be drawn. Raises StoreError."""
        order = with_charts_if_possible(order) if self._charts else replace(order, charts=False)
        return write(order, results, store)


def build_arguments(config: Config) -> list[str]:
    """What `infertui build` is to be told for the engine that a config will run."""
    workload, engine = config.workload, config.engine
    needed = capacity_of(workload, load_prompts(workload))
    precision = "fp8" if engine.quantization == "fp8" else _PRECISIONS[engine.dtype]
    arguments = [
        "build", "--model-id", config.model.id, "--precision", precision, "--batch-size", str(needed.sequences),
        "--max-input-len", str(needed.prompt_tokens), "--max-output-len", str(needed.output_tokens),
        "--tensor-parallel", str(engine.tensor_parallel),
    ]  # fmt: skip
    return arguments + (["--revision", config.model.revision] if config.model.revision else [])


class _Counted:
    """Shows runs by their numbers in the whole."""

    def __init__(self, view: RunView, first: int, total: int) -> None:
        self._view = view
        self._before = first - 1
        self._total = total

    def take(self, event: AnyRunEvent) -> None:
        """Show the next event."""
        if isinstance(event, RunStarted | RunRefused):
            event = replace(event, number=event.number + self._before, total=self._total)
        self._view.take(event)

    def __enter__(self) -> Self:
        self._view.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self._view.__exit__(*exception)
