"""A bench: several configs measured in turn, compared round by round."""

from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from infertui.analysis.comparability import differences, unlike
from infertui.analysis.compare import ComparedFigure, Comparison, Difference, judged, memory
from infertui.analysis.outcome import EQUAL_WITHIN, p_text, percent
from infertui.config.sweep import Place
from infertui.measure.comparison import geometric_mean, least_p, paired, variation
from infertui.measure.dependence import FEWEST
from infertui.metrics.metric import ComparisonRow, Metric
from infertui.metrics.reads import error
from infertui.metrics.registry import compared
from infertui.results.result import Result
from infertui.text import clean

Round = Mapping[str, Result]
"""A run of every arm, by the arm's name."""


class Arm(Struct, frozen=True):
    """One config of a bench. `variation` is by what share its runs' throughput differs, run from run (1 sigma)."""

    name: str
    runs: tuple[str, ...]
    """Ids of the runs that count, a round each."""
    throughput: float | None
    """Output tokens per second: the geometric mean over the rounds."""
    variation: float | None


class FailedArm(Struct, frozen=True):
    """A config of a bench of which no run finished, and why the last one failed."""

    name: str
    error: str


class Bench(Struct, frozen=True):
    """What a bench found. The rounds are numbered from 1, as they are shown.

    `left_out` says which rounds do not count, and why; `comparisons` holds every other arm against the first. Arms that
    failed for good are `failed`, and the others are compared without them.
    """

    bench: str
    seed: int
    rounds: int
    """As planned."""
    used: tuple[int, ...]
    left_out: tuple[str, ...]
    arms: tuple[Arm, ...]
    comparisons: tuple[Comparison, ...]
    invalid: tuple[str, ...] = ()
    """Runs that are invalid, and why, whether their rounds count or not."""
    missing: int = 0
    """Runs that were planned and have not finished."""
    failed: tuple[FailedArm, ...] = ()


def bench_report(results: Sequence[Result], *, with_invalid: bool = False, equal_within: float = EQUAL_WITHIN) -> Bench:
    """The paired comparison of a bench's results, at least one; those of other benches must not be among them.

    A round counts where every arm finished, and validly unless `with_invalid`: without one of its runs the others have
    nothing to be compared with. That does not hold for an arm that failed and never finished: the others are compared
    among themselves, with the first of them where the baseline is lost. Of runs that were repeated the last one counts.
    `equal_within` is the band in which figures count as equal, as a share.
    """
    place = next(result.bench for result in results if result.bench)
    failed = _failed(results)
    planned = _arms(results, place)
    arms = tuple(arm for arm in planned if arm not in failed) or planned
    latest = {(result.bench.round, result.bench.arm): result
              for result in results if result.bench and result.state == "finished"}  # fmt: skip
    rounds = max(place.rounds, *(result.bench.rounds for result in results if result.bench))
    used: dict[int, Round] = {}
    left_out: list[str] = []
    begun = sorted({number for number, _ in latest})
    for number in begun:
        runs = {arm: latest[number, arm] for arm in arms if (number, arm) in latest}
        why = _against(arms, runs, with_invalid=with_invalid)
        if why:
            left_out.append(f"round {number + 1}: {why}")
        else:
            used[number] = runs
    if rounds > len(begun):
        left_out.append(f"{rounds - len(begun)} of {rounds} rounds: not measured")
    counted = list(used.values())
    ours = [result for _, result in sorted(latest.items(), key=lambda item: item[0])]
    return Bench(
        bench=clean(place.bench),
        seed=place.seed,
        rounds=rounds,
        used=tuple(number + 1 for number in used),
        left_out=tuple(clean(text) for text in left_out),
        arms=tuple(_arm(arm, counted) for arm in arms),
        comparisons=tuple(judged(_comparison(arms[0], arm, counted), equal_within) for arm in arms[1:] if counted),
        invalid=tuple(clean(f"{_name(result)}: {'; '.join(result.verdict.invalid)}")
                      for result in ours if not result.verdict.valid),
        missing=rounds * len(arms) - len(latest),
        failed=tuple(FailedArm(clean(arm), error) for arm, error in failed.items()),
    )  # fmt: skip


def rejudged(bench: Bench, equal_within: float) -> Bench:
    """The same bench, in which figures count as equal within another band, a share."""
    return replace(bench, comparisons=tuple(judged(one, equal_within) for one in bench.comparisons))


def headline(bench: Bench) -> list[str]:
    """The verdict on throughput, a line for each arm but the first."""
    return [
        f"{comparison.second} against {comparison.first}: throughput {comparison.figures[0].verdict}"
        for comparison in bench.comparisons
    ]


def _arms(results: Sequence[Result], place: Place) -> tuple[str, ...]:
    """As they were given; where that was not kept, the baseline first."""
    if place.arms:
        return place.arms
    places = [result.bench for result in results if result.bench]
    return tuple(dict.fromkeys(one.arm for one in sorted(places, key=lambda one: not one.baseline)))


def _failed(results: Sequence[Result]) -> dict[str, str]:
    """Why the last run failed of each arm that failed and never finished."""
    finished = {result.bench.arm for result in results if result.bench and result.state == "finished"}
    return {
        result.bench.arm: error(result) or "no reason is known"
        for result in results
        if result.bench and result.state == "failed" and result.bench.arm not in finished
    }


def _name(result: Result) -> str:
    return f"{result.bench.arm} in round {result.bench.round + 1} ({result.id})" if result.bench else result.id


def _against(arms: Sequence[str], runs: Round, *, with_invalid: bool) -> str:
    """Why a round does not count; empty where it does."""
    absent = [arm for arm in arms if arm not in runs]
    if absent:
        return f"not measured: {', '.join(absent)}"
    wrong = [] if with_invalid else [arm for arm, result in runs.items() if not result.verdict.valid]
    return f"invalid: {', '.join(wrong)}" if wrong else ""


def _arm(name: str, rounds: Sequence[Round]) -> Arm:
    runs = [one[name] for one in rounds]
    speeds = [value for run in runs if (value := run.summary.output_throughput)]
    return Arm(clean(name), tuple(clean(run.id) for run in runs), geometric_mean(speeds), variation(speeds))


def _comparison(baseline: str, arm: str, rounds: Sequence[Round]) -> Comparison:
    pairs = [(one[baseline], one[arm]) for one in rounds]
    added = len({run.bench.rounds for pair in pairs for run in pair if run.bench}) > 1
    names = clean(baseline), clean(arm)
    marks = [mark for pair in pairs for mark in unlike(*pair, names)]
    for name in (baseline, arm):
        marks += _changed(name, [one[name] for one in rounds])
    return Comparison(
        first=names[0],
        second=names[1],
        differences=tuple(differences(*pairs[0])),
        unlike=tuple(dict.fromkeys(marks)),
        figures=tuple(_figures(pairs)),
        notes=(*_notes(len(pairs), added=added), *_devices(pairs)),
    )


def _changed(name: str, runs: Sequence[Result]) -> Iterator[str]:
    """What was not the same in all runs of one arm, such as a driver that was updated before a bench was continued."""
    for run in runs[1:]:
        for found in differences(runs[0], run):
            yield clean(f"{name} was not measured alike in all rounds: {found.what} {found.first} -> {found.second}")


def _notes(rounds: int, *, added: bool) -> tuple[str, ...]:
    if rounds < FEWEST:
        return (f"{rounds} of at least {FEWEST} rounds that it takes to say how sure a difference is.",)
    floor = least_p(rounds)
    rank = f" With {rounds} rounds the rank test's p is {p_text(floor)} at the least." if floor > 0.05 else ""
    return (
        f"Paired over {rounds} rounds, a process a run; Student's 95 % interval of the mean log ratio. Each interval is"
        f" 95 % by itself: of 20 figures that are equal one will seem to differ.{rank}",
        *([_ADDED] if added else []),
    )


def _device(result: Result) -> tuple[str, str]:
    """What tells a device from another one of its kind: its own id, else the host."""
    loaded = result.loaded
    if loaded is not None and loaded.device_uuid:
        return "device", loaded.device_uuid
    return "host", result.fingerprint.host.hostname


def _apart(one: Result, other: Result) -> bool:
    """Whether two runs surely had different devices of one kind. An engine may not tell an id: then hosts decide."""
    names = {result.loaded.device_name if result.loaded else "" for result in (one, other)}
    (by, first), (by_other, second) = _device(one), _device(other)
    if by != by_other:
        first, second = one.fingerprint.host.hostname, other.fingerprint.host.hostname
    return len(names) == 1 and first != second


def _devices(pairs: Sequence[tuple[Result, Result]]) -> Iterator[str]:
    """That not all runs had the same device."""
    found = max((len({_device(result) for result in runs}) for runs in zip(*pairs, strict=True)), default=0)
    apart = sum(_apart(one, other) for one, other in pairs)
    if apart:
        yield (
            f"In {apart} of {len(pairs)} rounds the two ran on different devices of one kind: what differs between"
            " those counts as if the configs did."
        )
    elif found > 1:
        yield f"The rounds ran on {found} devices of one kind, one after the other; the two of a round on the same."


_ADDED = (
    "Rounds were added to those first planned. Whoever looks, and adds rounds until there is a difference, finds one"
    " more often than once in 20 where there is none."
)


def _figures(pairs: Sequence[tuple[Result, Result]]) -> Iterator[ComparedFigure]:
    """Percentiles of ITL are not among them: over a run they come from a histogram, which is within 1 %."""
    for metric, row in _paired():
        name, better = row.name or metric.label, metric.better or "higher"
        figure = ComparedFigure(name, None, None, better, None, metric.unit.written, row.key, "rounds")
        yield _over_rounds(figure, [(metric.number(one), metric.number(other)) for one, other in pairs])
    memories = [memory(*pair) for pair in pairs]
    kinds = {name for name, _, _ in memories}
    name = kinds.pop() if len(kinds) == 1 else "memory, not of one kind"
    values = [(one, other) if not kinds else (None, None) for _, one, other in memories]
    yield _over_rounds(ComparedFigure(name, None, None, "lower", None, "bytes", "memory", "rounds"), values)


def _over_rounds(figure: ComparedFigure, values: Sequence[tuple[float | None, float | None]]) -> ComparedFigure:
    """A quantity over the rounds; not available where it is missing of a run: the rounds that have it are not all."""
    first = [one for one, _ in values if one is not None]
    second = [other for _, other in values if other is not None]
    whole = len(first) == len(second) == len(values)
    return replace(
        figure,
        first=geometric_mean(first) if len(first) == len(values) else None,
        second=geometric_mean(second) if len(second) == len(values) else None,
        ratio=paired(first, second) if whole else None,
        observations=len(values),
    )


def _paired() -> Iterator[tuple[Metric, ComparisonRow]]:
    return ((metric, row) for metric, row in compared() if row.paired)


KEYS = (*(row.key for _, row in _paired()), "memory")
"""What its figures are called in rules and by programs."""


def variation_text(arm: Arm) -> str:
    """By how much processes that do the same work differ, in words; empty where that is not known."""
    return "" if arm.variation is None else f"runs differ by {percent(arm.variation)} (1 sigma)"


__all__ = ["Arm", "Bench", "Comparison", "Difference", "FailedArm", "bench_report", "headline", "variation_text"]
