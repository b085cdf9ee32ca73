"""Figures of loads of which the truth is known: closed loops whose times are given, and queues by Erlang's formula."""

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from support.simulated_load import answered, closed_loop, ns, queue

from infertui.measure.load.figures import LoadFigures, Window
from infertui.measure.load.slo import parse_slo
from infertui.measure.load.steps import AskedStep
from infertui.measure.load.summary import AskedLoad, summarise_load
from infertui.measure.records import Request, request_of, request_record
from infertui.measure.statistics import Distribution, Interval
from infertui.measure.summary import Summary

TTFT, TPOT, TOKENS = 0.05, 0.01, 64
LATENCY = TTFT + (TOKENS - 1) * TPOT


def even(_at: float, _rng: random.Random) -> tuple[float, float, int]:
    return TTFT, TPOT, TOKENS


def uneven(_at: float, rng: random.Random) -> tuple[float, float, int]:
    return TTFT + rng.expovariate(50), TPOT * (1 + rng.gauss(0, 0.03)), rng.randint(1, 127)


def figures(
    requests: list[Request], *, concurrency: int | None = None, rate: float | None = None, slo: str = "", **more: object
) -> tuple[Summary, LoadFigures]:
    asked = AskedLoad(concurrency=concurrency, rate=rate, slo=parse_slo(slo))
    return summarise_load(requests, asked, origin_ns=0, **more)  # type: ignore[arg-type]


def mean(figure: Distribution | None) -> float:
    assert figure is not None
    assert figure.mean is not None
    return figure.mean


def holds(interval: Interval | None, truth: float) -> bool:
    return interval is not None and interval.low <= truth <= interval.high


@pytest.mark.parametrize("drain", [True, False])
@pytest.mark.parametrize("seconds", [5.0, 5.3, 7.77, 10.0])
def test_waves_of_a_closed_loop_have_their_true_rates_wherever_the_window_ends(seconds: float, drain: bool) -> None:
    requests = closed_loop(64, seconds, even, drain=drain)
    summary, load = figures(requests, concurrency=64, stop_ns=ns(seconds))
    assert load.steadiness.steady
    assert load.request_throughput == pytest.approx(64 / LATENCY, rel=0.005)
    # All streams are in their prefill at once: it makes a difference how many of these times a window holds.
    one_prefill = TTFT / seconds
    assert summary.output_throughput == pytest.approx(64 * TOKENS / LATENCY, rel=one_prefill)
    assert load.in_flight == pytest.approx(64)
    assert load.littles_ratio == pytest.approx(1, abs=0.005)
    assert summary.cut_off == (0 if drain else 64)
    assert summary.failed == 0


@pytest.mark.parametrize("drain", [True, False])
def test_uneven_lengths_bias_no_rate_at_the_edges(drain: bool) -> None:
    latency = TTFT + 1 / 50 + TPOT * 63
    rates, tokens = [], []
    for seed in range(16):
        requests = closed_loop(64, 8.0, uneven, seed=seed, spread=TPOT, drain=drain)
        summary, load = figures(requests, concurrency=64, stop_ns=ns(8.0))
        rates.append(load.request_throughput or 0.0)
        tokens.append(summary.output_throughput or 0.0)
    # Three standard errors of so many runs: one has 2 %, and 0.3 % of its tokens.
    assert sum(rates) / len(rates) == pytest.approx(64 / latency, rel=0.015)
    assert sum(tokens) / len(tokens) == pytest.approx(64 * 64 / latency, rel=0.0025)


def test_latencies_are_those_that_were_injected_and_add_up() -> None:
    summary, load = figures(closed_loop(8, 6.0, even, gaps=True), concurrency=8)
    assert mean(summary.ttft) == mean(load.ttfo) == pytest.approx(TTFT)
    assert mean(summary.tpot) == pytest.approx(TPOT)
    assert mean(load.tps_user) == pytest.approx(1 / TPOT)
    assert mean(summary.latency) == pytest.approx(mean(summary.ttft) + (TOKENS - 1) * mean(summary.tpot))
    assert summary.itl is not None
    assert summary.itl.mean == pytest.approx(TPOT)
    assert summary.itl.count == (TOKENS - 1) * ((summary.requests or 0) - (summary.failed or 0))


def test_time_since_a_request_was_due_is_told_beside_that_since_it_was_sent() -> None:
    late = [answered(at / 10, TTFT, TPOT, 10, due=at / 10 - 0.3) for at in range(100)]
    summary, load = figures(late, rate=10.0)
    assert mean(summary.ttft) == pytest.approx(TTFT)
    assert mean(load.ttft_due) == pytest.approx(TTFT + 0.3)
    assert mean(load.latency_due) == pytest.approx(TTFT + 9 * TPOT + 0.3)
    assert load.client is not None
    assert load.client.late_p50 == pytest.approx(0.3)


@given(st.randoms(use_true_random=False))
@settings(max_examples=5)
def test_no_order_of_the_requests_matters(rng: random.Random) -> None:
    requests = closed_loop(16, 3.0, uneven, seed=3, drain=False, gaps=True)
    first = figures(requests, concurrency=16, slo="ttft.p90<80ms tpot<11ms")
    rng.shuffle(requests)
    assert figures(requests, concurrency=16, slo="ttft.p90<80ms tpot<11ms") == first


def test_failures_are_counted_by_kind_and_are_in_no_rate() -> None:
    requests = closed_loop(10, 10.0, even)
    broken = {3: "http", 50: "http", 77: "in-stream"}
    requests = [
        replace(one, error="it broke", error_kind=broken[at]) if at in broken else one
        for at, one in enumerate(requests)
    ]
    summary, load = figures(requests, concurrency=10, slo="e2e<10s")
    assert load.errors == {"http": 2, "in-stream": 1}
    assert summary.failed == 3
    assert load.error_rate == pytest.approx(3 / (summary.requests or 0))
    assert holds(load.error_rate_interval, 0.02)
    assert load.attainment == pytest.approx(1 - 3 / (summary.requests or 0))
    assert load.goodput == pytest.approx(load.request_throughput)


def test_a_single_token_has_no_tpot_and_is_neither_good_nor_bad_for_it() -> None:
    single = [replace(one, tokens=1, last_ns=one.first_ns) for one in closed_loop(1, 20.0, even)]
    requests = [
        one if at % 2 else other for at, (one, other) in enumerate(zip(single, closed_loop(1, 20.0, even), strict=True))
    ]
    _, load = figures(requests, concurrency=1, slo="tpot<20ms")
    assert load.attainment == 1.0
    assert load.undetermined == load.terms[0].undetermined == len(single) // 2
    assert load.goodput == pytest.approx((load.request_throughput or 0) / 2, rel=0.05)


def test_objectives_are_met_missed_or_unclear_by_their_intervals_and_the_nearest_binds() -> None:
    requests = closed_loop(32, 20.0, uneven, gaps=True)
    _, load = figures(
        requests,
        concurrency=32,
        slo="ttft.mean<70ms ttft.p50<200ms tpot.mean<9.5ms itl.p99<20ms itl<20ms e2e.p50<100ms",
    )
    verdicts = {one.term: one.verdict for one in load.terms}
    assert verdicts == {
        "ttft.mean<70ms": "unclear",
        "ttft.p50<200ms": "met",
        "tpot.mean<9.5ms": "missed",
        "itl.p99<20ms": "met",
        "itl<20ms": None,
        "e2e.p50<100ms": "missed",
    }
    assert load.binding == "e2e.p50<100ms"
    assert load.goodput == 0
    assert load.attainment == 0


def test_few_requests_can_miss_a_percentile_and_cannot_meet_it() -> None:
    _, load = figures([answered(at, TTFT, TPOT, 10) for at in range(40)], rate=1.0, slo="ttft.p99<10ms e2e.p99<10s")
    assert [one.verdict for one in load.terms] == ["missed", "unclear"]
    assert [one.value for one in load.terms] == [None, None]


def test_answers_at_once_have_rates_and_no_times_of_tokens() -> None:
    at_once = [replace(one, first_ns=None, first_output_ns=None, last_ns=None) for one in closed_loop(16, 6.0, even)]
    summary, load = figures(at_once, concurrency=16)
    assert (summary.ttft, summary.tpot, summary.itl) == (None, None, None)
    assert summary.output_throughput == pytest.approx(16 * TOKENS / LATENCY, rel=0.01)
    assert mean(summary.latency) == pytest.approx(LATENCY)
    assert load.steadiness.steady


def test_tokens_that_nobody_counted_make_no_rate() -> None:
    unknown = [replace(one, tokens=0, counted="", itl=None) for one in closed_loop(4, 4.0, even)]
    summary, load = figures(unknown, concurrency=4)
    assert (summary.output_throughput, summary.output_tokens, summary.tpot) == (None, None, None)
    assert load.request_throughput == pytest.approx(4 / LATENCY, rel=0.01)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_hardly_any_requests_make_figures_without_intervals_that_say_too_much(count: int) -> None:
    summary, load = figures([answered(at, 0.1, 0.01, 20) for at in range(count)], concurrency=1, slo="ttft.p99<1s")
    assert summary.requests == count
    assert load.steadiness.steady is None
    assert load.steadiness.reason
    assert load.terms[0].verdict == "unclear"
    assert (load.request_throughput is None) == (count == 0)


def test_all_failed_leaves_the_rate_of_errors() -> None:
    failed = [
        Request(
            prompt="",
            prompt_tokens=0,
            tokens=0,
            due_ns=0,
            sent_ns=ns(at),
            end_ns=ns(at + 1),
            error="no",
            error_kind="connect",
        )
        for at in range(20)
    ]
    summary, load = figures(failed, concurrency=1, slo="ttft<1s")
    assert load.error_rate == 1.0
    assert load.request_throughput is None or load.request_throughput == 0
    assert load.attainment == 0.0
    assert summary.latency is None


def test_a_given_window_is_kept_to() -> None:
    _, load = figures(closed_loop(8, 20.0, even), concurrency=8, window=Window(5.0, 12.5))
    assert load.window == load.steadiness.window == Window(5.0, 12.5)
    assert load.request_throughput == pytest.approx(8 / LATENCY, rel=0.005)


def test_who_counted_and_what_was_cached_is_told() -> None:
    requests = [
        replace(one, cached_tokens=25, reasoning_tokens=16, local_tokens=32, asked_tokens=TOKENS - at % 2)
        for at, one in enumerate(closed_loop(2, 6.0, even))
    ]
    summary, load = figures(requests, concurrency=2)
    assert load.cached_share == 0.25
    assert load.reasoning_share == 0.25
    assert load.local_ratio == 0.5
    assert load.counted == {"server": summary.output_tokens}
    assert load.other_lengths == pytest.approx(0.5, abs=0.1)


def test_intervals_of_a_queue_hold_what_erlangs_formula_says() -> None:
    """M/M/10 at 70 %: each interval holds the truth in at least 93 of 100 runs, allowing for chance of so few runs."""
    rate, servers, service = 70.0, 10, 0.1
    offered = rate * service
    top = offered**servers / math.factorial(servers) * servers / (servers - offered)
    waits = top / (sum(offered**k / math.factorial(k) for k in range(servers)) + top)
    stay = service + waits * service / (servers - offered)
    kept = {"rate": 0, "tokens": 0, "e2e": 0, "tpot": 0}
    runs = 60
    for seed in range(runs):
        summary, load = figures(queue(rate, servers, service, 60.0, seed=seed), rate=rate)
        kept["rate"] += holds(load.request_throughput_interval, rate)
        kept["tokens"] += holds(summary.output_throughput_interval, rate * 10)
        kept["e2e"] += holds(load.intervals.get("e2e.mean"), stay)
        kept["tpot"] += holds(load.intervals.get("tpot.mean"), service / 9)
    assert min(kept.values()) >= 0.88 * runs, kept


def test_a_hundred_thousand_requests_are_no_more_than_their_sums() -> None:
    requests = queue(2000.0, 300, 0.1, 10.0)
    summary, load = figures(requests, rate=2000.0, slo="ttft.p99<1s tpot<1s")
    assert summary.requests is not None
    assert summary.requests == pytest.approx(20_000, rel=0.05)
    assert load.sent == pytest.approx(20_000, rel=0.05)


def test_lines_of_a_load_make_the_same_figures_again() -> None:
    """So that they can be computed anew: of a load that streams, of answers at once, and where some were ended."""
    streamed = closed_loop(16, 6.0, uneven, drain=False, gaps=True)
    at_once = [replace(one, first_ns=None, first_output_ns=None, last_ns=None, itl=None) for one in streamed]
    for requests in (streamed, at_once):
        again = [request_of(request_record(request, origin_ns=0)) for request in requests]
        (summary, load), (summary_again, load_again) = (figures(each, concurrency=16) for each in (requests, again))
        assert mean(summary_again.latency) == pytest.approx(mean(summary.latency), rel=1e-6)
        assert load_again.request_throughput == pytest.approx(load.request_throughput, rel=1e-6)
        assert summary_again.output_throughput == pytest.approx(summary.output_throughput, rel=1e-3)
        assert load_again.window == load.window


def test_requests_that_wait_in_a_queue_that_grows_are_not_done() -> None:
    """Ten servers of 0.1 s do 100 requests a second, however many come."""
    summary, load = figures(queue(200, 10, 0.1, 40.0, seed=1), rate=200.0)
    assert load.steadiness.steady is False
    assert load.request_throughput == pytest.approx(100, rel=0.05)
    assert summary.output_throughput == pytest.approx(1000, rel=0.05)
    assert summary.total_throughput == pytest.approx(11_000, rel=0.05)


def test_of_an_open_loop_objectives_count_from_when_a_request_was_due() -> None:
    """Each waits a second to be sent, as behind a limit of what may be in flight, and is answered in 0.68 s."""
    requests = [answered(0.1 * number + 1.0, TTFT, TPOT, TOKENS, due=0.1 * number) for number in range(200)]
    _, opened = figures(requests, rate=10.0, concurrency=20, slo="ttft.p50<100ms e2e<1s tpot<20ms")
    assert (opened.goodput, opened.attainment) == (0, 0)
    assert [term.attainment for term in opened.terms] == [0, 0, 1]
    assert opened.terms[0].value == pytest.approx(1.05)
    assert opened.terms[0].verdict == "missed"
    _, closed = figures(requests, concurrency=7, slo="ttft.p50<100ms e2e<1s tpot<20ms")
    assert closed.attainment == 1
    assert closed.terms[0].value == pytest.approx(0.05)


@pytest.mark.parametrize("count", [1, 2, 3, 15])
def test_of_a_few_requests_all_count(count: int) -> None:
    """There is no load to settle, and whoever asked for three looks for three."""
    requests = [answered(LATENCY * number, TTFT, TPOT, TOKENS) for number in range(count)]
    summary, load = figures(requests, concurrency=1, stop_ns=requests[-1].sent_ns)
    assert (summary.requests, summary.output_tokens) == (count, count * TOKENS)
    assert load.steadiness.steady is None
    assert load.request_throughput == pytest.approx(1 / LATENCY)


def test_what_fails_after_the_window_is_told_apart() -> None:
    """One of four streams hangs from 2 s on, until its client gives up at 30 s; the load ends at 10 s."""
    requests = closed_loop(3, 10.0, even)
    lost = Request("p", 8, 0, ns(2), ns(2), ns(30), error="not answered", error_kind="timeout")
    _, load = figures([*requests, lost], concurrency=4, stop_ns=ns(10))
    assert load.errors == {}
    assert load.failed_later == {"timeout": 1}
    before = Request("p", 8, 0, ns(2), ns(2), ns(9), error="not answered", error_kind="timeout")
    ended = Request("p", 8, 0, ns(2), ns(2), ns(30), error="stopped", error_kind="aborted")
    _, load = figures([*requests, before, ended], concurrency=5, stop_ns=ns(10))
    assert (load.errors, load.failed_later) == ({"timeout": 1}, {})


def test_waiting_for_a_connection_is_not_the_clients_lateness() -> None:
    """Due every 0.1 s, sent 31 ms later: 30 of them for a connection, which requests of before do not tell."""
    requests = [
        answered(0.1 * at + 0.031, TTFT, TPOT, 2, due=0.1 * at, connect_ns=ns(0.030) if at % 2 else None)
        for at in range(100)
    ]
    kept = [request_of(request_record(one, origin_ns=0)) for one in requests]
    for some in (requests, kept):
        _, load = figures(some, rate=10.0)
        assert load.client is not None
        assert load.client.late_p50 == pytest.approx((0.001 + 0.031) / 2, abs=0.016)
        assert load.client.late_max == pytest.approx(0.031, abs=1e-6)
        assert load.client.connect_p99 == pytest.approx(0.030, abs=1e-6)
        assert load.client.connect_mean == pytest.approx(0.015, rel=0.1)


def test_each_step_of_a_load_has_its_own_window_and_figures() -> None:
    """Eight streams, then two, of a server whose requests take 0.05 + 0.01 a token for eight and half of that for two.

    What is under way at the change is of the first level in the one window, and waited out in the other.
    """
    first = closed_loop(8, 20.0, even)
    later = [answered(20.7 + stream * 0.01 + at * 0.34, 0.025, 0.005, 64) for stream in range(2) for at in range(58)]
    steps = (
        AskedStep(8, 0.0, 20.0),
        AskedStep(0, 20.0, 20.0001),
        AskedStep(2, 20.0001, 40.0),
        AskedStep(5, 41.0, 50.0),
    )
    asked = AskedLoad(concurrency=2, ramp_s=20.0001, steps=steps)
    summary, load = summarise_load([*later, *first], asked, origin_ns=0, stop_ns=ns(40.0))
    one, two = load.steps
    assert (one.level, one.start, one.end) == (8, 0.0, 20.0)
    assert one.window.end <= 20.0
    assert one.steadiness.steady
    assert one.in_flight == pytest.approx(8)
    assert one.request_throughput == pytest.approx(8 / LATENCY, rel=0.01)
    assert one.output_throughput == pytest.approx(8 * TOKENS / LATENCY, rel=0.02)
    assert mean(one.tpot) == pytest.approx(TPOT)
    assert mean(two.tpot) == pytest.approx(0.005)
    # The run's own are those of the last step.
    assert (two.window, two.ttft, two.output_throughput) == (load.window, summary.ttft, summary.output_throughput)
    assert two.in_flight == pytest.approx(2, rel=0.02)


def test_steps_that_were_not_reached_are_not_told_and_a_short_one_has_what_there_is() -> None:
    requests = closed_loop(4, 2.0, even)
    steps = (AskedStep(4, 0.0, 1.0), AskedStep(4, 1.0, 9.0), AskedStep(8, 9.0, 10.0))
    asked = AskedLoad(concurrency=8, ramp_s=9.0, steps=steps)
    _, load = summarise_load(requests, asked, origin_ns=0, stop_ns=ns(2.0))
    assert [(step.start, step.end) for step in load.steps] == [(0.0, 1.0), (1.0, 2.0)]
    assert [step.steadiness.steady for step in load.steps] == [None, None]
    assert sum(step.requests or 0 for step in load.steps) <= len(requests)
    assert summarise_load([], asked, origin_ns=0)[1].steps == ()
