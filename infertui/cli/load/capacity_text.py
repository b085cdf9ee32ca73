"""A search for the most load as text: a line a stay, one table, what it comes to, a curve."""

from collections.abc import Iterator, Sequence

from infertui.analysis.capacity.boundary import levels_of
from infertui.analysis.capacity.curve import LevelFigures
from infertui.analysis.capacity.outcome import CapacityOutcome, Stay
from infertui.analysis.capacity.search import LevelKind, SearchPlan
from infertui.analysis.curve import WIDTH, curve
from infertui.metrics.metric import NOT_AVAILABLE
from infertui.runner.capacity.folder import CapacityRecord
from infertui.runner.capacity.searching import StayOver, StayProgress
from infertui.text import clean
from infertui.units import format_number, format_seconds

HEAD = ("level", "req/s", "tok/s", "tok/s/user", "TTFT", "TTFT p99", "TPOT", "E2E", "failed", "requests", "")
_WHY = {
    "bracket": "twice or half as much",
    "narrow": "between",
    "again": "once more",
    "sure": "to be sure",
    "": "",
}
_ENDINGS = {
    "found": "",
    "least": "no level that may be tried keeps the objectives",
    "most": "the most that may be tried keeps the objectives",
    "stays": "ended after as many stays as were allowed: the interval is as wide as that left it",
    "time": "ended after as much time as was allowed: the interval is as wide as that left it",
    "interrupted": "interrupted: this is what was known by then",
}
_LARGEST_SLOPE = 100


def level_text(kind: LevelKind, level: float) -> str:
    """As in 64 in flight, or 12.5 req/s."""
    return f"{level:g} in flight" if kind == "concurrency" else f"{format_number(level)} req/s"


def progress_text(plan: SearchPlan, told: StayProgress) -> str:
    """How the present stay goes."""
    known = told.boundary
    found = [f"keeps {known.passing:g}"] if known.passing is not None else []
    found += [f"not {known.failing:g}"] if known.failing is not None else []
    parts = [
        f"{told.number + 1}: {level_text(plan.kind, told.level)} ({_WHY[told.why]})",
        f"{told.elapsed:.1f} s",
        *([f"{told.in_flight} in flight"] if plan.kind == "rate" else []),
        f"{told.requests} requests",
        *([", ".join(found)] if found else []),
        clean(told.reason)[:60] or "settled",
    ]
    return "  ".join(parts)


def stay_line(plan: SearchPlan, told: StayOver, number: int) -> str:
    """What one of them showed."""
    stay, figures = told.stay, told.stay.figures
    cells = [
        f"{number:>3}  {level_text(plan.kind, stay.observation.level):<16}",
        f"{told.end} in {format_seconds(stay.took_s)}",
        f"{_number(figures.request_throughput)} req/s",
        f"{_number(figures.output_throughput)} tok/s",
        f"TTFT {_seconds(figures.ttft)}",
        f"TPOT {_seconds(figures.tpot)}",
        verdict_text(plan, stay),
    ]
    return "  ".join(cells) + (f"  INVALID: {clean(stay.against[0])}" if stay.against else "")


def verdict_text(plan: SearchPlan, stay: Stay) -> str:
    """Which objective it kept least, and whether it kept it."""
    (level,) = levels_of([stay.observation], plan.objectives)
    used = [(use.value, wanted.name) for use, wanted in zip(level.uses, plan.objectives, strict=True) if use]
    if not used:
        return "nothing is known of the objectives"
    worst, name = max(used)
    return f"{'keeps' if worst <= 1 and not stay.observation.overloaded else 'MISSES'} {name} ({worst:.0%} of it used)"


def outcome_lines(
    record: CapacityRecord, outcome: CapacityOutcome, *, ascii_only: bool = False, width: int | None = None
) -> list[str]:
    """All of it."""
    plan = record.plan
    server = f" ({record.server}, {record.model})" if record.server else ""
    return [
        clean(f"{record.search}: {record.url}{server}, {record.slo}"),
        "",
        *table_lines(plan, outcome),
        "",
        *finding_lines(plan, outcome),
        "",
        *curve_lines(plan, outcome, ascii_only=ascii_only, width=width),
    ]


def table_lines(plan: SearchPlan, outcome: CapacityOutcome) -> list[str]:
    """A row a level, its columns aligned."""
    rows = [HEAD, *(_cells(each, outcome) for each in outcome.levels)]
    shown = [at for at in range(len(HEAD)) if at == 0 or any(row[at] not in ("", NOT_AVAILABLE) for row in rows[1:])]
    widths = {at: max(len(row[at]) for row in rows) for at in shown}
    last = len(HEAD) - 1
    return ["  ".join(row[at] if at == last else f"{row[at]:>{widths[at]}}" for at in shown).rstrip() for row in rows]


def _cells(each: LevelFigures, outcome: CapacityOutcome) -> tuple[str, ...]:
    marks = []
    if each.level == outcome.boundary.passing:
        marks.append("the most that was tried and keeps them")
    if each.level == outcome.boundary.failing:
        marks.append("the least that does not")
    if each.level == outcome.knee:
        marks.append("knee")
    return (
        f"{each.level:g}",
        _number(each.request_throughput),
        _number(each.output_throughput),
        _number(each.tps_user),
        _seconds(each.ttft),
        _seconds(each.ttft_p99),
        _seconds(each.tpot),
        _seconds(each.e2e),
        "" if not each.error_rate else f"{each.error_rate:.1%}",
        str(each.requests),
        ", ".join(marks),
    )


def finding_lines(plan: SearchPlan, outcome: CapacityOutcome) -> Iterator[str]:
    """The capacity and how well it is known, what binds, the knee."""
    yield _capacity_line(plan, outcome)
    boundary = outcome.boundary
    if boundary.binding:
        steep = ""
        if boundary.slope is not None:
            much = f"{boundary.slope:.2g} %" if boundary.slope < _LARGEST_SLOPE else f"over {_LARGEST_SLOPE} %"
            steep = f"; a {boundary.shape}: 1 % more load uses {much} more of it" if boundary.shape == "cliff" else ""
            steep = steep or f"; smooth: 1 % more load uses {much} more of it"
        yield f"{'nearest to its limit' if outcome.at_least else 'what binds'}: {boundary.binding}{steep}"
    if outcome.knee is not None:
        yield f"knee: {level_text(plan.kind, outcome.knee)}, where throughput over latency is highest"
    if _ENDINGS[outcome.ending]:
        yield _ENDINGS[outcome.ending]
    for note in outcome.notes:
        yield clean(f"note: {note}")


def _capacity_line(plan: SearchPlan, outcome: CapacityOutcome) -> str:
    spent = f"{outcome.stays} stay{'' if outcome.stays == 1 else 's'}, {format_seconds(outcome.seconds)}"
    if outcome.capacity is None:
        failing = outcome.boundary.failing
        below = f" below {level_text(plan.kind, failing)}" if failing is not None else ""
        return f"capacity: none is known{below}; {spent}"
    if outcome.at_least:
        return f"capacity: {level_text(plan.kind, outcome.capacity)} or more; {spent}"
    interval = outcome.boundary.interval
    bounds = ""
    if interval is not None:
        low, high = interval.low, interval.high
        bounds = f" (95 %: {format_number(low)} to {format_number(high)})"
    exact = f", boundary at {format_number(outcome.boundary.level)}" if outcome.boundary.level is not None else ""
    return f"capacity: {level_text(plan.kind, outcome.capacity)}{exact}{bounds}; {spent}"


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


def _number(value: float | None) -> str:
    return NOT_AVAILABLE if value is None else format_number(value)


def _seconds(value: float | None) -> str:
    return NOT_AVAILABLE if value is None else format_seconds(value)
