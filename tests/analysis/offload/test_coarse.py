"""From coarse to fine: with a quarter of the runs of an exhaustive sweep it finds what that finds."""

import json
import math
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from msgspec.structs import replace
from support.offload_law import Law

from infertui.analysis.offload.card import Card
from infertui.analysis.offload.coarse import next_layers
from infertui.analysis.offload.layers import budget
from infertui.analysis.offload.points import OffloadPoint


def studied(law: Law, *, guess: float | None = None) -> list[OffloadPoint]:
    """The points of a study; with `guess` there is an estimate of memory, wrong by that factor."""
    points: list[OffloadPoint] = []

    def estimate(layers: int) -> int | None:
        return None if guess is None else round(guess * law.mib(layers) * (1 << 20))

    while (layers := next_layers(points, law.layers, law.card, estimate, budget(law.layers))) is not None:
        assert layers not in {point.layers for point in points}, "never one twice"
        assert 0 <= layers <= law.layers, "never above those of the model"
        points.append(law.point(layers))
    return points


def fastest(law: Law, points: list[OffloadPoint]) -> float:
    return max(point.throughput or 0 for point in points if point.vram is None or law.card.fits(point.vram))


@pytest.mark.parametrize("others_mib", [0, 1100])
@pytest.mark.parametrize("total_mib", [4 * 1024, 6 * 1024, 12 * 1024])
@pytest.mark.parametrize("layers", [23, 33, 41])
@pytest.mark.parametrize("guess", [None, 1.0, 0.9, 1.15])
def test_the_exhaustive_best_is_found_with_a_quarter_of_the_runs(
    layers: int, total_mib: int, others_mib: int, guess: float | None
) -> None:
    law = Law(layers, total_mib=total_mib, others_mib=others_mib)
    points = studied(law, guess=guess)
    assert 4 * len(points) <= layers + 1
    assert fastest(law, points) >= 0.95 * law.best()[1]


@given(
    layers=st.integers(6, 96),
    cpu_layer_ms=st.floats(0.5, 50),
    times=st.floats(1.2, 40),
    step_ms=st.floats(0, 20),
    layer_mib=st.floats(20, 900),
    base_mib=st.floats(200, 1500),
    total_mib=st.integers(2048, 81920),
    others_mib=st.integers(0, 4096),
)
def test_whatever_card_and_model(
    layers: int, cpu_layer_ms: float, times: float, step_ms: float, layer_mib: float, base_mib: float, total_mib: int,
    others_mib: int,
) -> None:  # fmt: skip
    law = Law(layers, step_ms, cpu_layer_ms, cpu_layer_ms / times, base_mib, layer_mib, total_mib, others_mib)
    assume(law.mib(0) <= 0.85 * total_mib - others_mib)
    points = studied(law)
    assert len(points) <= budget(layers)
    assert fastest(law, points) >= 0.95 * law.best()[1]


@given(
    layers=st.integers(6, 96),
    bend=st.floats(0.1, 8),
    layer_mib=st.floats(20, 900),
    base_mib=st.floats(200, 1500),
    share=st.floats(0.2, 3),
    others=st.floats(0, 0.3),
    guess=st.none() | st.floats(0.85, 1.15),
)
def test_a_speed_that_grows_with_every_layer_is_followed_to_the_last_that_fits(
    layers: int, bend: float, layer_mib: float, base_mib: float, share: float, others: float, guess: float | None
) -> None:
    """However it is bent: by the power `bend` of the share of the layers. Without an estimate halving finds no limit
    below an eighth of the layers with six points."""

    class Growing(Law, frozen=True):
        def speed(self, layers: int) -> float:
            return 5 + 95 * math.pow(layers / self.layers, bend)

    total = round(share * (base_mib + layers * layer_mib))
    law = Growing(layers, base_mib=base_mib, layer_mib=layer_mib, total_mib=total, others_mib=round(others * total))
    assume(law.mib(0) <= 0.85 * total - law.others_mib)
    assume(guess is not None or 8 * law.best()[0] >= layers)
    points = studied(law, guess=guess)
    assert len(points) <= budget(layers)
    assert fastest(law, points) >= 0.95 * law.best()[1]


@pytest.mark.parametrize("layers", [8, 10, 12, 16, 21, 23, 33, 41, 80])
@pytest.mark.parametrize("top", [0.6, 0.8])
def test_a_speed_with_its_top_in_the_middle_is_met_within_8_percent(layers: int, top: float) -> None:
    """No rule finds every top with six points; this is what holds."""

    class Peaked(Law, frozen=True):
        def speed(self, layers: int) -> float:
            return 100 - 60 * ((layers / self.layers - top) / top) ** 2

    for share in (0.5, 0.7, 0.9, 1.1, 2.5):
        law = Peaked(layers, total_mib=round(share * (600 + 200 * layers)))
        if law.mib(1) <= 0.85 * law.total_mib:
            assert fastest(law, studied(law)) >= 0.92 * law.best()[1]


def test_a_speed_that_falls_again_is_followed_to_its_top() -> None:
    class Bent(Law, frozen=True):
        def speed(self, layers: int) -> float:
            return 100 - 0.05 * (layers - 24) ** 2

    law = Bent(47, total_mib=81920)
    assert fastest(law, studied(law)) >= 0.95 * 100


def test_without_a_known_card_all_layers_are_tried() -> None:
    points = [Law(23).point(0)]
    assert next_layers(points, 23, Card(), lambda _: None, 6) == 23


def test_runs_that_fail_for_another_reason_end_it() -> None:
    broken = [OffloadPoint(0, failure="engine", error="no")]
    assert next_layers(broken, 23, Card(), lambda _: None, 6) == 23
    broken.append(OffloadPoint(23, failure="engine", error="no"))
    assert next_layers(broken, 23, Card(), lambda _: None, 6) is None


def test_a_limit_that_is_not_told_is_found_by_halves() -> None:
    """Others take 2 GiB of which the driver tells nothing: points fail that should have had room."""
    law = Law(40, total_mib=6 * 1024, others_mib=2048)
    points: list[OffloadPoint] = []
    while (layers := next_layers(points, 40, Card(law.total_mib << 20), lambda _: None, budget(40))) is not None:
        points.append(law.point(layers))
    most = max(point.layers for point in points if point.measured)
    assert most >= 0.8 * (6 * 1024 - 2048 - 600) / 200
    assert any(point.no_room for point in points)


REAL = json.loads(Path(__file__).with_name("h200_tinyllama_q4_0.json").read_text())["points"]


@pytest.mark.parametrize("others", [0.0, 0.1])
@pytest.mark.parametrize("share", [0.9, 1.0, 1.1, 1.3, 1.6, 3.0])
def test_what_was_measured_of_every_number_of_layers_is_found_with_a_quarter_of_it(share: float, others: float) -> None:
    """An exhaustive study on an H200, played over on cards with so much of the memory that all layers take."""
    points = {layers: OffloadPoint(layers, vram=vram, throughput=speed) for layers, vram, speed in REAL}
    whole = REAL[-1][1]
    card = Card(round(share * whole), round(others * share * whole))
    allowed = [speed for _, vram, speed in REAL if card.fits(vram)]
    found: list[OffloadPoint] = []
    while (layers := next_layers(found, 23, card, lambda _: None, budget(23))) is not None:
        vram = points[layers].vram or 0
        room = replace(card, ceiling=1.0).fits(vram)
        found.append(
            replace(points[layers], vram_share=card.share(vram))
            if room
            else OffloadPoint(layers, failure="out-of-memory")
        )
    assert len(found) <= 6
    best = max(point.throughput or 0 for point in found if point.vram and card.fits(point.vram))
    assert best >= 0.95 * max(allowed)
