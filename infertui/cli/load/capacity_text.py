"""A search for the most load as text: a line a stay, one table, what it comes to, a curve."""

from collections.abc import Sequence

from infertui.analysis.capacity.boundary import Boundary
from infertui.analysis.capacity.outcome import CapacityOutcome
from infertui.analysis.capacity.search import SearchPlan
from infertui.analysis.capacity.wording import (
    WHY,
    bracket_text,
    finding_lines,
    level_text,
    number_text,
    seconds_text,
    table_rows,
)
from infertui.analysis.curve import WIDTH, curve
from infertui.runner.capacity.folder import CapacityRecord
from infertui.runner.capacity.state import StayLive, StayShown
from infertui.text import clean
from infertui.units import format_seconds


def progress_text(plan: SearchPlan, live: StayLive, known: Boundary) -> str:
    """How the present stay goes."""
    found = bracket_text(plan, known.passing, known.failing)
    parts = [
        f"{live.number}: {level_text(plan.kind, live.level)} ({WHY[live.why]})",
        f"{live.elapsed:.1f} s",
        *([f"{live.in_flight} in flight"] if plan.kind == "rate" else []),
        f"{live.requests} requests",
        *([found] if found else []),
        clean(live.reason)[:60] or "settled",
    ]
    return "  ".join(parts)


def stay_line(plan: SearchPlan, stay: StayShown) -> str:
    """What one of them showed."""
    figures = stay.figures
    power = [f"{number_text(figures.power_w)} W"] if figures.power_w is not None else []
    cells = [
        f"{stay.number:>3}  {level_text(plan.kind, stay.level):<16}",
        f"{stay.end} in {format_seconds(stay.took_s)}",
        f"{number_text(figures.request_throughput)} req/s",
        f"{number_text(figures.output_throughput)} tok/s",
        f"TTFT {seconds_text(figures.ttft)}",
        f"TPOT {seconds_text(figures.tpot)}",
        *power,
        verdict_text(stay),
    ]
    return "  ".join(cells) + (f"  INVALID: {clean(stay.against)}" if stay.against else "")


def verdict_text(stay: StayShown) -> str:
    """Which objective it kept least, and whether it kept it."""
    if stay.used is None:
        return "nothing is known of the objectives"
    return f"{'keeps' if stay.keeps else 'MISSES'} {clean(stay.binding)} ({stay.used:.0%} of it used)"


def about_text(record: CapacityRecord) -> str:
    """Where was searched, and for what."""
    server = f" ({', '.join(part for part in (record.server, record.model) if part)})" if record.server else ""
    return f"{record.url}{server}, {record.slo}"


def outcome_lines(
    record: CapacityRecord, outcome: CapacityOutcome, *, ascii_only: bool = False, width: int | None = None
) -> list[str]:
    """All of it."""
    plan = record.plan
    return [
        clean(f"{record.search}: {about_text(record)}"),
        "",
        *table_lines(outcome),
        "",
        *finding_lines(plan, outcome),
        "",
        *curve_lines(plan, outcome, ascii_only=ascii_only, width=width),
    ]


def table_lines(outcome: CapacityOutcome) -> list[str]:
    """A row a level, its columns aligned."""
    rows = table_rows(outcome)
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    marked = rows[0][-1] == ""
    return [
        "  ".join(
            cell if marked and at == len(row) - 1 else f"{cell:>{widths[at]}}" for at, cell in enumerate(row)
        ).rstrip()
        for row in rows
    ]


def curve_lines(
    plan: SearchPlan, outcome: CapacityOutcome, *, ascii_only: bool = False, width: int | None = None
) -> list[str]:
    """Output throughput over the level, the capacity pointed at, and below it what each user has of it."""
    axis = "in flight" if plan.kind == "concurrency" else "requests a second"
    marks = [outcome.capacity] if outcome.capacity is not None else []
    cells = WIDTH if width is None else max(20, min(WIDTH, width - 16))
    lines: list[str] = []
    charts: Sequence[tuple[str, list[tuple[float, float]]]] = (
        ("output tok/s", [(each.level, each.output_throughput) for each in outcome.levels if each.output_throughput]),
        ("TTFT, ms", [(each.level, each.ttft * 1000) for each in outcome.levels if each.ttft]),
    )
    for title, points in charts:
        inside = [mark for mark in marks if points and min(points)[0] <= mark <= max(points)[0]]
        lines += curve(points, title=title, marks=inside, axis=axis, ascii_only=ascii_only, width=cells)
    return lines
