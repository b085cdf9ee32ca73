"""How far a ratio of sums may be off, where what was measured in a row may depend on what was measured just before.

Iterations that follow one another share clocks, temperature and whatever else runs: if a slow one tends to be followed
by a slow one, n of them tell less than n independent ones, and Student's interval is too narrow.

Whether they do is looked for in two places: between iterations, from ten of them on, and in their stretches, which tell
it of fewer: what wanders from one iteration to the next also moves within them, and goes on where the one before ended.
The variance of the mean is averaged over all `hypotheses`, each weighted by how likely it makes what was seen
(integrated over means and scale, Zellner and Tiao 1964); of the two places the one that makes it larger counts. An
estimate of the correlation alone would be too low, and so would be the variance: from 20 iterations by half. With fewer
than ten and no stretches nothing can be found out, and iterations are taken as independent.

Beforehand, independence is taken for likely in most of that average; in a fifth of it, and for how many independent
iterations are left, so whether there is enough for an interval, wander beneath noise is as likely as anything.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

from infertui.measure.hypotheses import Hypotheses, hypotheses, stretches_for, wandering

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

FEWEST = 3
"""Observations from which an interval is worth telling."""
_WORTH = 1.3
"""The root of so many times their number is how many have to be left once they count as independent ones: 2 of 3, 3.6
of 10, 8 of 50. With fewer left it is known too badly how much they depend on one another (docs/statistics.md).
"""
_DOUBT = 0.2
"""Share of the average in which the worst is suspected."""
SEEN_FROM = 10
"""Observations from which it can be seen whether they depend on one another."""
MOST = 128
"""Of more observations, neighbours are taken together first: sums over stretches hold dependence of any kind."""
MOST_WANDERING = 64
"""The same where slow wander alone is looked for."""
_FEWEST_STRETCHES = 24
"""Of all iterations together, from which stretches of fewer than ten iterations tell anything."""
_NOTHING = 1e-7
"""Relative deviation below which iterations do not vary, but for how times are rounded."""
Place = Literal["iterations", "stretches"]


class PlaceEvidence(Struct, frozen=True, eq=False):
    """What one place tells: an entry for each hypothesis.

    `likelihoods`, `priors`, `doubts` and `fears` are logarithms, `variances` those of the ratio as shares of it,
    `means` the same in units of an iteration's variance, and `neighbours` the correlation of an iteration with the one
    before. `spreads` are the variances again, by the scale of all that was seen, of so many `degrees` of freedom.
    """

    priors: "Floats"
    doubts: "Floats"
    fears: "Floats"
    likelihoods: "Floats"
    variances: "Floats"
    means: "Floats"
    neighbours: "Floats"
    spreads: "Floats"
    degrees: int


class Scatter(Struct, frozen=True, eq=False):
    """How the observations of one ratio scatter around it. `plain` is the variance if they are independent.

    `residuals` are theirs, as shares of the ratio; of many, those of neighbours together; None where they do not vary.
    """

    count: int
    plain: float
    views: dict[Place, PlaceEvidence] = {}
    residuals: "Floats | None" = None

    def of_wander(self) -> PlaceEvidence | None:
        """What is known of slow wander, by stretches or else by whole observations. None: they do not vary."""
        if "stretches" in self.views:
            return self.views["stretches"]
        if self.residuals is None:
            return None
        residuals = _together(self.residuals, MOST_WANDERING)
        return _view(residuals, residuals, wandering(len(residuals)))


class Certainty(Struct, frozen=True):
    """What is known of some ratios whose observations were made alike, and so depend on one another alike.

    `variances` are relative to the ratios and come with Student's `degrees` of freedom, one for each. `correlation`
    is that of neighbouring observations, None where it cannot be seen. `enough`: they are worth enough independent ones
    to tell an interval. `assumed`: of those of one ratio at least, that they are independent.
    """

    variances: tuple[float, ...]
    degrees: tuple[int, ...]
    correlation: float | None
    enough: bool
    assumed: bool

    @property
    def welch(self) -> float:
        """Degrees of freedom of the variances' sum (Welch 1947, Satterthwaite 1946); infinite where nothing varies."""
        within = sum(variance**2 / free for variance, free in zip(self.variances, self.degrees, strict=True))
        return sum(self.variances) ** 2 / within if within else math.inf


def scatter(
    tops: Sequence[float], bottoms: Sequence[float], stretches: Sequence[Sequence[float]] = ()
) -> Scatter | None:
    """Of sum(tops) / sum(bottoms), both positive; None below three observations.

    A ratio's residuals are those of the delta method: each top as a share of the mean top, less the same of the bottom.
    `stretches` are the parts of each observation's time, one after the other; none where they are not known.
    """
    if len(tops) < FEWEST:
        return None
    import numpy as np

    top, bottom = np.asarray(tops, dtype=float), np.asarray(bottoms, dtype=float)
    residuals = top / top.mean() - bottom / bottom.mean()
    residuals = _together(residuals - residuals.mean(), MOST)
    n, squares = len(residuals), float(np.square(residuals).sum())
    plain = squares / (n - 1) / n
    if squares <= n * _NOTHING**2:
        return Scatter(n, plain)
    views: dict[Place, PlaceEvidence] = {}
    if n >= SEEN_FROM:
        views["iterations"] = _view(residuals, residuals, hypotheses(n))
    count = _parts(stretches, n)
    if count > 1:
        with np.errstate(over="ignore"):  # anybody may have written them into a file
            parts = np.array([np.add.reduceat(each, np.arange(0, len(each), len(each) // count)) for each in stretches])
            usual = float(parts.mean())
        if 0 < usual < math.inf:
            views["stretches"] = _view(residuals, (parts / usual).ravel(), hypotheses(n, count))
    return Scatter(n, plain, views, residuals)


def _together(residuals: "Floats", most: int) -> "Floats":
    """Of more than so many, sums of neighbours, as shares of the same ratio."""
    import numpy as np

    width = math.ceil(len(residuals) / most)
    if width <= 1:
        return residuals
    sums = np.add.reduceat(residuals, np.arange(0, len(residuals), width))
    sums *= len(sums) / len(residuals)
    return np.asarray(sums - sums.mean())


def _parts(stretches: Sequence[Sequence[float]], n: int) -> int:
    """How many of each iteration are looked at; 1 where they tell nothing. They come in powers of two."""
    if len(stretches) != n:
        return 1
    count = min(stretches_for(n), *(len(each) for each in stretches))
    fits = all(count and len(each) % count == 0 for each in stretches)
    return count if fits and (n >= SEEN_FROM or n * count >= _FEWEST_STRETCHES) else 1


def _view(residuals: "Floats", seen: "Floats", models: Hypotheses) -> PlaceEvidence:
    n = len(residuals)
    means = models.covariances.sum(axis=(1, 2)) / n**2
    return PlaceEvidence(
        priors=models.priors,
        doubts=models.doubts,
        fears=models.fears,
        likelihoods=models.likelihoods(seen),
        variances=models.squares(residuals) / (n - 1) * means,
        means=means,
        neighbours=models.covariances[:, 0, 1],
        spreads=models.scales(seen) * models.of_mean,
        degrees=len(models.contrast),
    )


def certainty(scatters: Sequence[Scatter]) -> Certainty:
    """What all of them tell together of the correlation, and each of its own variance."""
    places: tuple[Place, ...] = ("iterations", "stretches")
    told: list[list[float]] = [[] for _ in scatters]
    correlation, enough = None, True
    for place in places:
        views = [one.views.get(place) for one in scatters]
        known = [view for view in views if view is not None]
        if not known:
            continue
        together = sum(view.likelihoods for view in known)
        doubted = weights_of(known[0].doubts + together)
        weights = (1 - _DOUBT) * weights_of(known[0].priors + together) + _DOUBT * doubted
        correlation = max(float(weights @ known[0].neighbours), -1.0 if correlation is None else correlation)
        for one, variances, view in zip(scatters, told, views, strict=True):
            if view is not None:
                variances.append(float(weights @ view.variances))
                left = 1 / float(doubted @ view.means)
                enough = enough and left >= math.sqrt(_WORTH * one.count)
    return Certainty(
        tuple(max(variances, default=one.plain) for variances, one in zip(told, scatters, strict=True)),
        tuple(one.count - 1 for one in scatters),
        correlation,
        enough,
        any(not one.views and one.plain > 0 for one in scatters),
    )


def weights_of(likelihoods: "Floats") -> "Floats":
    """Shares of 1 from logarithms of how likely each is."""
    import numpy as np

    weights = np.exp(likelihoods - likelihoods.max())
    return np.asarray(weights / weights.sum())


def variance_of(contrast: "Floats", residuals: "Floats", degrees: int) -> float:
    """Of the sum contrast @ values, where the values scatter as these residuals do and may depend on one another.

    `degrees` of freedom are left to the residuals. As for the mean, it is averaged over all hypotheses, each by how
    likely it makes the residuals; below ten of them they are taken as independent.
    """
    import numpy as np

    squares, n = float(np.square(residuals).sum()), len(residuals)
    if n < SEEN_FROM or squares <= 0:
        return float(np.square(contrast).sum()) * squares / degrees
    models = hypotheses(n)
    weights = weights_of(models.priors + models.likelihoods(residuals))
    factors = models.covariances @ contrast @ contrast
    return float(weights @ (factors * models.squares(residuals))) / degrees
