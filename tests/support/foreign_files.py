"""Files of other programs, written field by field as their documentation tells, with figures that can be checked."""

import csv
import io
import json
from typing import Any

import numpy as np


def dumped(value: object) -> bytes:
    return json.dumps(value).encode()


# vllm bench serve: four requests of 100 prompt tokens and 5 output tokens, all sent at once, in 0.5 s.
TTFTS = [0.100, 0.110, 0.120, 0.130]
GAPS = [[0.010] * 4, [0.020] * 4, [0.030] * 4, [0.040, 0.050, 0.060, 0.070]]
LATENCIES = [ttft + sum(gaps) for ttft, gaps in zip(TTFTS, GAPS, strict=True)]
TPOTS = [sum(gaps) / 4 for gaps in GAPS]


def vllm_serve(*, detailed: bool = False, **changes: Any) -> dict[str, Any]:
    """As vllm/benchmarks/serve.py puts it together; deviations are those of the population."""
    whole: dict[str, Any] = {
        "date": "20260301-081500", "endpoint_type": "vllm", "backend": "vllm", "label": None,
        "model_id": "meta-llama/Llama-3.1-8B", "tokenizer_id": "meta-llama/Llama-3.1-8B", "num_prompts": 4,
        "request_rate": "inf", "burstiness": 1.0, "max_concurrency": 4,
        "duration": 0.5, "completed": 4, "failed": 0, "total_input_tokens": 400, "total_output_tokens": 20,
        "request_throughput": 8.0, "request_goodput": None, "output_throughput": 40.0,
        "total_token_throughput": 840.0, "max_output_tokens_per_s": 20.0, "max_concurrent_requests": 4, "rtfx": 0.0,
    }  # fmt: skip
    if detailed:
        whole |= {
            "input_lens": [100] * 4, "output_lens": [5] * 4, "ttfts": TTFTS, "itls": GAPS, "latencies": LATENCIES,
            "start_times": [7.0, 7.0, 7.0, 7.0], "generated_texts": ["a"] * 4, "errors": [""] * 4,
        }  # fmt: skip
    named = {"ttft": TTFTS, "tpot": TPOTS, "itl": [gap for gaps in GAPS for gap in gaps], "e2el": LATENCIES}
    for name, values in named.items():
        milliseconds = np.asarray(values) * 1000
        whole[f"mean_{name}_ms"] = float(milliseconds.mean())
        whole[f"median_{name}_ms"] = float(np.median(milliseconds))
        whole[f"std_{name}_ms"] = float(milliseconds.std())
        whole[f"p99_{name}_ms"] = float(np.percentile(milliseconds, 99))
    return whole | changes


def vllm_throughput(**changes: Any) -> dict[str, Any]:
    """10 requests, 1,500 tokens in 2.5 s."""
    return {
        "elapsed_time": 2.5, "num_requests": 10, "total_num_tokens": 1500, "requests_per_second": 4.0,
        "tokens_per_second": 600.0,
    } | changes  # fmt: skip


def vllm_latency(**changes: Any) -> dict[str, Any]:
    """Four iterations of 0.5 s on average."""
    return {
        "avg_latency": 0.5, "std_latency": 0.0707, "latencies": [0.4, 0.5, 0.6, 0.5],
        "percentiles": {"10": 0.43, "25": 0.475, "50": 0.5, "75": 0.525, "90": 0.57, "99": 0.597},
    } | changes  # fmt: skip


LLAMA_TEST: dict[str, Any] = {
    "build_commit": "0c1e570", "build_number": 1, "cpu_info": "AMD EPYC", "gpu_info": "NVIDIA H200",
    "backends": "CUDA", "model_filename": "models/m.gguf", "model_type": "llama 1B Q8_0", "model_size": 1169000000,
    "model_n_params": 1100048384, "n_batch": 2048, "n_ubatch": 512, "n_threads": 8, "cpu_mask": "0x0",
    "cpu_strict": False, "poll": 50, "type_k": "f16", "type_v": "q8_0", "n_gpu_layers": 99, "n_cpu_moe": 0,
    "split_mode": "layer", "main_gpu": 0, "no_kv_offload": False, "flash_attn": True, "devices": "auto",
    "tensor_split": "0.00", "use_mmap": True, "embeddings": False, "no_op_offload": 0, "n_prompt": 0, "n_gen": 128,
    "n_depth": 0, "test_time": "2026-11-20T12:00:00Z", "avg_ns": 200000000, "stddev_ns": 10000000, "avg_ts": 641.07,
    "stddev_ts": 32.1, "samples_ns": [190000000, 200000000, 210000000], "samples_ts": [673.7, 640.0, 609.5],
}  # fmt: skip


def llama_csv(*tests: dict[str, Any]) -> bytes:
    """As `-o csv`: every value quoted, flags as 0 and 1, no samples."""
    text = io.StringIO()
    names = [name for name in tests[0] if not name.startswith("samples")]
    text.write(",".join(names) + "\n")
    writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n")
    for test in tests:
        writer.writerow([int(test[name]) if isinstance(test[name], bool) else test[name] for name in names])
    return text.getvalue().encode()


def sglang(**changes: Any) -> dict[str, Any]:
    """The four requests of `vllm_serve` in a line of SGLang's bench_serving."""
    theirs = vllm_serve()
    names = ("duration", "completed", "total_input_tokens", "total_output_tokens", "request_throughput")
    line = {
        "backend": "sglang", "dataset_name": "random", "request_rate": float("inf"), "max_concurrency": 4,
        "sharegpt_output_len": None, "random_input_len": 100, "random_output_len": 5, "random_range_ratio": 1.0,
        **{name: theirs[name] for name in names}, "total_output_tokens_retokenized": 20, "input_throughput": 800.0,
        "output_throughput": 40.0, "p95_itl_ms": 60.0, "concurrency": 1.9, "accept_length": None,
    }  # fmt: skip
    for name, here in (("ttft", "ttft"), ("tpot", "tpot"), ("itl", "itl"), ("e2el", "e2e_latency")):
        line |= {f"{what}_{here}_ms": theirs[f"{what}_{name}_ms"] for what in ("mean", "median", "std", "p99")}
    return line | changes


def _optimum_latency(values: list[float]) -> dict[str, Any]:
    array = np.asarray(values)
    return {
        "unit": "s", "values": values, "count": len(values), "total": float(array.sum()), "mean": float(array.mean()),
        "p50": float(np.median(array)), "p90": float(np.percentile(array, 90)),
        "p95": float(np.percentile(array, 95)), "p99": float(np.percentile(array, 99)), "stdev": float(array.std()),
        "stdev_": 1.0,
    }  # fmt: skip


def optimum_report() -> dict[str, Any]:
    """Three batches: 0.1 s to the first token, then four gaps of 20, 30 and 40 ms."""
    gaps = [0.020] * 4 + [0.030] * 4 + [0.040] * 4
    memory = {"unit": "MB", "max_ram": 900.0, "max_global_vram": 2000.0, "max_allocated": 512.0, "max_reserved": 600.0}
    return {
        "load_model": {"latency": _optimum_latency([2.0]), "memory": memory, "throughput": None},
        "prefill": {
            "latency": _optimum_latency([0.1] * 3), "memory": memory,
            "throughput": {"unit": "samples/s", "value": 20.0},
        },
        "decode": {
            "latency": _optimum_latency([0.08, 0.12, 0.16]), "memory": memory,
            "throughput": {"unit": "tokens/s", "value": 66.7},
        },
        "per_token": {"latency": _optimum_latency(gaps), "memory": None, "throughput": None},
    }  # fmt: skip


def optimum() -> dict[str, Any]:
    """That report with its config: batches of two, 16 tokens in, five out."""
    return {
        "config": {
            "name": "gpt2 on CPU",
            "backend": {"name": "pytorch", "task": "text-generation", "model": "gpt2", "device": "cuda",
                        "torch_dtype": "float16"},
            "scenario": {"name": "inference", "input_shapes": {"batch_size": 2, "sequence_length": 16},
                         "generate_kwargs": {"max_new_tokens": 5, "min_new_tokens": 5}},
            "environment": {"cpu": "AMD EPYC", "gpu": ["NVIDIA A10G"], "optimum_benchmark_version": "0.6.0"},
        },
        "report": optimum_report(),
    }  # fmt: skip


def trtllm_percentiles(value: float) -> dict[str, float]:
    return dict.fromkeys(("p50", "p90", "p95", "p99", "minimum", "maximum", "average"), value)


def trtllm(**changes: Any) -> dict[str, Any]:
    """16 requests of 200 tokens in 4 seconds. `group__key` changes a key of a group."""
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
            "request_latency_percentiles_ms": trtllm_percentiles(2000.0),
        },
        "streaming_metrics": {
            "token_output_speed_tok_s": 110.0, "avg_ttft_ms": 20.0, "avg_tpot_ms": 9.9,
            "tpot_percentiles": trtllm_percentiles(9.9), "ttft_percentiles": trtllm_percentiles(20.0),
            "gen_tps_percentiles": trtllm_percentiles(101.0),
        },
        "dataset": {"num_requests": 16},
    }  # fmt: skip
    for path, value in changes.items():
        group, _, key = path.partition("__")
        if not key:
            whole[group] = value
        else:
            whole[group][key] = value
    return whole


def aiperf_metric(unit: str, avg: float) -> dict[str, Any]:
    """A metric with a distribution around its mean."""
    return {
        "unit": unit, "avg": avg, "p1": avg * 0.6, "p5": avg * 0.7, "p10": avg * 0.8, "p25": avg * 0.9, "p50": avg,
        "p75": avg * 1.1, "p90": avg * 1.2, "p95": avg * 1.3, "p99": avg * 1.4, "min": avg * 0.5, "max": avg * 1.5,
        "std": avg * 0.1,
    }  # fmt: skip


def aiperf(**changes: Any) -> dict[str, Any]:
    """97 requests of 256 output tokens in 10 s, and three that failed."""
    return {
        "schema_version": "1.0", "aiperf_version": "0.12.0", "benchmark_id": "4b1f",
        "request_throughput": {"unit": "requests/sec", "avg": 9.7},
        "request_latency": aiperf_metric("ms", 3180.0),
        "request_count": {"unit": "requests", "avg": 97.0},
        "error_request_count": {"unit": "requests", "avg": 3.0},
        "time_to_first_token": aiperf_metric("ms", 120.0),
        "inter_token_latency": aiperf_metric("ms", 12.0),
        "output_token_throughput": {"unit": "tokens/sec", "avg": 2483.2},
        "total_token_throughput": {"unit": "tokens/sec", "avg": 3453.2},
        "output_sequence_length": aiperf_metric("tokens", 256.0),
        "input_sequence_length": aiperf_metric("tokens", 100.0),
        "benchmark_duration": {"unit": "sec", "avg": 10.0},
        "total_osl": {"unit": "tokens", "avg": 24832.0},
        "input_config": {
            "endpoint": {"model_names": ["Qwen/Qwen3-0.6B"], "type": "chat", "streaming": True},
            "loadgen": {"concurrency": 32, "request_count": 100},
        },
        "telemetry_data": {
            "summary": {},
            "endpoints": {"node1": {"gpus": {"gpu_0": {"gpu_index": 0, "gpu_name": "NVIDIA H200", "metrics": {}}}}},
        },
        "was_cancelled": False, "start_time": "2026-03-01T08:15:00.500000", "end_time": "2026-03-01T08:15:10.500000",
    } | changes  # fmt: skip


def guidellm_metric(values: list[float]) -> dict[str, Any]:
    """A distribution as guidellm tells it, told apart by how requests ended."""
    array = np.asarray(values, dtype=float)
    marks = {"p001": 0.1, "p01": 1, "p05": 5, "p10": 10, "p25": 25, "p50": 50, "p75": 75, "p90": 90, "p95": 95,
             "p99": 99, "p999": 99.9}  # fmt: skip
    summary = {
        "mean": float(array.mean()), "median": float(np.median(array)), "mode": float(array[0]),
        "variance": float(array.var()), "std_dev": float(array.std()), "min": float(array.min()),
        "max": float(array.max()), "count": len(values), "total_sum": float(array.sum()),
        "percentiles": {name: float(np.percentile(array, mark)) for name, mark in marks.items()}, "pdf": None,
    }  # fmt: skip
    return {"successful": summary, "errored": None, "incomplete": None, "total": summary}


def guidellm_benchmark(streams: int = 4, *, requests: bool = True, errored: int = 0) -> dict[str, Any]:
    """The four requests of `vllm_serve`, as guidellm would tell them."""
    each = [
        {
            "type_": "generative_request_stats", "request_id": f"r{number}", "request_start_time": 1772352900.0,
            "request_end_time": 1772352900.0 + latency, "request_latency": latency, "prompt_tokens": 100,
            "output_tokens": 5, "total_tokens": 105, "time_to_first_token_ms": ttft * 1000,
            "time_per_output_token_ms": latency / 5 * 1000, "inter_token_latency_ms": tpot * 1000,
        }
        for number, (ttft, tpot, latency) in enumerate(zip(TTFTS, TPOTS, LATENCIES, strict=True))
    ]  # fmt: skip
    return {
        "type_": "generative_benchmark",
        "config": {"strategy": {"type_": "concurrent", "streams": streams}, "backend": {"model": "gpt2"}},
        "metrics": {
            "request_totals": {"successful": 4, "incomplete": 0, "errored": errored, "total": 4 + errored},
            "requests_per_second": guidellm_metric([8.0]), "request_concurrency": guidellm_metric([2.0]),
            "request_latency": guidellm_metric(LATENCIES), "prompt_token_count": guidellm_metric([100.0] * 4),
            "output_token_count": guidellm_metric([5.0] * 4),
            "time_to_first_token_ms": guidellm_metric([1000 * value for value in TTFTS]),
            "inter_token_latency_ms": guidellm_metric([1000 * value for value in TPOTS]),
            "output_tokens_per_second": guidellm_metric([40.0]), "tokens_per_second": guidellm_metric([840.0]),
        },
        "requests": {"successful": each if requests else each[:1], "incomplete": [], "errored": [], "total": None},
        "start_time": 1772352900.0, "end_time": 1772352900.5, "duration": 0.5,
    }  # fmt: skip


def guidellm(*benchmarks: dict[str, Any]) -> dict[str, Any]:
    return {
        "metadata": {"version": 1, "guidellm_version": "0.5.1", "python_version": "3.12.1", "platform": "Linux"},
        "args": {"target": "http://127.0.0.1:8000", "model": None, "rate": [4]},
        "benchmarks": list(benchmarks) or [guidellm_benchmark()],
    }


def six_field(latencies: list[float | None], tokens: int = 64) -> bytes:
    """A line for each; None is a request that failed."""
    lines = [
        {
            "prompt": f"prompt {number}", "latency": latency, "tokens": tokens if latency else 0, "memory_mb": 512.0,
            "power_w": 300.0, "tps": tokens / latency if latency else None,
        }
        for number, latency in enumerate(latencies)
    ]  # fmt: skip
    return b"".join(dumped(line) + b"\n" for line in lines)


def one_of_each() -> dict[str, bytes]:
    """A file of every form, by the name that recognising gives it."""
    return {
        "six-field JSONL": six_field([0.5, 0.6, 0.7]),
        "vllm bench serve": dumped(vllm_serve(detailed=True)),
        "vllm bench throughput": json.dumps(vllm_throughput(), indent=4).encode(),
        "vllm bench latency": json.dumps(vllm_latency(), indent=4).encode(),
        "llama-bench": dumped([LLAMA_TEST, {**LLAMA_TEST, "n_prompt": 512, "n_gen": 0}]),
        "trtllm-bench": json.dumps(trtllm(), indent=2).encode(),
        "aiperf": json.dumps(aiperf(), indent=2).encode(),
        "guidellm": dumped(guidellm()),
        "sglang bench_serving": dumped(sglang()) + b"\n",
        "optimum-benchmark": json.dumps(optimum(), indent=4).encode(),
    }
