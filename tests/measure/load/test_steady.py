"""When a load has settled: planted TPOTs are found behind warm-ups, and what never settles is not taken for settled."""

import math
import random
from collections.abc import Callable

import pytest
from msgspec.structs import replace
from support.simulated_load import closed_loop, ns, queue

from infertui.measure.load.columns import columns_of
from infertui.measure.load.figures import Steadiness
from infertui.measure.load.steady import SteadyWatch, level_of, steadiness
from infertui.measure.load.summary import AskedLoad, summarise_load
from infertui.measure.records import Request

TRUE_TPOT = 0.02
SECONDS = 40.0
Shape = Callable[[float], float]


def slowed(shape: Shape, *, seed: int = 0, noise: float = 0.02, streams: int = 32) -> list[Request]:
    """A load whose TPOT, in the proportion of `shape`, depends on when a request was sent."""

    def times(at: float, rng: random.Random) -> tuple[float, float, int]:
        return 0.05 * math.exp(rng.gauss(0, 0.1)), TRUE_TPOT * shape(at) * (1 + rng.gauss(0, noise)), 20

    return closed_loop(streams, SECONDS, times, seed=seed, spread=TRUE_TPOT)


def judged(requests: list[Request]) -> Steadiness:
    columns = columns_of(requests, 0)
    level = level_of(columns, concurrency=32, stop=SECONDS)
    return steadiness(columns, level.start, level.end)


@pytest.mark.parametrize(
    "shape",
    [
        lambda at: 1.0,
        lambda at: 1 + 2 * math.exp(-at / 2),
        lambda at: 3.0 if at < 6 else 1.0,
        lambda at: 1 + 0.5 * max(0.0, 1 - at / 10),
        lambda at: 0.5 if at < 4 else 1.0,
    ],
    ids=["steady", "decay", "step", "ramp", "fast-first"],
)
def test_the_planted_tpot_is_found_within_a_thousandth_behind_any_warm_up(shape: Shape) -> None:
    for seed in range(3):
        summary, load = summarise_load(
            slowed(shape, seed=seed), AskedLoad(concurrency=32), origin_ns=0, stop_ns=ns(SECONDS)
        )
        assert load.steadiness.steady, load.steadiness.reason
        assert summary.tpot is not None
        assert summary.tpot.mean == pytest.approx(TRUE_TPOT, rel=0.001)


@pytest.mark.parametrize(
    ("shape", "told"),
    [
        (lambda at: 1 + at / SECONDS, "rose"),
        (lambda at: 2 - at / SECONDS, "fell"),
        (lambda at: 1.0 if at < 0.7 * SECONDS else 1.3, "rose"),
        (lambda at: 1.2 if at < 0.8 * SECONDS else 1.0, "fell"),
    ],
    ids=["slower", "faster", "late-shift-up", "late-shift-down"],
)
def test_what_never_settles_is_told_with_its_way(shape: Shape, told: str) -> None:
    for seed in range(5):
        found = judged(slowed(shape, seed=seed))
        assert found.steady is False
        assert f"never settled: the TPOT {told} by" in found.reason


def test_a_queue_that_grows_never_settles() -> None:
    for seed in range(5):
        _, load = summarise_load(queue(110, 10, 0.1, 40.0, seed=seed), AskedLoad(rate=110.0), origin_ns=0)
        assert load.steadiness.steady is False
        assert load.steadiness.moved == "ttft"


def test_noise_alone_is_seldom_taken_for_a_movement() -> None:
    wandering = 0
    for seed in range(20):
        rng = random.Random(seed)
        level = [0.0]
        for _ in range(int(SECONDS) + 10):
            level.append(0.7 * level[-1] + rng.gauss(0, 0.03))
        wandering += judged(slowed(lambda at, level=level: 1 + level[int(at)], seed=seed)).steady is not True  # type: ignore[misc]
    assert wandering <= 2
    assert sum(judged(slowed(lambda at: 1.0, seed=seed)).steady is not True for seed in range(20)) <= 1


def test_it_is_told_while_the_load_runs_what_is_told_of_it_afterwards() -> None:
    requests = sorted(slowed(lambda at: 3.0 if at < 6 else 1.0), key=lambda one: one.end_ns)
    watch = SteadyWatch(0)
    told: list[tuple[float, bool | None]] = []
    fed = 0
    for tenth in range(1, 11):
        now = SECONDS * tenth / 10
        ended = [one for one in requests[fed:] if one.end_ns <= ns(now)]
        for at in range(0, len(ended), 7):
            watch.add(ended[at : at + 7])
        fed += len(ended)
        told.append((now, watch.verdict(0.0, now).steady))
    assert told[-1][1] is True
    assert [steady for now, steady in told if 8 <= now < 12].count(True) == 0
    whole = SteadyWatch(0)
    whole.add(list(reversed(requests)))
    found = whole.verdict(0.0, SECONDS)
    assert found.steady is True
    assert found.window is not None
    assert found.window.start == pytest.approx(9, abs=3)


def test_too_little_is_neither_settled_nor_not() -> None:
    assert "too few" in SteadyWatch(0).verdict(0.0, 10.0).reason
    watch = SteadyWatch(0)
    watch.add([one for one in slowed(lambda at: 1.0) if one.end_ns < ns(2)])
    found = watch.verdict(0.0, 2.0, least_s=5.0)
    assert found.steady is None
    assert "too short" in found.reason
    assert watch.verdict(5.0, 1.0).steady is None


def test_bins_become_wider_with_the_time_and_keep_what_they_held() -> None:
    watch = SteadyWatch(0)
    requests = slowed(lambda at: 1.0)
    watch.add(requests)
    late = [one for one in requests if one.sent_ns > ns(30)]
    watch.add([])
    before = watch.verdict(0.0, SECONDS)
    hour = 3600 * 10**9
    watch.add(
        [
            replace(
                one,
                sent_ns=one.sent_ns + hour,
                first_ns=(one.first_ns or 0) + hour,
                last_ns=(one.last_ns or 0) + hour,
                end_ns=one.end_ns + hour,
            )
            for one in late
        ]
    )
    assert before.steady is True
    assert watch.verdict(0.0, 40.0).steady is not False
    assert watch.verdict(3630.0, 3641.0).steady is not False


def test_a_closed_loop_is_at_its_level_from_when_all_are_in_flight_until_one_is_not_followed() -> None:
    def times(_at: float, _rng: random.Random) -> tuple[float, float, int]:
        return 0.1, 0.1, 10

    columns = columns_of(closed_loop(10, 5.5, times, spread=2.0), 0)
    level = level_of(columns, concurrency=10)
    assert level.start == pytest.approx(1.8)
    assert level.end == pytest.approx(5.6)
    assert level_of(columns, concurrency=10, ramp_s=3.0, stop=4.0).start == 3.0
    assert level_of(columns, concurrency=10, stop=4.0).end == 4.0
    assert level_of(columns, concurrency=400).start == pytest.approx(1.8)


def test_a_burst_in_the_midst_of_usual_times_is_no_warm_up_to_be_left_out() -> None:
    """What a server does now and then belongs to its figures: left out, they would be too good."""

    def times(at: float, rng: random.Random) -> tuple[float, float, int]:
        slow = 20.0 if 12 < at < 13 else 1.0
        return 0.05 * slow * math.exp(rng.gauss(0, 0.1)), TRUE_TPOT * (1 + rng.gauss(0, 0.02)), 20

    found = judged(closed_loop(32, SECONDS, times, spread=TRUE_TPOT))
    assert found.window is not None
    assert found.window.start < 12
