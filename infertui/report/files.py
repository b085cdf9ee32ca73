"""The files of a report: report.md, report.html, report.json, charts/*.png and charts/*.svg."""

from collections.abc import Callable, Sequence
from pathlib import Path

from infertui.errors import UsageError
from infertui.report.as_html import as_html
from infertui.report.as_json import as_json
from infertui.report.as_markdown import as_markdown
from infertui.report.charts.build import NAMES, PlannedChart, drawer
from infertui.report.charts.style import Drawing, render
from infertui.report.data import ReportData
from infertui.report.document import Document
from infertui.results.jsonl import store_error
from infertui.results.runs import write_whole
from infertui.text import clean

CHARTS = "charts"


def check_target(out: Path) -> None:
    """Raises UsageError for a folder that a report must not be mixed into."""
    name = clean(str(out))
    if (out / "results.jsonl").exists():
        raise UsageError(
            f"--out {name} is a folder of runs; of this command --out is where the report goes",
            remedy=f"Choose another folder, as in --from {name} --out {name}/report.",
        )
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out {name} is a file", remedy="Name a folder, which is made if it is not there.")


def files_of(folder: Path) -> list[Path]:
    """The files of the report that is in a folder, report.html first."""
    found = [folder / f"report.{ending}" for ending in ("html", "md", "json")]
    return [path for path in (*found, *sorted((folder / CHARTS).glob("*.*"))) if path.is_file()]


def write_report(
    out: Path, document: Document, material: ReportData, charts: Sequence[PlannedChart], *, told: Callable[[str], None]
) -> list[Path]:
    """Write a report into `out`, over a former one. Returns what was written, report.html first. Raises StoreError."""
    drawn: dict[str, Drawing] = {}
    for number, chart in enumerate(charts, start=1):
        told(f"drawing chart {number} of {len(charts)}")
        drawn[chart.figure.name] = render(chart.figure.name, chart.figure.alt, drawer(chart.data))
    files: dict[Path, bytes] = {
        out / "report.html": as_html(document, {name: one.inline for name, one in drawn.items()}).encode(),
        out / "report.md": as_markdown(document).encode(),
        out / "report.json": as_json(document, material, charts),
    }
    for name, one in drawn.items():
        files[out / CHARTS / f"{name}.png"] = one.png
        files[out / CHARTS / f"{name}.svg"] = one.svg.encode()
    try:
        (out / CHARTS if drawn else out).mkdir(parents=True, exist_ok=True)
        for name in NAMES:  # of a former report that had more charts
            for ending in ("png", "svg"):
                if name not in drawn:
                    (out / CHARTS / f"{name}.{ending}").unlink(missing_ok=True)
    except OSError as error:
        raise store_error(out, error) from error
    for path, content in files.items():
        write_whole(path, content)
    return list(files)
