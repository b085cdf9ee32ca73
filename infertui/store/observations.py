"""The measured batches of a run as independent observations, read back from its requests.jsonl for comparisons."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from msgspec import Struct

from infertui.store.jsonl import read_lines

REQUESTS = "requests.jsonl"


class Observation(Struct, frozen=True, gc=False):
    """One measured batch: its requests share the machine's state, so that together they are one observation.

    Seconds and joules; times are means over the batch's requests. None is not available.
    """

    tokens: int
    seconds: float | None
    latency: float | None
    ttft: float | None
    tpot: float | None
    energy_j: float | None


class _Request(Struct, frozen=True, gc=False):
    batch: int = 0
    tokens: int = 0
    latency: float | None = None
    ttft: float | None = None
    tpot: float | None = None
    energy_j: float | None = None
    batch_seconds: float | None = None
    error: str = ""


def read_observations(folder: Path) -> list[Observation]:
    """The batches that did not fail, in order; none where the file is missing. Raises StoreError."""
    lines = read_lines(folder / REQUESTS, _Request, warn=lambda _: None)
    batches = (list(requests) for _, requests in itertools.groupby(lines, key=lambda request: request.batch))
    return [_observation(requests) for requests in batches if not any(request.error for request in requests)]


def _observation(requests: Sequence[_Request]) -> Observation:
    def mean(read: Callable[[_Request], float | None]) -> float | None:
        values = [value for request in requests if (value := read(request)) is not None]
        return sum(values) / len(values) if values else None

    energies = list(_known(request.energy_j for request in requests))
    return Observation(
        tokens=sum(request.tokens for request in requests),
        seconds=next(_known(request.batch_seconds for request in requests), None),
        latency=mean(lambda request: request.latency),
        ttft=mean(lambda request: request.ttft),
        tpot=mean(lambda request: request.tpot),
        energy_j=sum(energies) if len(energies) == len(requests) else None,
    )


def _known(values: Iterator[float | None]) -> Iterator[float]:
    return (value for value in values if value is not None)
