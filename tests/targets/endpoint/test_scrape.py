"""A server's own counts: the page's format against prometheus-client's parser, and what two pages say."""

import asyncio
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from support.scripted_server import Scripted, scripted

from infertui.config.endpoint import TargetConfig
from infertui.errors import ConfigError
from infertui.mock.options import MockOptions
from infertui.mock.server import MockServer
from infertui.targets.endpoint.exposition import samples
from infertui.targets.endpoint.scrape import HistogramSpan, MetricsPage, ServerScrape, between, read_page

SECOND = 1_000_000_000


@given(
    st.dictionaries(st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_]{0,5}", fullmatch=True), st.text(max_size=8), max_size=3),
    st.floats(allow_nan=False),
)
def test_a_page_as_prometheus_client_writes_it_is_read_as_it_reads_it(labels: dict[str, str], value: float) -> None:
    # Names in which exporters begin with two underscores are Prometheus' own; `le` is a histogram's.
    labels = {name: text for name, text in labels.items() if not name.startswith("__") and name != "le"}
    registry = CollectorRegistry()
    names = sorted(labels)
    gauge = Gauge("some:thing", "h\\elp\n", names, registry=registry)
    (gauge.labels(*(labels[name] for name in names)) if names else gauge).set(value)
    page = generate_latest(registry).decode()
    ours = [(sample.labels, sample.value) for sample in samples(page, ["some:thing"])]
    theirs = [
        (tuple(sorted(sample.labels.items())), sample.value)
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    ]
    assert ours == theirs


@pytest.mark.parametrize(
    ("line", "labels", "value"),
    [
        ("m 1", (), 1.0),
        ("m{} 1", (), 1.0),
        ("  m\t 1 ", (), 1.0),
        ('m{a="b"} 1 1700000000000', (("a", "b"),), 1.0),
        ('m{a="b",} 1', (("a", "b"),), 1.0),
        ('m{ b = "x" , a="y" } +Inf', (("a", "y"), ("b", "x")), math.inf),
        ('m{a="}{\\"\\\\\\n"} -1e3', (("a", '}{"\\\n'),), -1000.0),
        ('m{a="b"} 4 # {trace="x"} 0.5', (("a", "b"),), 4.0),
        ("m 1\r", (), 1.0),
    ],
)
def test_lines(line: str, labels: tuple[tuple[str, str], ...], value: float) -> None:
    assert [(sample.labels, sample.value) for sample in samples(line, ["m"])] == [(labels, value)]


@pytest.mark.parametrize(
    "line",
    ["", "#", "# m 1", "m", "m{", 'm{a="b" 1', 'm{a="b', "m{a=b} 1", "m x", "m NaN", "mm 1", "m_ 1", "1 m", '{a="b"} 1',
     "m 1_000", "m 0x10", "m{a} 1", "m{" + 'a="b",' * 99_999 + "} 1"],
)  # fmt: skip
def test_lines_that_are_passed_over(line: str) -> None:
    assert [sample.value for sample in samples(f"{line}\nm 7\n", ["m"])] == [7.0]


@given(st.text(max_size=200) | st.text(alphabet='m{}a="\\, \n1#', max_size=80))
def test_no_page_raises(page: str) -> None:
    list(samples(page, ["m", "a"]))
    read_page(page.encode("utf-8", "replace"), 0)


def test_a_page_without_end_has_one() -> None:
    assert sum(1 for _ in samples("m 1\n" * 150_000, ["m"])) == 100_000


def scrape(page: str, seconds: float = 0) -> ServerScrape:
    found = read_page(page.encode(), round(seconds * SECOND))
    assert found is not None
    return found


VLLM = """
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="m"} 3.0
vllm:num_requests_running{engine="1",model_name="m"} 4.0
vllm:num_requests_waiting{engine="0",model_name="m"} 0.0
vllm:kv_cache_usage_perc{engine="0",model_name="m"} 0.25
vllm:kv_cache_usage_perc{engine="1",model_name="m"} 0.75
vllm:prefix_cache_queries_total{engine="0"} 1000.0
vllm:prefix_cache_hits_total{engine="0"} 100.0
vllm:request_success_total{finished_reason="stop"} 5.0
vllm:request_success_total{finished_reason="length"} 7.0
vllm:time_to_first_token_seconds_bucket{le="0.1"} 1.0
vllm:time_to_first_token_seconds_bucket{le="0.2"} 1.0
vllm:time_to_first_token_seconds_bucket{le="+Inf"} 1.0
vllm:time_to_first_token_seconds_count{} 1.0
vllm:time_to_first_token_seconds_sum{} 0.05
python_gc_objects_collected_total 5.0
"""
LATER = """
vllm:num_requests_running{engine="0",model_name="m"} 0.0
vllm:prefix_cache_queries_total{engine="0"} 1400.0
vllm:prefix_cache_hits_total{engine="0"} 300.0
vllm:request_success_total{finished_reason="stop"} 5.0
vllm:request_success_total{finished_reason="length"} 17.0
vllm:request_success_total{finished_reason="abort"} 2.0
vllm:time_to_first_token_seconds_bucket{le="0.1"} 3.0
vllm:time_to_first_token_seconds_bucket{le="0.2"} 9.0
vllm:time_to_first_token_seconds_bucket{le="+Inf"} 11.0
vllm:time_to_first_token_seconds_count{} 11.0
vllm:time_to_first_token_seconds_sum{} 1.55
"""


def test_what_a_server_does_now() -> None:
    found = scrape(VLLM)
    assert (found.server, found.running, found.waiting, found.kv_usage) == ("vllm", 7, 0, 0.75)
    other = scrape("llamacpp:prompt_tokens_total 5\n")
    assert (other.server, other.running, other.waiting, other.kv_usage) == ("llama-server", None, None, None)


def test_what_it_did_in_between() -> None:
    figures = between(scrape(VLLM, 10), scrape(LATER, 30))
    assert (figures.seconds, figures.requests, figures.restarted) == (20, 12, False)
    assert (figures.prefix_queries, figures.prefix_hits, figures.prefix_hit_rate) == (400, 200, 0.5)
    assert (figures.preemptions, figures.output_tokens, figures.itl) == (None, None, None)
    assert figures.ttft is not None
    assert figures.ttft.count == 10
    assert figures.ttft.mean == pytest.approx(0.15)
    # 2 up to 0.1 s, 6 more up to 0.2 s, and 2 above: by hand, the median is half way into the second bucket.
    assert figures.ttft.quantile(0.5) == pytest.approx(0.15)
    assert figures.ttft.quantile(0.1) == pytest.approx(0.05)
    assert figures.ttft.quantile(0.95) == 0.2


def test_nothing_in_between_and_no_queries() -> None:
    figures = between(scrape(VLLM, 0), scrape(VLLM, 1))
    assert (figures.requests, figures.prefix_queries, figures.prefix_hit_rate) == (0, 0, None)
    assert figures.ttft is not None
    assert (figures.ttft.count, figures.ttft.mean, figures.ttft.quantile(0.5)) == (0, None, None)


def test_a_server_that_began_anew() -> None:
    """All that it shows it has gained since; what it had counted before it fell is lost, and that is told."""
    figures = between(scrape(LATER, 0), scrape(VLLM, 1))
    assert figures.restarted
    assert (figures.prefix_queries, figures.prefix_hits) == (1000, 100)
    assert figures.requests == 7  # "length" fell from 17 to 7, "stop" stayed at 5
    assert figures.ttft is not None
    assert figures.ttft.count == 1


def test_quantiles_at_their_ends() -> None:
    assert HistogramSpan(0, 0, (), ()).quantile(0.5) is None
    above = HistogramSpan(4, 9, (1.0,), (0,))
    assert (above.quantile(0.5), above.quantile(1)) == (1.0, 1.0)
    assert HistogramSpan(4, 9, (), ()).quantile(0.5) is None
    first = HistogramSpan(4, 9, (2.0,), (4,))
    assert (first.quantile(0), first.quantile(0.5), first.quantile(1)) == (0.0, 1.0, 2.0)


@pytest.mark.parametrize(
    ("page", "server", "field", "value"),
    [
        ("vllm:gpu_cache_usage_perc 0.5", "vllm", "kv_usage", 0.5),
        ("vllm:gpu_cache_usage_perc 0.5\nvllm:kv_cache_usage_perc 0.25", "vllm", "kv_usage", 0.25),
        ("vllm_num_requests_running 2", "vllm", "running", 2),
        ("nv_inference_pending_request_count 3\nvllm:num_requests_running 2", "vllm", "running", 2),
        ("sglang:num_queue_reqs 5", "sglang", "waiting", 5),
        ("sglang:token_usage 0.28", "sglang", "kv_usage", 0.28),
        ("llamacpp:requests_deferred 6", "llama-server", "waiting", 6),
        ("tgi_queue_size 7", "tgi", "waiting", 7),
        ('nv_trt_llm_request_metrics{request_type="active"} 3\nnv_trt_llm_request_metrics{request_type="max"} 64',
         "triton", "running", 3),
        ('nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type="fraction",model="m"} 0.5', "triton", "kv_usage", 0.5),
        ("lmdeploy:num_requests_running 1", "lmdeploy", "running", 1),
        ("trtllm_kv_cache_utilization 0.5", "tensorrt-llm", "kv_usage", 0.5),
    ],
)  # fmt: skip
def test_names_by_server_and_version(page: str, server: str, field: str, value: float) -> None:
    found = scrape(page)
    assert (found.server, getattr(found, field)) == (server, value)


def test_ranks_that_share_a_model_and_priorities_are_counted_once() -> None:
    page = """
sglang:num_running_reqs{dp_rank="0",priority="",tp_rank="0"} 4
sglang:num_running_reqs{dp_rank="0",priority="",tp_rank="1"} 4
sglang:num_running_reqs{dp_rank="0",priority="1",tp_rank="0"} 3
sglang:num_running_reqs{dp_rank="0",priority="2",tp_rank="0"} 1
sglang:num_running_reqs{dp_rank="1",priority="",tp_rank="0"} 2
"""
    assert scrape(page).running == 6


def test_llama_servers_prompts_with_and_without_what_was_cached() -> None:
    """The page of one built from llama-cpp-python 0.3.36 after seven requests, shortened; then two more of 10 and 5."""
    first = """
llamacpp:prompt_tokens_total 47
llamacpp:prompt_tokens_cached_total 78
llamacpp:prompt_seconds_total 1.13233
llamacpp:tokens_predicted_total 108
llamacpp:prompt_tokens_seconds 41.5073
llamacpp:requests_processing 0
llamacpp:requests_deferred 0
"""
    last = first.replace("total 47", "total 52").replace("total 78", "total 88").replace("total 108", "total 123")
    figures = between(scrape(first), scrape(last, 1))
    assert (figures.server, figures.prompt_tokens, figures.output_tokens) == ("llama-server", 15, 15)
    assert (figures.prefix_queries, figures.prefix_hits) == (15, 10)
    assert figures.prefix_hit_rate == pytest.approx(2 / 3)
    older = between(scrape("llamacpp:prompt_tokens_total 5"), scrape("llamacpp:prompt_tokens_total 9", 1))
    assert (older.prompt_tokens, older.prefix_queries, older.prefix_hits) == (4, None, None)


@pytest.mark.parametrize("page", ["", "up 1\n", "<html>", '{"iteration": 1}', "node_cpu_seconds_total 5\n"])
def test_a_page_of_something_else(page: str) -> None:
    assert read_page(page.encode(), 0) is None
    assert read_page(b"\xff\xfe\x00", 0) is None


def test_prometheus_clients_own_counters_and_histograms() -> None:
    """Written by the library that vLLM and SGLang write theirs with."""
    registry = CollectorRegistry()
    counter = Counter("sglang:generation_tokens", "h", ["model_name"], registry=registry)
    histogram = Histogram("sglang:time_to_first_token_seconds", "h", registry=registry, buckets=(0.5, 1, 2))
    counter.labels("m").inc(5)
    first = scrape(generate_latest(registry).decode(), 0)
    counter.labels("m").inc(37)
    for value in (0.25, 0.75, 1.5, 5):
        histogram.observe(value)
    figures = between(first, scrape(generate_latest(registry).decode(), 2))
    assert (figures.server, figures.output_tokens) == ("sglang", 37)
    assert figures.ttft == HistogramSpan(4, 7.5, (0.5, 1.0, 2.0), (1, 2, 3))


def read(target: dict[str, Any], script: dict[str, Scripted]) -> tuple[ServerScrape | None, list[str], list[str]]:
    async def run() -> tuple[ServerScrape | None, list[str], list[str]]:
        async with scripted(script) as (url, heard):
            config = TargetConfig(
                kind="endpoint", **({"url": url} | {k: v.replace("URL", url) for k, v in target.items()})
            )
            page = MetricsPage(config, {"authorization": "Bearer k"})
            await page.read()
            found = await page.read()
            return (
                found,
                [request.path for request in heard],
                [str(request.headers.get("authorization")) for request in heard],
            )

    return asyncio.run(run())


def test_where_the_page_is() -> None:
    page = Scripted(body=VLLM.encode(), media="text/plain")
    found, paths, keys = read({}, {"/metrics": page})
    assert found is not None
    assert (paths, keys) == (["/metrics", "/metrics"], ["Bearer k", "Bearer k"])
    # TensorRT-LLM has JSON there, and the page elsewhere; what was found is asked from then on.
    found, paths, _ = read({}, {"/metrics": Scripted(body=[{"x": 1}]), "/prometheus/metrics": page})
    assert found is not None
    assert paths == ["/metrics", "/prometheus/metrics", "/prometheus/metrics"]
    assert read({"metrics_url": "URL/own"}, {"/own": page})[1] == ["/own", "/own"]
    assert read({"metrics_url": "URL"}, {"/metrics": page})[1] == ["/metrics", "/metrics"]
    assert read({"metrics_url": "none"}, {"/metrics": page}) == (None, [], [])
    assert read({}, {})[0] is None
    # A page of another server does not get the key.
    elsewhere = read({"url": "http://127.0.0.1:9", "metrics_url": "URL"}, {"/metrics": page})
    assert elsewhere[2] == ["None", "None"]


def test_a_place_that_is_none() -> None:
    with pytest.raises(ConfigError, match=r"^target\.metrics_url: "):
        MetricsPage(TargetConfig(url="http://h", metrics_url="h:9090"), {})
    gone = MetricsPage(TargetConfig(url="http://127.0.0.1:9"), {})
    assert asyncio.run(gone.read()) is None


def test_the_mock_servers_page_counts_what_it_did() -> None:
    from infertui.targets.endpoint.probe import probe

    async def run() -> tuple[ServerScrape | None, ServerScrape | None]:
        target = TargetConfig(kind="endpoint", url=server.url, model="mock")
        page = MetricsPage(target, {})
        before = await page.read()
        await probe(target)
        return before, await page.read()

    with MockServer(MockOptions(ttft_s=0.01, itl_s=0.002)) as server:
        before, after = asyncio.run(run())
    assert before is not None
    assert after is not None
    figures = between(before, after)
    assert (figures.output_tokens, figures.requests, figures.restarted) == (24, 1, False)
    assert figures.ttft is not None
    assert figures.ttft.mean == pytest.approx(0.01, abs=0.02)
