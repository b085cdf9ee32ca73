"""The plan of a bench: each arm once a round, in a drawn order that the next round mirrors."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infertui.config.bench_plan import bench_id, distinct, orders, plan_bench, plan_rest
from infertui.config.schema import Config, ModelConfig, WorkloadConfig
from infertui.config.sweep import Place, Variant
from infertui.errors import UsageError

ARMS = [("slow", Config()), ("fast", Config(workload=WorkloadConfig(batch_size=2)))]


def places(plan: list[Variant]) -> list[Place]:
    return [variant.place for variant in plan if variant.place]


def test_a_plan_says_of_every_run_where_it_stands() -> None:
    plan = plan_bench(ARMS, 3, 7, "b1")
    assert [place.round for place in places(plan)] == [0, 0, 1, 1, 2, 2]
    assert {place.arm for place in places(plan)} == {"slow", "fast"}
    for variant, place in zip(plan, places(plan), strict=True):
        assert (place.bench, place.rounds, place.arms, place.seed) == ("b1", 3, ("slow", "fast"), 7)
        assert place.baseline is (place.arm == "slow")
        assert variant.name == f"{place.arm} {place.round + 1}/3"
        assert variant.config.workload == dict(ARMS)[place.arm].workload
        assert variant.config.measurement.fresh_process  # or a loaded model would serve two runs


@given(st.integers(2, 6), st.integers(1, 12), st.integers(0, 2**32))
def test_odd_rounds_mirror_the_one_before(arms: int, rounds: int, seed: int) -> None:
    found = orders([str(number) for number in range(arms)], rounds, seed)
    assert len(found) == rounds
    for number, order in enumerate(found):
        assert sorted(order) == sorted(found[0])
        if number % 2:
            assert order == found[number - 1][::-1]


def test_the_order_is_drawn_anew_and_is_the_same_for_a_seed() -> None:
    firsts = [orders("AB", 400, seed)[::2] for seed in range(3)]
    for drawn in firsts:
        assert 60 < sum(order[0] == "A" for order in drawn) < 140  # of 200: 6 sigma
    assert orders("AB", 20, 5) == orders("AB", 20, 5)
    assert firsts[0] != firsts[1]


def test_equal_names_are_told_apart() -> None:
    assert distinct(["a", "b", "a", "a", "a #2"]) == ("a", "b", "a #2", "a #3", "a #2 #2")
    plan = plan_bench([("a", Config()), ("a", Config())], 1, 1)
    assert [place.baseline for place in sorted(places(plan), key=lambda place: place.arm)] == [True, False]


def test_every_bench_has_a_name_of_its_own() -> None:
    now = datetime(2026, 3, 1, 10, 15, tzinfo=UTC)
    assert bench_id(now).startswith("bench-20260301-101500-")
    assert len({bench_id(now) for _ in range(20)}) > 1
    assert places(plan_bench(ARMS, 1, 1))[0].bench.startswith("bench-")


@pytest.mark.parametrize(
    ("arms", "rounds", "message"),
    [([], 5, "at least 2 configs"), (ARMS[:1], 5, "not 1"), (ARMS, 0, "0 rounds"), (ARMS, 10**6, "at most 5000")],
)
def test_what_is_no_bench_is_refused(arms: list[tuple[str, Config]], rounds: int, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        plan_bench(arms, rounds, 1)


def test_what_is_left_of_a_bench_keeps_its_order() -> None:
    plan = plan_bench(ARMS, 4, 3, "b1")
    known = places(plan[:5])
    configs = {variant.place.arm: variant.config for variant in plan if variant.place}
    assert plan_rest(known, known[:3] + known[4:], configs.get) == [plan[3], *plan[5:]]
    longer = plan_rest(known, known, configs.get, 6)
    assert [place.round for place in places(longer)] == [2, 3, 3, 4, 4, 5, 5]
    assert {place.rounds for place in places(longer)} == {6}
    assert plan_rest(known, places(plan), configs.get) == []


def test_a_bench_whose_first_round_was_cut_off_cannot_be_continued() -> None:
    plan = plan_bench([*ARMS, ("third", Config(model=ModelConfig(id="m")))], 4, 3, "b1")
    known = places(plan[:2])
    configs = {variant.place.arm: variant.config for variant in plan[:2] if variant.place}
    with pytest.raises(UsageError, match="never measured"):
        plan_rest(known, known, configs.get)
