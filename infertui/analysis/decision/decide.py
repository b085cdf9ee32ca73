"""What measured results bear: how configurations stand, what a setting does, what to use for a goal, what to avoid.

Nothing is called better or worse without an interval that says so, and every statement names its runs. Wording is apart
(`wording.py`). Pure.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import takewhile
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from infertui.analysis.decision.axes import AxisSeries, axis_series
from infertui.analysis.decision.command import repeating
from infertui.analysis.decision.configurations import (
    Configuration,
    Group,
    against,
    configuration,
    grouped,
    names_of,
    outcome_text,
    reasons_unlike,
    task_of,
    task_words,
    throughput_of,
)
from infertui.analysis.outcome import EQUAL_WITHIN, Outcome
from infertui.config.schema import Config
from infertui.measure.comparison import Better, Bounds, Ratio, rates_ratio
from infertui.metrics.filter import Term, holds
from infertui.metrics.registry import metric_of
from infertui.results.result import Result
from infertui.results.row import row_of
from infertui.text import clean

Goal = Literal["throughput", "latency", "energy", "memory", "cost"]
_FIGURES: dict[Goal, tuple[str, Better]] = {
    "throughput": ("throughput", "higher"), "latency": ("latency", "lower"), "energy": ("joules_per_token", "lower"),
    "memory": ("memory", "lower"), "cost": ("cost", "lower"),
}  # fmt: skip
GOALS: tuple[Goal, ...] = tuple(_FIGURES)
AVOIDED_LOSS = 0.1
"""Shares of the throughput: from such a loss on, that is sure, a configuration is told as one to avoid."""
EFFICIENT = 0.8
"""Scaling efficiency down to which a larger batch is called efficient."""
_MOST_AVOIDED = 8
AXES = (
    "workload.batch_size", "workload.input_len", "workload.output_len", "load.concurrency", "load.request_rate",
)  # fmt: skip


class Recommendation(Struct, frozen=True):
    """What to use for a goal. `rivals` are configurations that cannot be told apart from it, by their runs, `untold`
    those of them for want of an interval.

    `sure`: every other one is worse for sure, which goals without intervals never are.
    `value` is the figure of the goal. Without a `run` nothing can be recommended, and `why` says so.
    """

    goal: Goal
    run: str = ""
    name: str = ""
    value: float | None = None
    candidates: int = 0
    rivals: tuple[str, ...] = ()
    sure: bool = False
    interval: bool = False
    why: str = ""
    untold: tuple[str, ...] = ()


class Avoided(Struct, frozen=True):
    """A configuration not to use: its loss against `against` (a run), as shares of the throughput, or why it failed."""

    name: str
    run: str
    against: str = ""
    against_name: str = ""
    loss: float | None = None
    loss_low: float | None = None
    loss_high: float | None = None
    problem: str = ""


class ImpactPoint(Struct, frozen=True):
    """One value of a setting. `ratio` is the throughput over that of the least value, `efficiency` that over the
    value's own ratio (of batches).
    """

    value: float
    run: str
    throughput: float
    low: float | None
    high: float | None
    ttft: float | None
    latency: float | None
    against: str
    ratio: float | None = None
    ratio_low: float | None = None
    ratio_high: float | None = None
    outcome: Outcome = ""
    efficiency: float | None = None
    runs: tuple[str, ...] = ()
    """All of this value; the throughput is over them where there are enough."""


class Impact(Struct, frozen=True):
    """What a setting does, all else being equal. Of batches `best` is the least whose throughput is not below the
    highest for sure, by intervals: None where that one has none. `efficient` is the largest up to which all scale with
    `EFFICIENT` or better. Of valid runs alone.
    """

    key: str
    heading: str
    task: str
    points: tuple[ImpactPoint, ...]
    failed: tuple[float, ...] = ()
    best: float | None = None
    efficient: float | None = None


class TaskAdvice(Struct, frozen=True):
    """One task: its configurations, the baseline first and the others by throughput, and what follows from them."""

    task: str
    configurations: tuple[Configuration, ...]
    choices: tuple[Recommendation, ...]
    avoid: tuple[Avoided, ...]
    beyond_limits: int = 0
    """Configurations that do not keep to the limits."""


class Advice(Struct, frozen=True):
    """All of it. `currency` and `priced` say what costs rest on."""

    tasks: tuple[TaskAdvice, ...]
    impacts: tuple[Impact, ...]
    limits: tuple[str, ...] = ()
    equal_within: float = EQUAL_WITHIN
    currency: str = ""
    priced: str = ""
    repeats: dict[str, str] = {}
    """The command that repeats a recommended run, by its id; none of an imported one."""
    serves: dict[str, str] = {}
    """The command that serves its model by its engine's own server, by its id, where there is one."""


def advise(
    results: Sequence[Result],
    *,
    baseline: str = "",
    goals: Sequence[Goal] = GOALS,
    limits: Sequence[Term] = (),
    limit_texts: Sequence[str] = (),
    cost: Callable[[Result], float | None] = lambda _: None,
    currency: str = "",
    priced: str = "",
    out: str = "reports",
    is_kept: Callable[[str], bool] = lambda _: True,
    serve: Callable[[Config], str] = lambda _: "",
    equal_within: float = EQUAL_WITHIN,
) -> Advice:
    """What these runs bear. `baseline` is the id of a run, for its task; `cost` gives that of a million tokens.

    `out` is the folder of the runs, as commands name it; `is_kept` says of which the config is kept there as a file.
    `serve` gives the command of a server with a config, or nothing.

    Of runs that never were loaded the device is not known: they stand with the task that is theirs otherwise.
    """
    tasks: dict[tuple[object, ...], list[Result]] = {}
    for result in results:
        tasks.setdefault(task_of(result), []).append(result)
    _place_unloaded(tasks)
    told = [
        _task(group, baseline, goals, limits, cost, equal_within)
        for group in sorted(tasks.values(), key=lambda group: -len(group))
    ]
    impacts = [
        _impact(one, equal_within) for key in AXES for one in axis_series(results, key)
    ]  # fmt: skip
    by_id = {result.id: result for result in results}
    chosen = dict.fromkeys(choice.run for task in told for choice in task.choices if choice.run)
    repeats = {run: text for run in chosen if (text := repeating(by_id[run], out if is_kept(run) else ""))}
    serves = {run: text for run in chosen if (config := by_id[run].config) and (text := serve(config))}
    return Advice(tuple(told), tuple(impacts), tuple(limit_texts), equal_within, currency, priced, repeats, serves)


def _place_unloaded(tasks: dict[tuple[object, ...], list[Result]]) -> None:
    for key in [key for key in tasks if key[2] is None]:
        others = [other for other in tasks if other[2] is not None and (*other[:2], *other[3:]) == (*key[:2], *key[3:])]
        if len(others) == 1:
            tasks[others[0]] += tasks.pop(key)


def _task(
    results: Sequence[Result],
    baseline: str,
    goals: Sequence[Goal],
    limits: Sequence[Term],
    cost: Callable[[Result], float | None],
    equal_within: float,
) -> TaskAdvice:
    groups = grouped(results)
    names = names_of(groups)
    found = [configuration(group, name, cost) for group, name in zip(groups, names, strict=True)]
    base = _baseline(groups, baseline)
    stood = [_against_baseline(found, groups, at, base, equal_within) for at in range(len(found))]
    able = [at for at, one in enumerate(stood) if not one.against and one.throughput]
    within = [at for at in able if _keeps(groups[at].chosen, limits)]
    choices = tuple(_choice(goal, [stood[at] for at in within], len(able), equal_within) for goal in goals)
    order = sorted(
        range(len(stood)), key=lambda at: (at != base, bool(stood[at].against), -(stood[at].throughput or 0))
    )
    return TaskAdvice(
        task_words(results[0]), tuple(stood[at] for at in order), choices,
        tuple(_avoid(stood, groups))[:_MOST_AVOIDED], len(able) - len(within),
    )  # fmt: skip


def _baseline(groups: Sequence[Group], wanted: str) -> int:
    def named(group: Group) -> bool:
        return any(result.id == wanted for result in group.results)

    def of_bench(group: Group) -> bool:
        return any(result.bench is not None and result.bench.baseline for result in group.results)

    for suits in (named, of_bench, lambda group: not against(group.chosen)):
        for at, group in enumerate(groups):
            if suits(group):
                return at
    return 0


def _against_baseline(
    found: Sequence[Configuration], groups: Sequence[Group], at: int, base: int, equal_within: float
) -> Configuration:
    one = found[at]
    if at == base:
        return replace(one, baseline=True)
    ratio = rates_ratio(one, found[base])
    low, high = _ends(ratio)
    return replace(
        one, ratio=ratio.value if ratio else None, ratio_low=low, ratio_high=high,
        outcome=outcome_text(ratio, equal_within), unlike=reasons_unlike(groups[base], groups[at]),
    )  # fmt: skip


def _ends(ratio: Ratio | None) -> Bounds:
    return (ratio.interval.low, ratio.interval.high) if ratio and ratio.interval else (None, None)


def _keeps(result: Result, limits: Iterable[Term]) -> bool:
    row = row_of(result)
    return all(holds(row, term) for term in limits)


def _choice(goal: Goal, candidates: Sequence[Configuration], able: int, equal_within: float) -> Recommendation:
    name, better = _FIGURES[goal]
    known = [(value, one) for one in candidates if (value := getattr(one, name)) is not None and value > 0]
    if not known:
        why = "no run keeps to the limits" if able and not candidates else "no valid run tells it"
        return Recommendation(goal, why=why)
    value, best = (max if better == "higher" else min)(known, key=lambda entry: entry[0])
    if goal != "throughput":
        # Of those that are alike in this the fastest.
        near = [entry for entry in known if abs(entry[0] / value - 1) <= equal_within]
        value, best = max(near, key=lambda entry: entry[1].throughput or 0.0)
        return Recommendation(
            goal, best.run, best.name, value, len(known), tuple(one.run for _, one in near if one is not best)
        )
    beside = {one.run: rates_ratio(one, best) for _, one in known if one is not best}
    rivals = tuple(run for run, ratio in beside.items() if outcome_text(ratio, equal_within) != "worse")
    untold = tuple(run for run in rivals if _ends(beside[run]) == (None, None))
    return Recommendation(
        goal, best.run, best.name, value, len(known), rivals, sure=not rivals and len(known) > 1,
        interval=best.low is not None, untold=untold,
    )  # fmt: skip


def _avoid(stood: Sequence[Configuration], groups: Sequence[Group]) -> Iterable[Avoided]:
    """Sure losses of `AVOIDED_LOSS` against the fastest comparable one, the largest first; then what failed."""
    able = sorted(
        (at for at, one in enumerate(stood) if not one.against and one.throughput),
        key=lambda at: -(stood[at].throughput or 0),
    )
    losses = []
    for place, at in enumerate(able):
        # The fastest that is comparable with it tells the loss.
        other = next((one for one in able[:place] if not any(reasons_unlike(groups[one], groups[at]))), None)
        ratio = None if other is None else rates_ratio(stood[at], stood[other])
        low, high = _ends(ratio)
        if other is None or ratio is None or low is None or high is None or 1 - high < AVOIDED_LOSS:
            continue
        one = stood[at]
        losses.append(
            Avoided(one.name, one.run, stood[other].run, stood[other].name, 1 - ratio.value, 1 - high, 1 - low)
        )
    yield from sorted(losses, key=lambda one: -(one.loss or 0.0))
    for one, group in zip(stood, groups, strict=True):
        if one.against and group.chosen.state != "interrupted":  # that was somebody's wish, or a power cut
            yield Avoided(one.name, one.run, problem=one.against)


def _impact(series: AxisSeries, equal_within: float) -> Impact:
    made = [_point(x, chosen, same) for (x, chosen), same in zip(series.points, series.repeats, strict=True)]
    first = next((one for one in made if not one.against), None)
    batches = series.key == AXES[0]
    points = tuple(_against_first(one, first, equal_within, scales=batches) for one in made)
    valid = [one for one in points if not one.against]
    best = efficient = None
    if batches and len(valid) > 1:
        best = _best_batch(valid, equal_within)
        scaling = takewhile(lambda one: one is valid[0] or (one.efficiency or 0.0) >= EFFICIENT, valid)
        efficient = [one.value for one in scaling][-1]
    model = clean(series.points[0][1].setup.model or "n/a")
    words = series.fixed if series.fixed.startswith(model) else ", ".join(filter(None, (model, series.fixed)))
    return Impact(series.key, series.heading, words, points, series.failed, best, efficient)


def _point(x: float, chosen: Result, same: tuple[Result, ...]) -> ImpactPoint:
    speed, low, high, _, _ = throughput_of(Group(same, chosen))
    return ImpactPoint(
        x, clean(chosen.id), speed or 0.0, low, high, metric_of("ttft").number(chosen),
        metric_of("latency").number(chosen), against(chosen), runs=tuple(clean(one.id) for one in same),
    )  # fmt: skip


def _against_first(one: ImpactPoint, first: ImpactPoint | None, equal_within: float, *, scales: bool) -> ImpactPoint:
    if first is None or one.against or one is first:
        return one
    ratio = rates_ratio(one, first)
    low, high = _ends(ratio)
    return replace(
        one, ratio=ratio.value if ratio else None, ratio_low=low, ratio_high=high,
        outcome=outcome_text(ratio, equal_within),
        efficiency=ratio.value / (one.value / first.value) if ratio and scales and first.value > 0 else None,
    )  # fmt: skip


def _best_batch(valid: Sequence[ImpactPoint], equal_within: float) -> float | None:
    """None where the highest has no interval: nothing can be told apart from it then."""
    fastest = max(valid, key=lambda one: one.throughput)
    if fastest.low is None:
        return None
    beside = {one.value: ratio for one in valid if (ratio := rates_ratio(one, fastest)) and ratio.interval is not None}
    return next(
        (x for x, ratio in beside.items() if outcome_text(ratio, equal_within) in ("equal", "unclear")), fastest.value
    )
