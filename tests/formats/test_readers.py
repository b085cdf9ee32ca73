"""Each form read: units, what is carried, what is not there."""

import json
import math
import statistics
from typing import Any

import msgspec
import pytest
from support.foreign_files import (
    GAPS,
    LATENCIES,
    LLAMA_TEST,
    TPOTS,
    TTFTS,
    aiperf,
    aiperf_metric,
    dumped,
    guidellm,
    guidellm_benchmark,
    llama_csv,
    optimum,
    optimum_report,
    sglang,
    six_field,
    trtllm,
    vllm_latency,
    vllm_serve,
    vllm_throughput,
)  # fmt: skip

from infertui.formats.detect import read
from infertui.formats.imported_run import Finding, Given
from infertui.formats.reader import FormatError, SourceFile
from infertui.measure.records import RequestRecord
from infertui.measure.statistics import describe


def findings(content: object, **given: Any) -> list[Finding]:
    raw = content if isinstance(content, bytes) else dumped(content)
    return list(read(SourceFile.of(raw), Given(**given)).findings)


def only(content: object, **given: Any) -> Finding:
    (found,) = findings(content, **given)
    return found


def lines(found: Finding) -> list[RequestRecord]:
    assert found.records is not None
    return list(found.records())


# vllm bench serve


def test_vllm_serve_without_its_requests() -> None:
    found = only(vllm_serve())
    summary = found.summary
    assert (found.source, found.config["model.id"]) == ("vllm bench serve", "meta-llama/Llama-3.1-8B")
    assert (found.config["engine.name"], found.config["workload.num_prompts"]) == ("vllm", 4)
    assert (summary.requests, summary.failed, summary.output_tokens, summary.prompt_tokens) == (4, 0, 20, 400)
    assert (summary.measured_s, summary.output_throughput, summary.total_throughput) == (0.5, 40.0, 840.0)
    assert summary.ttft is not None
    assert summary.ttft.mean == pytest.approx(0.115)
    assert summary.ttft.median == pytest.approx(0.115)
    # Of the population the file says 11.18 ms; of the sample it is 12.91.
    assert summary.ttft.std == pytest.approx(0.0129099, rel=1e-5)
    assert summary.ttft.p99 == pytest.approx(0.1297)
    assert (summary.ttft.minimum, summary.ttft.maximum, summary.ttft.p90, summary.ttft.p95) == (None,) * 4
    assert (summary.drift, summary.output_throughput_interval) == (None, None)
    every_gap = [gap for gaps in GAPS for gap in gaps]
    assert summary.itl is not None
    assert (summary.itl.count, summary.itl.p90, summary.itl.maximum) == (0, None, None), "as the file tells them"
    assert (summary.itl.mean, summary.itl.p50) == pytest.approx((statistics.mean(every_gap), 0.025))
    assert summary.itl.std == pytest.approx(statistics.stdev(every_gap)), "16 gaps: of the sample"
    assert found.summary.untold == ("iterations",)
    assert "workload.output_len" not in found.config
    assert found.records is None
    assert found.invalid == ()


def test_vllm_serve_with_its_requests() -> None:
    found = only(vllm_serve(detailed=True))
    summary = found.summary
    assert summary.latency == describe(LATENCIES)
    assert summary.ttft == describe(TTFTS)
    assert summary.tpot is not None
    assert summary.tpot.mean == pytest.approx(sum(TPOTS) / 4)
    assert summary.itl is not None
    assert (summary.itl.count, summary.itl.tokens) == (16, 16)
    assert summary.itl.mean == pytest.approx(sum(map(sum, GAPS)) / 16)
    assert (summary.itl.minimum, summary.itl.maximum) == (0.010, 0.070)
    assert (found.config["workload.input_len"], found.config["workload.output_len"]) == (100, 5)
    records = lines(found)
    assert [record.latency for record in records] == LATENCIES
    assert records[0].tpot == pytest.approx((LATENCIES[0] - TTFTS[0]) / 4)
    assert {(record.batch, record.batch_seconds, record.own_times) for record in records} == {(0, 0.5, True)}


def test_one_request_at_a_time_is_an_observation_each() -> None:
    found = only(vllm_serve(detailed=True, max_concurrency=1))
    assert [record.batch for record in lines(found)] == [0, 1, 2, 3]


def test_requests_that_failed_stand_behind_the_others_and_speak_against_it() -> None:
    wrong = vllm_serve(detailed=True, completed=3, failed=1, total_input_tokens=300, total_output_tokens=15)
    wrong |= {"output_throughput": 30.0, "output_lens": [0, 5, 5, 5], "errors": ["refused\x1b[2J", "", "", ""]}
    for name in ("ttft", "e2el"):
        del wrong[f"mean_{name}_ms"]
    found = only(wrong)
    assert [(record.batch, record.error, record.latency is None) for record in lines(found)] == [
        (0, "", False), (0, "", False), (0, "", False), (1, "refused", True),
    ]  # fmt: skip
    assert found.invalid[0] == "1 of 4 requests failed"
    assert found.summary.latency == describe(LATENCIES[1:])


def test_the_older_benchmark_serving_lacks_some_and_its_latency_is_ttft_and_gaps() -> None:
    old = vllm_serve(detailed=True, backend="openai")
    for name in ("failed", "latencies", "start_times", "label", "max_concurrency", "rtfx"):
        del old[name]
    found = only(old)
    assert found.summary.failed == 0
    latencies = [record.latency for record in lines(found)]
    assert latencies == pytest.approx(LATENCIES)
    assert "engine.name" not in found.config
    assert found.loaded is not None
    assert found.loaded.engine == "unknown"


def test_several_of_one_file_as_append_result_writes_them() -> None:
    both = b"\n".join((dumped(vllm_serve()), dumped(vllm_serve(max_concurrency=8))))
    assert [found.title for found in findings(both)] == [
        "vllm bench serve Llama-3.1-8B concurrency 4", "vllm bench serve Llama-3.1-8B concurrency 8",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"output_throughput": 80.0}, "output_throughput is 80, and its other figures make 40"),
        ({"total_output_tokens": 30, "output_throughput": 60.0}, "total_output_tokens is 30"),
        ({"mean_ttft_ms": 10.0}, "mean_ttft_ms is 10, and its other figures make 115"),
    ],
)
def test_a_file_that_denies_itself_is_invalid(changes: dict[str, float], reason: str) -> None:
    assert any(reason in text for text in only(vllm_serve(detailed=True, **changes)).invalid)


def test_ttft_that_was_not_measured_is_not_zero() -> None:
    blind = vllm_serve(mean_ttft_ms=0.0, median_ttft_ms=0.0, std_ttft_ms=0.0, p99_ttft_ms=0.0)
    assert only(blind).summary.ttft is None


@pytest.mark.parametrize(
    ("without", "unknown"),
    [
        (("completed",), set()),
        (("completed", "failed"), {"requests"}),
        (("completed", "num_prompts"), {"requests"}),
        (("completed", "failed", "num_prompts"), {"requests", "failed"}),
        (("duration",), {"measured_s"}),
        (("duration", "completed", "failed", "total_output_tokens"), {"measured_s", "requests", "output_tokens"}),
        (("request_throughput",), set()),
        (("output_throughput", "duration"), {"measured_s"}),
    ],
)
@pytest.mark.parametrize("gone", [False, True])
def test_what_a_serve_file_lacks_is_not_available(without: tuple[str, ...], unknown: set[str], gone: bool) -> None:
    """It is still that program's file: the others of its figures are read."""
    whole = vllm_serve()
    cut = {name: None if name in without else value for name, value in whole.items() if not (gone and name in without)}
    if {"completed", "failed"} <= set(without):
        cut["num_prompts"] = None
        unknown = unknown | {"failed"}
    found = only(cut)
    assert found.source == "vllm bench serve"
    assert set(found.summary.untold) == {"iterations"} | unknown
    assert found.invalid == ()
    assert found.summary.ttft is not None
    assert found.summary.ttft.median == pytest.approx(0.115)
    assert found.summary.output_throughput == (None if "output_throughput" in without else 40.0)
    if "requests" not in unknown:
        assert (found.summary.requests, found.summary.failed) == (4, 0)


def test_a_serve_file_with_its_requests_is_counted_by_them() -> None:
    whole = vllm_serve(detailed=True, errors=["", "", "", "timeout"])
    cut = {name: value for name, value in whole.items() if name not in ("completed", "failed", "num_prompts")}
    found = only(cut | {"total_output_tokens": None, "output_throughput": 30.0})
    assert (found.summary.requests, found.summary.failed, found.summary.output_tokens) == (4, 1, 15)
    assert found.invalid[0] == "1 of 4 requests failed"


def test_a_serve_file_bounds_no_percentile_of_gaps_that_it_has_too_few_of() -> None:
    """Of 16 gaps there is no p99, and of 4,000 between sequences that ran together only if they are steps enough."""
    few = only(vllm_serve()).summary.itl
    assert few is not None and few.p99 is not None  # noqa: PT018
    assert (few.steps, few.known_p99) == (16, None)
    assert few.known(50) == few.p50
    many: dict[str, Any] = {
        "completed": 1000,
        "num_prompts": 1000,
        "total_output_tokens": 5000,
        "total_input_tokens": 100_000,
    }
    together = only(vllm_serve(**many, duration=5.0, output_throughput=1000.0)).summary.itl
    assert together is not None
    assert (together.steps, together.known_p99) == (174, None), "5 s of steps of 28.75 ms on average"
    after = only(vllm_serve(**many, duration=50.0, output_throughput=100.0)).summary.itl
    assert after is not None
    assert (after.steps, after.known_p99) == (1739, after.p99)
    one_by_one = only(vllm_serve(detailed=True)).summary.itl
    assert one_by_one is not None
    assert (one_by_one.count, one_by_one.steps) == (16, 16)


# vllm bench throughput and latency


def test_vllm_throughput_tells_no_output_tokens_by_itself() -> None:
    found = only(vllm_throughput())
    assert (found.summary.total_throughput, found.summary.output_throughput) == (600.0, None)
    assert {"prompt_tokens", "output_tokens"} <= set(found.summary.untold)
    told = only(vllm_throughput(), output_len=50)
    assert told.summary.output_throughput == 10 * 50 / 2.5
    assert (told.summary.prompt_tokens, told.summary.output_tokens) == (1000, 500)
    with pytest.raises(FormatError, match=r"total_num_tokens: is 1500, fewer than 151"):
        only(vllm_throughput(), output_len=151)


def test_vllm_latency_is_in_seconds_an_iteration_each() -> None:
    found = only(vllm_latency())
    assert found.summary.latency == describe([0.4, 0.5, 0.6, 0.5])
    assert (found.summary.iterations, found.summary.output_throughput, found.records) == (4, None, None)
    told = only(vllm_latency(), batch_size=8, output_len=128)
    assert told.summary.output_throughput == pytest.approx(8 * 128 * 4 / 2.0)
    assert told.summary.output_throughput_interval is not None
    assert (told.summary.requests, len(lines(told))) == (32, 32)
    assert [record.batch for record in lines(told)][::8] == [0, 1, 2, 3]


# llama-bench


def test_llama_bench_has_a_run_for_each_test_and_nanoseconds() -> None:
    steps, prompt = findings([LLAMA_TEST, {**LLAMA_TEST, "n_prompt": 512, "n_gen": 0}])
    assert (steps.title, prompt.title) == ("llama-bench tg128", "llama-bench pp512")
    assert steps.summary.output_throughput == pytest.approx(3 * 128 / 0.6)
    assert steps.summary.latency == describe([0.19, 0.2, 0.21])
    assert steps.summary.output_throughput_interval is not None
    assert prompt.summary.output_throughput is None
    assert prompt.summary.total_throughput == pytest.approx(3 * 512 / 0.6)
    assert (steps.config["model.id"], steps.config["engine.llama_cpp.type_v"]) == ("models/m.gguf", "q8_0")
    assert (steps.config["workload.batch_size"], steps.config["workload.output_len"]) == (1, 128)
    assert "workload.output_len" not in prompt.config
    assert steps.started.startswith("2026-11-20")
    assert steps.loaded is not None
    assert (steps.loaded.device_name, steps.loaded.weight_bytes) == ("NVIDIA H200", 1169000000)


def test_llama_bench_by_the_line() -> None:
    by_line = b"".join(dumped(test) + b"\n" for test in (LLAMA_TEST, {**LLAMA_TEST, "n_gen": 32}))
    assert [found.title for found in findings(by_line)] == ["llama-bench tg128", "llama-bench tg32"]
    assert [found.title for found in findings(dumped(LLAMA_TEST))] == ["llama-bench tg128"]


def test_llama_bench_in_csv_tells_a_mean_and_not_how_often() -> None:
    found, off = findings(llama_csv(LLAMA_TEST, {**LLAMA_TEST, "flash_attn": False}))
    assert found.summary.output_throughput == pytest.approx(128 / 0.2)
    latency = found.summary.latency
    assert latency is not None
    assert (latency.n, latency.mean, latency.std, latency.median) == (0, 0.2, 0.01, None)
    assert found.summary.output_throughput_interval is None
    assert {"iterations", "requests", "output_tokens"} <= set(found.summary.untold)
    assert "measurement.iterations" not in found.config
    flash = "engine.llama_cpp.flash_attention"
    assert (found.config[flash], off.config[flash]) == (True, False)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, {"n_gpu_layers": 99, "n_batch": 2048, "n_ubatch": 512, "type_k": "f16", "type_v": "q8_0",
              "flash_attention": True}),
        ({"type_k": "q5_1", "flash_attn": -1, "n_batch": None},
         {"n_gpu_layers": 99, "n_ubatch": 512, "type_v": "q8_0"}),
        (dict.fromkeys(("n_gpu_layers", "n_batch", "n_ubatch", "type_v", "flash_attn", "n_threads")),
         {"type_k": "f16"}),
    ],
)  # fmt: skip
def test_llama_bench_tells_what_is_in_the_file_and_nothing_that_is_not(
    changes: dict[str, Any], told: dict[str, Any]
) -> None:
    """A format that no config has a word for is not the default one, nor is a number that is not there."""
    test = {name: value for name, value in (LLAMA_TEST | changes).items() if value is not None}
    (found,) = findings([test])
    options = {name.rpartition(".")[2]: value for name, value in found.config.items() if "llama_cpp." in name}
    assert options == told
    assert found.config.get("device.threads") == test.get("n_threads")
    assert found.loaded is not None
    assert found.loaded.details.get("type_k") == changes.get("type_k")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (llama_csv(LLAMA_TEST).replace(b'"128"', b'"many"'), r"line 2: .*`int`.*n_gen"),
        (llama_csv(LLAMA_TEST) + b'"1","2"\n', "line 3: has more or fewer values"),
        (llama_csv(LLAMA_TEST).splitlines()[0] + b"\n", "has a heading and no test"),
        (llama_csv(LLAMA_TEST) + b'"open', "line 3"),
        (dumped([{**LLAMA_TEST, "samples_ns": []}]), r"\$\[0\]: has no time: samples_ns"),
        (dumped([LLAMA_TEST, {**LLAMA_TEST, "n_gen": 0}]), r"\$\[1\]: is a test of no token"),
    ],
)
def test_llama_bench_is_refused_by_its_line(content: bytes, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        findings(content)


# trtllm-bench, aiperf, guidellm


def test_trtllm_in_seconds() -> None:
    found = only(trtllm())
    assert found.source == "trtllm-bench 1.2.1"
    assert (found.summary.measured_s, found.summary.output_throughput) == (4.0, 800.0)
    assert found.summary.ttft is not None
    assert found.summary.ttft.p99 == pytest.approx(0.020)
    assert found.config["workload.output_len"] == 200
    assert "workload.batch_size" not in found.config
    assert found.loaded is not None
    assert (found.loaded.device_name, found.loaded.dtype) == ("NVIDIA H200", "bfloat16")


def test_aiperf_by_its_units() -> None:
    found = only(aiperf())
    summary = found.summary
    assert (found.source, found.config["model.id"]) == ("aiperf 0.12.0", "Qwen/Qwen3-0.6B")
    assert (summary.requests, summary.failed, summary.output_tokens) == (100, 3, 24832)
    assert summary.prompt_tokens == 9700, "97 requests of 100 tokens"
    assert (summary.measured_s, summary.output_throughput) == (10.0, 2483.2)
    assert summary.latency is not None
    assert summary.latency.mean == pytest.approx(3.18)
    assert summary.latency.maximum == pytest.approx(4.77)
    assert summary.tpot is not None
    assert summary.tpot.p99 == pytest.approx(0.0168)
    assert summary.ttft is not None
    assert summary.ttft.supported == ("p50", "p90", "p95")
    assert found.invalid == ("3 of 100 requests failed",)
    assert found.loaded is not None
    assert found.loaded.device_name == "NVIDIA H200"
    for unit, seconds in (("us", 3.18e-3), ("sec", 3180.0), ("ns", 3.18e-6)):
        told = only(aiperf(request_latency=aiperf_metric(unit, 3180.0))).summary.latency
        assert told is not None
        assert told.mean == pytest.approx(seconds)
    with pytest.raises(FormatError, match=r"request_latency\.unit: is 'furlongs', not one of"):
        only(aiperf(request_latency=aiperf_metric("furlongs", 1.0)))


def test_its_ancestor_has_no_version_and_less() -> None:
    old = aiperf()
    for name in ("aiperf_version", "benchmark_duration", "total_osl", "error_request_count", "telemetry_data"):
        del old[name]
    found = only(old)
    assert found.source.startswith("aiperf or genai-perf")
    assert found.summary.untold == ("iterations", "measured_s")
    assert found.summary.output_tokens == 97 * 256


def test_guidellm_has_a_run_for_each_benchmark() -> None:
    together, alone = findings(guidellm(guidellm_benchmark(4), guidellm_benchmark(1)))
    assert [found.title for found in (together, alone)] == [
        "guidellm gpt2 concurrent 4 streams", "guidellm gpt2 concurrent 1 streams",
    ]  # fmt: skip
    summary = together.summary
    assert together.source == "guidellm 0.5.1"
    assert (summary.output_throughput, summary.measured_s, summary.output_tokens) == (40.0, 0.5, 20)
    assert summary.latency is not None
    assert summary.latency.mean == pytest.approx(sum(LATENCIES) / 4)
    assert summary.ttft is not None
    assert summary.ttft.maximum == pytest.approx(0.130)
    assert summary.tpot is not None
    assert summary.tpot.mean == pytest.approx(sum(TPOTS) / 4), "its inter-token latency, not its TPOT"
    assert [record.batch for record in lines(together)] == [0] * 4
    assert [record.batch for record in lines(alone)] == [0, 1, 2, 3]


def test_a_sample_of_the_requests_is_not_taken_for_all() -> None:
    found = only(guidellm(guidellm_benchmark(requests=False, errored=2)))
    assert found.records is None
    assert found.invalid == ("2 of 6 requests failed",)


# six-field


def test_six_field_is_one_observation_without_throughput() -> None:
    found = only(six_field([0.5, 0.6, 0.7, 0.8]))
    assert found.summary.latency == describe([0.5, 0.6, 0.7, 0.8])
    assert (found.summary.output_throughput, found.summary.output_throughput_interval) == (None, None)
    assert found.summary.untold == ("iterations", "prompt_tokens", "measured_s")
    assert {record.batch for record in lines(found)} == {0}
    assert [record.prompt for record in lines(found)] == [f"prompt {number}" for number in range(4)]
    assert found.loaded is not None
    assert found.loaded.details == {"largest memory_mb": "512", "mean power_w": "300"}


def test_six_field_with_words_for_what_a_cpu_lacks() -> None:
    lacking = six_field([0.5, 0.6]).replace(b"512.0", b'"N/A"').replace(b"300.0", b'"N/A"')
    found = only(lacking)
    assert lacking.count(b"N/A") == 4
    assert [(record.memory_mb, record.power_w) for record in lines(found)] == [(None, None)] * 2
    assert found.summary.latency == describe([0.5, 0.6])


def test_six_field_with_the_batch_size_told() -> None:
    found = only(six_field([0.5, 0.6, 0.7, 0.8, 0.9]), batch_size=2)
    # Batches of 2, 2 and 1 take as long as their slowest: 0.6, 0.8 and 0.9 s.
    assert found.summary.measured_s == pytest.approx(2.3)
    assert found.summary.output_throughput == pytest.approx(5 * 64 / 2.3)
    assert found.summary.iterations == 3
    assert found.summary.output_throughput_interval is not None
    assert [(record.batch, record.batch_seconds) for record in lines(found)] == [
        (0, 0.6), (0, 0.6), (1, 0.8), (1, 0.8), (2, 0.9),
    ]  # fmt: skip
    assert [record.start for record in lines(found)] == pytest.approx([0, 0, 0.6, 0.6, 1.4])


def test_six_field_requests_that_failed() -> None:
    found = only(six_field([0.5, None, 0.7]))
    assert (found.summary.requests, found.summary.failed) == (3, 1)
    assert [(record.batch, bool(record.error)) for record in lines(found)] == [(0, False), (0, False), (1, True)]
    assert only(six_field([0.5, None, 0.7]), batch_size=1).summary.output_throughput is None


def test_more_than_six_fields_are_six() -> None:
    line = {"prompt": "a", "latency": 1, "tokens": 4, "model": "x"}
    assert only(dumped(line) + b"\n\n" + dumped(line)).summary.requests == 2


def test_what_is_told_of_a_request_survives_being_written() -> None:
    for found in (only(vllm_serve(detailed=True)), only(six_field([0.5])), only(guidellm())):
        for record in lines(found):
            assert msgspec.json.decode(msgspec.json.encode(record), type=RequestRecord) == record
            assert record.latency is not None
            assert math.isfinite(record.latency)


def test_documents_may_be_written_over_many_lines_and_with_a_byte_order_mark() -> None:
    pretty = json.dumps(vllm_serve(), indent=2).encode()
    assert only(pretty).summary == only(vllm_serve()).summary
    assert only(b"\xef\xbb\xbf" + pretty).summary == only(vllm_serve()).summary
    assert only(b"\xef\xbb\xbf" + six_field([0.5])).summary.requests == 1


# SGLang, optimum-benchmark


def test_sglang_is_read_by_the_line_and_its_rate_may_be_infinite() -> None:
    line = dumped(sglang())
    assert b"Infinity" in line, "as Python's json writes it"
    found, other = findings(line + b"\n" + dumped(sglang(backend="vllm-chat", request_rate=4.0)) + b"\n")
    summary = found.summary
    assert (found.source, found.title) == ("sglang bench_serving", "sglang bench_serving concurrency 4")
    assert (summary.requests, summary.output_tokens, summary.output_throughput) == (4, 20, 40.0)
    assert summary.latency is not None
    assert summary.ttft is not None
    assert (summary.latency.mean, summary.latency.std) == pytest.approx(
        (statistics.mean(LATENCIES), statistics.stdev(LATENCIES))
    )
    assert summary.ttft.median == pytest.approx(0.115)
    assert "failed" in found.summary.untold
    assert found.loaded is not None
    assert other.loaded is not None
    assert (found.loaded.engine, found.loaded.details["request_rate"]) == ("sglang", "inf")
    assert (other.loaded.engine, other.config["engine.name"]) == ("vllm", "vllm")


def test_a_median_without_a_mean_is_shown() -> None:
    """As older versions of SGLang's bench_serving write it: TTFT and ITL have a median alone."""
    told = {name: value for name, value in sglang().items() if not name.startswith(("mean_ttft", "mean_itl", "std_"))}
    found = only(told)
    summary = found.summary
    assert summary.ttft is not None and summary.itl is not None  # noqa: PT018
    assert (summary.ttft.mean, summary.ttft.std, summary.itl.mean) == (None, None, None)
    assert (summary.ttft.median, summary.itl.p50) == pytest.approx((0.115, 0.025))
    assert summary.latency is not None
    assert summary.latency.mean is not None
    assert found.invalid == ()
    swapped = told | {"median_ttft_ms": 4000.0}
    assert any("the median TTFT, 4.00 s, is beyond the median E2E" in text for text in only(swapped).invalid)
    alone = {name: value for name, value in told.items() if "mean_" not in name}
    assert only(alone).source == "sglang bench_serving"


def test_sglang_with_its_requests_tells_which_failed() -> None:
    one = {"input_lens": [100] * 4, "output_lens": [0, 5, 5, 5], "ttfts": TTFTS, "itls": GAPS, "completed": 3}
    found = only(sglang(**one, errors=["refused", "", "", ""], total_output_tokens=15, output_throughput=30.0))
    assert (found.summary.requests, found.summary.failed) == (4, 1)
    assert "failed" not in found.summary.untold


def test_optimum_benchmark_with_its_config() -> None:
    found = only(optimum())
    summary = found.summary
    # Three batches of two sequences of five tokens: 0.18, 0.22 and 0.26 s.
    assert (summary.iterations, summary.requests, summary.output_tokens, summary.prompt_tokens) == (3, 6, 30, 96)
    assert summary.output_throughput == pytest.approx(30 / 0.66)
    assert summary.total_throughput == pytest.approx(126 / 0.66)
    assert summary.prefill_throughput == pytest.approx(2 * 16 / 0.1)
    assert summary.latency is not None
    assert summary.tpot is not None
    assert summary.itl is not None
    assert (summary.latency.mean, summary.tpot.median) == pytest.approx((0.22, 0.03))
    assert summary.itl.count == 12
    assert summary.itl.mean == pytest.approx(0.03)
    assert summary.memory.allocated_peak == 512_000_000
    assert (found.config["model.id"], found.config["engine.name"]) == ("gpt2", "transformers")
    assert (found.config["workload.batch_size"], found.config["workload.output_len"]) == (2, 5)
    assert found.loaded is not None
    assert (found.loaded.device_name, found.loaded.dtype) == ("NVIDIA A10G", "float16")


def test_its_report_alone_tells_no_tokens_until_the_batch_size_is_told() -> None:
    alone = only(optimum_report())
    assert (alone.summary.output_throughput, alone.summary.prefill_throughput) == (None, None)
    assert {"output_tokens", "requests"} <= set(alone.summary.untold)
    told = only(optimum_report(), batch_size=2, input_len=16)
    assert told.summary.output_throughput == pytest.approx(30 / 0.66), "four gaps a batch are five tokens"
    short = optimum_report()
    for part in short.values():
        del part["latency"]["values"]
    ttft = only(short).summary.ttft
    assert ttft is not None
    assert (ttft.n, ttft.minimum) == (3, None)
    assert (ttft.mean, ttft.p99) == pytest.approx((0.1, 0.1))


# What runs are told by


def test_the_load_of_aiperf_stands_in_several_places() -> None:
    for config, together in (
        ({"loadgen": {"concurrency": 32}}, "32"),
        ({"phases": [{"name": "profiling", "type": "concurrency", "concurrency": 16}]}, "16"),
        ({"concurrency": 100}, "100"),
        ({"perf_analyzer": {"stimulus": {"concurrency": [8]}}}, "8"),
    ):
        found = only(aiperf(input_config=config))
        assert found.loaded is not None
        assert found.loaded.details["concurrency"] == together
        assert found.title.endswith(f"concurrency {together}")


def test_a_report_without_the_number_of_its_requests_is_read() -> None:
    old = aiperf()
    for name in ("request_count", "error_request_count", "total_osl"):
        del old[name]
    found = only(old)
    assert {"requests", "failed", "output_tokens", "prompt_tokens"} <= set(found.summary.untold)
    assert "workload.num_prompts" not in found.config
    assert found.summary.latency is not None
    assert (found.summary.latency.n, found.summary.latency.supported) == (0, ())
    assert found.summary.output_throughput == 2483.2


def test_failures_of_nobody_knows_how_many_requests() -> None:
    """Its latencies are of some that came back: not all of them can have failed."""
    report = aiperf(error_request_count={"unit": "requests", "avg": 200.0})
    del report["request_count"]
    found = only(report)
    assert found.invalid == ("200 requests failed, of how many the file does not tell",)
    assert (found.summary.failed, "requests" in found.summary.untold, "failed" in found.summary.untold) == (
        200,
        True,
        False,
    )
    assert "workload.num_prompts" not in found.config
    assert found.summary.output_throughput == 2483.2
    for name in ("request_latency", "time_to_first_token", "inter_token_latency"):
        del report[name]
    all_failed = only(report)
    assert all_failed.invalid[0] == "200 of 200 requests failed"
    assert all_failed.summary.output_throughput is None


def test_deviations_are_those_of_the_sample_whoever_wrote_them() -> None:
    sample = statistics.stdev(LATENCIES)
    population = statistics.pstdev(LATENCIES)
    report = aiperf(request_count={"unit": "requests", "avg": 4.0})
    report["request_latency"] = aiperf_metric("sec", statistics.mean(LATENCIES)) | {"std": population}
    benchmark = guidellm_benchmark(requests=False)
    for found in (only(vllm_serve()), only(sglang()), only(report), only(guidellm(benchmark))):
        assert found.summary.latency is not None
        assert found.summary.latency.std == pytest.approx(sample)


def test_prompt_processing_has_a_speed_of_its_own() -> None:
    prompt = {**LLAMA_TEST, "n_prompt": 512, "n_gen": 0}
    both = {**LLAMA_TEST, "n_prompt": 512}
    assert [found.summary.prefill_throughput for found in findings([prompt, both, LLAMA_TEST])] == [
        pytest.approx(3 * 512 / 0.6), None, None,
    ]  # fmt: skip
    (in_csv,) = findings(llama_csv(prompt))
    assert in_csv.summary.prefill_throughput == pytest.approx(512 / 0.2)
