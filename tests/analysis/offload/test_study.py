"""What a study's points come to: expected values by SciPy and by hand."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from scipy.stats import linregress
from support.offload_law import MIB, Law

from infertui.analysis.offload import layers
from infertui.analysis.offload.card import Card
from infertui.analysis.offload.fit import between, line_through
from infertui.analysis.offload.points import OffloadPoint
from infertui.analysis.offload.study import OffloadStudy, Subject, diminishing, study_of
from infertui.cli.offload.text import finding_lines, profile_lines
from infertui.errors import UsageError


def studied(law: Law, *numbers: int) -> OffloadStudy:
    points = [law.point(number) for number in numbers]
    subject = Subject("model", "llama-cpp", layers=law.layers, weight_bytes=law.layers * 190 * MIB)
    return study_of("profile-1", subject, law.card, points, asked=numbers, notes=())


@given(
    st.lists(
        st.tuples(st.integers(0, 100), st.floats(-1e6, 1e6)), min_size=3, max_size=30, unique_by=lambda point: point[0]
    )
)
def test_the_line_is_that_of_scipy(points: list[tuple[int, float]]) -> None:
    found = line_through([(float(x), y) for x, y in points])
    expected = linregress(*zip(*points, strict=True))
    assert found is not None
    assert found.slope == pytest.approx(expected.slope, rel=1e-6, abs=1e-3)
    assert found.intercept == pytest.approx(expected.intercept, rel=1e-6, abs=1e-2)
    assert found.error == pytest.approx(expected.stderr, rel=1e-5, abs=1e-3)


def test_too_few_points_make_no_line_and_two_no_spread() -> None:
    assert line_through([]) is None
    assert line_through([(3.0, 1.0), (3.0, 2.0)]) is None
    two = line_through([(1.0, 3.0), (3.0, 7.0)])
    assert two is not None
    assert (two.slope, two.intercept, two.error) == (2.0, 1.0, None)
    assert between([(1.0, 3.0), (3.0, 7.0)], 2.5) == 6.0
    assert between([(1.0, 3.0), (3.0, 7.0)], 4.0) is None


def test_rows_stand_to_the_cpu_and_to_the_ceiling() -> None:
    law = Law(23, total_mib=6144, others_mib=600)
    found = studied(law, 0, 12, 22, 23)
    cpu, half, over, full = found.rows
    assert (cpu.times_cpu, cpu.gain) == (1.0, 0.0)
    # (2 + 23 x 4) ms against (2 + 11 x 4 + 12 x 0.4) ms
    assert half.times_cpu == pytest.approx(94 / 50.8)
    assert half.gain == pytest.approx(94 / 50.8 - 1)
    # 600 + 22 x 200 + 600 of others are 5600 of 6144 MiB: over 85 %
    assert (half.within_ceiling, over.within_ceiling) == (True, False)
    assert full.point.failure == "" if law.mib(23) <= 5544 else "out-of-memory"
    assert found.optimum == 12
    assert found.layer_memory.measured == pytest.approx(200 * MIB)
    assert found.layer_memory.of_model == 190 * MIB
    assert (found.runs, found.exhaustive) == (4, 24)


def test_a_study_in_which_all_failed_finds_nothing() -> None:
    points = [OffloadPoint(0, failure="engine", error="no"), OffloadPoint(9, failure="out-of-memory", error="no")]
    found = study_of("profile-1", Subject("m", "llama-cpp", layers=9), Card(), points, asked=(), notes=())
    assert (found.optimum, found.diminishing, found.profiles) == (None, None, {})
    assert found.layer_memory.measured is None


def point(number: int, speed: float, spread: float = 0.0) -> OffloadPoint:
    return OffloadPoint(number, throughput=speed, low=speed * (1 - spread), high=speed * (1 + spread))


def test_diminishing_returns_begin_where_all_further_layers_add_less_than_a_twentieth() -> None:
    speeds = {0: 10.0, 8: 20.0, 16: 38.5, 24: 39.0, 32: 40.0}  # 40 / 38.5 = 1.039, 40 / 20 = 2
    exact = diminishing([point(number, speed) for number, speed in speeds.items()])
    assert exact is not None
    assert exact.layers == exact.high == 16
    # On the line from (8, 20) to (16, 38.5) speed passes 40 / 1.05 = 38.095 at 15.82.
    assert exact.low == 16
    noisy = diminishing([point(number, speed, 0.02) for number, speed in speeds.items()])
    assert noisy is not None
    # 1.02 x speed passes 0.98 x 40 / 1.05 = 37.33 at 15.2; and 1.02 x 40 < 1.05 x 0.98 x s for s > 39.65: the last.
    assert (noisy.low, noisy.layers, noisy.high) == (16, 16, 32)
    wide = diminishing([point(number, speed, 0.06) for number, speed in speeds.items()])
    assert wide is not None
    # 1.06 x speed passes 0.94 x 40 / 1.05 = 35.81 at 33.78 tok/s: 13.96 layers.
    assert wide.low == 14


def test_an_invalid_point_is_the_optimum_only_where_none_is_valid() -> None:
    fast = replace(point(9, 50.0, 0.01), doubts=("the GPU throttled",))
    points = [point(0, 10.0, 0.01), point(5, 20.0, 0.01), fast]
    subject = Subject("m", "llama-cpp", layers=9)
    found = study_of("profile-1", subject, Card(), points, asked=(), notes=())
    assert found.optimum == 5
    assert found.profiles["most_tokens"].n_gpu_layers == 5
    assert not any("INVALID" in line for line in finding_lines(found))
    alone = study_of("profile-1", subject, Card(), [fast], asked=(), notes=())
    assert alone.optimum == 9
    assert finding_lines(alone)[0].endswith("INVALID: the GPU throttled")
    assert alone.profiles["most_tokens"].doubt == "the GPU throttled"
    assert "most tokens   9  50.0 tok/s; many requests: most tokens a second; its run is INVALID" in "".join(
        profile_lines(alone)
    )


def test_the_optimum_says_how_sure_it_is() -> None:
    """20 +- 5 % and 20.5 +- 5 % are not told apart; 20.5 over 10 is 2.05, by sqrt(2) x ln(1.05 / 0.95) / 2 each way."""
    points = [point(0, 10.0, 0.05), point(5, 20.0, 0.05), point(9, 20.5, 0.05)]
    found = study_of("profile-1", Subject("m", "llama-cpp", layers=9), Card(), points, asked=(), notes=())
    assert (found.optimum, found.beside) == (9, (5,))
    reach = math.exp(math.hypot(math.log(1.05 / 0.95) / 2, math.log(1.05 / 0.95) / 2))
    row = found.rows[2]
    assert (row.times_low, row.times_high) == pytest.approx((2.05 / reach, 2.05 * reach))
    assert "2.05 times the CPU's (1.91 to 2.20)" in finding_lines(found)[0]
    assert finding_lines(found)[0].endswith("not slower for sure: 5 layers")
    bare = [OffloadPoint(0, throughput=10.0), OffloadPoint(5, throughput=30.0)]
    single = study_of("profile-1", Subject("m", "llama-cpp", layers=9), Card(), bare, asked=(), notes=())
    assert finding_lines(single)[0].endswith("it has no interval, so that nothing is sure of the others")


def test_a_lower_ceiling_leaves_no_profile_above_it_and_says_how_far_it_was_looked() -> None:
    law = Law(23, total_mib=6144)
    card = Card(6144 * MIB, ceiling=0.6)  # 600 + 200 n of 6144 MiB: 12 layers are 49 %, 16 are 62 %
    points = [law.point(number) for number in (0, 8, 12, 16, 23)]
    found = study_of("profile-1", Subject("m", "llama-cpp", layers=23), card, points, asked=(), notes=())
    assert found.profiles.keys() == {"cpu_fallback", "fast", "least_time", "most_tokens"}
    assert "none up to 12 layers, the most measured under the ceiling of 60%" in "".join(finding_lines(found))


def test_a_slope_is_told_with_its_standard_error_or_not_at_all() -> None:
    heat = [(0, 40.0), (8, 43.0), (16, 44.0), (24, 46.0)]
    points = [
        OffloadPoint(at, throughput=10.0 + at, temperature=warm, vram=(100 + 20 * at + at % 3) * MIB)
        for at, warm in heat
    ]
    subject = Subject("m", "llama-cpp", layers=24)
    said = "\n".join(finding_lines(study_of("profile-1", subject, Card(), points, asked=(), notes=())))
    warm = linregress(*zip(*heat, strict=True))
    assert f"{warm.slope:+.2f} C per layer (standard error {warm.stderr:.2f})" in said
    held = linregress([8, 16, 24], [100 + 20 * at + at % 3 for at in (8, 16, 24)])
    assert f"{held.slope:.1f} MiB per layer (standard error {held.stderr:.2f}, 3 points)" in said
    two = "\n".join(finding_lines(study_of("profile-1", subject, Card(), points[:2], asked=(), notes=())))
    assert "C per layer" not in two


def test_layers_that_pay_to_the_last_have_no_such_point() -> None:
    assert diminishing([Law(23).point(number) for number in (0, 12, 23)]) is None
    assert diminishing([point(0, 1.0), point(9, 1.0)]) is None, "two points have no shape"


@pytest.mark.parametrize("most", [1, 2, 3, 7, 13, 23, 33, 81])
def test_lists_of_layers_stay_within_the_model_and_name_none_twice(most: int) -> None:
    for found in (layers.quick(most), layers.full(most)):
        assert list(found) == sorted(set(found))
        assert (found[0], found[-1]) == (0, most)
    assert len(layers.full(most)) == min(most, 8) + 1
    assert layers.budget(most) == min(most + 1, max(6, (most + 1) // 4))


def test_layers_by_hand() -> None:
    assert layers.quick(43) == (0, 22, 34, 43)
    assert layers.full(23) == (0, 3, 6, 9, 12, 14, 17, 20, 23)
    assert layers.custom("0,10,20-40+5", 33) == (0, 10, 20, 25, 30, 33)
    assert layers.custom("-1,0,33,99", 33) == (0, 33)
    for wrong in ("", "0,,1", "x", "1.5", "-2", "5-1+1"):
        with pytest.raises(UsageError, match="--layers"):
            layers.custom(wrong, 33)
