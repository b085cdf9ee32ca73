from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from support.batches import MILLISECOND, SECOND, batch, even_batch, stamps

from infertui.config.schema import ValidityConfig
from infertui.measure.records import BatchRecord, EngineMemory
from infertui.measure.summary import Summary, client_share, summarise, with_drift
from infertui.measure.trend import SHAPES
from infertui.measure.validity import Circumstances, judge


@st.composite
def runs(draw: st.DrawFn) -> list[BatchRecord]:
    """Measured batches of a run: some failed, some empty, some of no length at all."""
    found = []
    for index in range(draw(st.integers(0, 8))):
        steps = draw(stamps(max_size=8) | st.just([0, 0, 0]))
        found.append(
            batch(
                steps,
                end_ns=(steps[-1] if steps else 0) + draw(st.sampled_from([0, 1, SECOND])),
                tokens=[len(steps)] * draw(st.integers(1, 3)),
                index=index,
                error=draw(st.sampled_from(["", "", "it broke"])),
            )
        )
    return found


@given(runs())
def test_counts_and_throughput(batches: list[BatchRecord]) -> None:
    found = summarise(batches)
    good = [record for record in batches if not record.error]
    assert found.iterations == len(batches)
    assert found.requests == sum(len(record.requests) for record in batches)
    assert found.failed == sum(len(record.requests) for record in batches if record.error)
    assert found.output_tokens == sum(record.tokens for record in good)
    assert found.measured_s == pytest.approx(sum(record.end_ns - record.start_ns for record in good) / SECOND)
    if found.measured_s:
        assert found.output_tokens is not None
        assert found.output_throughput == pytest.approx(found.output_tokens / found.measured_s)
        total = found.output_tokens + (found.prompt_tokens or 0)
        assert found.total_throughput == pytest.approx(total / found.measured_s)
    else:
        assert {found.output_throughput, found.total_throughput, found.output_throughput_interval} == {None}


def test_a_deviation_is_that_of_batches_where_their_requests_share_their_times() -> None:
    """Each batch of four once, and not four times: 1.414 of one and three seconds, where eight values have 1.069."""
    found = summarise([even_batch(1.0, tokens=10, size=4), even_batch(3.0, tokens=10, size=4, index=1)]).latency
    assert found is not None
    assert (found.n, found.mean) == (2, 2.0)
    assert found.std == pytest.approx(2**0.5)
    single = summarise([even_batch(1.0, tokens=10, size=4)]).latency
    assert single is not None
    assert single.std is None, "one batch tells nothing of how they scatter"


@given(runs())
def test_no_summary_holds_what_json_cannot(batches: list[BatchRecord]) -> None:
    """Infinities and NaN would come back as null, and make the line of the index unreadable."""
    found = summarise(batches)
    assert msgspec.json.decode(msgspec.json.encode(found), type=Summary) == found


@given(runs())
def test_failed_batches_change_no_figure(batches: list[BatchRecord]) -> None:
    with_failed, without = summarise(batches), summarise([record for record in batches if not record.error])

    def figures(summary: Summary) -> Summary:
        return msgspec.structs.replace(summary, iterations=0, requests=0, failed=0, memory=EngineMemory())

    assert figures(with_failed) == figures(without)


def test_a_run_in_figures() -> None:
    batches = [even_batch(1.0, tokens=10, size=4), even_batch(3.0, tokens=10, size=4, index=1)]
    found = summarise(batches)
    assert (found.iterations, found.requests, found.failed) == (2, 8, 0)
    assert (found.prompt_tokens, found.output_tokens, found.measured_s) == (32, 80, 4.0)
    assert found.output_throughput == 20.0  # tokens over all time, not the mean of 40 and 13.3
    assert found.total_throughput == 28.0
    assert found.output_throughput_interval is None
    assert found.latency is not None
    assert found.ttft is not None
    assert found.tpot is not None
    assert found.tps is not None
    assert found.itl is not None
    assert found.latency.mean == 2.0
    assert found.ttft.mean == pytest.approx(0.2)
    assert found.tpot.mean == pytest.approx(0.2)
    assert (found.tps.minimum, found.tps.maximum) == pytest.approx((10 / 3, 10.0))
    assert found.itl.count == 18
    assert found.itl.mean == pytest.approx(0.2)


def test_every_request_weighs_the_same_and_a_batch_is_one_observation() -> None:
    found = summarise([even_batch(1.0, size=3), even_batch(2.0, size=1)])
    assert found.latency is not None
    assert found.latency.mean == 1.25
    assert found.latency.n == 2
    assert found.tps is not None
    assert found.tps.n == 2


def test_the_interval_lies_around_the_throughput() -> None:
    found = summarise([even_batch(seconds) for seconds in (1.0, 1.1, 0.9, 1.2, 1.3, 1.25)])
    assert found.output_throughput is not None
    assert found.output_throughput_interval is not None
    assert found.output_throughput_interval.low < found.output_throughput < found.output_throughput_interval.high


@given(st.lists(st.floats(0.5, 2.0), min_size=1, max_size=30))
def test_the_drift_is_the_one_by_which_a_run_is_marked(seconds: list[float]) -> None:
    batches = [even_batch(each) for each in seconds]
    found, verdict = summarise(batches), judge(batches, Circumstances(output_len=10), ValidityConfig())
    assert (found.drift is None) == (len(seconds) < 4)
    if "drift" in verdict.marks:
        assert found.drift_shape in SHAPES
        told = next(text for text in (*verdict.invalid, *verdict.notes) if "drifted" in text)
        assert f"drifted by {found.drift:+.0%} {SHAPES[found.drift_shape]}" in told
    elif found.drift is not None and abs(found.drift) > 0.05:
        assert found.drift_shape == "noise"


@pytest.mark.parametrize(
    ("seconds", "change", "shape"),
    [
        ([1.0, 1.001, 0.999, 1.0, 1.25, 1.251, 1.249, 1.25], -0.2, "halves"),  # 1 / 1.25 - 1
        ([1 / (1 + 0.02 * at) for at in range(11)], 0.2, "line"),
        ([1.0, 1.1, 0.9, 1.2, 1.3, 1.25], -0.24, "noise"),
    ],
)
def test_drifts_by_hand(seconds: list[float], change: float, shape: str) -> None:
    found = summarise([even_batch(each) for each in seconds])
    assert found.drift == pytest.approx(change, abs=0.06 if shape == "noise" else 0.002)
    assert found.drift_shape == shape


def test_speeds_that_no_drift_can_be_told_of_have_none() -> None:
    untold = summarise([even_batch(1.0)])
    assert with_drift(untold, [1.0, 1.0, 1.0]) == with_drift(untold, [0.0] * 9) == untold


def test_the_share_of_the_time_that_measuring_took() -> None:
    """3 + 1 ms of 1 + 3 s: a thousandth, each batch by its time."""
    spent = [replace(even_batch(1.0), client_ns=3 * MILLISECOND), replace(even_batch(3.0), client_ns=MILLISECOND)]
    assert summarise(spent).client_share == pytest.approx(1e-3)
    failed = replace(even_batch(9.0, error="it broke"), client_ns=SECOND)
    assert summarise([*spent, failed]).client_share == pytest.approx(1e-3)
    assert summarise([*spent, replace(failed, client_ns=None)]).client_share == pytest.approx(1e-3)
    assert summarise([*spent, even_batch(1.0)]).client_share is None, "of one of them it is not known"
    assert summarise([replace(even_batch(1.0), client_ns=0)]).client_share == 0.0
    assert client_share([]) is None
    assert client_share([failed]) is None


def test_nothing_measured() -> None:
    assert summarise([]) == Summary(0, 0, 0, 0, 0, 0)


def test_nothing_but_failures() -> None:
    found = summarise([even_batch(1.0, size=2, error="it broke"), even_batch(1.0, size=2, error="again")])
    assert found == Summary(iterations=2, requests=4, failed=4, prompt_tokens=0, output_tokens=0, measured_s=0)


def of_no_length(count: int) -> Sequence[BatchRecord]:
    return [batch([0, 0, 0], index=index) for index in range(count)]


def test_virtual_batches_of_no_length_have_no_throughput() -> None:
    found = summarise(of_no_length(5))
    assert (found.iterations, found.output_tokens, found.measured_s) == (5, 15, 0)
    assert found.output_throughput is None


def test_batches_of_no_length_among_others_divide_nothing_by_zero() -> None:
    found = summarise([*of_no_length(2), *(batch([MILLISECOND, 2 * MILLISECOND]) for _ in range(4))])
    assert found.output_throughput == pytest.approx(14 / 0.008)
    assert found.output_throughput_interval is None
    assert found.drift == pytest.approx(0)
    assert found.latency is not None
    assert found.latency.minimum == 0
    assert found.tps is not None
    assert found.tps.n == 4


def test_peaks_are_the_highest_known_of_all_batches() -> None:
    found = summarise(
        [
            batch([1], memory=EngineMemory(allocated_peak=5, resident_peak=70)),
            batch([1], memory=EngineMemory(allocated_peak=9)),
            batch([1], memory=EngineMemory(allocated_peak=7, resident_peak=80), error="it broke"),
        ]
    )
    assert found.memory == EngineMemory(allocated_peak=9, reserved_peak=None, resident_peak=80)


@pytest.mark.parametrize(
    ("count", "failed", "unit", "observations"),
    [(2, 0, "", 0), (3, 0, "batch", 3), (128, 2, "batch", 128), (129, 0, "block", 65), (1000, 1, "block", 125)],
)
def test_a_summary_says_what_its_interval_was_made_over(count: int, failed: int, unit: str, observations: int) -> None:
    """Up to 128 batches each is an observation; of more, as few in a row are one as make no more than 128."""
    good = [even_batch(1 + index * 7919 % 100 / 1e4, index=index) for index in range(count)]
    bad = [even_batch(0.5, index=count + index, error="it broke") for index in range(failed)]
    found = summarise([*good, *bad])
    assert (found.observation_unit, found.observations) == (unit, observations)
    assert (found.independence == "") == (unit == "")
