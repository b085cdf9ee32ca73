"""What a server counts itself: its Prometheus page before and after, and what happened in between.

Which name holds what, in which server and version, is in data/server_metrics.toml.
"""

import functools
import math
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from msgspec import Struct

from infertui.config.endpoint import TargetConfig
from infertui.errors import ConfigError
from infertui.measure.clock import NS_PER_S
from infertui.paths import data
from infertui.targets.endpoint.address import parse_url
from infertui.targets.endpoint.exposition import Labels, PageSample, plain, samples
from infertui.targets.endpoint.http import HttpAsker

GAUGES: Final = ("running", "waiting", "kv_usage")
COUNTERS: Final = ("prefix_queries", "prefix_hits", "preemptions", "prompt_tokens", "output_tokens", "requests")
HISTOGRAMS: Final = ("ttft", "itl", "e2e", "queue", "prefill")
_PATHS = ("/metrics", "/prometheus/metrics")
_SELECTED = re.compile(r'([^{]+)\{(\w+)="([^"]*)"\}')
_SHARING = frozenset({"tp_rank", "pp_rank", "moe_ep_rank", "pid"})
_PARTS = ("_bucket", "_sum", "_count")

Series = Mapping[tuple[str, Labels], float]
"""The samples of a figure, by name and labels."""


class ServerScrape(Struct, frozen=True):
    """One page. Requests running and waiting, and the share of the KV cache in use, now; None: it does not tell.

    `series` are the samples of counters and histograms.
    """

    t_ns: int
    server: str
    running: float | None
    waiting: float | None
    kv_usage: float | None
    series: Mapping[str, Series]


class HistogramSpan(Struct, frozen=True):
    """What a histogram gained: `count` observations of `total` seconds; `counts` of them up to each of `bounds`.

    Bounds are finite: all observations are below the last one of the page, which is not.
    """

    count: float
    total: float
    bounds: tuple[float, ...]
    counts: tuple[float, ...]

    @property
    def mean(self) -> float | None:
        """Seconds."""
        return self.total / self.count if self.count else None

    def quantile(self, share: float) -> float | None:
        """As PromQL's `histogram_quantile`: linear within a bucket, and the last bound for what lies above it."""
        if not self.counts or self.count <= 0:
            return None
        rank = share * self.count
        place = next((number for number, count in enumerate(self.counts) if count >= rank), None)
        if place is None:
            return self.bounds[-1]
        upper = self.bounds[place]
        lower, below = (self.bounds[place - 1], self.counts[place - 1]) if place else (min(0.0, upper), 0.0)
        inside = self.counts[place] - below
        return lower + (upper - lower) * ((rank - below) / inside if inside else 0.0)


class ServerFigures(Struct, frozen=True):
    """What a server counted between two scrapes. None is what it does not tell.

    Tokens and requests are counts; `prefix_queries` and `prefix_hits` are tokens. `restarted`: a counter fell, so that
    what was before is lost.
    """

    server: str
    seconds: float
    prefix_queries: float | None = None
    prefix_hits: float | None = None
    preemptions: float | None = None
    prompt_tokens: float | None = None
    output_tokens: float | None = None
    requests: float | None = None
    ttft: HistogramSpan | None = None
    itl: HistogramSpan | None = None
    e2e: HistogramSpan | None = None
    queue: HistogramSpan | None = None
    prefill: HistogramSpan | None = None
    restarted: bool = False

    @property
    def prefix_hit_rate(self) -> float | None:
        """Share of the tokens looked up that were found."""
        if self.prefix_hits is None or not self.prefix_queries:
            return None
        return self.prefix_hits / self.prefix_queries


@functools.cache
def _tables() -> Mapping[str, Mapping[str, Sequence[str]]]:
    return tomllib.loads((data() / "server_metrics.toml").read_text(encoding="utf-8"))


@functools.cache
def _names() -> frozenset[str]:
    """All that may be of interest on a page."""
    entries = [entry for table in _tables().values() for listed in table.values() for entry in listed]
    told = [_selected(part)[0] for entry in entries for part in entry.split(" + ")]
    return frozenset(name + part for name in told for part in ("", *_PARTS))


def _selected(entry: str) -> tuple[str, Labels]:
    """A name, and the label that its samples have to have."""
    found = _SELECTED.fullmatch(entry)
    return (plain(found[1]), ((found[2], found[3]),)) if found else (plain(entry), ())


def read_page(page: bytes, t_ns: int) -> ServerScrape | None:
    """The page as it came at `t_ns`; None: there is nothing on it of a server that is known."""
    by_name: dict[str, list[PageSample]] = {}
    for sample in samples(page.decode("utf-8", "replace"), _names()):
        by_name.setdefault(sample.name, []).append(sample)
    for server, table in _tables().items():
        told = {field: _found(by_name, entries, field in HISTOGRAMS) for field, entries in table.items()}
        told = {field: series for field, series in told.items() if series}
        if not told:
            continue
        gauges = {field: told.pop(field, {}).values() for field in GAUGES}
        return ServerScrape(
            t_ns=t_ns,
            server=server,
            running=sum(gauges["running"]) if gauges["running"] else None,
            waiting=sum(gauges["waiting"]) if gauges["waiting"] else None,
            # Of several engines behind one address the fullest is the one that puts requests back.
            kv_usage=max(gauges["kv_usage"], default=None),
            series=told,
        )
    return None


def _found(by_name: Mapping[str, Sequence[PageSample]], entries: Sequence[str], histogram: bool) -> Series:
    """The samples under the first of the entries that is there, with all of its terms."""
    for entry in entries:
        terms = [_of_term(by_name, term, _PARTS if histogram else ("",)) for term in entry.split(" + ")]
        if all(terms):
            return {key: value for term in terms for key, value in term.items()}
    return {}


def _of_term(by_name: Mapping[str, Sequence[PageSample]], term: str, parts: Sequence[str]) -> Series:
    name, label = _selected(term)
    found: dict[tuple[str, Labels], float] = {}
    for sample in (sample for part in parts for sample in by_name.get(name + part, ())):
        if not set(label) <= set(sample.labels) or dict(sample.labels).get("priority"):
            continue
        # The ranks that share one model count the same requests; replicas count their own.
        key = sample.name, tuple(pair for pair in sample.labels if pair[0] not in _SHARING)
        found[key] = max(sample.value, found.get(key, sample.value))
    return found


def between(first: ServerScrape, last: ServerScrape) -> ServerFigures:
    """What happened from one scrape to the other.

    A series that fell began anew in between, and so did one that is new: what it shows now is what it gained, as
    PromQL's `increase` has it.
    """
    restarted = False
    counters: dict[str, float] = {}
    spans: dict[str, HistogramSpan] = {}
    for field, series in last.series.items():
        before = first.series.get(field, {})
        fell = any(value < before.get(key, 0.0) for key, value in series.items())
        restarted = restarted or fell
        gained = {
            key: value - before.get(key, 0.0) if value >= before.get(key, 0.0) else value
            for key, value in series.items()
        }
        if field in COUNTERS:
            counters[field] = sum(gained.values())
        elif field in HISTOGRAMS:
            spans[field] = _span(gained)
    return ServerFigures(
        server=last.server,
        seconds=(last.t_ns - first.t_ns) / NS_PER_S,
        prefix_queries=counters.get("prefix_queries"),
        prefix_hits=counters.get("prefix_hits"),
        preemptions=counters.get("preemptions"),
        prompt_tokens=counters.get("prompt_tokens"),
        output_tokens=counters.get("output_tokens"),
        requests=counters.get("requests"),
        ttft=spans.get("ttft"),
        itl=spans.get("itl"),
        e2e=spans.get("e2e"),
        queue=spans.get("queue"),
        prefill=spans.get("prefill"),
        restarted=restarted,
    )


def _span(gained: Series) -> HistogramSpan:
    buckets: dict[float, float] = {}
    count = total = 0.0
    for (name, labels), value in gained.items():
        if name.endswith("_bucket"):
            bound = _bound(labels)
            if bound is not None and math.isfinite(bound):
                buckets[bound] = buckets.get(bound, 0.0) + value
        elif name.endswith("_count"):
            count += value
        else:
            total += value
    bounds = sorted(buckets)
    return HistogramSpan(count, total, tuple(bounds), tuple(_rising(buckets[bound] for bound in bounds)))


def _rising(counts: Iterable[float]) -> Iterable[float]:
    """Cumulative counts that are: series of different bounds, added up, may not be."""
    most = 0.0
    for count in counts:
        most = max(most, count)
        yield most


def _bound(labels: Labels) -> float | None:
    try:
        bound = float(dict(labels).get("le", ""))
    except ValueError:
        return None
    return None if math.isnan(bound) else bound


class MetricsPage:
    """Where a server's page is, and how it is asked for; `auto` looks in the usual places once."""

    def __init__(self, target: TargetConfig, headers: Mapping[str, str]) -> None:
        """`headers` go along where the page is the server's own. Raises ConfigError for what is no URL."""
        self._paths: tuple[str, ...] = ()
        if target.metrics_url == "none":
            return
        if target.metrics_url == "auto":
            self._asker, self._headers, self._paths = HttpAsker(parse_url(target.url), target, {}), headers, _PATHS
            return
        try:
            address = parse_url(target.metrics_url)
        except ConfigError as error:
            raise ConfigError(
                "target.metrics_url", error.problem, allowed="auto, none, or http://HOST:PORT/metrics"
            ) from None
        own = parse_url(target.url)
        same = address.same_place(own)
        self._asker, self._headers = HttpAsker(address, target, {}), headers if same else {}
        self._paths = ("",) if address.root else ("/metrics",)

    async def read(self, *, timeout_s: float = 5.0) -> ServerScrape | None:
        """The page now; None: there is none, or nothing on it that is known."""
        for path in self._paths:
            received = await self._asker.get(path, self._headers, timeout_s=timeout_s)
            if received.status != 200 or not received.whole:
                continue
            # What it counts is of the moment in which it answers.
            scrape = read_page(b"".join(piece for _, piece in received.pieces), received.end_ns)
            if scrape is not None:
                self._paths = (path,)
                return scrape
        return None
