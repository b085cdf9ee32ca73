"""What is exported and imported again says the same."""

from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from support.foreign_files import dumped, six_field, vllm_serve
from support.results import make_results

from infertui.config.endpoint import LoadConfig, TargetConfig
from infertui.config.schema import WorkloadConfig
from infertui.formats.detect import read
from infertui.formats.export import document
from infertui.formats.imported_run import Given, result_of
from infertui.formats.reader import SourceFile
from infertui.formats.six_field import line_of
from infertui.measure.clock import NS_PER_S
from infertui.measure.itl import summarise_gaps
from infertui.measure.load.figures import Window
from infertui.measure.load.slo import parse_slo
from infertui.measure.load.summary import AskedLoad, summarise_load
from infertui.measure.records import BatchRecord, EngineMemory, Request, RequestRecord, request_record, request_records
from infertui.measure.statistics import Distribution
from infertui.measure.summary import summarise
from infertui.measure.validity import Verdict
from infertui.results.result import Result

NOW = datetime(2026, 3, 1, 8, 15, tzinfo=UTC)
MADE = next(result for result in make_results(50) if result.state == "finished" and result.loaded)


def batch(index: int, size: int, steps: list[int], start: int = 0) -> BatchRecord:
    """A static batch of so many requests; `steps` are the nanoseconds up to each token."""
    stamps = [start + sum(steps[: number + 1]) for number in range(len(steps))]
    return BatchRecord(
        phase="measure", index=index, start_ns=start, first_ns=stamps[0], last_ns=stamps[-1], end_ns=stamps[-1] + 1000,
        itl=summarise_gaps(stamps), memory=EngineMemory(resident_peak=512 << 20),
        requests=tuple(
            Request(f"p{number}", 10, len(steps), start, start, stamps[-1] + 1000, stamps[0], stamps[-1])
            for number in range(size)
        ),
    )  # fmt: skip


def of_batches(batches: list[BatchRecord], size: int, steps: int) -> tuple[Result, list[RequestRecord]]:
    summary = summarise(batches)
    workload = WorkloadConfig(batch_size=size, output_len=steps, input_len=10, prompts="random")
    result = replace(
        MADE,
        summary=summary,
        config=replace(MADE.own_config, workload=workload),
        verdict=Verdict(),
        source="",
        power=None,
    )
    records = [line for one in batches for line in request_records(one, origin_ns=0, power_w=None, energy_j=None)]
    return result, records


def imported(content: bytes, **given: int) -> Result:
    (finding,) = read(SourceFile.of(content), Given(**given)).findings  # type: ignore[arg-type]
    return result_of(finding, Given(), file="e.json", sha256="0" * 64, now=NOW)


@st.composite
def runs(draw: st.DrawFn) -> tuple[Result, list[RequestRecord]]:
    size, tokens = draw(st.integers(1, 4)), draw(st.integers(2, 6))
    steps = st.lists(st.integers(1000, 2 * NS_PER_S), min_size=tokens, max_size=tokens)
    count = draw(st.integers(1, 8))
    batches: list[BatchRecord] = []
    for index in range(count):
        start = batches[-1].end_ns if batches else 0
        batches.append(batch(index, size, draw(steps), start))
    return of_batches(batches, size, tokens)


def near(found: Distribution | None, measured: Distribution | None) -> None:
    assert found is not None
    assert measured is not None
    for name in ("mean", "median", "minimum", "maximum", "p50", "p90", "p95", "p99"):
        assert getattr(found, name) == pytest.approx(getattr(measured, name), rel=1e-9), name


@settings(max_examples=40, deadline=None)
@given(runs())
def test_a_run_in_vllm_form_comes_back_with_its_figures(run: tuple[Result, list[RequestRecord]]) -> None:
    result, records = run
    back = imported(msgspec.json.encode(document(result, records)))
    ours, theirs = result.summary, back.summary
    assert back.verdict.invalid == ()
    for name in ("requests", "failed", "prompt_tokens", "output_tokens", "iterations"):
        assert getattr(theirs, name) == getattr(ours, name)
        assert name not in theirs.untold
    for name in ("measured_s", "output_throughput", "total_throughput", "output_throughput_interval", "drift"):
        found, measured = getattr(theirs, name), getattr(ours, name)
        if hasattr(measured, "low"):
            found, measured = (found.low, found.high), (measured.low, measured.high)
        assert found == (None if measured is None else pytest.approx(measured, rel=1e-9)), name
    for name in ("latency", "ttft", "tpot", "tps"):
        near(getattr(theirs, name), getattr(ours, name))
    assert (back.setup.model, back.setup.output_len) == (result.setup.model, result.setup.output_len)
    assert back.loaded is not None
    assert result.loaded is not None
    assert (back.loaded.device_name, back.loaded.dtype) == (result.loaded.device_name, result.loaded.dtype)


@settings(max_examples=40, deadline=None)
@given(runs())
def test_a_run_in_six_fields_comes_back_with_its_latency(run: tuple[Result, list[RequestRecord]]) -> None:
    result, records = run
    content = b"".join(map(line_of, records))
    near(imported(content).summary.latency, result.summary.latency)
    assert imported(content).summary.output_throughput is None
    back = imported(content, batch_size=result.own_config.workload.batch_size).summary
    assert back.output_tokens == result.summary.output_tokens
    # The synchronised end of a batch, a microsecond after its last token here, is not in this form.
    ours = result.summary
    assert ours.measured_s
    assert ours.iterations
    assert ours.output_tokens
    seconds = ours.measured_s - 1e-6 * ours.iterations
    assert back.output_throughput == pytest.approx(ours.output_tokens / seconds, rel=1e-6)


def test_the_document_is_that_of_vllm_by_hand() -> None:
    """Two batches of one request of three tokens: 0.1 s to the first, then 0.02 and 0.04 s; and half as fast."""
    one = batch(0, 1, [100_000_000, 20_000_000, 40_000_000])
    two = batch(1, 1, [200_000_000, 40_000_000, 80_000_000], start=one.end_ns)
    result, records = of_batches([one, two], 1, 3)
    found = document(result, records)
    expected = {
        "num_prompts": 2, "completed": 2, "failed": 0, "request_rate": "inf", "burstiness": None,
        "max_concurrency": 1, "total_input_tokens": 20, "total_output_tokens": 6, "duration": 0.480002,
        "request_throughput": 2 / 0.480002, "output_throughput": 6 / 0.480002, "total_token_throughput": 26 / 0.480002,
        "mean_ttft_ms": 150.0, "median_ttft_ms": 150.0, "std_ttft_ms": 50.0, "p99_ttft_ms": 199.0,
        "mean_tpot_ms": 45.0, "std_tpot_ms": 15.0, "mean_e2el_ms": 240.0, "std_e2el_ms": 80.0,
        "mean_itl_ms": 45.0, "std_itl_ms": None, "input_lens": [10, 10], "output_lens": [3, 3], "errors": ["", ""],
    }  # fmt: skip
    for name, value in expected.items():
        assert found[name] == (pytest.approx(value) if isinstance(value, float) else value), name
    assert found["ttfts"] == pytest.approx([0.1, 0.2])
    assert found["latencies"] == pytest.approx([0.16, 0.32])
    assert found["model_id"] == result.own_config.model.id
    assert "itls" not in found
    written = set(vllm_serve(detailed=True)) - {
        "itls", "generated_texts", "max_output_tokens_per_s", "max_concurrent_requests", "rtfx",
    }  # fmt: skip
    assert {name for name in found if not name.startswith("infertui_")} == written, "vLLM's fields, and no others"


def test_its_deviation_is_that_of_the_requests_that_it_lists() -> None:
    """vLLM's is of the population of requests, ours of the sample of batches: of 2 and 4 s it is 1 s, and not 1.41."""
    result, records = of_batches([batch(0, 4, [2 * NS_PER_S]), batch(1, 4, [4 * NS_PER_S], 2 * NS_PER_S)], 4, 1)
    told = document(result, records)
    assert told["std_e2el_ms"] == pytest.approx(1000)
    assert document(result, [])["std_e2el_ms"] == pytest.approx(1000), "also where the requests are gone"


def test_what_speaks_against_a_run_travels_along() -> None:
    one = batch(0, 2, [100_000_000, 20_000_000])
    result, records = of_batches([one], 2, 2)
    wrong = replace(result, verdict=Verdict(invalid=("the GPU was throttled: hw-thermal",)))
    content = document(wrong, records)
    assert (content["infertui_valid"], content["infertui_run_id"]) == (False, result.id)
    assert imported(msgspec.json.encode(content)).verdict.invalid == ("the GPU was throttled: hw-thermal",)


def test_an_imported_run_is_exported_as_what_it_was() -> None:
    first = imported(dumped(vllm_serve(detailed=True)))
    (finding,) = read(SourceFile.of(dumped(vllm_serve(detailed=True)))).findings
    assert finding.records is not None
    content = document(first, finding.records())
    back = imported(msgspec.json.encode(content))
    assert back.source == "vllm bench serve"
    assert (content["request_rate"], content["max_concurrency"]) == ("inf", 4)
    assert back.summary.output_throughput == 40.0
    near(back.summary.latency, first.summary.latency)
    untold = document(imported(six_field([0.5])), [])
    assert (untold["duration"], untold["total_input_tokens"], untold["model_id"]) == (None, None, None)


def test_a_summary_of_vllm_comes_back_as_it_was() -> None:
    """Gaps, goodput, burstiness, protocol: what infertui has no use for is kept, and written again."""
    first = vllm_serve(request_goodput=6.5, burstiness=0.7, request_rate=12.5, backend="openai-chat")
    kept = imported(dumped(first))
    content = document(kept, [])
    for name, value in first.items():
        if name not in ("label", "endpoint_type", "max_output_tokens_per_s", "max_concurrent_requests", "rtfx"):
            assert content[name] == (pytest.approx(value) if isinstance(value, float) else value), name
    back = imported(msgspec.json.encode(content))
    assert back.name == kept.name
    ours, theirs = kept.summary, back.summary
    assert (ours.itl, theirs.itl) != (None, None)
    for name in ("latency", "ttft", "tpot", "itl"):
        one, other = (msgspec.structs.asdict(getattr(summary, name)) for summary in (ours, theirs))
        assert all(other[key] == (pytest.approx(value) if value else value) for key, value in one.items()), name
    assert back.loaded is not None
    assert kept.loaded is not None
    assert (back.loaded.engine, kept.loaded.engine) == ("unknown", "unknown")


def of_load(**asked: object) -> tuple[Result, list[RequestRecord]]:
    """Eight requests, one after the other, of 1 s each: the window holds four of them, of which one failed."""
    s = NS_PER_S
    requests = [
        Request(
            "p", 10, 2, at * s, at * s, (at + 1) * s, at * s + s // 2, (at + 1) * s,
            error="broke" if at == 3 else "aborted" if at == 7 else "",
            error_kind="http" if at == 3 else "aborted" if at == 7 else "",
        )
        for at in range(8)
    ]  # fmt: skip
    config = replace(
        MADE.own_config, target=TargetConfig(kind="endpoint", url="http://h", model="m"), load=LoadConfig(**asked)  # type: ignore[arg-type]
    )  # fmt: skip
    seen = AskedLoad(concurrency=1, slo=parse_slo("ttft<600ms"))
    summary, load = summarise_load(requests, seen, origin_ns=0, window=Window(1.5, 5.5))
    return (
        replace(MADE, config=config, summary=summary, load=load),
        [request_record(request, origin_ns=0) for request in requests],
    )


def test_a_load_is_told_with_what_was_asked_and_the_requests_of_its_window() -> None:
    told = document(*of_load(concurrency=3))
    assert (told["request_rate"], told["burstiness"], told["max_concurrency"]) == ("inf", None, 3)
    assert (told["completed"], told["failed"], told["num_prompts"]) == (3, 1, 4)
    assert told["start_times"] == [1, 2, 3, 4]
    # One request a second, of which one in four failed.
    assert told["request_goodput"] == pytest.approx(0.75)
    poisson = document(*of_load(request_rate=2.5, concurrency=9))
    assert (poisson["request_rate"], poisson["burstiness"], poisson["max_concurrency"]) == (2.5, 1.0, 9)
    even = document(*of_load(request_rate=2.5, arrival="constant"))
    assert (even["request_rate"], even["burstiness"], even["max_concurrency"]) == (2.5, None, None)
    bursts = document(*of_load(request_rate=2.5, arrival="gamma", burstiness=0.5))
    assert bursts["burstiness"] == 0.5
