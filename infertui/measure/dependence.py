"""How far a ratio of sums may be off, where what was measured in a row may depend on what was measured just before.

Iterations that follow one another share clocks, temperature and whatever else runs: if a slow one tends to be followed
by a slow one, n of them tell less than n independent ones, and Student's interval is too narrow.

The model is an autoregression of the first order, whose correlation is not known. With fewer than ten observations
nothing can be found out about it, and they are taken as independent. From ten on the variance of the mean is averaged
over all correlations, each weighted by how likely it makes the residuals (integrated over their mean and scale, Zellner
and Tiao 1964) times 1 - correlation**2, which was so beforehand. An estimate of the correlation alone would be too low,
and so would be the variance: from 20 observations by half.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

FEWEST = 3
"""Observations from which an interval is worth telling; as many have to be left once they count as independent ones."""
SEEN_FROM = 10
"""Observations from which it can be seen whether they depend on one another."""
MOST = 128
"""Of more observations, neighbours are taken together first: sums over stretches hold dependence of any kind."""
_MOST_CORRELATION, _CORRELATIONS = 0.9, 19


class Scatter(Struct, frozen=True, eq=False):
    """How the observations of one ratio scatter around it, as shares of it.

    `variances` are those of the ratio and `likelihoods` the logarithms of how likely the residuals are, both for each
    correlation in question; without likelihoods there is one variance, of independent observations.
    """

    count: int
    variances: "Floats"
    likelihoods: "Floats | None" = None


class Certainty(Struct, frozen=True):
    """What is known of some ratios whose observations were made alike, and so depend on one another alike.

    `variances` are relative to the ratios and come with Student's `degrees` of freedom, one for each. `correlation`
    is that of neighbouring observations, None where it cannot be seen; `independent` is how many independent
    observations are worth as much as those of the shortest.
    """

    variances: tuple[float, ...]
    degrees: tuple[int, ...]
    correlation: float | None
    independent: float

    @property
    def enough(self) -> bool:
        """Whether there is enough to tell an interval."""
        return self.independent >= FEWEST

    @property
    def welch(self) -> float:
        """Degrees of freedom of the variances' sum (Welch 1947, Satterthwaite 1946); infinite where nothing varies."""
        within = sum(variance**2 / free for variance, free in zip(self.variances, self.degrees, strict=True))
        return sum(self.variances) ** 2 / within if within else math.inf


def scatter(tops: Sequence[float], bottoms: Sequence[float]) -> Scatter | None:
    """Of sum(tops) / sum(bottoms), both positive; None below three observations.

    A ratio's residuals are those of the delta method: each top as a share of the mean top, less the same of the bottom.
    """
    if len(tops) < FEWEST:
        return None
    import numpy as np

    top, bottom = np.asarray(tops, dtype=float), np.asarray(bottoms, dtype=float)
    residuals = top / top.mean() - bottom / bottom.mean()
    residuals -= residuals.mean()
    width = math.ceil(len(residuals) / MOST)
    if width > 1:
        sums = np.add.reduceat(residuals, np.arange(0, len(residuals), width))
        residuals = sums * (len(sums) / len(residuals))
        residuals -= residuals.mean()
    n, squares = len(residuals), float(np.square(residuals).sum())
    if n < SEEN_FROM or squares <= 0:
        return Scatter(n, np.array([squares / (n - 1) / n]))
    known, fitted = _fitted(residuals / math.sqrt(squares))
    return Scatter(n, squares * fitted / (n - 1) * _of_mean(n), known)


def certainty(scatters: Sequence[Scatter]) -> Certainty:
    """What all of them tell together of the correlation, and each of its own variance."""
    import numpy as np

    known = [one.likelihoods for one in scatters if one.likelihoods is not None]
    degrees = tuple(one.count - 1 for one in scatters)
    fewest = min(one.count for one in scatters)
    if not known:
        return Certainty(tuple(float(one.variances[0]) for one in scatters), degrees, None, fewest)
    grid = _grid()
    logs = sum(known) + np.log1p(-np.square(grid))
    weights = np.exp(logs - logs.max())
    weights /= weights.sum()
    spread = float(weights @ _of_mean(fewest)) if fewest >= SEEN_FROM else 1 / fewest
    return Certainty(
        tuple(
            float(weights @ one.variances) if len(one.variances) > 1 else float(one.variances[0]) for one in scatters
        ),
        degrees,
        float(weights @ grid),
        min(fewest, 1 / spread),
    )


def _grid() -> "Floats":
    import numpy as np

    return np.linspace(-_MOST_CORRELATION, _MOST_CORRELATION, _CORRELATIONS)


def _of_mean(n: int) -> "Floats":
    """The variance of the mean of `n` observations in units of theirs, for each correlation."""
    import numpy as np

    grid = _grid()
    near = (1 + grid) / (1 - grid)
    return np.asarray((near - 2 * grid * (1 - grid**n) / (n * (1 - grid) ** 2)) / n)


def _fitted(residuals: "Floats") -> "tuple[Floats, Floats]":
    """For each correlation the log likelihood of the residuals, integrated over mean and scale, and their squares' sum.

    With the inverse of the correlation matrix, which has three diagonals, both come from four sums.
    """
    import numpy as np

    grid, n = _grid(), len(residuals)
    inner = float(np.square(residuals[1:-1]).sum())
    lagged = float(residuals[1:] @ residuals[:-1])
    ends = float(residuals[0] + residuals[-1])
    ones = (n - (n - 2) * grid) / (1 + grid)
    squares = (float(np.square(residuals).sum()) + grid**2 * inner - 2 * grid * lagged) / (1 - grid**2)
    squares = np.maximum(squares - (grid * ends / (1 + grid)) ** 2 / ones, 1e-300)
    return -0.5 * ((n - 1) * np.log(1 - grid**2) + np.log(ones) + (n - 1) * np.log(squares)), squares


def variance_of(contrast: "Floats", residuals: "Floats", degrees: int) -> float:
    """Of the sum contrast @ values, where the values scatter as these residuals do and may depend on one another.

    `degrees` of freedom are left to the residuals. As for the mean, it is averaged over all correlations, each by how
    likely it makes the residuals; below ten of them they are taken as independent.
    """
    import numpy as np

    squares, n = float(np.square(residuals).sum()), len(residuals)
    if n < SEEN_FROM or squares <= 0:
        return float(np.square(contrast).sum()) * squares / degrees
    known, fitted = _fitted(residuals / math.sqrt(squares))
    grid = _grid()
    weights = np.exp((logs := known + np.log1p(-np.square(grid))) - logs.max())
    lags = np.correlate(contrast, contrast, mode="full")[n - 1 :]
    lags[1:] *= 2
    factors = np.power(grid[:, None], np.arange(n)[None, :]) @ lags
    return float((weights / weights.sum()) @ (factors * fitted)) * squares / degrees
