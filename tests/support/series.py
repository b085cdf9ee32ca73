"""Iteration times whose truth is known: independent or not, skewed, tied, with stalls, or moving."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from msgspec import Struct

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

VARIATION = 0.03


class Series(Struct, frozen=True):
    """A way to draw runs of so many iterations, in arbitrary units of time, with the mean that they are drawn from."""

    draw: "Callable[[np.random.Generator, int, int], Floats]"
    """From generator, runs and iterations: an array of runs x iterations."""
    mean: float = 1.0


def autoregressive(correlation: float, variation: float = VARIATION) -> Series:
    """Each iteration follows the one before: x' = c x + sqrt(1 - c**2) noise, stationary from the first on."""

    def draw(generator: np.random.Generator, runs: int, iterations: int) -> "Floats":
        noise = generator.standard_normal((runs, iterations))
        for at in range(1, iterations):
            noise[:, at] = correlation * noise[:, at - 1] + np.sqrt(1 - correlation**2) * noise[:, at]
        return 1 + variation * noise

    return Series(draw)


def lognormal(sigma: float) -> Series:
    """Skewed to the right."""
    return Series(
        lambda generator, runs, iterations: generator.lognormal(0.0, sigma, (runs, iterations)),
        float(np.exp(sigma**2 / 2)),
    )


def normal(variation: float = VARIATION) -> Series:
    """Independent and symmetric."""
    return Series(lambda generator, runs, iterations: generator.normal(1.0, variation, (runs, iterations)))


def tied(step: float = VARIATION) -> Series:
    """Few different values, as of a clock that is coarse: 1 - step, 1 and 1 + step."""

    def draw(generator: np.random.Generator, runs: int, iterations: int) -> "Floats":
        return np.asarray(1 + step * generator.integers(-1, 2, (runs, iterations)), dtype=np.float64)

    return Series(draw)


def moving(shape: Callable[[int], "Floats"], variation: float = VARIATION) -> Series:
    """Noise on times that move as `shape` of so many iterations says."""

    def draw(generator: np.random.Generator, runs: int, iterations: int) -> "Floats":
        return np.asarray(shape(iterations) * generator.normal(1.0, variation, (runs, iterations)), dtype=np.float64)

    return Series(draw)


SERIES = {
    "normal": normal(),
    "lognormal 0.1": lognormal(0.1),
    "lognormal 0.5": lognormal(0.5),
    "tied": tied(),
    "AR 0.5": autoregressive(0.5),
    "AR 0.8": autoregressive(0.8),
}
