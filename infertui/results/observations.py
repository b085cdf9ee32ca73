"""The measured batches of a run as independent observations, read back from its requests.jsonl for comparisons."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct

from infertui.measure.hypotheses import STRETCHES
from infertui.measure.itl import Count
from infertui.measure.records import grouped
from infertui.measure.tails import GapCounts, counts_together
from infertui.results.jsonl import read_lines
from infertui.results.result import Result

REQUESTS = "requests.jsonl"
MOST = 1 << 10
"""Observations that are kept of one run. Of longer ones, neighbouring batches are taken together."""


class Observation(Struct, frozen=True, gc=False):
    """One measured batch: its requests share the machine's state, so that together they are one observation.

    Seconds and joules; times are means over the batch's requests, `gaps` all gaps between their steps. None is not
    available; `stretches` are the batch's parts in time, none where they are not known. Of a very long run it is as
    many batches in a row as `batches` says, alike in all observations but the last: times are then means over these,
    the rest sums.
    """

    tokens: int
    seconds: float | None
    latency: float | None
    ttft: float | None
    tpot: float | None
    energy_j: float | None
    requests: int = 1
    itl: float | None = None
    gaps: GapCounts | None = None
    batches: int = 1
    stretches: tuple[float, ...] = ()


class _Gaps(Struct, frozen=True, gc=False):
    mean: float | None = None
    minimum: float | None = None
    maximum: float | None = None
    histogram: dict[int, int] = {}

    @property
    def counts(self) -> GapCounts | None:
        if self.minimum is None or self.maximum is None:
            return None
        found = GapCounts(self.histogram, self.minimum, self.maximum)
        return found if found.usable else None


class _Request(Struct, frozen=True, gc=False):
    batch: Count | None = 0
    tokens: Count = 0
    latency: float | None = None
    ttft: float | None = None
    tpot: float | None = None
    itl: _Gaps | None = None
    energy_j: float | None = None
    batch_seconds: float | None = None
    error: str = ""
    own_times: bool = False
    stretches: Annotated[tuple[float, ...], Meta(max_length=STRETCHES)] = ()


def requests_lost(folder: Path, result: Result) -> bool:
    """Whether the requests that the figures of a result came from are gone. A foreign file may not tell any."""
    return (
        bool(result.summary.iterations)
        and not result.imported
        and not result.source
        and not (folder / REQUESTS).exists()
    )


def read_observations(
    folder: Path, most: int = MOST, *, look: Callable[[], object] = lambda: None
) -> list[Observation]:
    """The batches that did not fail, in order; none where the file is missing. Raises StoreError.

    The file is read line by line; what is held is a batch's lines, and at most so many observations. `look` is called
    at every batch: what it raises ends the reading.
    """
    lines = read_lines(folder / REQUESTS, _Request, warn=lambda _: None)
    return thinned(_observations(lines, look), most)


def thinned(observations: Iterable[Observation], most: int = MOST) -> list[Observation]:
    """At most so many (an even number): whenever there are more, every two neighbours become one.

    Means over stretches of a series are less dependent on each other than its single values, so that intervals from
    them are no narrower than they should be.
    """
    kept: list[Observation] = []
    pending: list[Observation] = []
    width = 1
    for one in observations:
        pending.append(one)
        if len(pending) < width:
            continue
        kept.append(_together(pending))
        pending.clear()
        if len(kept) == most:
            kept = [_together(kept[at : at + 2]) for at in range(0, most, 2)]
            width *= 2
    return [*kept, _together(pending)] if pending else kept


def _observations(lines: Iterable[_Request], look: Callable[[], object]) -> Iterator[Observation]:
    for requests in grouped(lines):
        look()
        if not any(request.error for request in requests):
            yield _observation(requests)


def _observation(requests: Sequence[_Request]) -> Observation:
    if len(requests) == 1:
        (one,) = requests
        return Observation(
            one.tokens, one.batch_seconds, one.latency, one.ttft, one.tpot, one.energy_j,
            itl=one.itl.mean if one.itl else None, gaps=one.itl.counts if one.itl else None, stretches=one.stretches,
        )  # fmt: skip

    def mean(read: Callable[[_Request], float | None]) -> float | None:
        return _mean([read(request) for request in requests])

    return Observation(
        tokens=sum(request.tokens for request in requests),
        seconds=next((request.batch_seconds for request in requests if request.batch_seconds is not None), None),
        latency=mean(lambda request: request.latency),
        ttft=mean(lambda request: request.ttft),
        tpot=mean(lambda request: request.tpot),
        energy_j=_sum([request.energy_j for request in requests]),
        requests=len(requests),
        stretches=next((request.stretches for request in requests if request.stretches), ()),
        itl=mean(lambda request: request.itl.mean if request.itl else None),
        # Without times of their own all requests of a batch show the same gaps.
        gaps=_gaps(
            [
                request.itl.counts if request.itl else None
                for request in (requests if requests[0].own_times else requests[:1])
            ]
        ),
    )


def _together(parts: Sequence[Observation]) -> Observation:
    """Batches in a row as one observation; what one of them lacks is a mean over the others."""
    if len(parts) == 1:
        return parts[0]
    return Observation(
        tokens=sum(part.tokens for part in parts),
        seconds=_sum([part.seconds for part in parts]),
        latency=_mean([part.latency for part in parts]),
        ttft=_mean([part.ttft for part in parts]),
        tpot=_mean([part.tpot for part in parts]),
        energy_j=_sum([part.energy_j for part in parts]),
        requests=sum(part.requests for part in parts),
        itl=_mean([part.itl for part in parts]),
        gaps=_gaps([part.gaps for part in parts]),
        batches=sum(part.batches for part in parts),
    )


def _gaps(parts: Sequence[GapCounts | None]) -> GapCounts | None:
    """Of all that have some; None where none has."""
    known = [part for part in parts if part is not None]
    return counts_together(known) if known else None


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _sum(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None
