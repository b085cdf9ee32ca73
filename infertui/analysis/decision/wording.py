"""Advice in words: tables as headings and cells, and sentences, each of which names its runs. Pure."""

from collections.abc import Iterator, Sequence

from infertui.analysis.decision.configurations import Configuration
from infertui.analysis.decision.decide import (
    AXES,
    EFFICIENT,
    Advice,
    Avoided,
    Goal,
    Impact,
    ImpactPoint,
    Recommendation,
    TaskAdvice,
)
from infertui.analysis.outcome import band_text, percent
from infertui.measure.dependence import FEWEST
from infertui.metrics.metric import NOT_AVAILABLE
from infertui.units import format_bytes, format_number, format_seconds

GOAL_WORDS: dict[Goal, str] = {
    "throughput": "most output tokens per second", "latency": "least E2E latency", "energy": "least energy per token",
    "memory": "least memory", "cost": "least cost per token",
}  # fmt: skip
CONFIGURATIONS = (
    "configuration", "run", "tok/s (95 %)", "x baseline (95 %)", "E2E p50", "TTFT p50", "memory", "tok/s/W", "verdict",
)  # fmt: skip
EFFICIENCY = (("excellent", 0.9), ("good", 0.6), ("medium", 0.3))
"""Words for tokens per second and watt, by the least share of the highest of a task; below all: poor."""
_OUTCOMES = {"better": "faster", "worse": "slower", "equal": "equal", "unclear": "unclear"}
_REASONS = 2
_UNITS = {"iterations": "the iterations", "blocks": "parts of the windows"}
"""What an interval of one run is over."""


def configuration_rows(task: TaskAdvice) -> list[tuple[str, ...]]:
    """The cells under `CONFIGURATIONS`."""
    rated = [one.tokens_per_s_per_w for one in task.configurations if one.tokens_per_s_per_w]
    most = max(rated) if len(rated) > 1 else None
    return [
        (
            one.name, _runs(one), _bounded(one.throughput, one.low, one.high), _times(one),
            _seconds(one.latency), _seconds(one.ttft),
            NOT_AVAILABLE if one.memory is None else format_bytes(one.memory),
            _efficiency(one, most),
            verdict_text(one),
        )
        for one in task.configurations
    ]  # fmt: skip


def _efficiency(one: Configuration, most: float | None) -> str:
    """Tokens per second and watt, with a word for its share of `most`, the highest of the task."""
    value = one.tokens_per_s_per_w
    if value is None:
        return NOT_AVAILABLE
    word = "" if not most else next((word for word, least in EFFICIENCY if value >= least * most), "poor")
    return " ".join(filter(None, (format_number(value), word)))


def _runs(one: Configuration | ImpactPoint) -> str:
    more = len(one.runs) - 1
    return one.run + (f" +{more}" if more else "")


def _times(one: Configuration) -> str:
    if one.throughput is None:
        return NOT_AVAILABLE
    if one.baseline:
        return "1"
    if one.ratio is None:
        return NOT_AVAILABLE
    shown = _bounded(one.ratio, one.ratio_low, one.ratio_high, digits=True)
    return f"({shown})" if one.unlike else shown


def verdict_text(one: Configuration) -> str:
    """How it stands to the baseline, in a few words."""
    if one.against:
        return one.against
    if one.throughput is None:
        return "no throughput"
    if one.baseline:
        return "baseline"
    if one.unlike:
        more = len(one.unlike) - _REASONS
        return f"not comparable: {'; '.join(one.unlike[:_REASONS])}" + (f"; {more} more" if more > 0 else "")
    if one.outcome == "unclear" and one.ratio_low is None:
        return f"unclear: {_few(one)}"
    return _OUTCOMES.get(one.outcome, NOT_AVAILABLE)


def _few(one: Configuration) -> str:
    if one.observations < FEWEST:
        unit = "parts of its window" if one.interval_over == "blocks" else "iterations"
        return f"{one.observations} {unit} are too few for an interval"
    return "one of the two has no interval"


def choice_lines(task: TaskAdvice, advice: Advice) -> list[str]:
    """A line for each goal; a single one where nothing can be recommended for any of them, for one reason."""
    reasons = {choice.why for choice in task.choices}
    if len(reasons) == 1 and all(not choice.run for choice in task.choices):
        limits = f" with {' and '.join(advice.limits)}" if advice.limits else ""
        return [f"nothing can be recommended{limits}, since {reasons.pop()}"]
    return [choice_text(choice, advice) for choice in task.choices]


def choice_text(choice: Recommendation, advice: Advice) -> str:
    """What to use for a goal, how sure that is, and on which runs it rests."""
    head = f"{GOAL_WORDS[choice.goal]}"
    limits = f" with {' and '.join(advice.limits)}" if advice.limits else ""
    if not choice.run:
        why = choice.why
        if choice.goal == "cost" and advice.priced:
            why = advice.priced
        return f"{head}{limits}: nothing can be recommended, since {why}"
    text = f"{head}{limits}: {choice.name}, {goal_value(choice, advice)} (run {choice.run})"
    if choice.candidates == 1:
        return f"{text}; it is the only one measured"
    several = choice.candidates > 2
    others = f"the {choice.candidates - 1} others are" if several else "the other is"
    if choice.rivals:
        if choice.goal != "throughput":
            return (
                f"{text}; the fastest of those within {band_text(advice.equal_within)}, beside {_named(choice.rivals)}"
            )
        close = [run for run in choice.rivals if run not in choice.untold]
        told = [f"not below it for sure: {_named(close)}"] if close else []
        told += [f"without an interval nothing is sure of {_named(choice.untold)}"] if choice.untold else []
        return "; ".join((text, *told))
    if choice.interval:
        return f"{text}; {others} slower for sure"
    return f"{text}; {others} beyond {band_text(advice.equal_within)}, by single figures without an interval"


def commands(task: TaskAdvice, advice: Advice) -> Iterator[str]:
    """What repeats the runs that are recommended, and what serves with their settings, each once."""
    runs = dict.fromkeys(choice.run for choice in task.choices)
    for purpose, found in (("to repeat it", advice.repeats), ("to serve it", advice.serves)):
        for text in dict.fromkeys(found[run] for run in runs if run in found):
            yield f"{purpose}: {text}"


def goal_value(choice: Recommendation, advice: Advice) -> str:
    """The figure of the goal, with its unit."""
    value = choice.value or 0.0
    match choice.goal:
        case "throughput":
            return f"{format_number(value)} tok/s"
        case "latency":
            return f"E2E p50 {format_seconds(value)}"
        case "energy":
            return f"{format_number(value)} J/token"
        case "memory":
            return format_bytes(value)
        case "cost":
            return f"{format_number(value)} {advice.currency} a million output tokens"


def avoid_text(one: Avoided) -> str:
    """What not to use, with its measured loss or why it failed."""
    if one.problem:
        return f"{one.name}: {one.problem} (run {one.run})"
    loss, low, high = one.loss or 0.0, one.loss_low or 0.0, one.loss_high or 0.0
    span = f"{percent(low)} to {percent(high)}"
    return (
        f"{one.name}: {percent(loss)} less throughput ({span}) than {one.against_name}"
        f" (run {one.run} against {one.against})"
    )


IMPACT = ("tok/s (95 %)", "x first (95 %)", "TTFT p50", "E2E p50", "run", "")
BATCH_IMPACT = ("tok/s (95 %)", "x first (95 %)", "scaling", "TTFT p50", "E2E p50", "run", "")


def impact_heads(impact: Impact) -> tuple[str, ...]:
    """The headings of `impact_rows`."""
    return (impact.heading, *(BATCH_IMPACT if impact.key == AXES[0] else IMPACT))


def impact_rows(impact: Impact) -> list[tuple[str, ...]]:
    """A row a value."""
    return [_impact_row(impact, one) for one in impact.points]


def _impact_row(impact: Impact, one: ImpactPoint) -> tuple[str, ...]:
    ratio = _bounded(one.ratio, one.ratio_low, one.ratio_high, digits=True) if one.ratio is not None else "1"
    scaling = () if impact.key != AXES[0] else (f"{one.efficiency:.0%}" if one.efficiency is not None else "",)
    notes = [one.against] if one.against else []
    notes += ["best"] if one.value == impact.best else []
    return (
        f"{one.value:g}", _bounded(one.throughput, one.low, one.high),
        NOT_AVAILABLE if one.against else ratio, *scaling, _seconds(one.ttft), _seconds(one.latency), _runs(one),
        "; ".join(notes),
    )  # fmt: skip


def impact_title(impact: Impact) -> str:
    """What is varied, and of what."""
    words = ("batch size", "prompt tokens", "output tokens", "requests in flight", "requests a second")
    what = dict(zip(AXES, words, strict=True)).get(impact.key, impact.heading)
    return f"Impact of {what}: {impact.task}"


def tells(impact: Impact) -> bool:
    """Whether it has two valid runs, of which alone something can be said."""
    return sum(not one.against for one in impact.points) > 1


def impact_lines(impact: Impact) -> Iterator[str]:
    """What the table says, in sentences."""
    known = [one for one in impact.points if not one.against]
    if not tells(impact):
        return
    first, last = known[0], known[-1]
    runs = f"(runs {first.run}, {last.run})"
    change = f"{_times_text(last.ratio or 0.0)}x"
    if last.ratio_low is None or last.ratio_high is None:
        sure = f"{change}, without an interval"
    elif last.outcome == "unclear":
        sure = f"{change}, unclear: {_times_text(last.ratio_low)} to {_times_text(last.ratio_high)}"
    elif last.outcome == "equal":
        sure = f"{change}, equal within the band"
    else:
        sure = f"{change} ({_times_text(last.ratio_low)} to {_times_text(last.ratio_high)})"
    times = []
    for name, one, other in (("TTFT p50", first.ttft, last.ttft), ("E2E p50", first.latency, last.latency)):
        if one and other:
            times.append(f"{name} {format_seconds(one)} to {format_seconds(other)}")
    rest = f"; {', '.join(times)}" if times else ""
    yield f"From {first.value:g} to {last.value:g}: throughput {sure}{rest} {runs}."
    if impact.best is not None:
        best = next(one for one in known if one.value == impact.best)
        yield (
            f"Best batch: {impact.best:g} ({format_number(best.throughput)} tok/s, run {best.run}), the least whose"
            " throughput is not below the highest for sure."
        )
        if impact.best == max((*(one.value for one in impact.points), *impact.failed)):
            yield f"It is the largest that was measured: a larger one may be faster (run {last.run})."
    elif impact.key == AXES[0]:
        most = max(known, key=lambda one: one.throughput)
        yield (
            f"The highest throughput is that of batch {most.value:g} ({format_number(most.throughput)} tok/s, run"
            f" {most.run}); it has no interval, so that the best batch is not known."
        )
    apart = [one for one in known if one.low is None and one.value != impact.best]
    if impact.best is not None and apart:
        several = "s" if len(apart) > 1 else ""
        yield (
            f"Batch{'es' if several else ''} {', '.join(f'{one.value:g}' for one in apart)} had no interval, and no"
            f" part in that (run{several} {_named([one.run for one in apart])})."
        )
    if impact.efficient is not None:
        yield f"Scaling efficiency is {EFFICIENT:.0%} or better up to batch {impact.efficient:g}."
    if impact.failed:
        yield f"No run finished at {', '.join(f'{value:g}' for value in impact.failed)}."


def task_notes(task: TaskAdvice, advice: Advice) -> Iterator[str]:
    """What qualifies a task's table."""
    if advice.limits:
        able = sum(1 for one in task.configurations if not one.against and one.throughput)
        yield f"{able - task.beyond_limits} of {able} valid configurations keep to {' and '.join(advice.limits)}."
    single = [one for one in task.configurations if not one.against and one.interval_over != "runs"]
    if single and len(task.configurations) > 1:
        units = [unit for word, unit in _UNITS.items() if any(one.interval_over == word for one in single)]
        over = " or ".join(units) or _UNITS["iterations"]
        yield (
            f"Intervals are over {over} of single runs, and hold nothing of what differs from one process to the"
            " next: `infertui bench` repeats configurations in turn."
        )
    if sum(1 for one in task.configurations if one.tokens_per_s_per_w) > 1:
        steps = ", ".join(f"{word} from {least:.0%}" for word, least in EFFICIENCY)
        yield f"The word beside tok/s/W is its share of the highest here: {steps}, else poor."


def _bounded(value: float | None, low: float | None, high: float | None, *, digits: bool = False) -> str:
    if value is None:
        return NOT_AVAILABLE
    write = _times_text if digits else format_number
    return write(value) + (f" {write(low)}-{write(high)}" if low is not None and high is not None else "")


def _times_text(value: float) -> str:
    """A ratio: `0.998`, `2.41`, `14.4`, `398`."""
    return f"{value:,.{3 if value < 1.1 else 2 if value < 10 else 1 if value < 100 else 0}f}"


def _seconds(value: float | None) -> str:
    return NOT_AVAILABLE if value is None else format_seconds(value)


def _named(runs: Sequence[str], most: int = 4) -> str:
    more = len(runs) - most
    return ", ".join(runs[:most]) + (f" and {more} more" if more > 0 else "")
