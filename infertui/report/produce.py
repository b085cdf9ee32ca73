"""A report from its runs to its files: what `infertui report` does, and all that ends in a report."""

from collections.abc import Callable, Sequence
from pathlib import Path

from msgspec import Struct

from infertui.analysis.outcome import EQUAL_WITHIN
from infertui.report.charts.build import charts as charts_of
from infertui.report.charts.style import require_matplotlib
from infertui.report.data import collect
from infertui.report.document import Document
from infertui.report.files import check_target, write_report
from infertui.report.sections import compose
from infertui.results.observations import REQUESTS
from infertui.results.result import Result
from infertui.text import clean

MOST_NAMED = 3


class ReportOrder(Struct, frozen=True):
    """What a report is to be. `left_out` are sentences on what is not in it, and why."""

    out: Path
    title: str = ""
    date: str = ""
    baseline: str = ""
    equal_within: float = EQUAL_WITHIN
    with_invalid: bool = False
    charts: bool = True
    left_out: tuple[str, ...] = ()

    def check(self) -> None:
        """Raise UsageError for a folder that a report must not be mixed into, and for charts that cannot be drawn."""
        check_target(self.out)
        if self.charts:
            require_matplotlib()


class WrittenReport(Struct, frozen=True):
    """What was written, report.html first; `warnings` are about runs whose files are not whole."""

    paths: tuple[Path, ...]
    document: Document
    charts: int
    warnings: tuple[str, ...]

    @property
    def bytes(self) -> int:
        """Of all files."""
        return sum(path.stat().st_size for path in self.paths)

    @property
    def told(self) -> str:
        """What there is now, in a line."""
        charts = f", {self.charts} chart{'s' if self.charts > 1 else ''}" if self.charts else ""
        return f"{clean(str(self.paths[0]))}, report.md, report.json{charts}"


def produce(
    order: ReportOrder,
    results: Sequence[Result],
    folder_of: Callable[[str], Path],
    *,
    told: Callable[[str], None] = lambda _: None,
) -> WrittenReport:
    """Write a report about one run at least, over a former one. `told` hears what is being done. Raises StoreError."""
    material = collect(
        results, folder_of, baseline=order.baseline, equal_within=order.equal_within,
        with_invalid=order.with_invalid, told=told,
    )  # fmt: skip
    drawn = charts_of(material) if order.charts else []
    title = order.title or f"infertui: {about(results)}"
    date = clean(order.date) or max(result.started for result in results)[:10]
    document = compose(material, drawn, title=title, date=date, left_out=order.left_out)
    warnings = list(material.untraced[:MOST_NAMED])
    if lost := [clean(run.result.id) for run in material.subjects if run.result.id in material.lost]:
        others = f" and {len(lost) - MOST_NAMED} others" if len(lost) > MOST_NAMED else ""
        named = ", ".join(lost[:MOST_NAMED])
        warnings.insert(
            0, f"{named}{others}: {REQUESTS} is gone: no distribution and no interval of that is in the report"
        )
    paths = write_report(order.out, document, material, drawn, told=told)
    return WrittenReport(tuple(paths), document, len(drawn), tuple(warnings))


def about(results: Sequence[Result]) -> str:
    """What a report is called where nobody says: its models, and its devices."""
    told_models = [model for result in results if (model := result.setup.model)]
    models = list(dict.fromkeys(model.rsplit("/", 1)[-1] for model in told_models))
    devices = list(dict.fromkeys(one.loaded.device_name for one in results if one.loaded and one.loaded.device_name))
    named = (", ".join(models[:3]) or "runs") + (f" and {len(models) - 3} more" if len(models) > 3 else "")
    where = ", ".join(devices[:2]) + (f" and {len(devices) - 2} more" if len(devices) > 2 else "")
    return f"{named} on {where}" if where else named
