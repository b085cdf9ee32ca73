import itertools
import random
import statistics

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.batches import stamps

from infertui.measure.clock import NS_PER_S
from infertui.measure.itl import (
    Gaps,
    bucket_of,
    bucket_seconds,
    drawn_from,
    merge_gaps,
    merge_sequences,
    summarise_gaps,
)

NANOSECOND = 1 / NS_PER_S


def summarised(stamps_ns: list[int]) -> Gaps:
    gaps = summarise_gaps(stamps_ns)
    assert gaps is not None
    return gaps


@st.composite
def split_stamps(draw: st.DrawFn) -> tuple[list[int], list[list[int]]]:
    """Stamps, and the same cut into pieces that share the stamps at the cuts: the same gaps."""
    whole = draw(stamps(min_size=3, max_size=120))
    cuts = sorted(draw(st.sets(st.integers(1, len(whole) - 2), max_size=5)))
    edges = [0, *cuts, len(whole) - 1]
    return whole, [whole[start : end + 1] for start, end in itertools.pairwise(edges)]


@given(stamps(min_size=2, max_size=120))
def test_summary_is_exact(stamps_ns: list[int]) -> None:
    gaps = [(after - before) / NS_PER_S for before, after in itertools.pairwise(stamps_ns)]
    found = summarised(stamps_ns)
    assert found.count == len(gaps)
    assert found.mean == pytest.approx(statistics.fmean(gaps), rel=1e-12, abs=1e-15)
    assert (found.minimum, found.maximum) == (min(gaps), max(gaps))
    expected = np.percentile(gaps, (50, 90, 99))
    assert [found.p50, found.p90, found.p99] == pytest.approx(expected, rel=1e-12, abs=1e-15)
    assert sum(found.histogram.values()) == len(gaps)


@pytest.mark.parametrize("stamps_ns", [[], [7]])
def test_fewer_than_two_steps_have_no_gaps(stamps_ns: list[int]) -> None:
    assert summarise_gaps(stamps_ns) is None


@given(st.integers(1, 10**17))
def test_a_bucket_knows_its_values_to_one_percent(nanoseconds: int) -> None:
    assert bucket_seconds(bucket_of(nanoseconds)) == pytest.approx(nanoseconds / NS_PER_S, rel=0.01)


@given(st.integers(0, 10**17), st.integers(0, 10**17))
def test_buckets_keep_the_order(one: int, other: int) -> None:
    low, high = sorted((one, other))
    assert bucket_of(low) <= bucket_of(high)


@pytest.mark.parametrize("nanoseconds", [-5, 0, 1])
def test_the_first_bucket_takes_everything_small(nanoseconds: int) -> None:
    assert bucket_of(nanoseconds) == 0


@given(split_stamps())
def test_merged_parts_are_the_whole(split: tuple[list[int], list[list[int]]]) -> None:
    whole = summarised(split[0])
    merged = merge_gaps([summarised(part) for part in split[1]])
    assert merged is not None
    assert merged.count == whole.count
    assert merged.histogram == whole.histogram
    assert (merged.minimum, merged.maximum) == (whole.minimum, whole.maximum)
    assert merged.mean == pytest.approx(whole.mean, rel=1e-12, abs=1e-15)
    for name in ("p50", "p90", "p99"):
        # Durations of a nanosecond and below share a bucket.
        assert getattr(merged, name) == pytest.approx(getattr(whole, name), rel=0.01, abs=1.1 * NANOSECOND)


@given(st.lists(stamps(min_size=2), min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_merging_does_not_depend_on_the_order(parts_ns: list[list[int]], shuffler: random.Random) -> None:
    parts = [summarised(stamps_ns) for stamps_ns in parts_ns]
    shuffled = shuffler.sample(parts, len(parts))
    assert merge_gaps(parts) == merge_gaps(shuffled)


@given(st.lists(stamps(min_size=2), min_size=2, max_size=6), st.data())
def test_merging_in_two_steps_is_merging_at_once(parts_ns: list[list[int]], data: st.DataObject) -> None:
    parts = [summarised(stamps_ns) for stamps_ns in parts_ns]
    cut = data.draw(st.integers(1, len(parts) - 1))
    first, at_once = merge_gaps(parts[:cut]), merge_gaps(parts)
    assert first is not None
    assert at_once is not None
    stepwise = merge_gaps([first, *parts[cut:]])
    assert stepwise is not None
    assert stepwise.mean == pytest.approx(at_once.mean, rel=1e-12, abs=1e-15)
    assert msgspec.structs.replace(stepwise, mean=0.0) == msgspec.structs.replace(at_once, mean=0.0)


@given(st.dictionaries(st.integers(0, 4096), st.integers(0, 1 << 53), max_size=40), st.integers(1, 500))
def test_what_is_drawn_from_a_histogram_is_bounded_and_keeps_its_shares(histogram: dict[int, int], most: int) -> None:
    drawn = drawn_from(histogram, most)
    assert drawn == sorted(drawn)
    assert len(drawn) <= 1.5 * most + len(histogram), "a bucket that is not empty shows"
    total = sum(histogram.values())
    for bucket, count in histogram.items():
        assert abs(drawn.count(bucket_seconds(bucket)) - count * min(1, most / max(total, 1))) <= 1


@given(st.lists(stamps(min_size=2), min_size=1, max_size=6))
def test_percentiles_are_ordered_and_within_the_extremes(parts_ns: list[list[int]]) -> None:
    merged = merge_gaps(summarised(stamps_ns) for stamps_ns in parts_ns)
    assert merged is not None
    for gaps in (summarised(parts_ns[0]), merged):
        in_order = [gaps.minimum, gaps.p50, gaps.p90, gaps.p99, gaps.maximum]
        known = [value for value in in_order if value is not None]
        assert len(known) == len(in_order)
        assert known == sorted(known)


def test_equal_gaps_merge_to_themselves() -> None:
    merged = merge_gaps([summarised(list(range(0, 50_000_000, 5_000_000)))] * 3)
    assert merged is not None
    assert (merged.minimum, merged.p50, merged.p90, merged.p99, merged.maximum) == (0.005,) * 5
    assert merged.mean == pytest.approx(0.005)


def test_nothing_merges_to_nothing() -> None:
    assert merge_gaps([]) is None


@given(stamps(min_size=2))
def test_gaps_survive_json(stamps_ns: list[int]) -> None:
    gaps = summarised(stamps_ns)
    assert msgspec.json.decode(msgspec.json.encode(gaps), type=Gaps) == gaps


def test_steps_of_several_tokens() -> None:
    found = summarise_gaps([0, 10, 40], [5, 1, 2])
    assert found is not None
    assert (found.count, found.tokens, found.tokens_per_step) == (2, 3, 1.5)
    assert found.per_token == pytest.approx(40e-9 / 3)
    single = summarise_gaps([0, 10, 40])
    assert single is not None
    assert (single.tokens, single.per_token) == (2, single.mean)
    merged = merge_gaps([found, single])
    assert merged is not None
    assert (merged.count, merged.tokens) == (4, 5)


def test_files_of_earlier_versions_had_a_token_in_each_step() -> None:
    whole = summarise_gaps([0, 10, 40])
    assert whole is not None
    earlier = msgspec.structs.replace(whole, tokens=0)
    assert (earlier.tokens_per_step, earlier.per_token) == (1.0, whole.mean)
    merged = merge_gaps([earlier, whole])
    assert merged is not None
    assert merged.tokens == 4


@pytest.mark.parametrize(
    ("steps", "supported"),
    [(5, ()), (9, ("p50",)), (36, ("p50", "p90")), (367, ("p50", "p90")), (368, ("p50", "p90", "p99"))],
)
def test_percentiles_need_as_many_gaps_as_bound_them(steps: int, supported: tuple[str, ...]) -> None:
    gaps = summarised(list(range(0, 10 * (steps + 1), 10)))
    assert gaps.supported == supported
    assert (gaps.known_p99 is None) == ("p99" not in supported)
    beside = merge_sequences([gaps] * 64)
    assert beside is not None
    assert beside.supported == supported, "sequences that share their steps are no more observations"
    assert beside.count == 64 * steps
    later = merge_gaps([gaps] * 64)
    assert later is not None
    assert later.steps == 64 * steps
