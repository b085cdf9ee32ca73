"""Batches read back from request lines, and taken together where there are very many."""

import math
import tracemalloc
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infertui.measure.tails import GapCounts
from infertui.results.observations import Observation, read_observations, thinned


def line(batch: int, **values: object) -> bytes:
    return msgspec.json.encode({"batch": batch, "tokens": 10, "latency": 1.0, "batch_seconds": 2.0, **values}) + b"\n"


def test_a_batchs_requests_are_one_observation(tmp_path: Path) -> None:
    one = {"mean": 0.02, "minimum": 0.01, "maximum": 0.05, "histogram": {"9": 2, "7": 1}}
    other = {"mean": 0.04, "minimum": 0.02, "maximum": 0.07, "count": 3, "histogram": {"9": 3}}
    lines = [
        line(0, latency=1.0, ttft=0.1, tpot=0.01, energy_j=3.0, own_times=True, itl=one, stretches=[0.5, 1.5]),
        line(0, latency=3.0, ttft=0.3, tpot=0.03, energy_j=5.0, own_times=True, itl=other),
        line(1, error="it failed"),
        line(2, energy_j=None, itl=None),
        b'{"batch": 3, "tok',
    ]
    (tmp_path / "requests.jsonl").write_bytes(b"".join(lines))
    first, second = read_observations(tmp_path)
    assert (first.tokens, first.seconds, first.latency, first.energy_j, first.requests) == (20, 2.0, 2.0, 8.0, 2)
    assert [first.ttft, first.tpot, first.itl] == pytest.approx([0.2, 0.02, 0.03])
    assert first.gaps == GapCounts({9: 5, 7: 1}, 0.01, 0.07)
    assert (second.tokens, second.energy_j, second.itl) == (10, None, None)
    assert (first.stretches, second.stretches) == ((0.5, 1.5), ())
    assert read_observations(tmp_path / "nowhere") == []


def test_gaps_that_all_requests_of_a_batch_share_count_once(tmp_path: Path) -> None:
    shared = {"mean": 0.02, "minimum": 0.01, "maximum": 0.05, "histogram": {"9": 2}}
    (tmp_path / "requests.jsonl").write_bytes(line(0, itl=shared) * 8 + line(1, itl=shared) * 8)
    found = read_observations(tmp_path)
    assert [one.gaps for one in found] == [GapCounts({9: 2}, 0.01, 0.05)] * 2
    assert sum(one.gaps.histogram[9] for one in thinned(found * 3, 2) if one.gaps) == 12


@pytest.mark.parametrize("histogram", [{"-1": 2}, {"9": -2}, {"99999999": 1}, {"9": 10**18}, {}])
def test_gaps_that_nobody_measured_are_not_known(tmp_path: Path, histogram: dict[str, int]) -> None:
    told = {"mean": 0.02, "minimum": 0.01, "maximum": 0.05, "histogram": histogram}
    (tmp_path / "requests.jsonl").write_bytes(line(0, itl=told))
    assert read_observations(tmp_path)[0].gaps is None


def single(number: int, latency: float) -> Observation:
    return Observation(tokens=number + 1, seconds=latency * 2, latency=latency, ttft=None, tpot=1.0, energy_j=1.0)


@given(st.lists(st.floats(0.1, 10), max_size=100), st.sampled_from([2, 4, 8]))
def test_sums_and_means_outlast_thinning(latencies: list[float], most: int) -> None:
    whole = [single(number, latency) for number, latency in enumerate(latencies)]
    found = thinned(whole, most)
    assert len(found) <= most
    assert len(found) >= min(len(whole), most // 2)
    assert sum(one.tokens for one in found) == sum(one.tokens for one in whole)
    assert sum(one.batches for one in found) == len(whole)
    assert math.isclose(sum(one.seconds or 0 for one in found), 2 * sum(latencies), abs_tol=1e-9)
    assert math.isclose(sum((one.latency or 0) * one.batches for one in found), sum(latencies), abs_tol=1e-9)
    assert all(one.ttft is None and one.tpot == 1.0 for one in found)
    assert len({one.batches for one in found[:-1]}) <= 1
    if len(whole) < most:
        assert found == whole


def test_long_runs_take_no_more_memory_than_short_ones(tmp_path: Path) -> None:
    def peak(batches: int) -> tuple[int, int]:
        with (tmp_path / "requests.jsonl").open("wb") as stream:
            stream.writelines(line(batch, ttft=batch / 7, tpot=batch / 9) for batch in range(batches))
        tracemalloc.start()
        found = read_observations(tmp_path, 256)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most, len(found)

    short, kept = peak(255)
    assert kept == 255
    long, kept = peak(4096)
    assert kept <= 256
    assert long < 1.6 * short
