"""How segments are held against each other: looking again and again finds no more than it should."""

import math
import random

import numpy as np
import pytest
from support.series import STRETCHED

from infertui.analysis.tuning.climb import Climb, Tried
from infertui.analysis.tuning.knobs import Knob
from infertui.analysis.tuning.segment import Segment, against, best_of, comparisons, confidence_at, looks_until
from infertui.measure.comparison import Totals


def totals(generator: random.Random, count: int, speed: float = 1.0) -> Totals:
    seconds = tuple(generator.lognormvariate(0, 0.05) / speed for _ in range(count))
    return Totals((64.0,) * count, seconds)


def test_looks_grow_apart_and_their_errors_add_up_to_one_in_twenty() -> None:
    assert [looks_until(count) for count in (0, 2, 3, 4, 5, 7, 8, 12)] == [
        (0, 0), (0, 0), (1, 3), (2, 4), (2, 4), (3, 6), (3, 6), (4, 9),
    ]  # fmt: skip
    spent = math.fsum(1 - confidence_at(look) for look in range(1, 100_000))
    assert spent == pytest.approx(0.05, rel=1e-3)


def test_looking_again_and_again_finds_false_differences_no_more_often_than_once_in_twenty() -> None:
    generator = random.Random(20260301)
    false, once = 0, 0
    for _ in range(200):
        first, second = totals(generator, 40), totals(generator, 60)
        looked = [
            against(1, first, Totals(second.numerators[:count], second.denominators[:count]), fixed=False).finding
            for count in sorted({looks_until(count)[1] for count in range(3, 61)})
        ]
        false += any(finding in ("better", "worse") for finding in looked)
        once += against(1, first, second, fixed=True).finding in ("better", "worse")
    # 10 of 200 are expected where it is exact; 19 and more happen once in 200 such tests (binomial).
    assert false <= 18
    assert once <= 18


@pytest.mark.parametrize(("speed", "finding"), [(1.2, "better"), (0.8, "worse"), (1.0, "equal")])
def test_a_difference_that_is_there_is_found(speed: float, finding: str) -> None:
    generator = random.Random(1)
    found = against(3, totals(generator, 1500), totals(generator, 1500, speed), fixed=False)
    assert found.finding == finding
    assert found.ratio == pytest.approx(speed, rel=0.02)
    assert found.low is not None
    assert found.high is not None
    assert found.low < speed < found.high


def test_three_batches_that_wander_together_are_clear_where_the_change_is_large() -> None:
    drawn = STRETCHED["wander 0.95"].draw(np.random.default_rng(2), 40, 3)
    seen = [Totals((16.0,) * 3, tuple(map(sum, run)), tuple(map(tuple, run))) for run in drawn.tolist()]
    equal = [against(1, one, other, fixed=True) for one, other in zip(seen[::2], seen[1::2], strict=True)]
    assert sum(found.finding in ("better", "worse") for found in equal) <= 4
    for one, other in zip(seen[::2], seen[1::2], strict=True):
        faster = Totals((32.0,) * 3, other.denominators, other.stretches)
        found = against(1, one, faster, fixed=True)
        assert (found.finding, found.looks) == ("better", 1)
        assert found.low is not None


def test_two_observations_are_unclear_and_have_a_ratio() -> None:
    generator = random.Random(1)
    found = against(1, totals(generator, 50), totals(generator, 2, 9.0), fixed=False)
    assert found.finding == "unclear"
    assert found.ratio == pytest.approx(9, rel=0.2)
    nothing = against(1, totals(generator, 50), Totals((), ()), fixed=True)
    assert (nothing.ratio, nothing.finding) == (None, "unclear")


def segment(number: int, throughput: float | None) -> Segment:
    return Segment(number, f"run-{number}", "", {}, "live", "finished", 0.0, 1.0, {"throughput": throughput})


def test_the_best_is_the_first_of_the_fastest_and_being_chosen_costs_confidence() -> None:
    segments = [segment(1, 10.0), segment(2, 30.0), segment(3, None), segment(4, 30.0)]
    best = best_of(segments)
    assert best is not None
    assert best.number == 2
    generator = random.Random(3)
    seen = {number: totals(generator, 20) for number in (1, 2, 4)}
    previous, against_best, baseline = comparisons(
        5, totals(generator, 20), segments, seen, process=0, fixed=True, baseline=1
    )
    assert previous is not None
    assert against_best is not None
    assert baseline is not None
    assert (previous.segment, against_best.segment, baseline.segment) == (4, 2, 1)
    assert previous.confidence == 0.95
    assert against_best.confidence == pytest.approx(1 - 0.05 / 3)
    assert comparisons(1, totals(generator, 3), [], {}, process=0, fixed=True) == (None, None, None)


def climbed(speeds: dict[int, float], start: int, budget: float = 100.0) -> tuple[list[object], object]:
    knob = Knob("k", "k", start, 1, "prepare", "", "", minimum=1, maximum=1000, whole=True)
    climb = Climb(knob, budget)
    tried = [Tried(start, speeds[start], "unclear")]
    while (value := climb.following(tried, 10.0 * len(tried))) is not None:
        best = max(one.throughput or 0.0 for one in tried)
        speed = speeds.get(int(value))
        better = speed is not None and speed > 1.01 * best
        tried.append(Tried(value, speed, "better" if better else "worse"))
    return [one.value for one in tried], climb.best(tried)


def test_a_climb_goes_up_while_it_gains_and_down_where_it_does_not() -> None:
    assert climbed({4: 1, 8: 2, 16: 3, 32: 2.5}, 4) == ([4, 8, 16, 32], 16)
    assert climbed({16: 1, 32: 0.5, 8: 2, 4: 1.5}, 16) == ([16, 32, 8, 4], 8)
    assert climbed({16: 3, 32: 2, 8: 2}, 16) == ([16, 32, 8], 16)
    assert climbed({1: 3, 2: 2}, 1) == ([1, 2], 1)
    assert climbed({512: 1, 1000: 2}, 512) == ([512, 1000], 1000)
    assert climbed({1000: 1, 512: 2, 256: 1}, 1000) == ([1000, 512, 256], 512)


def test_a_climb_ends_with_its_budget_and_passes_over_what_failed() -> None:
    assert climbed({value: float(value) for value in (1, 2, 4, 8, 16)}, 1, budget=25.0) == ([1, 2, 4], 4)
    assert climbed({8: 1.0, 4: 2.0, 2: 1.0}, 8) == ([8, 16, 4, 2], 4)  # 16 ran out of memory
    assert Climb(Knob("k", "k", 1, 1, "live", "", ""), 9.0).following([], 0.0) is None
