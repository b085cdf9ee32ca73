"""How far a ratio may be off at most where few iterations depend on one another: from their stretches.

Iterations that wander together are worth too few independent ones for Student's interval (`Certainty.enough`). From
their stretches, or from themselves, it is known how much there is of wander, of what is an iteration's own
and of noise, under each of the `hypotheses`. Which of these holds is not known, since what is slower than all that was
seen can hardly be told from what does not move. So a wander is taken for the likelier beforehand the slower it is, and
the interval is wide. But a wander that is much larger in the long run than a third of the speed itself is taken for
unlikely: else nothing could be said of what wanders by a tenth while it is looked at.
How often it holds the truth: tests/analysis/tuning/test_widest.py.
"""

import functools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from infertui.measure.comparison import Totals
from infertui.measure.dependence import Scatter, certainty, scatter, weights_of
from infertui.measure.statistics import CONFIDENCE, Interval, exponential, two_sided

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_HALVINGS = 60
_LIKELY = 0.3
"""Standard deviation of speeds in the long run, as a share, that beforehand is likely (half a normal distribution)."""
_FURTHEST = 1e3
"""Standard deviations; further off nothing is looked for."""


def widest_interval(totals: Totals, *, confidence: float = CONFIDENCE) -> Interval | None:
    """Of a ratio of sums; None where there are fewer than three observations, or they do not vary."""
    return _around(totals.value, [totals], confidence)


def widest_ratio(first: Totals, second: Totals, *, confidence: float = CONFIDENCE) -> Interval | None:
    """Of how many times `first` is `second`; None where there are fewer than three observations of one."""
    return _around(second.value / first.value, [first, second], confidence)


def _around(value: float, sides: Sequence[Totals], confidence: float) -> Interval | None:
    scatters = [scatter(side.numerators, side.denominators, side.stretches) for side in sides]
    found = [one for one in scatters if one is not None]
    reach = _reach(found, confidence) if len(found) == len(sides) and 0 < value < math.inf else None
    if reach is None:
        return None
    low, high = value * exponential(-reach), value * exponential(reach)
    return Interval(low, high) if low > 0 and high < math.inf else None


def _reach(scatters: Sequence[Scatter], confidence: float) -> float | None:
    """Half the width as a logarithm.

    Beyond it lies 1 - confidence of a mixture of Student's distributions, one for each hypothesis, with the degrees of
    freedom of all stretches.
    """
    import numpy as np

    together: Floats | float = 0.0
    variances: Floats | float = 0.0
    fears: Floats | None = None
    degrees = 0
    known = [None if "stretches" in one.views else _known(one) for one in scatters]
    for one, variance in zip(scatters, known, strict=True):
        if variance is not None and (None in known or one.residuals is None):
            variances = variances + variance
            continue
        view = one.of_wander()
        if view is None:
            return None
        in_the_long_run = view.spreads / view.means
        together = together + view.likelihoods - in_the_long_run / (2 * _LIKELY**2)
        variances, fears = variances + view.spreads, view.fears
        degrees += view.degrees
    if fears is None:
        return None
    weights, deviations = weights_of(fears + together), np.sqrt(np.asarray(variances))
    at, tails = _tails(degrees)
    low, high = 0.0, float(deviations.max()) * _FURTHEST
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        beyond = float(weights @ np.interp(middle / deviations, at, tails))
        low, high = (middle, high) if beyond > 1 - confidence else (low, middle)
    return high


def _known(one: Scatter) -> float | None:
    """The variance of one that is known well enough by itself."""
    if one.residuals is None:
        return one.plain
    alone = certainty([one])
    return alone.variances[0] if alone.enough and not alone.assumed else None


@functools.lru_cache(maxsize=32)
def _tails(degrees: int) -> "tuple[Floats, Floats]":
    """How likely a value further from 0 is, at some distances; on lines between them it is a little likelier."""
    import numpy as np

    at = np.concatenate([np.linspace(0.0, 8.0, 161), np.geomspace(8.2, _FURTHEST, 80)])
    return at, np.array([two_sided(float(one), degrees) for one in at])
