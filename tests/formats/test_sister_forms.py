"""Forms that are near to those that are read: read, or refused by name with what to give instead."""

import json

import pytest
from support.foreign_files import LLAMA_TEST, dumped, guidellm, vllm_serve

from infertui.formats.detect import read
from infertui.formats.reader import FormatError, SourceFile

GUIDELLM_YAML = b"""metadata:
  version: 1
  guidellm_version: 0.5.1
benchmarks:
- type_: generative_benchmark
  metrics: {}
"""
GUIDELLM_CSV = b"""Run Info,Run Info,Benchmark,Timings,Time to First Token,Request Latency
Model,Backend,Strategy,Duration,Mean,Mean
gpt2,openai,constant,30,17.0,0.64
"""
LLAMA_MD = b"""| model          |       size |     params | backend    | ngl |          test |                  t/s |
| -------------- | ---------: | ---------: | ---------- | --: | ------------: | -------------------: |
| llama 1B Q8_0  |   1.09 GiB |     1.10 B | CUDA       |  99 |         pp512 |     25231.86 +- 4.53 |
"""
LLAMA_SQL = b"""CREATE TABLE IF NOT EXISTS llama_bench (
  build_commit TEXT,
  build_number INTEGER
);
INSERT INTO llama_bench (build_commit, build_number) VALUES ('a', '1');
"""
PRINTED = b"""============ Serving Benchmark Result ============
Successful requests:                     8
"""


@pytest.mark.parametrize(
    ("content", "what", "instead"),
    [
        (GUIDELLM_YAML, "guidellm in YAML", "benchmarks.json"),
        (GUIDELLM_CSV, "guidellm in CSV", "benchmarks.json"),
        (b"<!DOCTYPE html>\n<html><body></body></html>", "a page of HTML", "JSON"),
        (LLAMA_MD, "llama-bench in Markdown", "-o json"),
        (LLAMA_SQL, "llama-bench writes for SQLite", "-o json"),
        (b"Metric,avg,min,max,p99\nTime to First Token (ms),1,1,1,1\n", "aiperf or genai-perf in CSV", "aiperf.json"),
        (b"name,report.prefill.latency.mean,report.decode.latency.mean,x\na,1,2,3\n", "optimum-benchmark in CSV",
         "benchmark_report.json"),
        (PRINTED, "printed", "--save-result"),
        (b"===========\n= PERFORMANCE OVERVIEW\n", "trtllm-bench printed", "--report_json"),
        (dumped({"metadata": {"x_request_id": "a"}, "metrics": {}}), "single requests of aiperf", "aiperf.json"),
        (dumped({"experiments": [], "version": "0.1"}), "perf_analyzer", "aiperf.json"),
        (dumped([{"benchmark": {"name": "x"}, "model": {}, "metric": {}}]), "PyTorch's dashboard", ".pytorch.json"),
        (dumped({"load_summary": {}, "successes": {}, "failures": {}}), "inference-perf", "not read"),
        (dumped({"version": "0.2", "scenario": {}, "metrics": {}}), "llm-d", "guidellm"),
        (dumped({"results_ttft_s_mean": 1.0}), "LLMPerf", "not read"),
    ],
)  # fmt: skip
def test_a_form_that_is_not_read_is_named_with_what_to_give_instead(content: bytes, what: str, instead: str) -> None:
    with pytest.raises(FormatError) as caught:
        read(SourceFile.of(content, "given"))
    assert what in caught.value.message
    assert instead in caught.value.remedy


@pytest.mark.parametrize(
    "log",
    [
        b"INFO 11-30 12:00:00 starting\nWARNING: slow\n",
        b"[2026-11-30 12:00:00] INFO starting\n[2026-11-30 12:00:01] INFO done\n",
        b"(APIServer pid=4) INFO 11-30 started\nNamespace(a=1)\n",
        b"loading model ...\n\n",
    ],
)
@pytest.mark.parametrize("document", [dumped(vllm_serve()), json.dumps([LLAMA_TEST], indent=1).encode()])
def test_a_log_before_the_json_is_told_with_the_line_where_it_begins(log: bytes, document: bytes) -> None:
    with pytest.raises(FormatError, match="has lines of a log before the JSON, which begins at line 3"):
        read(SourceFile.of(log.replace(b"\n\n", b"\nmore\n") + document))


def test_json_that_is_broken_is_not_called_a_log() -> None:
    pretty = json.dumps(guidellm(), indent=1).encode().replace(b'"benchmarks":', b'"benchmarks"', 1)
    with pytest.raises(FormatError, match=r"line \d+: is no JSON"):
        read(SourceFile.of(pretty))
