"""A stay at a level: it lasts until latencies have settled, and says when they never will."""

import random

import pytest
from support.simulated_load import answered, closed_loop, ns, queue

from infertui.measure.load.slo import parse_slo
from infertui.measure.load.summary import AskedLoad
from infertui.measure.records import Request
from infertui.runner.capacity.stay import FIRST_S, GIVE_UP_STAYS, LevelStay, StayEnd
from infertui.worker.loadgen.protocol import LoadSnapshot

SLO = parse_slo("tpot.mean<20ms")
STEP_NS = ns(0.25)


def lived(stay: LevelStay, requests: list[Request], *, in_flight: int, seconds: float) -> tuple[StayEnd | None, float]:
    """Told a quarter of a second at a time, as clients do; how it ended, and when."""
    left = sorted(requests, key=lambda one: one.end_ns)
    now = 0
    while now < ns(seconds):
        now += STEP_NS
        ended = [one for one in left if one.end_ns <= now]
        left = left[len(ended) :]
        stay.add(ended)
        stay.snapshot(0, LoadSnapshot(now, in_flight, 0, 0, 0, 0, lag_ns=1000, late_ns=0, cpu=0.1))
        if (end := stay.look(now)) is not None:
            return end, now / 1e9
    return None, seconds


def even(_at: float, _rng: random.Random) -> tuple[float, float, int]:
    return 0.05, 0.01, 32


def test_a_level_that_is_settled_is_stayed_at_no_longer_than_asked_and_some_latencies() -> None:
    stay = LevelStay(16, AskedLoad(concurrency=16, slo=SLO), begin_ns=0, stay_s=4.0)
    end, at = lived(stay, closed_loop(16, 30.0, even), in_flight=16, seconds=30)
    assert end == "settled"
    assert 4.0 + 3 * 0.36 <= at <= 7.0
    seen = stay.result("settled", ns(at), number=3, at=12.0, seed=5)
    assert seen.steady
    assert seen.figures.tpot == pytest.approx(0.01)
    assert seen.figures.request_throughput == pytest.approx(16 / 0.36, rel=0.01)
    assert (seen.observation.stay, seen.observation.at, seen.seed) == (3, 12.0, 5)
    assert sum(seen.observation.terms[0].above) / sum(seen.observation.terms[0].below) == pytest.approx(0.01)
    assert not seen.against


def test_what_ended_before_the_level_began_is_none_of_it() -> None:
    before = [answered(0.0, 0.5, 0.1, 10)]
    stay = LevelStay(1, AskedLoad(concurrency=1, slo=SLO), begin_ns=ns(10), stay_s=1.0)
    stay.add(before)
    assert stay.requests == 0


def test_a_rate_beyond_what_the_server_can_do_is_an_overload() -> None:
    for seed in range(3):
        stay = LevelStay(150, AskedLoad(rate=150.0, cv=1.0, slo=SLO), begin_ns=0, stay_s=4.0)
        end, at = lived(stay, queue(150, 10, 0.1, 60.0, seed=seed), in_flight=200, seconds=60)
        assert end == "overloaded"
        assert at < 4.0 * GIVE_UP_STAYS + 5
        assert stay.result(end, ns(at), number=0, at=0.0, seed=0).observation.overloaded


def test_a_rate_that_it_can_do_is_none() -> None:
    ends = []
    for seed in range(6):
        stay = LevelStay(50, AskedLoad(rate=50.0, cv=1.0, slo=SLO), begin_ns=0, stay_s=4.0)
        ends.append(lived(stay, queue(50, 10, 0.1, 60.0, seed=seed), in_flight=5, seconds=60)[0])
    assert ends.count("settled") >= 5
    assert "overloaded" not in ends


def test_nothing_that_ends_is_given_up_some_time() -> None:
    stay = LevelStay(8, AskedLoad(concurrency=8, slo=SLO), begin_ns=0, stay_s=1.0)
    end, at = lived(stay, [], in_flight=8, seconds=150)
    assert end == "unsettled"
    assert at == pytest.approx(FIRST_S, abs=1.0)
    hung = LevelStay(8, AskedLoad(rate=8.0, slo=SLO), begin_ns=0, stay_s=1.0)
    assert lived(hung, [], in_flight=8, seconds=30)[0] == "overloaded"
    assert hung.result("overloaded", ns(7), number=0, at=0.0, seed=0).observation.requests == 0


def test_a_server_that_refuses_is_not_waited_for() -> None:
    refused = [
        Request(
            prompt="",
            prompt_tokens=0,
            tokens=0,
            due_ns=ns(at / 10),
            sent_ns=ns(at / 10),
            end_ns=ns(at / 10 + 0.05),
            error="429",
            error_kind="rate-limited",
        )
        for at in range(300)
    ]
    stay = LevelStay(8, AskedLoad(concurrency=8, slo=SLO), begin_ns=0, stay_s=3.0)
    end, at = lived(stay, refused, in_flight=1, seconds=30)
    assert end == "unsettled"
    assert at < 8
    seen = stay.result(end, ns(at), number=0, at=0.0, seed=0)
    assert seen.figures.error_rate == 1.0
    assert any("rate-limited" in text for text in seen.against)


def test_a_client_that_stood_still_is_told_and_its_stay_counts_as_disturbed() -> None:
    stay = LevelStay(16, AskedLoad(concurrency=16, slo=SLO), begin_ns=0, stay_s=2.0)
    lived(stay, closed_loop(16, 10.0, even), in_flight=16, seconds=2)
    stay.snapshot(0, LoadSnapshot(ns(2.1), 16, 0, 0, 0, 0, lag_ns=ns(0.5), late_ns=0, cpu=0.1))
    seen = stay.result("settled", ns(3), number=0, at=0.0, seed=0)
    assert seen.observation.disturbed
    assert "stood still" in seen.against[0]
