"""A host for pipelines that takes no time: it keeps results as if they had been measured, and is killed when told."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from msgspec.structs import replace
from support.results import make_results
from support.runs import simulated

from infertui.config.schema import Config
from infertui.config.sweep import Variant
from infertui.errors import EngineError
from infertui.pipeline.host import Ran
from infertui.pipeline.state import PipelineFile
from infertui.report.produce import ReportOrder, WrittenReport, produce
from infertui.results.result import Error, Result
from infertui.results.runs import Store

MEASURED = next(
    one
    for one in make_results(50)
    if one.state == "finished" and one.verdict.valid and one.power and one.power.energy_j
)
BASELINE, FASTER, FAILING = "simulator:step_ms=10", "simulator:step_ms=5", "simulator:fault=crash"


class Killed(BaseException):
    """The process is no more."""


def asked(*engines: str, rounds: int = 3, **changes: object) -> PipelineFile:
    """A pipeline of the simulator that has not begun."""
    fresh = PipelineFile(
        "nano", "2026-01-01T00:00:00+00:00", simulated(), BASELINE, rounds, engines or (FASTER,), seed=1
    )
    return replace(fresh, **changes)


class KeepingHost:
    """Runs take as long as their config's `step_ms` says; one with a fault fails. `before` is called at each act."""

    def __init__(self, store: Store, before: Callable[[], None] = lambda: None) -> None:
        self.store = store
        self.before = before
        self.told: list[str] = []
        self.measured: list[str] = []
        self.pulled: list[str] = []
        self.unbuildable: set[str] = set()
        self.reported: list[ReportOrder] = []

    def tell(self, text: str) -> None:
        self.told.append(text)

    def pull(self, model: str, revision: str) -> None:
        self.before()
        self.pulled.append(model)

    def build(self, config: Config) -> None:
        self.before()
        if config.engine.name in self.unbuildable:
            raise EngineError("it could not be built")

    def measure(self, variants: Sequence[Variant], *, first: int, total: int) -> Ran:
        assert 1 <= first <= first + len(variants) - 1 <= total
        results = []
        for variant in variants:
            self.before()
            result = self._result(variant)
            self.store.append(result)
            self.measured.append(variant.name)
            results.append(result)
        return Ran(tuple(results))

    def _result(self, variant: Variant) -> Result:
        self.store.root.mkdir(parents=True, exist_ok=True)
        number = sum(1 for _ in self.store.each_result(warn=lambda _: None))
        options = variant.config.engine.simulator
        summary = replace(MEASURED.summary, output_throughput=1000 / options.step_ms)
        started = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=number)
        result = replace(
            MEASURED, id=f"run-{number:03}", name=variant.name, config=variant.config, bench=variant.place,
            summary=summary, started=started.isoformat(),
        )  # fmt: skip
        if options.fault != "none":
            return replace(result, state="failed", error=Error("engine", "it has no such kernel"))
        return result

    def report(self, order: ReportOrder, results: Sequence[Result], store: Store) -> WrittenReport:
        self.before()
        self.reported.append(order)
        return produce(replace(order, charts=False), results, store.folder_of)


def folder_of(tmp_path: Path) -> tuple[Path, Store]:
    """A folder for a pipeline, made, and the store that its runs go to."""
    folder = tmp_path / "reports" / "nano"
    folder.mkdir(parents=True, exist_ok=True)
    return folder, Store(tmp_path / "reports")
