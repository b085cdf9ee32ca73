"""Everything that a run's folder holds, thinned out for showing. Whatever is missing or torn is left out.

Files are read from beginning to end, however long they are, and never held whole; long series keep their peaks.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Generic, TypeVar

import msgspec
from msgspec import Struct

from infertui import regular_files
from infertui.errors import StoreError
from infertui.measure.itl import Count
from infertui.measure.records import grouped
from infertui.results.jsonl import read_lines
from infertui.results.observations import REQUESTS, requests_lost
from infertui.results.result import Result
from infertui.results.runs import RESULT, RESULT_BYTES, Store, is_under_way
from infertui.results.upgrade import NewerSchemaError, decode_result
from infertui.telemetry.readings import Sample
from infertui.text import clean

T = TypeVar("T")


def thin(points: Iterable[T], limit: int, figure: Callable[[T], float | None]) -> list[T]:
    """At most `limit` (2 or more) of the points: of each stretch of time that of the lowest and the highest figure.

    So a peak is still seen where a mean, or every n-th point, would hide it. However many points come, no more than
    `limit` of them are held: stretches are joined two by two whenever there are too many. Of a stretch without any
    figure the first point stays.
    """
    source = iter(points)
    first = list(islice(source, limit + 1))
    if len(first) <= limit:
        return first
    most = max(1, limit // 2)
    stretches: list[_Stretch[T]] = []
    length, room = 1, 0
    for part in (first, source):
        for point in part:
            if not room:
                if len(stretches) == most:
                    # Of an odd number the last has no partner, and takes as many points again.
                    alone = len(stretches) % 2
                    pairs = zip(stretches[::2], stretches[1::2], strict=False)
                    stretches = [one.with_next(other) for one, other in pairs] + (stretches[-1:] if alone else [])
                    room = length if alone else 0
                    length *= 2
                if not room:
                    stretches.append(_Stretch(point))
                    room = length
            stretches[-1].add(point, figure(point))
            room -= 1
    return [point for stretch in stretches for point in stretch.ends()]


class _Stretch(Generic[T]):
    """The ends of some consecutive points; `low_at` and `high_at` tell which of both came first."""

    __slots__ = ("count", "first", "high", "high_at", "high_point", "low", "low_at", "low_point")

    def __init__(self, first: T) -> None:
        self.count = 0
        self.first = self.low_point = self.high_point = first
        self.low: float | None = None
        self.high: float | None = None
        self.low_at = self.high_at = 0

    def add(self, point: T, value: float | None) -> None:
        if value is not None:
            if self.low is None or value < self.low:
                self.low, self.low_at, self.low_point = value, self.count, point
            if self.high is None or value > self.high:
                self.high, self.high_at, self.high_point = value, self.count, point
        self.count += 1

    def with_next(self, other: "_Stretch[T]") -> "_Stretch[T]":
        """This stretch, continued by the next."""
        if other.low is not None and (self.low is None or other.low < self.low):
            self.low, self.low_at, self.low_point = other.low, self.count + other.low_at, other.low_point
        if other.high is not None and (self.high is None or other.high > self.high):
            self.high, self.high_at, self.high_point = other.high, self.count + other.high_at, other.high_point
        self.count += other.count
        return self

    def ends(self) -> list[T]:
        if self.low is None:
            return [self.first]
        if self.low_at == self.high_at:
            return [self.low_point]
        both = [self.low_point, self.high_point]
        return both if self.low_at < self.high_at else both[::-1]


MAX_BATCHES = 2000
MAX_SAMPLES = 1000
LOG_BYTES = 64 << 10
TOML_BYTES = 256 << 10

TELEMETRY = "telemetry.jsonl"


class BatchPoint(Struct, frozen=True):
    """One measured batch: seconds since measuring began, and its times in seconds. None is not available."""

    start: float
    latency: float | None
    ttft: float | None
    tpot: float | None
    tps: float | None
    """Output tokens per second of the whole batch, from handing it over to its last token."""
    error: str = ""


class RunDetails(Struct, frozen=True):
    """Everything kept about one run, thinned out for showing. `result` is None while it runs, or when it was cut off.

    `under_way`: some process measures it. `lost`: files that its result rests on, and that are gone, and
    those of telemetry that cannot be read.
    """

    id: str
    folder: str
    toml: str
    result: Result | None = None
    batches: tuple[BatchPoint, ...] = ()
    telemetry: tuple[Sample, ...] = ()
    log: str = ""
    """The end of worker.log, at most 64 KiB, cleaned."""
    under_way: bool = False
    lost: tuple[str, ...] = ()


class _Request(Struct, frozen=True, gc=False):
    """A line of requests.jsonl, as far as it is shown."""

    batch: Count | None = 0
    start: float = 0.0
    latency: float | None = None
    ttft: float | None = None
    tpot: float | None = None
    tokens: Count = 0
    error: str = ""


def read_details(folder: Path) -> RunDetails:
    """Read a run's folder, or its line of the index where the folder is gone. Raises StoreError where neither is."""
    run = folder.name
    if not folder.is_dir():
        result = Store(folder.parent).result_of(run)
        if result is None:
            raise StoreError(f"there is no run {clean(run)} in {clean(str(folder.parent))}")
        return RunDetails(id=run, folder=str(folder), toml="", result=result)
    result = _result(folder / RESULT)
    lost = [REQUESTS] if result is not None and requests_lost(folder, result) else []
    telemetry: tuple[Sample, ...] = ()
    try:
        telemetry = tuple(thin(_lines(folder / TELEMETRY, Sample), MAX_SAMPLES, _power))
    except StoreError:  # all else can be shown without it
        lost.append(TELEMETRY)
    return RunDetails(
        id=run,
        folder=str(folder),
        toml=_text(folder / "run.toml", TOML_BYTES),
        result=result,
        batches=tuple(thin(_batches(folder / REQUESTS), MAX_BATCHES, lambda point: point.latency)),
        telemetry=telemetry,
        log=_text(folder / "worker.log", LOG_BYTES, end=True),
        under_way=result is None and is_under_way(folder),
        lost=tuple(lost),
    )


def _power(sample: Sample) -> float | None:
    readings = [gpu.power_now_w for gpu in sample.gpus] or [sample.host.cpu_percent]
    return max((value for value in readings if value is not None), default=None)


def _batches(path: Path) -> Iterator[BatchPoint]:
    """One point for the requests of each batch: from its start to its first token, and to its last."""
    return map(_point, grouped(_lines(path, _Request)))


def _point(requests: Sequence[_Request]) -> BatchPoint:
    first = requests[0]
    if len(requests) == 1:
        tps = first.tokens / first.latency if first.latency else None
        return BatchPoint(first.start, first.latency, first.ttft, first.tpot, tps, clean(first.error))
    latency = max(_known(request.latency for request in requests), default=None)
    each = _known(request.tpot for request in requests)
    return BatchPoint(
        first.start,
        latency,
        ttft=min(_known(request.ttft for request in requests), default=None),
        tpot=sum(each) / len(each) if each else None,
        tps=sum(request.tokens for request in requests) / latency if latency else None,
        error=clean(first.error),
    )


def _known(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _lines(path: Path, kind: type[T]) -> Iterator[T]:
    return read_lines(path, kind, warn=lambda _: None)


def _result(path: Path) -> Result | None:
    try:
        return decode_result(_bytes(path, RESULT_BYTES))
    except NewerSchemaError as error:
        raise StoreError(f"{clean(str(path))} cannot be read: {error}") from error
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None


def _text(path: Path, limit: int, *, end: bool = False) -> str:
    return clean(_bytes(path, limit, end=end).decode(errors="replace"), lines=True)


def _bytes(path: Path, limit: int, *, end: bool = False) -> bytes:
    """At most `limit` bytes of a file, from its beginning or its end; nothing where it cannot be read."""
    try:
        return regular_files.read_part(path, limit, end=end)
    except OSError:
        return b""
