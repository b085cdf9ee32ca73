"""trtllm-bench from outside: the documented options and the documented fields of its report."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import trtllm

from infertui.engines.tensorrt_llm import bench
from infertui.errors import StoreError

JOB = bench.Job(
    model="meta-llama/Llama-3.1-8B",
    model_path=Path("/models/llama"),
    dataset=Path("/tmp/data.jsonl"),  # noqa: S108 (named, not made)
    report=Path("/tmp/report.json"),  # noqa: S108
    concurrency=8,
    max_input_len=100,
    max_seq_len=300,
    tensor_parallel=2,
    extra_options=Path("/tmp/extra.yaml"),  # noqa: S108
)


def percentiles(value: float) -> dict[str, float]:
    return dict.fromkeys(("p50", "p90", "p95", "p99", "minimum", "maximum", "average"), value)


def report(**changes: Any) -> bytes:
    """As the library writes it: 16 requests of 200 tokens in 4 seconds."""
    whole: dict[str, Any] = {
        "engine": {
            "model": "meta-llama/Llama-3.1-8B", "model_path": "/models/llama", "engine_dir": "None",
            "version": "1.2.1", "backend": "Pytorch", "dtype": "bfloat16", "kv_cache_dtype": None,
            "quantization": "FP8",
        },
        "machine": {"name": "NVIDIA H200", "memory.total": 139.8, "clocks.mem": 3.201},
        "world_info": {
            "tp_size": 2, "pp_size": 1, "ep_size": None, "world_size": 2, "max_batch_size": 8, "max_num_tokens": 8192,
            "scheduling_policy": "GUARANTEED_NO_EVICT", "kv_cache_percentage": 0.9, "issue_rate": 1e12,
        },
        "request_info": {
            "num_requests": 16, "avg_num_concurrent_requests": 7.9, "avg_input_length": 100.0,
            "avg_output_length": 200.0,
        },
        "performance": {
            "total_latency_ms": 4000.0, "avg_request_latency_ms": 2000.0, "request_throughput_req_s": 4.0,
            "system_output_throughput_tok_s": 800.0, "system_total_throughput_tok_s": 1200.0,
            "output_throughput_per_user_tok_s": 100.0, "output_throughput_per_gpu_tok_s": 400.0,
            "request_latency_percentiles_ms": percentiles(2000.0),
        },
        "streaming_metrics": {
            "token_output_speed_tok_s": 110.0, "avg_ttft_ms": 20.0, "avg_tpot_ms": 9.9,
            "tpot_percentiles": percentiles(9.9), "ttft_percentiles": percentiles(20.0),
            "gen_tps_percentiles": percentiles(101.0),
        },
        "dataset": {"num_requests": 16},
    }  # fmt: skip
    for path, value in changes.items():
        group, _, key = path.partition("__")
        if not key:
            whole[group] = value
        else:
            whole[group][key] = value
    return json.dumps(whole).encode()


def test_the_report_is_read_in_our_units() -> None:
    found = bench.parse(report())
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
    found = bench.parse(report(streaming_metrics=None, machine=None, world_info__max_batch_size=None))
    assert (found.ttft, found.tpot, found.gpu, found.max_batch_size) == (None, None, "", None)
    assert (found.acceptance_rate, found.acceptance_length) == (None, None)


def test_speculation_and_the_engine_backend() -> None:
    drafted = {
        "mode": "NGram", "num_draft_tokens_percentiles": percentiles(100), "acceptance_length_percentiles": None,
        "draft_acceptance_rate_percentiles": percentiles(0.6),
    }  # fmt: skip
    found = bench.parse(report(decoding_stats=drafted, engine__backend="TRT"))
    assert found.backend == "engine"
    assert found.acceptance_rate is not None
    assert found.acceptance_rate.p50 == 0.6
    assert found.acceptance_length is None


def test_figures_that_contradict_each_other_are_told() -> None:
    wrong = bench.parse(report(performance__system_output_throughput_tok_s=900.0))
    assert wrong.problems == ("its output throughput is 900.0 tok/s, and its requests, tokens and seconds make 800.0",)
    assert bench.parse(report(request_info__num_requests=0)).problems == ("it measured nothing",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not valid JSON"),
        (b"[]", "has no engine"),
        (report(performance=3), "has no performance"),
        (report(performance__total_latency_ms="fast"), "performance.total_latency_ms .* is 'fast', not a number"),
        (report(performance__request_latency_percentiles_ms={}), r"percentiles_ms\.p50 .* is None, not a number"),
        (report(streaming_metrics={}), "has no streaming_metrics.ttft_percentiles"),
    ],
)
def test_reports_that_are_none_are_refused(content: bytes, message: str) -> None:
    with pytest.raises(StoreError, match=message):
        bench.parse(content)


@given(st.binary(max_size=200) | st.recursive(st.none() | st.floats(allow_nan=False) | st.text(), st.lists).map(
    lambda value: json.dumps(value).encode()
))  # fmt: skip
def test_anything_else_is_refused_with_an_error_of_ours(content: bytes) -> None:
    with pytest.raises(StoreError):
        bench.parse(content)


def test_the_command_uses_documented_options_alone() -> None:
    recorded = trtllm.surface()["trtllm-bench"]
    words = bench.command("trtllm-bench", JOB)
    cut = words.index("throughput")
    for part, group in ((words[:cut], "group"), (words[cut:], "throughput")):
        known = {flag for flags in recorded[group] for flag in flags.split("|")}
        assert {word for word in part if word.startswith("--")} <= known
    told = " ".join(words)
    assert "--backend pytorch" in told
    assert "--concurrency 8" in told
    assert "--streaming" in words
    assert "--extra_llm_api_options /tmp/extra.yaml" in told


def test_the_data_set_is_token_ids_by_the_line() -> None:
    fields = trtllm.surface()["trtllm-bench"]["dataset_line"]["fields"]
    lines = [json.loads(line) for line in bench.dataset([(1, 2), (3,)], 50).splitlines()]
    assert lines == [
        {"task_id": 0, "output_tokens": 50, "input_ids": [1, 2]},
        {"task_id": 1, "output_tokens": 50, "input_ids": [3]},
    ]
    assert set(lines[0]) <= set(fields)
    assert b"enable_block_reuse: false" in bench.extra_options()
