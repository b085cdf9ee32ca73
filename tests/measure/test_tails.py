"""High percentiles of gaps compared: one meaning, intervals that hold, and none where the gaps do not support one."""

import numpy as np
import pytest

from infertui.measure.clock import NS_PER_S
from infertui.measure.itl import bucket_of, merge_gaps, summarise_gaps
from infertui.measure.tails import GapCounts, tail_interval, tail_ratio


def observed(batches: "np.ndarray[tuple[int, int], np.dtype[np.float64]]") -> list[GapCounts]:
    """From seconds, batches x gaps."""
    found = []
    for gaps in batches:
        buckets, counts = np.unique([bucket_of(round(gap * NS_PER_S)) for gap in gaps.tolist()], return_counts=True)
        histogram = dict(zip(buckets.tolist(), counts.tolist(), strict=True))
        found.append(GapCounts(histogram, float(gaps.min()), float(gaps.max())))
    return found


def stalled(generator: np.random.Generator, batches: int, gaps: int, slower: float = 1.0) -> list[GapCounts]:
    """Steps of 5 ms; in three of ten batches, one gap in ten is a stall."""
    steps = 0.005 * generator.lognormal(0.0, 0.05, (batches, gaps))
    stall = (generator.random((batches, gaps)) < 0.1) & (generator.random((batches, 1)) < 0.3)
    return observed(slower * np.where(stall, steps * (1 + generator.exponential(2.0, (batches, gaps))), steps))


def test_equal_tails_are_seldom_called_different_and_unequal_ones_are_found() -> None:
    generator = np.random.default_rng(3)
    told = alarms = found = 0
    for _ in range(60):
        one, other, slow = (stalled(generator, 40, 63, slower) for slower in (1.0, 1.0, 4.0))
        values = [merged_p99(side) for side in (one, other, slow)]
        same = tail_interval(one, other, values[1] / values[0], 99)
        told += same is not None
        alarms += same is not None and not same.low <= 1 <= same.high
        unequal = tail_interval(one, slow, values[2] / values[0], 99)
        found += unequal is not None and unequal.low > 1
    assert told > 30
    assert alarms <= 0.12 * told
    assert found > 30


def merged_p99(parts: list[GapCounts]) -> float:
    """An independent reading: numpy's, of every gap at its bucket's middle."""
    middles = [1.02 ** (bucket + 0.5) / NS_PER_S for part in parts for bucket in part.histogram]
    counts = [count for part in parts for count in part.histogram.values()]
    return float(np.percentile(np.repeat(middles, counts), 99))


def test_one_stall_in_every_second_batch_is_beyond_the_99th_percentile() -> None:
    """0.8 % of all gaps: the run's p99 is a step, though each second batch's is the stall."""
    usual, stall = [5_000_000] * 63, [5_000_000] * 62 + [50_000_000]
    batches = [usual, stall] * 10
    merged = merge_gaps(
        gaps for batch in batches if (gaps := summarise_gaps([0, *np.cumsum(batch).tolist()])) is not None
    )
    assert merged is not None
    assert merged.known_p99 == pytest.approx(0.005, rel=0.01)
    parts = observed(np.array(batches) / NS_PER_S)
    found = tail_ratio(parts, parts, (0.005, 0.005), 99)
    assert found is not None
    assert found.value == 1
    assert found.differs is not True
    assert found.interval is not None
    assert found.interval.high > 9, "so near to its edge the percentile may be a stall"


@pytest.mark.parametrize(("batches", "gaps"), [(5, 63), (9, 1000), (20, 18), (1, 5000)])
def test_too_few_gaps_or_batches_have_no_interval(batches: int, gaps: int) -> None:
    parts = observed(0.005 * np.random.default_rng(1).lognormal(0.0, 0.1, (batches, gaps)))
    found = tail_ratio(parts, parts, (0.006, 0.006), 99)
    assert found is not None
    assert found.interval is None


def test_without_any_gaps_there_is_no_interval() -> None:
    assert tail_interval([], [], 1.0, 99) is None
    assert tail_ratio([], [], (0.0, 1.0), 99) is None
