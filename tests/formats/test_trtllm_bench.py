"""The report of trtllm-bench: the documented fields."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.foreign_files import dumped, trtllm, trtllm_percentiles

from infertui.formats.reader import FormatError
from infertui.formats.trtllm_bench import parse


def report(**changes: Any) -> bytes:
    return dumped(trtllm(**changes))


def test_the_report_is_read_in_our_units() -> None:
    found = parse(report())
    assert (found.version, found.backend, found.dtype, found.quantization) == ("1.2.1", "pytorch", "bfloat16", "FP8")
    assert (found.kv_cache_dtype, found.gpu, found.tensor_parallel) == ("auto", "NVIDIA H200", 2)
    assert (found.requests, found.seconds, found.output_per_s) == (16, 4.0, 800.0)
    assert found.latency.p99 == 2.0
    assert found.ttft is not None
    assert found.ttft.p50 == pytest.approx(0.020)
    assert found.tpot is not None
    assert found.tpot.average == pytest.approx(0.0099)
    assert found.token_speed is not None
    assert found.token_speed.p50 == 101.0
    assert found.problems == ()


def test_what_is_not_in_the_report_is_not_made_up() -> None:
    found = parse(report(streaming_metrics=None, machine=None, world_info__max_batch_size=None))
    assert (found.ttft, found.tpot, found.gpu, found.max_batch_size) == (None, None, "", None)
    assert (found.acceptance_rate, found.acceptance_length) == (None, None)


def test_speculation_and_the_engine_backend() -> None:
    drafted = {
        "mode": "NGram", "num_draft_tokens_percentiles": trtllm_percentiles(100), "acceptance_length_percentiles": None,
        "draft_acceptance_rate_percentiles": trtllm_percentiles(0.6),
    }  # fmt: skip
    found = parse(report(decoding_stats=drafted, engine__backend="TRT"))
    assert found.backend == "engine"
    assert found.acceptance_rate is not None
    assert found.acceptance_rate.p50 == 0.6
    assert found.acceptance_length is None


def test_figures_that_contradict_each_other_are_told() -> None:
    wrong = parse(report(performance__system_output_throughput_tok_s=900.0))
    assert wrong.problems == ("its output throughput is 900.0 tok/s, and its requests, tokens and seconds make 800.0",)
    assert parse(report(request_info__num_requests=0)).problems == ("it measured nothing",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is no JSON"),
        (b"[]", "is a list, not an object"),
        (report(performance=3), r"\$\.performance: is 3, not an object"),
        (report(performance__total_latency_ms="fast"), r"\$\.performance\.total_latency_ms: is 'fast', not a number"),
        (report(performance__request_latency_percentiles_ms={}), r"percentiles_ms\.p50: is not there"),
        (report(streaming_metrics={}), r"\$\.streaming_metrics\.ttft_percentiles: is not there"),
    ],
)
def test_reports_that_are_none_are_refused(content: bytes, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        parse(content)


@given(st.binary(max_size=200) | st.recursive(st.none() | st.floats(allow_nan=False) | st.text(), st.lists).map(
    lambda value: json.dumps(value).encode()
))  # fmt: skip
def test_anything_else_is_refused_with_an_error_of_ours(content: bytes) -> None:
    with pytest.raises(FormatError):
        parse(content)
