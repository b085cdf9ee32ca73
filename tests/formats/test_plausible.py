"""What no file is believed in: zero tokens a second, first tokens that are the last, figures that deny each other."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.foreign_files import (
    LATENCIES,
    aiperf,
    aiperf_metric,
    dumped,
    guidellm,
    guidellm_benchmark,
    sglang,
    vllm_serve,
)

from infertui.formats.detect import read
from infertui.formats.imported_run import Finding
from infertui.formats.plausible import NOT_STREAMED
from infertui.formats.reader import SourceFile


def only(content: object) -> Finding:
    (found,) = read(SourceFile.of(dumped(content))).findings
    return found


def serve(**changes: Any) -> Finding:
    return only(vllm_serve(**changes))


# Mean, median, deviation and percentiles


@settings(max_examples=200, deadline=None)
@given(st.lists(st.floats(1e-3, 1e4), min_size=1, max_size=60))
def test_figures_of_real_values_are_never_doubted(values: list[float]) -> None:
    """Whatever was measured: numpy's figures of it can all be true."""
    array = np.asarray(values)
    percentiles = {f"p{mark}": float(np.percentile(array, mark)) for mark in (50, 90, 95, 99)}
    metric = {"unit": "ms", "avg": float(array.mean()), "min": float(array.min()), "max": float(array.max()),
              "std": float(array.std()), **percentiles}  # fmt: skip
    report = aiperf(request_latency=metric, request_count={"unit": "requests", "avg": len(values)})
    report |= {"error_request_count": None, "total_osl": None, "time_to_first_token": None}
    assert not [text for text in only(report).invalid if "E2E" in text]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"p50": 4000.0}, "E2E's mean, 3.18 s, and median, 4.00 s, are further apart than its standard deviation"),
        ({"p99": 3000.0}, "E2E's p95, 4.13 s, is beyond its p99, 3.00 s"),
        ({"max": 3200.0}, "E2E's p99, 4.45 s, is beyond its maximum, 3.20 s"),
        ({"min": 3400.0}, "E2E's minimum, 3.40 s, is beyond its median, 3.18 s"),
        ({"std": None, "avg": 4200.0, "p50": 3180.0, "max": 4770.0}, "mean, 4.20 s, cannot be that of values"),
    ],
)
def test_figures_that_cannot_all_be_true_speak_against_the_file(changes: dict[str, Any], words: str) -> None:
    metric = aiperf_metric("ms", 3180.0) | changes
    assert any(words in text for text in only(aiperf(request_latency=metric)).invalid)


def test_gaps_and_first_tokens_are_doubted_likewise() -> None:
    assert any("ITL's mean" in text for text in serve(mean_itl_ms=80.0, std_itl_ms=1.0).invalid)
    late = serve(mean_ttft_ms=900.0, median_ttft_ms=900.0, p99_ttft_ms=950.0)
    assert any("the mean TTFT, 900 ms, is beyond the mean E2E" in text for text in late.invalid)
    skewed = serve(mean_ttft_ms=200.0, median_ttft_ms=50.0, std_ttft_ms=290.0, p99_ttft_ms=730.0, mean_e2el_ms=None)
    assert skewed.invalid == (), "a mean four times the median, within one deviation of 290 ms"


# Nothing succeeded


def test_where_all_requests_failed_there_is_no_throughput() -> None:
    none = {"total_input_tokens": 0, "total_output_tokens": 0, "output_throughput": 0.0, "total_token_throughput": 0.0}
    times = {f"{what}_{name}_ms": 0.0 for what in ("mean", "median", "std", "p99")
             for name in ("ttft", "tpot", "itl", "e2el")}  # fmt: skip
    found = serve(completed=0, failed=4, request_throughput=0.0, **none, **times)
    assert (found.summary.output_throughput, found.summary.total_throughput) == (None, None)
    assert found.summary.latency is None
    assert found.invalid == ("4 of 4 requests failed",)


def test_aiperf_leaves_metrics_out_where_all_requests_failed() -> None:
    report = {"error_request_count": {"unit": "requests", "avg": 5.0}, "request_latency": None, "request_count": None}
    report |= {"request_throughput": {"unit": "requests/sec", "avg": 0.0}, "inter_token_latency": None}
    report |= {"output_token_throughput": {"unit": "tokens/sec", "avg": 0.0}, "time_to_first_token": None}
    found = only(aiperf(**report))
    assert (found.summary.requests, found.summary.failed, found.summary.output_throughput) == (5, 5, None)


def test_more_requests_completed_than_were_sent() -> None:
    assert "the file contradicts itself: 4 requests completed of 3 sent" in serve(completed=4, num_prompts=3).invalid
    assert not [text for text in serve(completed=4, num_prompts=4).invalid if "sent" in text]


# Without a stream


def test_a_first_token_that_is_the_last_is_not_known() -> None:
    latency = aiperf_metric("ms", 3180.0)
    found = only(aiperf(time_to_first_token=latency, inter_token_latency=aiperf_metric("ms", 0.001)))
    assert (found.summary.ttft, found.summary.tpot) == (None, None)
    assert NOT_STREAMED in found.notes
    assert found.summary.latency is not None


def test_what_its_config_calls_not_streaming_is_not_known() -> None:
    config = {"endpoint": {"model_names": ["m"], "streaming": False}, "loadgen": {"concurrency": 32}}
    found = only(aiperf(input_config=config, time_to_first_token=aiperf_metric("ms", 3000.0)))
    assert (found.summary.ttft, found.summary.tpot) == (None, None)
    assert found.notes.count(NOT_STREAMED) == 1


def test_of_answers_of_one_token_the_first_is_the_last() -> None:
    one = {"total_osl": {"unit": "tokens", "avg": 97.0}, "output_token_throughput": {"unit": "tokens/sec", "avg": 9.7}}
    found = only(aiperf(time_to_first_token=aiperf_metric("ms", 3180.0), **one))
    assert found.summary.ttft is not None
    assert NOT_STREAMED not in found.notes


def test_requests_without_a_stream_lose_their_first_tokens_too() -> None:
    blind = vllm_serve(detailed=True, ttfts=LATENCIES, itls=[[]] * 4)
    for name in ("ttft", "tpot", "itl"):
        for what in ("mean", "median", "std", "p99"):
            blind.pop(f"{what}_{name}_ms")
    found = only(blind)
    assert found.records is not None
    assert [(record.ttft, record.tpot, record.latency) for record in found.records()] == [
        (None, None, latency) for latency in LATENCIES
    ]


# Cut off by the end


def test_what_the_end_cut_off_is_neither_done_nor_failed() -> None:
    benchmark = guidellm_benchmark()
    benchmark["metrics"]["request_totals"] = {"successful": 4, "incomplete": 3, "errored": 1, "total": 8}
    found = only(guidellm(benchmark))
    summary = found.summary
    assert (summary.requests, summary.failed, summary.cut_off) == (5, 1, 3)
    assert found.invalid == ("1 of 5 requests failed",)
    benchmark["metrics"]["request_totals"] = {"successful": 4, "incomplete": 3, "errored": 0, "total": 7}
    assert only(guidellm(benchmark)).invalid == ()


def test_requests_that_aiperf_cancelled_at_the_end_of_the_time_are_cut_off() -> None:
    config = {"phases": [{"name": "warmup", "concurrency": 2}, {"name": "profiling", "concurrency": 16, "duration": 9}]}
    errors = [
        {"error_details": {"type": "RequestCancellationError", "code": 499}, "count": 2},
        {"error_details": {"type": "TimeoutError"}, "count": 1},
    ]
    found = only(aiperf(input_config=config, error_summary=errors))
    assert (found.summary.requests, found.summary.failed, found.summary.cut_off) == (98, 1, 2)
    without_end = only(aiperf(input_config={"phases": [{"concurrency": 16}]}, error_summary=errors))
    assert (without_end.summary.failed, without_end.summary.cut_off) == (3, 0)


def test_a_speed_of_nothing_is_no_speed_where_failures_are_not_told_either() -> None:
    found = only(sglang(completed=0, output_throughput=0.0, total_output_tokens=0))
    assert found.summary.output_throughput is None
    assert found.invalid


@pytest.mark.parametrize("report", [vllm_serve, sglang])
def test_a_mean_below_half_of_the_median_is_none_of_times(report: Any) -> None:
    """Half of the times are no less than the median, and the others no less than 0: 115 ms make 57.5 ms at least."""
    given = {"median_ttft_ms": 115.0, "std_ttft_ms": 200.0, "p99_ttft_ms": 900.0}
    fine, odd = (only(report(**given, mean_ttft_ms=mean)) for mean in (60.0, 40.0))
    assert not [text for text in fine.invalid if "TTFT" in text]
    assert [text for text in odd.invalid if "TTFT's mean, 40.0 ms, cannot be" in text]


def test_no_request_was_done_and_yet_they_took_time() -> None:
    words = "no request was done, and it tells how long they took"
    assert [text for text in serve(completed=0).invalid if words in text]
    assert not [text for text in serve().invalid if words in text]


def test_output_is_a_part_of_all_tokens() -> None:
    assert not serve(total_token_throughput=40.0).invalid  # no prompt, as it may be
    assert [text for text in serve(total_token_throughput=0.0, total_throughput=20.0).invalid if "40.0 output" in text]


def test_a_duration_of_nothing_is_not_told() -> None:
    assert serve(duration=0).summary.measured_s is None
    assert serve(duration=0).summary.output_throughput == 40
