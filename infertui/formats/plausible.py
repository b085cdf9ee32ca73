"""What no file is believed in, whatever its form: figures that deny each other, and first tokens of no stream."""

import itertools
import math
from collections.abc import Iterator

from msgspec.structs import replace

from infertui.formats.imported_run import Finding, Records
from infertui.measure.itl import Gaps
from infertui.measure.records import RequestRecord
from infertui.measure.statistics import Distribution
from infertui.measure.summary import Summary
from infertui.units import format_number, format_seconds

NOT_STREAMED = "not streamed: when the first token came is not known"
_SAME = 1e-9
"""As shares of each other: a figure written twice. A long prompt's first token may come just before its last."""
_ROUNDED = 5e-3
"""Files round their figures: as far as this share of the larger one they agree."""


def believed(finding: Finding) -> Finding:
    """The finding without figures that are none, and with words against those that cannot all be true."""
    summary, notes = finding.summary, finding.notes
    nothing = summary.output_throughput == 0
    if nothing or (summary.failed is not None and summary.good == 0):  # nothing was measured: 0 tok/s is no speed
        summary = replace(summary, output_throughput=None, output_throughput_interval=None, total_throughput=None)
    if summary.measured_s == 0:  # it did not last no time: how long it did is not told
        summary = replace(summary, measured_s=None)
    records = finding.records
    if _is_latency(summary):
        summary = replace(summary, ttft=None, tpot=None, itl=None, prefill=None)
        notes = notes if NOT_STREAMED in notes else (*notes, NOT_STREAMED)
        records = _without_first(records) if records else None
    none = ("no token was generated",) if nothing and not finding.invalid else ()
    against = tuple(dict.fromkeys((*finding.invalid, *none, *contradictions(summary))))
    return replace(finding, summary=summary, notes=notes, invalid=against, records=records)


def _is_latency(summary: Summary) -> bool:
    """Whether its time to the first token is that to the last, of answers that may have had more than one."""
    first, last = summary.ttft, summary.latency
    if first is None or last is None:
        return False
    if summary.output_tokens is not None and summary.output_tokens <= (summary.good or 0):
        return False  # of one token each, the first is the last
    pairs = [(first.mean, last.mean), (first.median, last.median), (first.p99, last.p99)]
    known = [(one, other) for one, other in pairs if one is not None and other]
    return bool(known) and all(abs(one - other) <= _SAME * other for one, other in known)


def _without_first(records: Records) -> Records:
    def stripped() -> Iterator[RequestRecord]:
        for record in records():
            yield replace(record, ttft=None, tpot=None, itl=None)

    return stripped


def contradictions(summary: Summary) -> Iterator[str]:
    """Words for figures of one summary that cannot all be true."""
    for name, spread in (("E2E", summary.latency), ("TTFT", summary.ttft), ("TPOT", summary.tpot)):
        if spread is not None:
            yield from (f"the file contradicts itself: {name}'s {what}" for what in _of_spread(spread))
    if summary.good == 0 and (summary.latency or summary.ttft or summary.tpot):
        yield "the file contradicts itself: no request was done, and it tells how long they took"
    output, whole = summary.output_throughput, summary.total_throughput
    if output is not None and whole is not None and _beyond(output, whole):
        yield (
            f"the file contradicts itself: {format_number(output)} output tokens a second are more than"
            f" {format_number(whole)} of prompts and outputs together"
        )
    if summary.itl is not None and not summary.itl.count:
        yield from (f"the file contradicts itself: ITL's {what}" for what in _of_gaps(summary.itl))
    first, last = summary.ttft, summary.latency
    if first is None or last is None:
        return
    for name, one, other in (("mean", first.mean, last.mean), ("median", first.median, last.median)):
        if one is not None and other is not None and _beyond(one, other):
            yield (
                f"the file contradicts itself: the {name} TTFT, {format_seconds(one)}, is beyond the {name} E2E, "
                f"{format_seconds(other)}"
            )
            return


def _of_spread(spread: Distribution) -> Iterator[str]:
    population = spread.std
    if population is not None and spread.n > 1:
        population *= math.sqrt((spread.n - 1) / spread.n)
    yield from _order(
        ("minimum", spread.minimum), ("median", spread.median), ("p90", spread.p90), ("p95", spread.p95),
        ("p99", spread.p99), ("maximum", spread.maximum),
    )  # fmt: skip
    yield from _about_mean(spread.mean, spread.median, population, spread.minimum, spread.maximum)


def _of_gaps(gaps: Gaps) -> Iterator[str]:
    yield from _order(
        ("minimum", gaps.minimum), ("median", gaps.p50), ("p90", gaps.p90), ("p99", gaps.p99), ("maximum", gaps.maximum)
    )
    yield from _about_mean(gaps.mean, gaps.p50, gaps.std, gaps.minimum, gaps.maximum)


def _order(*named: tuple[str, float | None]) -> Iterator[str]:
    """Percentiles rise."""
    known = [(name, value) for name, value in named if value is not None]
    for (lower, low), (upper, high) in itertools.pairwise(known):
        if _beyond(low, high):
            yield f"{lower}, {format_seconds(low)}, is beyond its {upper}, {format_seconds(high)}"


def _about_mean(
    mean: float | None, median: float | None, std: float | None, minimum: float | None, maximum: float | None
) -> Iterator[str]:
    """A mean lies within the extremes, no further from the median than a standard deviation of the population.

    It also lies between the middles of minimum and median, and of median and maximum: half of the values are no less
    than the median, and half no more. A time is no less than 0, where its minimum is not told.
    """
    if mean is None:
        return
    lowest, highest = minimum, maximum
    if median is not None:
        lowest = ((minimum or 0.0) + median) / 2
        highest = None if maximum is None else (median + maximum) / 2
    if median is not None and std is not None and abs(mean - median) > std + _ROUNDED * max(mean, median):
        yield (
            f"mean, {format_seconds(mean)}, and median, {format_seconds(median)}, are further apart than its standard "
            f"deviation, {format_seconds(std)}"
        )
    elif (lowest is not None and _beyond(lowest, mean)) or (highest is not None and _beyond(mean, highest)):
        yield f"mean, {format_seconds(mean)}, cannot be that of values with its median, minimum and maximum"


def _beyond(low: float, high: float) -> bool:
    return low > high * (1 + _ROUNDED)
