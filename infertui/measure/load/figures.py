"""What is told of a load on an endpoint beside the figures that every run has."""

from typing import Literal

from msgspec import Struct

from infertui.integers import Whole
from infertui.measure.statistics import Distribution, Interval

TermVerdict = Literal["met", "missed", "unclear"]


class Window(Struct, frozen=True):
    """What figures are over, in seconds after the load began: from `start` on, before `end`."""

    start: float
    end: float

    @property
    def seconds(self) -> float:
        """How long it is."""
        return self.end - self.start


class Steadiness(Struct, frozen=True):
    """Whether a load's latencies had settled: True, False, or None where too little was seen to tell.

    `reason` says why it is not True. `window` is where they had, or what comes nearest; None where nothing was.
    `change` is the relative movement of the latency named `moved` that is told in the reason.
    """

    steady: bool | None
    reason: str = ""
    window: Window | None = None
    moved: str = ""
    change: float | None = None


class TermFigures(Struct, frozen=True):
    """One objective, as in ttft.p99<200ms, and how it was kept.

    `value` is the statistic in seconds over the window, with its 95 % interval; of a term without one both are None.
    `verdict` is `met` or `missed` where the whole interval is on one side of the limit, else `unclear`; of a term
    without a statistic it is None. `use` is value / limit. `attainment` is the share of requests that kept the limit by
    their own values, of those that have one or failed, with Wilson's 95 % interval; `undetermined` have none, such as
    the TPOT of a single token.
    """

    term: str
    limit: float
    value: float | None = None
    interval: Interval | None = None
    verdict: TermVerdict | None = None
    use: float | None = None
    attainment: float | None = None
    attainment_interval: Interval | None = None
    undetermined: Whole = 0


class ClientFigures(Struct, frozen=True):
    """How much the client itself stood between the server and the figures: the worst of its processes.

    `cpu` is the share of one core of the busiest; the event loop was late by `lag_*`, in seconds, and requests were
    sent so long after they were due as `late_*`, of all requests in the window, without the `connect_*` for which they
    waited for a connection. `retried` requests were sent a second time, since the server closed a kept connection as
    they came.
    """

    processes: Whole
    cpu: float | None = None
    lag_p99: float | None = None
    lag_max: float | None = None
    late_p50: float | None = None
    late_p99: float | None = None
    late_max: float | None = None
    start: float | None = None
    connections: Whole | None = None
    retried: Whole | None = None
    connect_mean: float | None = None
    connect_p99: float | None = None


class StepFigures(Struct, frozen=True):
    """One of several levels of a load: from `start` on, before `end`, in seconds after it began; figures as in
    `LoadFigures` and `Summary`, over `window`.
    """

    level: float
    start: float
    end: float
    window: Window
    steadiness: Steadiness
    sent: Whole = 0
    requests: Whole | None = None
    failed: Whole | None = None
    request_throughput: float | None = None
    output_throughput: float | None = None
    offered_rate: float | None = None
    in_flight: float | None = None
    ttft: Distribution | None = None
    tpot: Distribution | None = None
    latency: Distribution | None = None
    goodput: float | None = None
    attainment: float | None = None


class LoadFigures(Struct, frozen=True):
    """Over a window of a load on an endpoint. Seconds, requests and tokens a second, shares of 1; None: not available.

    Rates count what happened in the window: a request that was under way at an edge counts by the share of its time
    that lies inside, and its tokens by their times. `asked_concurrency` and `asked_rate` are None where the other was
    asked for; `in_flight` is the mean over the window, `offered_rate` how many were sent a second, and `arrival_cv` the
    deviation of the times between them over their mean. `littles_ratio` is in_flight over the rate at which requests
    ended times their mean time, which is 1 where all are known. `*_due` count from when a request was due, and differ
    from those in the summary where the client was late or had to wait. `intervals` are 95 % ones, by names such as
    `ttft.p99` and `e2e.mean`.

    `goodput` is the rate of requests that kept all objectives, `attainment` their share of those that failed or for
    which that can be told; `undetermined` are the others. `binding` is the objective with the largest use of its limit.
    Failures are told by kind. `counted` are the output tokens by who counted them; `local_ratio` is tokens counted here
    over those counted there, where both are known, and `other_lengths` the share of requests with another number of
    tokens than was asked for. From `stop` on, seconds after the load began, nothing new was sent. Those of
    `failed_later`, by kind, were under way when the window ended, and failed later. `steps` tells each
    level of several; all else is of the last of them.
    """

    window: Window
    steadiness: Steadiness
    asked_concurrency: Whole | None = None
    asked_rate: float | None = None
    request_throughput: float | None = None
    request_throughput_interval: Interval | None = None
    offered_rate: float | None = None
    arrival_cv: float | None = None
    in_flight: float | None = None
    littles_ratio: float | None = None
    latency_due: Distribution | None = None
    ttft_due: Distribution | None = None
    ttfo: Distribution | None = None
    tps_user: Distribution | None = None
    intervals: dict[str, Interval] = {}
    slo: str = ""
    terms: tuple[TermFigures, ...] = ()
    binding: str = ""
    goodput: float | None = None
    goodput_interval: Interval | None = None
    attainment: float | None = None
    attainment_interval: Interval | None = None
    undetermined: Whole = 0
    sent: Whole = 0
    errors: dict[str, Whole] = {}
    error_rate: float | None = None
    error_rate_interval: Interval | None = None
    cached_share: float | None = None
    reasoning_share: float | None = None
    counted: dict[str, Whole] = {}
    local_ratio: float | None = None
    other_lengths: float | None = None
    client: ClientFigures | None = None
    stop: float | None = None
    failed_later: dict[str, Whole] = {}
    steps: tuple[StepFigures, ...] = ()
