"""trtllm-bench as an external run: a stand-in program that reads what it is told and writes the documented report."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from support import trtllm

from infertui.errors import EngineError, ModelError, StoreError, UsageError
from infertui.formats.trtllm_bench import TOOL
from infertui.results.result import Result
from infertui.results.row import row_of
from infertui.results.runs import Store
from infertui.runner.external.trtllm_bench import BenchOrder, run_trtllm_bench

# It checks its data set as the real one would, and takes 16 ms for a request.
PROGRAM = """
import json, os, pathlib, sys
words = sys.argv[1:]
told = {word: words[number + 1] for number, word in enumerate(words[:-1]) if word.startswith("--")}
print("[TensorRT-LLM] TensorRT-LLM version: 1.2.1")
print("starting \\x1b[31mbenchmark", file=sys.stderr, flush=True)
does = DOES
if does == "fail":
    print("RuntimeError: no kernel", file=sys.stderr)
    sys.exit(1)
lines = [json.loads(line) for line in open(told["--dataset"])]
count, length = len(lines), lines[0]["output_tokens"]
assert all(len(line["input_ids"]) == int(told["--max_input_len"]) for line in lines)
seconds = count * 0.016
same = lambda value: dict.fromkeys(("p50", "p90", "p95", "p99", "minimum", "maximum", "average"), value)
rate = count * length / seconds * (2 if does == "boast" else 1)
report = {
    "engine": {"model": told["--model"], "version": "1.2.1", "backend": "Pytorch", "dtype": "bfloat16",
               "kv_cache_dtype": None, "quantization": None},
    "machine": {"name": "NVIDIA H200"},
    "world_info": {"tp_size": int(told["--tp"]), "max_batch_size": 8, "max_num_tokens": 8192,
                   "kv_cache_percentage": 0.9},
    "request_info": {"num_requests": count - (does == "short"), "avg_num_concurrent_requests": 7.5,
                     "avg_input_length": len(lines[0]["input_ids"]), "avg_output_length": length},
    "performance": {"total_latency_ms": seconds * 1000, "request_throughput_req_s": count / seconds,
                    "system_output_throughput_tok_s": rate, "system_total_throughput_tok_s": rate * 2,
                    "request_latency_percentiles_ms": same(120.0)},
    "streaming_metrics": {"ttft_percentiles": same(20.0), "tpot_percentiles": same(2.0),
                          "gen_tps_percentiles": same(500.0)},
}
if does != "silent":
    pathlib.Path(told["--report_json"]).write_text(json.dumps(report))
"""
ORDER: dict[str, Any] = {"input_len": 10, "output_len": 50, "requests": 40, "batch_size": 8}


@pytest.fixture
def model(tmp_path: Path) -> str:
    tokenizers = pytest.importorskip("tokenizers", reason="makes the tokenizer of a model with weights")
    folder = trtllm.weighty(tmp_path / "mine")
    tokenizers.Tokenizer(tokenizers.models.WordLevel({"a": 0}, "a")).save(str(folder / "tokenizer.json"))
    return str(folder)


def run(tmp_path: Path, model: str, does: str = "", told: Any = lambda line: None, **changes: Any) -> Result:
    program = tmp_path / TOOL
    program.write_text(f"#!{sys.executable}\n" + PROGRAM.replace("DOES", repr(does)))
    program.chmod(0o755)
    order = BenchOrder(model=model, **{**ORDER, **changes})
    return run_trtllm_bench(order, binary=str(program), out=tmp_path / "reports", gpus=(), told=told)


def test_a_report_becomes_a_result_that_says_who_measured(tmp_path: Path, model: str) -> None:
    said: list[str] = []
    result = run(tmp_path, model, told=said.append)

    assert said == ["starting benchmark"]
    assert result.source == "trtllm-bench 1.2.1"
    assert (result.summary.requests, result.summary.output_tokens) == (40, 2000)
    assert result.summary.output_throughput == pytest.approx(2000 / 0.64)
    assert result.summary.ttft is not None
    assert result.summary.ttft.p50 == pytest.approx(0.020)
    assert result.summary.ttft.supported == ("p50", "p90")
    assert result.summary.output_throughput_interval is None
    assert result.verdict.valid
    assert any("not by infertui" in note for note in result.verdict.notes)
    assert result.loaded is not None
    assert (result.loaded.engine, result.loaded.dtype) == (TOOL, "bfloat16")
    assert result.own_config.workload.num_prompts == 40

    assert Store(tmp_path / "reports").results(warn=pytest.fail) == [result]
    assert "external" in row_of(result).flags
    folder = tmp_path / "reports" / result.id
    assert b"TensorRT-LLM version" in (folder / "worker.log").read_bytes()
    assert "enable_block_reuse: false" in (folder / "trtllm-bench.yaml").read_text()


def test_its_prompts_are_those_that_our_engines_get(tmp_path: Path, model: str) -> None:
    first, again = (run(tmp_path, model, batch_size=size, seed=3) for size in (8, 3))
    prompts = [
        [json.loads(line)["input_ids"] for line in (tmp_path / "reports" / found.id / "trtllm-bench.jsonl").open()]
        for found in (first, again)
    ]
    assert prompts[0] == prompts[1]
    assert len(prompts[0]) == 40
    assert all(0 <= token < 4096 for ids in prompts[0] for token in ids)
    assert len({tuple(ids) for ids in prompts[0]}) == 40, "no prompt comes twice"


@pytest.mark.parametrize(
    ("does", "reason"), [("boast", "the report contradicts itself"), ("short", "39 requests of 50 tokens")]
)
def test_reports_of_something_else_are_kept_as_invalid(does: str, reason: str, tmp_path: Path, model: str) -> None:
    invalid = run(tmp_path, model, does).verdict.invalid
    assert any(reason in why for why in invalid)


def test_failures_leave_no_result(tmp_path: Path, model: str) -> None:
    with pytest.raises(EngineError, match="failed with status 1") as caught:
        run(tmp_path, model, "fail")
    assert "RuntimeError: no kernel" in caught.value.remedy
    with pytest.raises(StoreError, match="wrote no report"):
        run(tmp_path, model, "silent")
    assert Store(tmp_path / "reports").results(warn=pytest.fail) == []


def test_models_that_it_cannot_load_are_refused(tmp_path: Path, model: str) -> None:
    with pytest.raises(ModelError, match="no checkpoint that trtllm-bench can load"):
        run(tmp_path, "synthetic:nano")
    with pytest.raises(ModelError, match="exceed the model's 4096 positions"):
        run(tmp_path, model, input_len=4090)
    with pytest.raises(UsageError, match="is not a program"):
        run_trtllm_bench(
            BenchOrder(model=model, **ORDER), binary="/nowhere", out=tmp_path, gpus=(), told=lambda line: None
        )
