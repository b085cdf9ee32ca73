"""Loads held against one another by their rates: how often equal ones are called different, and others are not."""

import random

import numpy as np
import pytest
from support.simulated_load import closed_loop, ns

from infertui.analysis.tuning.segment import against
from infertui.measure.comparison import Totals
from infertui.measure.load.figures import Window
from infertui.measure.load.summary import MOST_PARTS, token_rates

WINDOW = Window(2.0, 12.0)
TOKENS_S = 0.01


def rates(streams: int, seed: int, *, wander: float = 0.0, slower: float = 1.0) -> Totals:
    """Of a closed loop whose answers take from a tenth of a second to half of one, on a server whose speed wanders by
    such a share, with a correlation of 0.37 after a second and a half."""
    generator = np.random.default_rng(seed)
    steps, each = 200, np.exp(-0.1 / 1.5)
    walk = np.empty(steps)
    walk[0] = generator.standard_normal()
    for at in range(1, steps):
        walk[at] = each * walk[at - 1] + np.sqrt(1 - each**2) * generator.standard_normal()

    def times(at: float, lengths: random.Random) -> tuple[float, float, int]:
        speed = float(np.exp(wander * walk[min(steps - 1, int(at / 0.1))])) / slower
        return 0.02 / speed, TOKENS_S / speed, lengths.randint(8, 48)

    requests = closed_loop(streams, 14.0, times, seed=seed)
    return Totals.mean_of(token_rates(requests, origin_ns=ns(0.0), window=WINDOW))


PAIRS = 60


@pytest.mark.parametrize("streams", [1, 8])
@pytest.mark.parametrize("wander", [0.0, 0.03, 0.2])
def test_equal_loads_are_called_different_no_more_often_than_is_said(streams: int, wander: float) -> None:
    drawn = [rates(streams, seed, wander=wander) for seed in range(2 * PAIRS)]
    found = [against(1, one, other, fixed=True).finding for one, other in zip(drawn[::2], drawn[1::2], strict=True)]
    # At 95 % 3 are expected of 60; 8 and more are found once in 75 such tests.
    assert sum(one in ("better", "worse") for one in found) <= 7


@pytest.mark.parametrize("streams", [1, 8])
@pytest.mark.parametrize("wander", [0.0, 0.03, 0.2])
def test_loads_of_which_one_is_three_times_as_fast_are_told_apart(streams: int, wander: float) -> None:
    drawn = [rates(streams, seed, wander=wander, slower=1.0 if seed % 2 else 3.0) for seed in range(40)]
    for slow, fast in zip(drawn[::2], drawn[1::2], strict=True):
        assert against(1, slow, fast, fixed=True).finding == "better"


def test_parts_are_as_many_as_the_requests_allow() -> None:
    # An answer takes 0.29 s on average: of one stream there are 34 in 10 s, and of four 34 parts of four each.
    assert [len(rates(streams, 1).numerators) for streams in (1, 4, 16)] == [12, 34, MOST_PARTS]
