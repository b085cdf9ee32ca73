"""Whether a load generator was the limit, by files of each that tells a request rate."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from support.foreign_files import aiperf, dumped, guidellm, guidellm_benchmark, guidellm_metric, vllm_serve

from infertui.analysis.bottleneck import FEWEST, Offered, of_offered_load, offered
from infertui.analysis.comparability import unlike
from infertui.analysis.limits import limit_line, limit_lines, limits_of
from infertui.analysis.summary_text import figures
from infertui.cli.reading.markdown import markdown_table
from infertui.formats.detect import read
from infertui.formats.imported_run import Given, result_of
from infertui.formats.reader import SourceFile
from infertui.results.result import Result

NOW = datetime(2026, 3, 1, 9, tzinfo=UTC)


def imported(content: dict[str, Any]) -> Result:
    (found,) = read(SourceFile.of(dumped(content)), Given()).findings
    return result_of(found, Given(), file="load.json", sha256="0" * 64, now=NOW)


def served(rate: object, *, completed: int = 500, seconds: float = 51.0, **changes: Any) -> Result:
    """By vllm bench serve: 5 tokens a request."""
    return imported(
        vllm_serve(
            request_rate=rate, completed=completed, num_prompts=completed, duration=seconds, max_concurrency=None,
            total_input_tokens=100 * completed, total_output_tokens=5 * completed,
            request_throughput=completed / seconds, output_throughput=5 * completed / seconds,
            total_token_throughput=105 * completed / seconds,
        )
        | changes
    )  # fmt: skip


def by_aiperf(count: int, seconds: float, **loadgen: Any) -> Result:
    return imported(
        aiperf(
            request_count={"unit": "requests", "avg": float(count)},
            error_request_count={"unit": "requests", "avg": 0.0},
            benchmark_duration={"unit": "sec", "avg": seconds},
            output_token_throughput={"unit": "tokens/sec", "avg": 256.0 * count / seconds},
            input_config={"loadgen": loadgen},
        )
    )


def by_guidellm(count: int, seconds: float, **strategy: Any) -> Result:
    benchmark = guidellm_benchmark(requests=False)
    benchmark["config"]["strategy"] = strategy
    benchmark["duration"] = seconds
    benchmark["metrics"]["request_totals"] = {"successful": count, "incomplete": 0, "errored": 0, "total": count}
    benchmark["metrics"]["output_token_count"] = guidellm_metric([5.0] * count)
    return imported(guidellm(benchmark))


def bound(result: Result) -> str | None:
    limits = limits_of(result)
    return None if limits is None else limits.bound


def test_a_server_that_answered_what_was_sent_was_not_at_its_limit() -> None:
    """500 requests in 51 s: 9.80/s of 10/s."""
    limits = limits_of(served(10.0))
    assert limits is not None
    assert limits.bound == "client"
    assert limits.why == "requests were sent at 10/s and 9.80/s were answered: the server was not at its limit"
    assert limits.next_step == "a higher request rate (or inf), until the answered rate stays behind"
    assert (limits.mbu, limits.mfu, limits.bandwidth, limits.decode_limit) == (None,) * 4


def test_it_stands_in_every_view_without_shares() -> None:
    result = served(10.0)
    rows = dict(figures(result))
    assert rows["bound by"].startswith("client: requests were sent at 10/s and 9.80/s")
    assert rows["next"].startswith("a higher request rate")
    assert rows["MBU"] == rows["MFU"] == "n/a: the file does not tell what was loaded"
    assert limit_line(result).startswith("bound by client  next: a higher request rate")
    assert markdown_table([result], ["bound by", "MBU"]).splitlines()[-1] == "| client | n/a |"
    assert any("is bound by the client: requests were sent" in text for text in unlike(result, served("inf")))
    assert "harness overhead" not in rows


@pytest.mark.parametrize(
    "seconds",
    [
        pytest.param(500 / 8.99, id="8.99 of 10 answered: it stayed behind"),
        pytest.param(500 / 11.01, id="11.01 of 10 answered: the rate is not what was sent"),
        pytest.param(100.0, id="half of it answered"),
    ],
)
def test_outside_the_margin_nothing_is_told(seconds: float) -> None:
    assert limits_of(served(10.0, seconds=seconds)) is None
    assert limit_lines(served(10.0, seconds=seconds)) == []


@pytest.mark.parametrize("seconds", [500 / 9.001, 500 / 10.999])
def test_inside_the_margin_it_is(seconds: float) -> None:
    assert bound(served(10.0, seconds=seconds)) == "client"


@pytest.mark.parametrize("rate", ["inf", "Infinity", None, 0, -1.0, "", "fast", "nan", "1e999"])
def test_no_rate_no_word(rate: object) -> None:
    """A closed loop sends when it is answered: its rate is the server's."""
    assert limits_of(served(rate, max_concurrency=8)) is None


def test_few_drawn_requests_tell_nothing() -> None:
    """sqrt(1 / 400) is 5 %, and two of it are the margin."""
    assert bound(served(10.0, completed=400, seconds=40.0)) == "client"
    assert bound(served(10.0, completed=399, seconds=39.9)) is None
    # gamma of shape 4: a quarter of the variance; of shape 1/2: twice
    assert bound(served(10.0, completed=100, seconds=10.0, burstiness=4.0)) == "client"
    assert bound(served(10.0, completed=99, seconds=9.9, burstiness=4.0)) is None
    assert bound(served(10.0, completed=799, seconds=79.9, burstiness=0.5)) is None
    assert bound(served(10.0, completed=800, seconds=80.0, burstiness=0.5)) == "client"
    assert Offered(10.0).fewest == 400
    assert Offered(10.0, 0.0).fewest == FEWEST == 20


def test_requests_that_failed_are_no_answers() -> None:
    lost = served(10.0, completed=440, seconds=50.0, failed=60)
    assert lost.summary.requests == 500
    assert limits_of(lost) is None


def test_aiperf_tells_its_rate_and_how_requests_arrive() -> None:
    assert bound(by_aiperf(400, 41.0, request_rate=10.0)) == "client"
    assert bound(by_aiperf(97, 10.0, request_rate=10.0)) is None, "Poisson unless it says otherwise"
    assert bound(by_aiperf(97, 10.0, request_rate=10.0, arrival_pattern="constant")) == "client"
    assert bound(by_aiperf(97, 10.0, request_rate=10.0, arrival_pattern="gamma", arrival_smoothness=5.0)) == "client"
    assert bound(by_aiperf(400, 41.0, concurrency=10)) is None
    assert bound(by_aiperf(400, 60.0, request_rate=10.0)) is None


def test_guidellm_tells_a_rate_of_two_strategies() -> None:
    assert bound(by_guidellm(97, 10.0, type_="constant", rate=10.0)) == "client"
    assert bound(by_guidellm(97, 10.0, type_="poisson", rate=10.0)) is None
    assert bound(by_guidellm(970, 100.0, type_="poisson", rate=10.0)) == "client"
    assert bound(by_guidellm(970, 100.0, type_="concurrent", streams=10, rate=10.0)) is None
    assert bound(by_guidellm(970, 100.0, type_="throughput", rate=10.0)) is None


def test_what_the_file_does_not_tell_is_not_made_up() -> None:
    result = served(10.0)
    for untold in (replace(result.summary, requests=None), replace(result.summary, measured_s=None)):
        assert of_offered_load(replace(result, summary=untold)) is None
    assert of_offered_load(replace(result, summary=replace(result.summary, measured_s=0.0))) is None
    assert offered(replace(result, loaded=None)) is None
    assert offered(replace(result, imported="")) is None, "of a run of ours these details are an engine's"


@given(
    rate=st.floats(1e-3, 1e6),
    shape=st.none() | st.floats(0.01, 100),
    count=st.integers(0, 100_000),
    answered=st.floats(1e-3, 1e6),
)
def test_it_is_told_within_the_margin_alone(rate: float, shape: float | None, count: int, answered: float) -> None:
    result = served(rate, completed=max(count, 1), seconds=max(count, 1) / answered, burstiness=shape)
    if of_offered_load(result) is None:
        return
    assert 0.9 * rate * (1 - 1e-9) <= answered <= 1.1 * rate * (1 + 1e-9)
    assert 2 * (1 / (shape or 1.0) / count) ** 0.5 <= 0.1 * (1 + 1e-9)
