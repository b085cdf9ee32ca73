"""A search for a capacity in words: the same in a terminal, on the screen, in the queue and in documents."""

from collections.abc import Iterator

from infertui.analysis.capacity.curve import LevelFigures
from infertui.analysis.capacity.outcome import CapacityOutcome
from infertui.analysis.capacity.search import LevelKind, SearchPlan
from infertui.metrics.metric import NOT_AVAILABLE
from infertui.text import clean
from infertui.units import format_number, format_seconds

HEAD = (
    "level", "req/s", "tok/s", "tok/s/user", "TTFT", "TTFT p99", "TPOT", "E2E", "failed", "running", "waiting", "KV",
    "W", "J/tok", "requests", "",
)  # fmt: skip
WHY = {
    "bracket": "twice or half as much",
    "narrow": "between",
    "again": "once more",
    "sure": "to be sure",
    "": "",
}
ENDINGS = {
    "": "",
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


def bracket_text(plan: SearchPlan, passing: float | None, failing: float | None) -> str:
    """What is known by now, as in `keeps 64, not 128`."""
    found = [f"keeps {passing:g}"] if passing is not None else []
    found += [f"not {failing:g}"] if failing is not None else []
    return ", ".join(found)


def found_text(plan: SearchPlan, outcome: CapacityOutcome) -> str:
    """In a line, as an entry of the queue has it: `64 in flight (58 to 69), ttft.p95<500ms binds`."""
    if outcome.capacity is None:
        failing = outcome.boundary.failing
        return f"none is known below {level_text(plan.kind, failing)}" if failing is not None else "none is known"
    if outcome.at_least:
        return f"{level_text(plan.kind, outcome.capacity)} or more"
    interval = outcome.boundary.interval
    bounds = f" ({format_number(interval.low)} to {format_number(interval.high)})" if interval else ""
    binds = f", {outcome.boundary.binding} binds" if outcome.boundary.binding else ""
    return clean(f"{level_text(plan.kind, outcome.capacity)}{bounds}{binds}")


def finding_lines(plan: SearchPlan, outcome: CapacityOutcome) -> Iterator[str]:
    """The capacity and how well it is known, what binds, the knee."""
    yield capacity_line(plan, outcome)
    boundary = outcome.boundary
    if boundary.binding:
        steep = ""
        if boundary.slope is not None:
            much = f"{boundary.slope:.2g} %" if boundary.slope < _LARGEST_SLOPE else f"over {_LARGEST_SLOPE} %"
            steep = f"; a {boundary.shape}: 1 % more load uses {much} more of it" if boundary.shape == "cliff" else ""
            steep = steep or f"; smooth: 1 % more load uses {much} more of it"
        yield clean(f"{'nearest to its limit' if outcome.at_least else 'what binds'}: {boundary.binding}{steep}")
    if outcome.knee is not None:
        yield f"knee: {level_text(plan.kind, outcome.knee)}, where throughput over latency is highest"
    if ENDINGS[outcome.ending]:
        yield ENDINGS[outcome.ending]
    for note in outcome.notes:
        yield clean(f"note: {note}")


def capacity_line(plan: SearchPlan, outcome: CapacityOutcome) -> str:
    """With its interval, and what it took."""
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


def table_rows(outcome: CapacityOutcome) -> list[tuple[str, ...]]:
    """The heading and a row a level, without the columns of which nothing is known."""
    rows = [HEAD, *(_cells(each, outcome) for each in outcome.levels)]
    shown = [at for at in range(len(HEAD)) if at == 0 or any(row[at] not in ("", NOT_AVAILABLE) for row in rows[1:])]
    return [tuple(row[at] for at in shown) for row in rows]


def marks_of(level: float, outcome: CapacityOutcome) -> list[str]:
    """What there is to say of a level."""
    marks = ["the most that was tried and keeps them"] if level == outcome.boundary.passing else []
    marks += ["the least that does not"] if level == outcome.boundary.failing else []
    return marks + (["knee"] if level == outcome.knee else [])


def number_text(value: float | None) -> str:
    """Or n/a."""
    return NOT_AVAILABLE if value is None else format_number(value)


def seconds_text(value: float | None) -> str:
    """Or n/a."""
    return NOT_AVAILABLE if value is None else format_seconds(value)


def _cells(each: LevelFigures, outcome: CapacityOutcome) -> tuple[str, ...]:
    return (
        f"{each.level:g}",
        number_text(each.request_throughput),
        number_text(each.output_throughput),
        number_text(each.tps_user),
        seconds_text(each.ttft),
        seconds_text(each.ttft_p99),
        seconds_text(each.tpot),
        seconds_text(each.e2e),
        "" if not each.error_rate else f"{each.error_rate:.1%}",
        number_text(each.running),
        number_text(each.waiting),
        NOT_AVAILABLE if each.kv_usage is None else f"{each.kv_usage:.0%}",
        number_text(each.power_w),
        number_text(each.joules_per_token),
        str(each.requests),
        ", ".join(marks_of(each.level, outcome)),
    )
