"""What a file tells of one run, and the result that is made of it: what it does not tell is not available."""

import contextlib
import hashlib
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime

import msgspec
from msgspec import Struct

import infertui
from infertui.config.fields import FIELDS
from infertui.errors import ConfigError
from infertui.formats.reader import printable
from infertui.measure.clock import NS_PER_S
from infertui.measure.itl import Gaps, summarise_gaps
from infertui.measure.records import RequestRecord
from infertui.measure.statistics import PERCENTILES, Distribution, describe, samples_needed
from infertui.measure.summary import Summary
from infertui.measure.validity import Verdict
from infertui.results.result import Fingerprint, Result
from infertui.results.setup import Value
from infertui.targets.engine.base import Loaded
from infertui.telemetry.readings import HostFacts

UNKNOWN = "unknown"
"""Stands for a model or an engine that the file does not name."""
MOST_APART = 0.02
"""Figures of one file that should be the same differ by no more than this share, or the file contradicts itself."""

Records = Callable[[], Iterator[RequestRecord]]


class Given(Struct, frozen=True):
    """What whoever imports a file adds, of what it does not tell. Empty and None: nothing."""

    model: str = ""
    device: str = ""
    labels: dict[str, str] = {}
    batch_size: int | None = None
    input_len: int | None = None
    output_len: int | None = None


class Finding(Struct, frozen=True, kw_only=True):
    """One run of a file. `config` holds the keys that the file tells, by path; `summary` what it measured.

    None is what it does not tell. `records` gives the lines of single requests, where
    the file has them, anew with every call. `started` is ISO 8601, or empty.
    """

    source: str
    title: str
    summary: Summary
    config: dict[str, Value] = {}
    started: str = ""
    loaded: Loaded | None = None
    notes: tuple[str, ...] = ()
    invalid: tuple[str, ...] = ()
    records: Records | None = None


def result_of(finding: Finding, given: Given, *, file: str, sha256: str, now: datetime) -> Result:
    """The result, without an id. Raises ConfigError for labels, and such, that cannot be kept."""
    told = _told({**_given_config(given), **finding.config}, given)
    loaded = finding.loaded or loaded_as(UNKNOWN)
    if given.device and not loaded.device_name:
        loaded = msgspec.structs.replace(loaded, device_name=printable(given.device))
    notes = [f"imported from {file}: measured by {finding.source}, not by infertui; no telemetry"]
    if not finding.started:
        notes.append("when it was measured, the file does not tell: the time is that of the import")
    if added := _added(given, finding):
        notes.append(f"told by whoever imported it, not by the file: {', '.join(added)}")
    summary = finding.summary
    result = Result(
        id="",
        name=finding.title,
        state="finished",
        started=finding.started or now.isoformat(timespec="milliseconds"),
        config=None,
        fingerprint=_fingerprint(told, finding),
        verdict=Verdict(invalid=finding.invalid, notes=(*notes, *finding.notes)),
        summary=summary,
        phases={"measure": summary.measured_s} if summary.measured_s is not None else {},
        loaded=loaded,
        source=finding.source,
        imported=file,
        imported_sha256=sha256,
        told=told,
    )
    # What cannot be read again would make a line of the index that nobody can read.
    return msgspec.json.decode(msgspec.json.encode(result), type=Result)


def _given_config(given: Given) -> dict[str, Value]:
    said: dict[str, Value | None] = {
        "model.id": given.model or None,
        "workload.batch_size": given.batch_size,
        "workload.input_len": given.input_len,
        "workload.output_len": given.output_len,
    }
    return {path: value for path, value in said.items() if value is not None}


def _added(given: Given, finding: Finding) -> list[str]:
    added = [f"{path} = {value}" for path, value in _given_config(given).items() if path not in finding.config]
    if given.device and not (finding.loaded and finding.loaded.device_name):
        added.append(f"device {given.device}")
    return added


def _told(values: Mapping[str, Value], given: Given) -> dict[str, Value]:
    """The values, as a config would hold them, and the labels. What no config can hold counts as not told."""
    told: dict[str, Value] = {}
    for path, value in values.items():
        with contextlib.suppress(ConfigError):
            told[path] = FIELDS[path].check(printable(value) if isinstance(value, str) else value)
    return told | {f"labels.{name}": text for name, text in given.labels.items()}


def _fingerprint(told: Mapping[str, Value], finding: Finding) -> Fingerprint:
    """Nothing of this machine: it did not measure. The hash is of what is told, and like none of a run of ours."""
    values = {path: value for path, value in told.items() if not path.startswith("labels.")}
    told_of = msgspec.json.encode([finding.source, finding.title, values], order="sorted")
    return Fingerprint(
        infertui=infertui.__version__,
        git_revision="",
        python="",
        host=HostFacts(hostname="", kernel=""),
        gpus=(),
        driver="",
        cuda_driver="",
        config_hash="import-" + hashlib.sha256(told_of).hexdigest()[:12],
        libraries={},
    )


def loaded_as(
    engine: str,
    *,
    versions: Mapping[str, str] | None = None,
    device_name: str = "",
    dtype: str = "",
    details: Mapping[str, object] | None = None,
) -> Loaded:
    """What ran, as far as a file tells it. `details` that are None or empty are left out."""
    return Loaded(
        engine=engine,
        engine_requested=engine,
        versions=dict(versions or {}),
        device="",
        device_name=device_name,
        dtype=dtype,
        attention="not known",
        parameters=None,
        weight_bytes=None,
        vocabulary=0,
        random_weights=False,
        memory_policy="",
        details={name: printable(str(value)) for name, value in (details or {}).items() if value not in (None, "")},
    )


def as_given(
    n: int,
    *,
    mean: float | None,
    median: float | None = None,
    std: float | None = None,
    population_std: float | None = None,
    minimum: float | None = None,
    maximum: float | None = None,
    p90: float | None = None,
    p95: float | None = None,
    p99: float | None = None,
) -> Distribution | None:
    """A distribution by the figures that a file gives of it; None where it gives none. An `n` of 0 is not told.

    `std` is the sample's, as infertui's are; `population_std` is what most programs write, and is converted.
    """
    if all(figure is None for figure in (mean, median, minimum, maximum, p90, p95, p99)):
        return None
    if population_std is not None:
        std = sample_std(population_std, n)
    given = {"p50": median, "p90": p90, "p95": p95, "p99": p99}
    return Distribution(
        n=n, mean=mean, median=median, std=std, minimum=minimum, maximum=maximum, p50=median, p90=p90, p95=p95, p99=p99,
        supported=tuple(f"p{p}" for p in PERCENTILES if n >= samples_needed(p) and given[f"p{p}"] is not None),
    )  # fmt: skip


def sample_std(population: float, n: int) -> float | None:
    """The sample's standard deviation by the population's; as it is where `n` is 0, which is not told."""
    if n == 0:
        return population
    return population * math.sqrt(n / (n - 1)) if n > 1 else None


def described(values: Sequence[float | None]) -> Distribution | None:
    """A distribution over the values that are known."""
    return describe([value for value in values if value is not None])


def gaps_of(seconds: Sequence[float], tokens: int) -> Gaps | None:
    """The gaps between steps of one request, which brought it `tokens` after those of the first step."""
    stamps = list(itertools.accumulate((round(gap * NS_PER_S) for gap in seconds), initial=0))
    found = summarise_gaps(stamps)
    return None if found is None else msgspec.structs.replace(found, tokens=max(tokens, 0))


def contradiction(what: str, told: float | None, counted: float | None) -> tuple[str, ...]:
    """The words for a file that gives a figure which others of its figures deny; none where they agree."""
    if told is None or counted is None or abs(told - counted) <= MOST_APART * max(abs(told), abs(counted)):
        return ()
    return (f"the file contradicts itself: {what} is {told:.6g}, and its other figures make {counted:.6g}",)


POPULATION = "its standard deviations are of the population: how many requests there were, the file does not tell"


def failures(failed: int, requests: int | None) -> tuple[str, ...]:
    """The words for requests that failed; None where nobody told of how many."""
    if requests is None:
        return (f"{failed} requests failed, of how many the file does not tell",) if failed else ()
    return (f"{failed} of {requests} requests failed",) if failed else ()


def same(values: Sequence[float]) -> int | None:
    """The whole number that all of them are; None where they differ or there are none."""
    first = values[0] if values else None
    return int(first) if first is not None and first == int(first) and all(value == first for value in values) else None


def moment(text: str) -> str:
    """A stamp of ISO 8601, or `20260301-080000`, with its offset; without one it is taken as of this machine.

    Empty for what is no stamp.
    """
    for read in (datetime.fromisoformat, lambda stamp: datetime.strptime(stamp, "%Y%m%d-%H%M%S")):  # noqa: DTZ007
        try:
            return read(text).astimezone().isoformat(timespec="milliseconds")
        except (ValueError, OverflowError, OSError):
            continue
    return ""


def moment_of(seconds: float | None) -> str:
    """Seconds since 1970 as ISO 8601; empty for what is none."""
    try:
        return datetime.fromtimestamp(seconds, tz=UTC).isoformat(timespec="milliseconds") if seconds else ""
    except (ValueError, OverflowError, OSError):
        return ""
