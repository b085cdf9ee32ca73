"""Requests as no sane server makes them: whatever stamps and counts they bear, there are figures, and none is a lie."""

import math

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from infertui.measure.itl import Gaps, summarise_gaps
from infertui.measure.load.figures import LoadFigures, Window
from infertui.measure.load.slo import parse_slo
from infertui.measure.load.summary import AskedLoad, summarise_load
from infertui.measure.load.validity import judge_load
from infertui.measure.records import Request
from infertui.measure.summary import Summary

SLO = parse_slo("ttft.p99<200ms tpot.mean<20ms itl.p95<30ms itl<1s e2e<=2s ttfo.p50<1s itl.mean<1ms")
STAMPS = st.integers(0, 3_000_000_000) | st.sampled_from([0, 1, 10**18])
MAYBE = st.none() | STAMPS
COUNTS = st.integers(0, 50) | st.just(10**9)


@st.composite
def gaps(draw: st.DrawFn) -> Gaps | None:
    stamps = sorted(draw(st.lists(STAMPS, max_size=5)))
    return summarise_gaps(stamps, draw(st.just(()) | st.just(tuple(range(1, len(stamps) + 1)))))


REQUESTS = st.builds(
    Request,
    prompt=st.just(""),
    prompt_tokens=COUNTS,
    tokens=COUNTS,
    due_ns=STAMPS,
    sent_ns=STAMPS,
    end_ns=STAMPS,
    first_ns=MAYBE,
    last_ns=MAYBE,
    itl=gaps(),
    error=st.sampled_from(["", "", "", "no"]),
    asked_tokens=st.none() | COUNTS,
    error_kind=st.sampled_from(["", "", "", "http", "aborted"]),
    first_output_ns=MAYBE,
    cached_tokens=st.none() | COUNTS,
    reasoning_tokens=st.none() | COUNTS,
    counted=st.sampled_from(["server", "chunks", ""]),
    local_tokens=st.none() | COUNTS,
)
ASKED = st.builds(
    AskedLoad,
    concurrency=st.none() | st.sampled_from([1, 3, 65536]),
    rate=st.none() | st.floats(0.001, 1e6),
    cv=st.none() | st.just(1.0),
    ramp_s=st.floats(0, 5),
    slo=st.just(SLO),
)


@given(
    st.lists(REQUESTS, max_size=40),
    ASKED,
    st.none() | STAMPS,
    st.none() | st.builds(Window, st.floats(0, 4), st.floats(0, 4)),
)
def test_whatever_requests_bear_there_are_figures_that_can_be_kept(
    requests: list[Request], asked: AskedLoad, stop_ns: int | None, window: Window | None
) -> None:
    summary, load = summarise_load(requests, asked, origin_ns=500_000_000, stop_ns=stop_ns, window=window)
    verdict = judge_load(summary, load, asked)
    for kept in (summary, load):
        read = msgspec.json.decode(msgspec.json.encode(kept), type=type(kept))
        assert read == kept
    assert all(isinstance(text, str) for text in (*verdict.invalid, *verdict.notes))
    assert_sane(summary, load)


def assert_sane(summary: Summary, load: LoadFigures) -> None:
    for share in (load.attainment, load.error_rate, load.cached_share):
        assert share is None or share >= 0
    for share in (load.attainment, load.error_rate):
        assert share is None or share <= 1
    for rate in (load.request_throughput, load.goodput, summary.output_throughput, load.in_flight):
        assert rate is None or (math.isfinite(rate) and rate >= 0)
    for distribution in (summary.ttft, summary.latency, summary.tpot, load.ttfo, load.ttft_due):
        assert distribution is None or (distribution.minimum or 0) >= 0
    if load.goodput is not None and load.request_throughput is not None:
        assert load.goodput <= load.request_throughput * (1 + 1e-9)
