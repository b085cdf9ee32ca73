"""The truth that the mock tells is what it does: deadlines, queueing, the prefix cache, its statistics and metrics."""

import re
import threading
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.mock_client import Received, ask

from infertui.mock.cache import PrefixCache, Prompt
from infertui.mock.options import MockOptions
from infertui.mock.server import MockServer
from infertui.mock.tallies import ServedRequest
from infertui.mock.truth import capacity, closed_loop, describe

CHAT = "/v1/chat/completions"


def asked(
    url: str, count: int, *, rounds: int = 1, tokens: int = 5, prompt: str = "hello", stream: bool = True
) -> list[Received]:
    """`count` clients at once, each `rounds` requests one after the other."""
    got: list[Received] = []

    def client() -> None:
        body = {"messages": [{"role": "user", "content": prompt}], "max_tokens": tokens, "stream": stream}
        for _ in range(rounds):
            got.append(ask(url, CHAT, body))

    threads = [threading.Thread(target=client) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return got


@pytest.mark.parametrize("stream", [True, False])
def test_deadlines_are_absolute(stream: bool) -> None:
    with MockServer(MockOptions(ttft_s=0.03, itl_s=0.004)) as server:
        got = asked(server.url, 3, tokens=6, stream=stream)
        records = server.requests()
    assert all(one.whole for one in got)
    for record in records:
        assert record.first_due_ns - record.arrived_ns == 30_000_000
        assert record.last_due_ns - record.arrived_ns == 50_000_000
        assert record.ended_ns >= record.last_due_ns
        assert record.lateness_ns >= 0
        assert (record.output_tokens, record.outcome) == (6, "done")


def test_nothing_comes_before_its_time() -> None:
    with MockServer(MockOptions(ttft_s=0.02, itl_s=0.003)) as server:
        got = asked(server.url, 4, rounds=2, tokens=8)
    for one in got:
        stamps = [stamp - one.began_ns for stamp, piece in one.pieces if b'"content":" ' in piece]
        assert stamps[0] >= 20_000_000
        assert stamps[-1] >= 41_000_000


def test_spreads_repeat_with_their_seed_and_keep_the_order() -> None:
    def firsts(seed: int) -> list[int]:
        options = MockOptions(ttft_s=0.01, itl_s=0.002, ttft_spread_s=0.009, itl_spread_s=0.001, seed=seed)
        with MockServer(options) as server:
            for _ in range(5):
                assert asked(server.url, 1, tokens=9)[0].whole
            return [one.first_due_ns - one.arrived_ns for one in server.requests()]

    one, again, other = firsts(1), firsts(1), firsts(2)
    assert one == again != other
    assert all(1_000_000 <= value <= 19_000_000 for value in one)
    assert len(set(one)) > 1


def served(
    options: MockOptions, concurrency: int, rounds: int, tokens: int
) -> tuple[Sequence[ServedRequest], dict[str, Any]]:
    with MockServer(options) as server:
        asked(server.url, concurrency, rounds=rounds, tokens=tokens)
        return server.requests(), server.stats()


def test_requests_beyond_the_slots_wait_in_turn() -> None:
    options = MockOptions(ttft_s=0.2, itl_s=0.005, slots=2)
    records, stats = served(options, 6, 1, 5)
    assert (stats["peak_running"], stats["peak_in_system"]) == (2, 6)
    assert stats["peak_waiting"] == 4
    service = 220_000_000
    in_order = sorted(records, key=lambda one: one.arrived_ns)
    assert [one.number for one in in_order] == [1, 2, 3, 4, 5, 6]
    assert all(one.last_due_ns - one.admitted_ns == service for one in records)
    # First come, first served, each at the very moment at which a place is free: no time is lost between them.
    for place, one in enumerate(in_order):
        assert one.admitted_ns == (one.arrived_ns if place < 2 else in_order[place - 2].last_due_ns)


def test_itl_grows_with_those_that_run() -> None:
    options = MockOptions(ttft_s=0.3, itl_s=0.002, itl_per_stream_s=0.001)
    records, _ = served(options, 4, 1, 5)
    for one in records:
        # Alone it would be four gaps of 2 ms; all four decode together, with 5 ms, until the first of them ends.
        assert 8_000_000 <= one.last_due_ns - one.first_due_ns <= 20_000_000
    assert max(one.last_due_ns - one.first_due_ns for one in records) >= 14_000_000


def test_closed_forms_by_hand() -> None:
    options = MockOptions(ttft_s=0.1, itl_s=0.01, slots=4, itl_per_stream_s=0.002, prefill_rate=1000)
    alone = closed_loop(options, 1, output_tokens=11, uncached_tokens=100)
    assert alone.ttft_s == pytest.approx(0.2)
    assert alone.e2e_s == pytest.approx(0.3)
    assert alone.requests_per_s == pytest.approx(1 / 0.3)
    # Eight at once: four run, ITL 10 + 3 x 2 = 16 ms, service 0.2 + 0.16 = 0.36 s; four wait 4 x 0.36 / 4 on average.
    full = closed_loop(options, 8, output_tokens=11, uncached_tokens=100)
    assert full.itl_s == pytest.approx(0.016)
    assert full.wait_s == pytest.approx(0.36)
    assert full.ttft_s == pytest.approx(0.56)
    assert full.requests_per_s == pytest.approx(4 / 0.36)


def test_one_token_and_no_time_at_all() -> None:
    assert closed_loop(MockOptions(itl_s=1), 3, output_tokens=1).e2e_s == pytest.approx(0.05)
    assert closed_loop(MockOptions(ttft_s=0, itl_s=0), 3, output_tokens=9).requests_per_s == float("inf")


@given(
    slots=st.integers(0, 40),
    per_stream=st.sampled_from([0.0, 0.0005, 0.002]),
    ttft_slo=st.one_of(st.none(), st.floats(0.04, 3)),
    itl_slo=st.one_of(st.none(), st.floats(0.005, 0.1)),
)
def test_capacity_is_the_last_level_that_keeps_the_limits(
    slots: int, per_stream: float, ttft_slo: float | None, itl_slo: float | None
) -> None:
    options = MockOptions(ttft_s=0.05, itl_s=0.01, slots=slots, itl_per_stream_s=per_stream)

    def keeps(concurrency: int) -> bool:
        truth = closed_loop(options, concurrency, output_tokens=16)
        slack = 1 + 1e-9
        return (ttft_slo is None or truth.ttft_s <= ttft_slo * slack) and (
            itl_slo is None or truth.itl_s <= itl_slo * slack
        )

    found = capacity(options, output_tokens=16, ttft_slo_s=ttft_slo, itl_slo_s=itl_slo)
    if found is None:
        assert all(map(keeps, range(1, 300)))
    else:
        assert found == 0 or keeps(found)
        assert not keeps(found + 1)


def test_a_closed_loop_is_at_its_closed_form() -> None:
    """By the deadlines of the server itself, which do not depend on how busy this machine is while places are taken."""
    options = MockOptions(ttft_s=0.04, itl_s=0.008, slots=2)
    records, _ = served(options, 4, 6, 6)
    truth = closed_loop(options, 4, output_tokens=6)
    steady = sorted(records, key=lambda one: one.admitted_ns)[4:-4]
    waits = [(one.admitted_ns - one.arrived_ns) / 1e9 for one in steady]
    span = (steady[-1].last_due_ns - steady[0].last_due_ns) / 1e9
    # Clients need some time between two requests, which shortens the queue that they wait in.
    assert sum(waits) / len(waits) <= truth.wait_s
    assert (len(steady) - 1) / span == pytest.approx(truth.requests_per_s, rel=0.15)


def test_describe_has_table_formula_and_capacity() -> None:
    text = describe(MockOptions(slots=32, itl_per_stream_s=0.0002), itl_slo_s=0.0152)
    assert "A mock: no model is run" in text
    assert "capacity under itl <= 15.200 ms: c = 27" in text.lower()
    assert "s = ttft + u / prefill_rate + (n - 1) x ITL(r)" in text
    assert re.search(r"\n +1 +50.000 ms +10.000 ms +680.000 ms +0.000 ms +1.471", text)


# The prefix cache.


def test_a_hit_is_whole_blocks_and_never_the_whole_prompt() -> None:
    cache = PrefixCache(1000)
    prompt = Prompt(b"x" * 64 * 3)  # 48 tokens: three blocks
    assert prompt.tokens == 48
    assert cache.take(prompt) == 0
    assert cache.take(prompt) == 32  # the last token is computed, and its block with it
    assert cache.take(Prompt(b"x" * 64 * 3 + b"y")) == 48
    assert cache.take(Prompt(b"x" * 100 + b"z" * 200)) == 16
    assert cache.take(Prompt(b"y" + b"x" * 200)) == 0
    assert (cache.queried, cache.hit) == (48 + 48 + 49 + 75 + 51, 96)


@given(st.lists(st.lists(st.integers(0, 2), max_size=80), max_size=12))
def test_hits_are_those_of_a_plain_search(prompts: list[list[int]]) -> None:
    cache = PrefixCache(100_000)
    seen: list[list[int]] = []
    for ids in prompts:
        blocks = (len(ids) - 1) // 16 if ids else 0
        # An earlier prompt helps as far as its own whole blocks go.
        best = max(
            (
                sum(1 for k in range(blocks) if (k + 1) * 16 <= len(old) and old[: (k + 1) * 16] == ids[: (k + 1) * 16])
                for old in seen
            ),
            default=0,
        )
        assert cache.take(Prompt(ids=ids)) == best * 16
        seen.append(ids)


def test_what_was_not_used_for_long_is_dropped() -> None:
    cache = PrefixCache(2)
    first, second = Prompt(ids=range(33)), Prompt(ids=range(100, 133))
    cache.take(first)
    assert cache.take(first) == 32
    cache.take(second)
    assert cache.take(first) == 0
    cache.clear()
    assert cache.take(first) == 0


def test_cached_tokens_are_told_and_not_prefilled() -> None:
    options = MockOptions(ttft_s=0.01, itl_s=0.001, prefix_cache=True, prefill_rate=10_000)
    body = {"prompt": list(range(100)), "max_tokens": 1}
    with MockServer(options) as server:
        first = ask(server.url, "/v1/completions", body).json()["usage"]
        second = ask(server.url, "/v1/completions", body).json()["usage"]
        records = server.requests()
        page = ask(server.url, "/metrics", method="GET").body.decode()
    assert first["prompt_tokens_details"] == {"cached_tokens": 0}
    assert second["prompt_tokens_details"] == {"cached_tokens": 96}
    # 10 ms, and 100 or 4 tokens at 10 a millisecond.
    assert [one.first_due_ns - one.arrived_ns for one in records] == [20_000_000, 10_400_000]
    assert 'vllm:prefix_cache_queries_total{engine="0",model_name="mock"} 200.0' in page
    assert 'vllm:prefix_cache_hits_total{engine="0",model_name="mock"} 96.0' in page


# Its own statistics.


def test_metrics_and_statistics_agree_with_what_was_done() -> None:
    with MockServer(MockOptions(ttft_s=0.03, itl_s=0.002)) as server:
        asked(server.url, 3, rounds=2, tokens=5)
        stats, page = server.stats(), ask(server.url, "/metrics", method="GET").body.decode()
        values = {name: float(value) for name, value in re.findall(r"^(vllm:\S+) (\S+)$", page, re.MULTILINE)}
        labels = 'engine="0",model_name="mock"'
        assert values[f"vllm:generation_tokens_total{{{labels}}}"] == 30 == stats["output_tokens"]
        assert values[f"vllm:prompt_tokens_total{{{labels}}}"] == 18 == stats["prompt_tokens"]
        assert values[f"vllm:time_to_first_token_seconds_count{{{labels}}}"] == 6
        assert values[f"vllm:time_to_first_token_seconds_sum{{{labels}}}"] >= 0.18
        assert values[f"vllm:inter_token_latency_seconds_count{{{labels}}}"] == 24
        assert values[f"vllm:inter_token_latency_seconds_sum{{{labels}}}"] == pytest.approx(0.048)
        assert values[f'vllm:inter_token_latency_seconds_bucket{{{labels},le="0.01"}}'] == 24
        assert values[f'vllm:request_success_total{{{labels},finished_reason="length"}}'] == 6
        assert values[f"vllm:num_requests_running{{{labels}}}"] == 0
        for name in ("time_to_first_token_seconds", "inter_token_latency_seconds", "e2e_request_latency_seconds"):
            counts = [value for key, value in values.items() if key.startswith(f"vllm:{name}_bucket")]
            assert counts == sorted(counts)
            assert counts[-1] == values[f"vllm:{name}_count{{{labels}}}"]
        assert stats["requests"] == 6
        assert stats["outcomes"] == {"done": 6}
        assert 1 <= stats["peak_in_system"] <= 3
        assert stats["lateness"]["writes"] == 30
        assert stats["lateness"]["p50_us"] <= stats["lateness"]["p99_us"] <= stats["lateness"]["max_us"]
        assert stats["arrivals"]["gaps"] == 5
        server.reset()
        assert (server.stats()["requests"], server.stats()["arrivals"]["mean_s"], server.requests()) == (0, None, [])


def test_arrivals_are_told_by_mean_and_variation() -> None:
    from infertui.mock.tallies import Tallies

    tallies = Tallies()
    for at in (1, 2, 4, 8):
        tallies.arrived(at * 1_000_000_000)
    # Gaps 1, 2, 4: mean 7/3, variance 7/3.
    assert tallies.gaps() == {"gaps": 3, "mean_s": pytest.approx(7 / 3), "cv": pytest.approx((7 / 3) ** 0.5 / (7 / 3))}
