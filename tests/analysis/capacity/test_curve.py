"""Levels of load side by side: the knee by theory, what is better in nothing, and stays taken together."""

import pytest

from infertui.analysis.capacity.curve import LevelFigures, knee, pareto, together
from infertui.analysis.capacity.observed import LevelSeen, TermBlocks, objectives
from infertui.analysis.capacity.outcome import Stay, outcome_of
from infertui.analysis.capacity.search import SearchPlan
from infertui.measure.load.slo import parse_slo


def at(level: float, throughput: float, e2e: float, **more: float) -> LevelFigures:
    return LevelFigures(level, 10.0, 100, request_throughput=throughput, e2e=e2e, **more)


def test_the_knee_of_a_queue_is_at_half_its_load() -> None:
    """M/M/1: rate x (1 - rate) is highest at 1/2 (Kleinrock 1979)."""
    levels = [at(load, load, 1 / (1 - load)) for load in (0.1, 0.3, 0.5, 0.7, 0.9)]
    assert knee(levels) == 0.5


def test_no_knee_is_told_where_it_may_be_beyond_what_was_tried() -> None:
    assert knee([at(1, 1.0, 1.0), at(2, 2.0, 1.0), at(3, 3.0, 1.0)]) is None
    assert knee([at(1, 1.0, 1.0), at(2, 2.0, 1.0)]) is None
    assert knee([]) is None


def test_what_another_level_beats_in_both_is_left_out() -> None:
    levels = [
        at(level, 1.0, 1.0, output_throughput=output, tps_user=user)
        for level, output, user in ((1, 100, 90), (2, 180, 80), (4, 170, 60), (8, 300, 50), (16, 300, 20))
    ]
    assert [each.level for each in pareto([*levels, at(32, 1.0, 1.0)])] == [1, 2, 8]


def test_stays_at_one_level_count_by_their_seconds() -> None:
    one = LevelFigures(4, 10.0, 100, request_throughput=10.0, ttft=0.1, ttft_p99=0.2, tpot=0.01)
    other = LevelFigures(4, 30.0, 300, request_throughput=20.0, ttft=0.3, ttft_p99=0.3)
    (found,) = together([other, one])
    assert (found.seconds, found.requests) == (40.0, 400)
    assert found.request_throughput == pytest.approx(17.5)
    assert found.ttft == pytest.approx(0.25)
    assert found.ttft_p99 == 0.3
    assert found.tpot is None


def test_figures_of_a_level_are_of_the_stays_that_count() -> None:
    def stay(level: float, tpot: float, *, disturbed: bool) -> Stay:
        terms = (TermBlocks((tpot,) * 3, (1.0,) * 3), TermBlocks((0.0,) * 3, (1.0,) * 3))
        seen = LevelSeen(level, 0, 0.0, 10.0, 30, terms, disturbed=disturbed)
        return Stay(seen, LevelFigures(level, 10.0, 30, tpot=tpot), steady=True)

    plan = SearchPlan("concurrency", objectives(parse_slo("tpot.mean<60ms")))
    stays = [stay(4, 0.03, disturbed=True), stay(8, 0.05, disturbed=False), stay(8, 0.09, disturbed=True)]
    outcome = outcome_of(plan, stays, "most")
    assert [each.tpot for each in outcome.levels] == [0.03, 0.05]
