"""What a log of requests says of a workload: lengths, arrivals, and how many were at work at once. Pure.

Percentiles are those of the entries themselves (nearest rank): a log is counted, not sampled.
"""

import math
from array import array
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

from msgspec import Struct

from infertui.load.log_entry import LogEntry, is_date

_FEWEST_GAPS = 2
_FEWEST_SECONDS = 2.0
"""Rounding to whole seconds adds 1/6 s2 to the variance of gaps: to that of a Poisson process of these 4 %."""
BINS = 12


class Lengths(Struct, frozen=True):
    """Lengths of so many entries, in `unit`: tokens, or characters where nobody told or counted tokens."""

    unit: str
    count: int
    mean: float
    p50: int
    p90: int
    p99: int
    least: int
    most: int
    bins: tuple[tuple[int, int, int], ...]
    """Of the histogram: from, to (included) and how many."""


class Arrivals(Struct, frozen=True):
    """When requests came. `burstiness` is the coefficient of variation of the gaps between them: 1 is Poisson's, 0 is
    a clock's. `peak` is the most within any one second. Seconds, requests per second.

    `own_clock`: the stamps are no dates, and are taken as seconds. `coarse`: they are whole seconds, with gaps that are
    too short for these to tell how even they are.
    """

    count: int
    span_s: float
    rate: float | None
    burstiness: float | None
    peak: int
    gap_p50: float | None
    gap_p99: float | None
    own_clock: bool = False
    coarse: bool = False


class Concurrency(Struct, frozen=True):
    """Requests that were at work at once, of those whose duration is told: on average over the span, and at most."""

    count: int
    mean: float | None
    most: int
    duration_p50: float
    duration_p99: float


class Audit(Struct, frozen=True):
    """All of it; None is not told by the file. `asked` of the outputs are what was asked for at most, not what came."""

    entries: int
    prompts: Lengths | None
    outputs: Lengths | None
    arrivals: Arrivals | None
    concurrency: Concurrency | None
    asked: int = 0
    texts: int = 0
    """Entries with the text of a prompt."""


def audit(entries: Iterable[LogEntry], tokens: Callable[[str], int] | None = None) -> Audit:
    """Count the entries; `tokens` counts those of a text. Held are numbers alone, some 50 bytes an entry."""
    prompts, prompt_characters = array("q"), array("q")
    outputs, output_characters = array("q"), array("q")
    times: list[tuple[float, float | None]] = []
    count = asked = texts = 0
    for entry in entries:
        count += 1
        asked += entry.asked
        texts += entry.prompt is not None
        _take(entry.prompt_tokens, entry.prompt, tokens, prompts, prompt_characters)
        _take(entry.output_tokens, entry.output, tokens, outputs, output_characters)
        if entry.at is not None:
            times.append((entry.at, entry.duration))
    if any(is_date(at) for at, _ in times):
        times = [one for one in times if is_date(one[0])]  # two clocks have no gap between them
    times.sort(key=lambda one: one[0])
    return Audit(
        entries=count,
        prompts=_either(prompts, prompt_characters),
        outputs=_either(outputs, output_characters),
        arrivals=_arrivals([at for at, _ in times]),
        concurrency=_concurrency([(at, lasted) for at, lasted in times if lasted is not None]),
        asked=asked,
        texts=texts,
    )


def _take(
    told: int | None, text: str | None, tokens: Callable[[str], int] | None, found: "array[int]",
    characters: "array[int]",
) -> None:  # fmt: skip
    if told is None and text is not None and tokens is not None:
        told = tokens(text)
    if told is not None:
        found.append(told)
    elif text is not None:
        characters.append(len(text))


def _either(tokens: "array[int]", characters: "array[int]") -> Lengths | None:
    """Tokens where most entries have them: the two are never mixed."""
    if tokens and len(tokens) >= len(characters):
        return lengths(tokens, "tokens")
    return lengths(characters, "characters") if characters else None


def lengths(values: Sequence[int], unit: str) -> Lengths:
    """The distribution of one length at least."""
    ordered = sorted(values)
    return Lengths(
        unit, len(ordered), sum(ordered) / len(ordered), _rank(ordered, 50), _rank(ordered, 90), _rank(ordered, 99),
        ordered[0], ordered[-1], tuple(_bins(ordered)),
    )  # fmt: skip


def _rank(ordered: Sequence[int], percentile: int) -> int:
    """The nearest rank: the least value that so many percent of the values are not above."""
    return ordered[max(0, math.ceil(len(ordered) * percentile / 100) - 1)]


def _bins(ordered: Sequence[int]) -> Iterable[tuple[int, int, int]]:
    """Equal widths up to the 99th percentile; the last one takes the rest."""
    least, most, high = ordered[0], ordered[-1], max(_rank(ordered, 99), ordered[0])
    width = max(1, math.ceil((high - least + 1) / BINS))
    at, start = 0, least
    while start <= most and at < len(ordered):
        last = start + width > high
        end = most if last else start + width - 1
        begin = at
        while at < len(ordered) and ordered[at] <= end:
            at += 1
        yield start, end, at - begin
        start = end + 1


def _arrivals(times: Sequence[float]) -> Arrivals | None:
    if len(times) < 2:
        return None
    span = times[-1] - times[0]
    gaps = sorted(one - other for other, one in pairwise(times))
    mean = span / len(gaps)
    coarse = mean < _FEWEST_SECONDS and all(at == int(at) for at in times)
    burstiness = None
    if mean > 0 and len(gaps) >= _FEWEST_GAPS and not coarse:
        burstiness = math.sqrt(math.fsum((gap - mean) ** 2 for gap in gaps) / (len(gaps) - 1)) / mean
    peak = first = 0
    for last, at in enumerate(times):
        while at - times[first] >= 1:
            first += 1
        peak = max(peak, last - first + 1)
    median, longest = (gaps[max(0, math.ceil(len(gaps) * share) - 1)] for share in (0.5, 0.99))
    return Arrivals(
        len(times), span, len(gaps) / span if span > 0 else None, burstiness, peak, None if coarse else median,
        None if coarse else longest, own_clock=not is_date(times[0]), coarse=coarse,
    )  # fmt: skip


def _concurrency(spans: Sequence[tuple[float, float]]) -> Concurrency | None:
    """An end counts before a start at the same moment."""
    if not spans:
        return None
    changes = sorted([(at, 1) for at, _ in spans] + [(at + lasted, -1) for at, lasted in spans])
    busy = most = 0
    for _, change in changes:
        busy += change
        most = max(most, busy)
    total = math.fsum(lasted for _, lasted in spans)
    span = changes[-1][0] - changes[0][0]
    lasted = sorted(duration for _, duration in spans)
    return Concurrency(
        len(spans), total / span if span > 0 else None, max(1, most),
        lasted[max(0, math.ceil(len(lasted) * 0.5) - 1)], lasted[max(0, math.ceil(len(lasted) * 0.99) - 1)],
    )  # fmt: skip
