"""The metrics of loads on endpoints: what was asked of a server, and what only requests in flight have.

Figures that every run has, such as TTFT and throughput, are in `definitions`.
"""

from typing import TYPE_CHECKING

from infertui.metrics import reads
from infertui.metrics.metric import Column, Metric, Value, View
from infertui.metrics.units import COUNT, MILLISECONDS, NUMBER, SECONDS, SHARE, TEXT

if TYPE_CHECKING:
    from infertui.results.result import Result

_TARGET = "config.target.kind"
_LEVEL = (_TARGET, *(f"config.load.{name}" for name in ("concurrency", "request_rate", "trace", "steps")), "told")
_CHOSEN: frozenset[View] = frozenset({"screen", "filter", "markdown", "csv"})


def _concurrency(result: "Result") -> Value:
    return result.setup.concurrency


def _request_rate(result: "Result") -> Value:
    return result.setup.request_rate


def _ttft_due_p99(result: "Result") -> Value:
    return reads.p99(result.load.ttft_due) if result.load else None


def _latency_due_p99(result: "Result") -> Value:
    return reads.p99(result.load.latency_due) if result.load else None


def _endpoint(result: "Result") -> Value:
    return result.setup.target.name if result.setup.is_endpoint else None


ASKED = (
    Metric(key="endpoint", label="endpoint", help="URL of the server that was measured", unit=TEXT, read=_endpoint,
           needs=(_TARGET, "config.target.url", "told"), aliases=("url",), views=_CHOSEN, screen=Column(14, 12, 28),
           settings=("target.url",)),
    Metric(key="api", label="API", help="dialect that the server was asked in", unit=TEXT,
           read=lambda result: result.setup.get("target.api") if result.setup.is_endpoint else None,  # type: ignore[arg-type,return-value]
           needs=(_TARGET, "config.target.api", "told"), views=_CHOSEN, screen=Column(17, 6, 14),
           settings=("target.api",)),
    Metric(key="concurrency", where_known=True, label="concurrency", unit=COUNT,
           help="requests in flight that were asked for, or the most of them", read=_concurrency, aliases=("c", "conc"),
           needs=_LEVEL,
           views=_CHOSEN | {"text", "report"}, screen=Column(3, 4, 6, "c"), text=Column(6, heading="c"),
           settings=("load.concurrency",)),
    Metric(key="request_rate", where_known=True, label="asked req/s", help="requests a second that were asked for",
           unit=NUMBER, read=_request_rate, aliases=("rate",), needs=_LEVEL,
           views=_CHOSEN | {"text", "report"}, screen=Column(7, 6, 9, "rate"), text=Column(7, heading="rate"),
           settings=("load.request_rate",)),
)  # fmt: skip
FIGURES = (
    Metric(key="request_throughput", where_known=True, label="req/s", help="requests answered a second", unit=NUMBER,
           read="load.request_throughput", statistic="ratio", better="higher", aliases=("req/s", "rps"),
           views=_CHOSEN | {"text", "report"}, screen=Column(8, 6, 8), text=Column(8)),
    Metric(key="goodput", where_known=True, label="goodput", unit=NUMBER,
           help="requests a second that kept every objective of load.slo", read="load.goodput", statistic="ratio",
           better="higher", views=_CHOSEN | {"text", "report"}, screen=Column(9, 7, 8), text=Column(9)),
    Metric(key="attainment", label="attainment", help="share of requests that kept every objective of load.slo",
           unit=SHARE, read="load.attainment", statistic="ratio", better="higher", aliases=("slo",), views=_CHOSEN,
           screen=Column(12, 6, 8, "SLO")),
    Metric(key="ttft_due", label="TTFT p50 from due", csv="p50_ttft_due_s", unit=MILLISECONDS,
           read="load.ttft_due.p50", statistic="p50",
           help="time to first token since the request was due, median: what it had to wait to be sent is part of it",
           level="request", better="lower", views=_CHOSEN, screen=Column(14, 8, 9, "due p50")),
    Metric(key="ttft_due_p99", label="TTFT p99 from due", unit=MILLISECONDS, read=_ttft_due_p99, statistic="p99",
           csv="p99_ttft_due_s",
           help="the same, 99th percentile, of 368 requests or more", level="request", better="lower",
           needs=("load.ttft_due.p99", "load.ttft_due.supported"), views=_CHOSEN, screen=Column(14, 8, 9, "due p99")),
    Metric(key="latency_due_p99", label="E2E p99 from due", csv="p99_latency_due_s", unit=SECONDS,
           read=_latency_due_p99, statistic="p99",
           help="latency since the request was due, 99th percentile, of 368 requests or more", level="request",
           better="lower", needs=("load.latency_due.p99", "load.latency_due.supported"), views=_CHOSEN,
           screen=Column(15, 8, 9, "E2E p99")),
    Metric(key="ttfo", label="TTFO p50", help="time to the first token that is not reasoning, median", csv="p50_ttfo_s",
           unit=MILLISECONDS, read="load.ttfo.p50", statistic="p50", level="request", better="lower", views=_CHOSEN,
           screen=Column(16, 8, 8)),
    Metric(key="tps_user", label="tok/s/user p50", csv="p50_tps_user",
           help="tokens a second as one user sees them, 1 / TPOT, median", unit=NUMBER,
           read="load.tps_user.p50", statistic="p50", level="request", better="higher", views=_CHOSEN,
           screen=Column(13, 8, 10, "user p50")),
    Metric(key="in_flight", label="in flight", help="requests in flight, mean over the window", unit=NUMBER,
           read="load.in_flight", statistic="mean", views=_CHOSEN, screen=Column(15, 7, 9)),
    Metric(key="error_rate", label="errors", help="share of requests that failed, whatever the status they came with",
           unit=SHARE, read="load.error_rate", statistic="ratio", better="lower", aliases=("errors",), views=_CHOSEN,
           screen=Column(14, 6, 7)),
    Metric(key="cached_share", label="cached", help="share of prompt tokens that the server had cached", unit=SHARE,
           read="load.cached_share", statistic="ratio", aliases=("cached",), views=_CHOSEN, screen=Column(16, 6, 7)),
    Metric(key="client_cpu", label="client CPU", help="share of one core that the busiest client process used",
           unit=SHARE, read="load.client.cpu", statistic="mean", better="lower", views=_CHOSEN,
           screen=Column(18, 7, 10)),
)  # fmt: skip
