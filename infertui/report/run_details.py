"""Runs one by one: the table of all, with a column for what differs, and everything that speaks for or against one."""

from collections.abc import Callable, Iterator, Sequence

from msgspec import Struct

from infertui.analysis.effective import identity
from infertui.analysis.limits import with_limits
from infertui.analysis.summary_text import figures, headline, verdict_lines
from infertui.config.engine_options import owner_of
from infertui.config.fields import FIELDS
from infertui.config.parse import flat_values
from infertui.config.schema import Config
from infertui.metrics.metric import NOT_AVAILABLE, Metric
from infertui.metrics.registry import metric_of, metrics
from infertui.report.data import DETAILED, ReportData, ReportRun
from infertui.report.document import (
    Block,
    Bullets,
    Callout,
    Cell,
    Facts,
    Level,
    Paragraph,
    ReportSection,
    ReportTable,
    TableColumn,
)
from infertui.results.observations import REQUESTS
from infertui.results.result import Result
from infertui.text import clean
from infertui.units import format_bytes


class _Said(Struct, frozen=True):
    """A property that becomes a column only where runs differ in it."""

    name: str
    read: Callable[[Result], str]
    right: bool = False


def _property(key: str) -> _Said:
    metric = metric_of(key)
    return _Said(metric.report_heading, metric.write, metric.unit.right)


_WORKLOAD = tuple(map(_property, ("model", "batch_size", "input_len", "output_len")))
"""Beside the run's name where they differ: names are of runs of one workload."""
_PROPERTY_KEYS = ("model", "engine", "mode", "form", "device", "iterations", "batch_size", "input_len", "output_len")
_PROPERTIES = (
    *map(_property, _PROPERTY_KEYS[:5]),
    _Said("driver", lambda result: result.fingerprint.driver),
    _Said("host", lambda result: result.fingerprint.host.cpu_model or ""),
    _Said("infertui", lambda result: f"{result.fingerprint.infertui} {result.fingerprint.git_revision}".strip()),
    *map(_property, _PROPERTY_KEYS[5:]),
)
_NEVER_COLUMNS = ("host", "infertui", "driver")
_ALWAYS = ("throughput_range", "ttft", "tpot", "latency")
"""The others are left out where no run has a value."""


def listing(material: ReportData) -> ReportSection:
    """All runs, in their order, and what is the same in all of them."""
    runs = material.subjects
    said = {one.name: [_told(one, run.result) for run in runs] for one in _PROPERTIES}
    same = [(name, texts[0]) for name, texts in said.items() if len(set(texts)) == 1]
    marks = {mark for run in runs for mark in run.marks if all(mark in other.marks for other in runs)}
    differ = [
        one for one in _PROPERTIES if one.name not in dict(same) and one.name not in _NEVER_COLUMNS
    ]  # fmt: skip
    various = [(name, _various(said[name])) for name in _NEVER_COLUMNS if name not in dict(same)]
    blocks: list[Block] = [_table(runs, differ)]
    if facts := [*same, *various]:
        blocks.append(Facts((*facts, *([("every run is", ", ".join(sorted(marks)))] if marks else []))))
    return ReportSection("runs", "Runs", tuple(blocks))


def _table(runs: Sequence[ReportRun], differ: Sequence[_Said]) -> ReportTable:
    workload = [one.name for one in _WORKLOAD]
    first = [one for one in differ if one.name in workload]
    differ = [one for one in differ if one not in first]
    figures = [metric for metric in metrics("report") if metric.key not in _PROPERTY_KEYS]
    sparse = [metric.report_heading for metric in figures if metric.key not in _ALWAYS]
    heads = (
        TableColumn("#", right=True), TableColumn("run"),
        *(TableColumn(one.name, right=one.right) for one in first),
        TableColumn("valid"), TableColumn("marks"),
        *(TableColumn(metric.report_heading, right=metric.unit.right) for metric in figures),
        *(TableColumn(one.name, right=one.right) for one in differ),
        TableColumn("id"),
    )  # fmt: skip
    kept = [index for index, head in enumerate(heads) if head.name not in sparse]
    rows = [_row(run, first, figures, differ) for run in runs]
    for index, head in enumerate(heads):  # a column of nothing but n/a says it once, in words
        if head.name in sparse and any(row[index].text != NOT_AVAILABLE for row in rows):
            kept.append(index)
    kept.sort()
    caption = "p50: the median over requests. Throughput: all tokens over all of the measured time. J/token: the mean."
    return ReportTable(
        tuple(heads[index] for index in kept),
        tuple(tuple(row[index] for index in kept) for row in rows),
        tuple(run.id for run in runs),
        caption,
    )


def _row(
    run: ReportRun, first: Sequence[_Said], figures: Sequence[Metric], differ: Sequence[_Said]
) -> tuple[Cell, ...]:
    result = with_limits(run.result)
    return (
        Cell(str(run.number)),
        Cell(run.label),
        *(Cell(_told(one, result)) for one in first),
        valid_cell(run),
        Cell(", ".join(run.marks) or "-", "bad" if run.against else ""),
        *(Cell(metric.write(result)) for metric in figures),
        *(Cell(_told(one, result)) for one in differ),
        Cell(run.id),
    )


def valid_cell(run: ReportRun) -> Cell:
    """Whether a run may be believed."""
    result = run.result
    if result.state != "finished":
        return Cell(result.state, "bad")
    if not result.verdict.valid:
        return Cell("INVALID", "bad")
    level: Level = "warning" if run.against or result.imported else "good"
    return Cell("imported" if result.imported else run.against or "yes", level)


def _told(one: _Said, result: Result) -> str:
    return clean(one.read(result)) or NOT_AVAILABLE


def _various(texts: Sequence[str]) -> str:
    different = list(dict.fromkeys(texts))
    more = f" and {len(different) - 4} more" if len(different) > 4 else ""
    return f"DIFFERS: {' / '.join(different[:4])}{more}"


def run_details(material: ReportData) -> ReportSection:
    """A folded part for each run."""
    parts = tuple(_run(run, lost=run.result.id in material.lost) for run in material.subjects[:DETAILED])
    left = len(material.subjects) - len(parts)
    blocks: tuple[Block, ...] = (
        (Paragraph(f"The first {len(parts)} runs; the other {left} are in report.json, whole."),) if left > 0 else ()
    )
    return ReportSection("each", "Each run", blocks, parts)


def _run(run: ReportRun, *, lost: bool) -> ReportSection:
    result = run.result
    blocks: list[Block] = [Paragraph(f"Run id: {run.id}"), Paragraph(headline(result))]
    for level, text in verdict_lines(result):
        blocks.append(Callout("bad" if level == "invalid" else "", text))
    if lost:
        blocks.append(Callout("warning", f"{REQUESTS} is gone: of its requests only what is told here is known."))
    if result.error:
        blocks.append(Callout("bad", clean(f"{result.error.kind}: {result.error.message}")))
    if result.imported:
        blocks.append(
            Callout("warning", clean(f"Imported from {result.imported}; measured by {result.source or NOT_AVAILABLE}."))
        )
    blocks.append(Facts((("started", clean(result.started)), *figures(result))))
    changed = tuple(f"{path} = {value}" for path, value in _changed(result))
    for name, rows in (
        ("What ran, as found by looking", tuple(identity(result, full=True))),
        ("Where", tuple(_environment(result))),
    ):
        if rows:
            blocks += [Paragraph(f"{name}:"), Facts(rows)]
    blocks += [Paragraph("Config, as far as it is not the default:"), Bullets(changed or ("nothing",))]
    mark = f" ({', '.join(run.marks)})" if run.marks else ""
    return ReportSection(f"run-{run.number}", f"{run.number}  {run.label}{mark}", tuple(blocks), folded=True)


def _changed(result: Result) -> Iterator[tuple[str, str]]:
    """Keys of the config that differ from the defaults; those of engines that were not chosen mean nothing."""
    defaults = flat_values(Config())
    for path, value in result.setup.all().items():
        owner = owner_of(path) if path in FIELDS else None
        if owner is not None and owner.name != result.setup.target.name:
            continue
        if value != defaults.get(path):
            yield clean(path), clean(str(value))
    for path in result.untold:
        yield clean(path), "n/a (the imported file does not tell)"


def _environment(result: Result) -> Iterator[tuple[str, str]]:
    marks = result.fingerprint
    host = marks.host
    gpus = ", ".join(dict.fromkeys(gpu.name for gpu in marks.gpus)) if marks.gpus else ""
    rows = {
        "host": f"{host.hostname}  {host.os or ''}  kernel {host.kernel}",
        "CPU": f"{host.cpu_model or NOT_AVAILABLE}, {host.physical_cores or NOT_AVAILABLE} cores",
        "host memory": format_bytes(host.memory_total) if host.memory_total else "",
        "container": host.container or "",
        "GPUs": f"{len(marks.gpus)}: {gpus}" if gpus else "",
        "driver": f"{marks.driver}, up to CUDA {marks.cuda_driver}" if marks.driver else "",
        "Python": marks.python,
        "infertui": f"{marks.infertui} {marks.git_revision}",
        "config hash": marks.config_hash,
        "sampling": f"{result.sample_hz:g} Hz" if result.sample_hz else "",
    }
    for name, text in rows.items():
        if shown := clean(text).strip():
            yield name, shown
