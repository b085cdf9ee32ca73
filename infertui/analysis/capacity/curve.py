"""What levels of load gave: throughput against what each user has of it, the knee, and what is better in nothing."""

from collections.abc import Callable, Sequence

from msgspec import Struct

from infertui.integers import Whole
from infertui.measure.load.figures import LoadFigures
from infertui.measure.statistics import Distribution
from infertui.measure.summary import Summary

_FEWEST = 3
"""Levels from which there is a knee: a highest point between two lower ones."""


class LevelFigures(Struct, frozen=True):
    """Of a level, over its windows. Seconds, requests and tokens a second, watts, joules a token; None: not known.

    Power is that of the GPUs, or CPU packages, on which a server on this machine computes. What is `running` and
    `waiting` there, and the share of its KV cache in use, is what its own page says, on average.
    """

    level: float
    seconds: float
    requests: Whole
    request_throughput: float | None = None
    output_throughput: float | None = None
    goodput: float | None = None
    ttft: float | None = None
    ttft_p99: float | None = None
    tpot: float | None = None
    e2e: float | None = None
    tps_user: float | None = None
    error_rate: float | None = None
    power_w: float | None = None
    joules_per_token: float | None = None
    running: float | None = None
    waiting: float | None = None
    kv_usage: float | None = None


def figures_at(level: float, summary: Summary, load: LoadFigures) -> LevelFigures:
    """Of one stay; percentiles only where they are supported."""
    ttft = summary.ttft
    return LevelFigures(
        level=level,
        seconds=load.window.seconds,
        requests=summary.requests or 0,
        request_throughput=load.request_throughput,
        output_throughput=summary.output_throughput,
        goodput=load.goodput,
        ttft=_mean(ttft),
        ttft_p99=ttft.p99 if ttft and "p99" in ttft.supported else None,
        tpot=_mean(summary.tpot),
        e2e=_mean(summary.latency),
        # Of few tokens that came together one user has had thousands a second, which moves a mean.
        tps_user=load.tps_user.p50 if load.tps_user else None,
        error_rate=load.error_rate,
    )


def together(stays: Sequence[LevelFigures]) -> tuple[LevelFigures, ...]:
    """By level, ascending; of several stays the mean, each by its seconds, of what is known of all of them."""
    by_level: dict[float, list[LevelFigures]] = {}
    for stay in stays:
        by_level.setdefault(stay.level, []).append(stay)
    return tuple(_mean_of(found) for _, found in sorted(by_level.items()))


def knee(levels: Sequence[LevelFigures]) -> float | None:
    """The level with the most power, throughput over latency (Kleinrock 1979); None where it is not between others.

    Below it more load costs little latency, above it brings little throughput.
    """
    known = [
        (each.request_throughput / each.e2e, each.level) for each in levels if each.request_throughput and each.e2e
    ]
    if len(known) < _FEWEST:
        return None
    best = max(range(len(known)), key=lambda at: known[at][0])
    return known[best][1] if 0 < best < len(known) - 1 else None


def pareto(levels: Sequence[LevelFigures]) -> tuple[LevelFigures, ...]:
    """Those of which no other has more output throughput and more tokens a second for each user; the fastest first."""
    known = [each for each in levels if each.output_throughput is not None and each.tps_user is not None]
    ordered = sorted(known, key=lambda each: (-(each.tps_user or 0.0), -(each.output_throughput or 0.0)))
    found: list[LevelFigures] = []
    for each in ordered:
        if not found or (each.output_throughput or 0.0) > (found[-1].output_throughput or 0.0):
            found.append(each)
    return tuple(found)


def _mean(figure: Distribution | None) -> float | None:
    return None if figure is None else figure.mean


def _mean_of(stays: Sequence[LevelFigures]) -> LevelFigures:
    seconds = sum(stay.seconds for stay in stays)

    def over(read: Callable[[LevelFigures], float | None]) -> float | None:
        known = [(value, stay.seconds) for stay in stays if (value := read(stay)) is not None]
        if len(known) < len(stays) or not seconds:
            return known[0][0] if len(stays) == 1 and known else None
        return sum(value * of for value, of in known) / seconds

    return LevelFigures(
        level=stays[0].level,
        seconds=seconds,
        requests=sum(stay.requests for stay in stays),
        request_throughput=over(lambda stay: stay.request_throughput),
        output_throughput=over(lambda stay: stay.output_throughput),
        goodput=over(lambda stay: stay.goodput),
        ttft=over(lambda stay: stay.ttft),
        ttft_p99=max((stay.ttft_p99 for stay in stays if stay.ttft_p99 is not None), default=None),
        tpot=over(lambda stay: stay.tpot),
        e2e=over(lambda stay: stay.e2e),
        tps_user=over(lambda stay: stay.tps_user),
        error_rate=over(lambda stay: stay.error_rate),
        power_w=over(lambda stay: stay.power_w),
        joules_per_token=over(lambda stay: stay.joules_per_token),
        running=over(lambda stay: stay.running),
        waiting=over(lambda stay: stay.waiting),
        kv_usage=over(lambda stay: stay.kv_usage),
    )
