"""A report as data: runs whole, comparisons, and the values behind every chart."""

from collections.abc import Sequence

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from infertui.analysis.bench import Bench
from infertui.analysis.compare import Comparison
from infertui.report.charts.build import Data, PlannedChart
from infertui.report.data import ReportData
from infertui.report.document import Document, ReportFigure
from infertui.results.result import Result

_SAID = ("verdict", "cautions", "runs", "benches", "comparison", "advice", "impacts")
"""Sections that say what is found; the others hold the results once more, and what is the same in every report."""
SCHEMA = "infertui-report"
VERSION = 1


class RunData(Struct, frozen=True):
    """A run: `number` and `label` are what figures and tables call it."""

    number: int
    label: str
    marks: tuple[str, ...]
    against: str
    result: Result


class RankingData(Struct, frozen=True):
    """Runs of one workload, by id. `comparisons` are with the baseline, `lead` is the winner against the second."""

    workload: str
    runs: tuple[str, ...]
    baseline: str
    winner: str | None
    comparisons: tuple[Comparison, ...]
    lead: Comparison | None


class ChartData(Struct, frozen=True):
    """What a chart is called and says, and the values that it draws."""

    figure: ReportFigure
    data: Data


class ReportFile(Struct, frozen=True):
    """report.json. Another `version` means that fields were renamed or mean something else."""

    schema: str
    version: int
    document: Document
    runs: tuple[RunData, ...]
    contests: tuple[RankingData, ...]
    benches: tuple[Bench, ...]
    charts: tuple[ChartData, ...]


def as_json(document: Document, material: ReportData, charts: Sequence[PlannedChart]) -> bytes:
    """One JSON document, indented."""
    report = ReportFile(
        schema=SCHEMA,
        version=VERSION,
        document=replace(document, sections=tuple(part for part in document.sections if part.key in _SAID)),
        runs=tuple(
            RunData(run.number, run.label, run.marks, run.against, run.result) for run in material.subjects
        ),
        contests=tuple(
            RankingData(
                workload=contest.workload,
                runs=tuple(run.id for run in contest.subjects),
                baseline=contest.baseline.id,
                winner=contest.winner.id if contest.winner else None,
                comparisons=tuple(entrant.comparison for entrant in contest.entrants),
                lead=contest.second.comparison if contest.second else None,
            )
            for contest in material.contests
        ),
        benches=material.benches,
        charts=tuple(ChartData(chart.figure, chart.data) for chart in charts),
    )  # fmt: skip
    return msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n"
