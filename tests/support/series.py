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


def hidden(correlation: float, noise: float = 1.0, variation: float = VARIATION) -> Series:
    """The same beneath noise whose deviation is `noise` times its own."""
    beneath = autoregressive(correlation, variation)

    def draw(generator: np.random.Generator, runs: int, iterations: int) -> "Floats":
        seen = beneath.draw(generator, runs, iterations)
        return np.asarray(seen + noise * variation * generator.standard_normal((runs, iterations)), dtype=np.float64)

    return Series(draw)


def stalled(share: float = 0.05, factor: float = 2.0) -> Series:
    """A share of the iterations takes so many times as long, on nearly no noise."""

    def draw(generator: np.random.Generator, runs: int, iterations: int) -> "Floats":
        rare = generator.random((runs, iterations)) < share
        return np.asarray(1 + (factor - 1) * rare + 0.01 * generator.standard_normal((runs, iterations)), dtype=float)

    return Series(draw, 1 + share * (factor - 1))


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
    "AR 0.9 beneath as much noise": hidden(0.9),
    "5 % take twice as long": stalled(),
}


class Stretched(Struct, frozen=True):
    """A way to draw the parts of so many iterations: an array of runs x iterations x parts, of mean 1."""

    draw: "Callable[[np.random.Generator, int, int], Floats]"


def parts(wander: float, *, correlation: float = 0.0, own: float = 0.0, noise: float = 0.0) -> Stretched:
    """Deviations of an iteration, each as a share of its time: of wander that goes on from step to step, with so large
    a correlation an iteration later; of the iteration's own; of noise at each part.
    """
    fine = EACH * _FINE

    def draw(generator: np.random.Generator, runs: int, iterations: int) -> "Floats":
        each = correlation ** (1 / fine)
        walk = generator.standard_normal((runs, iterations * fine))
        for at in range(1, walk.shape[1]):
            walk[:, at] = each * walk[:, at - 1] + np.sqrt(1 - each**2) * walk[:, at]
        moved = walk.reshape(runs, iterations, EACH, _FINE).mean(axis=3)
        alone = generator.standard_normal((runs, iterations, 1))
        shaken = generator.standard_normal((runs, iterations, EACH)) * np.sqrt(EACH)
        return np.asarray(1 + wander * moved + own * alone + noise * shaken, dtype=np.float64)

    return Stretched(draw)


EACH, _FINE = 16, 2
STRETCHED = {
    "noise of steps": parts(0.0, noise=VARIATION),
    "iterations of their own": parts(0.0, own=VARIATION, noise=0.3 * VARIATION),
    "wander 0.5": parts(VARIATION, correlation=0.5, noise=0.05 * VARIATION),
    "wander 0.8": parts(VARIATION, correlation=0.8, noise=0.05 * VARIATION),
    "wander 0.95": parts(VARIATION, correlation=0.95, noise=0.05 * VARIATION),
    "wander 0.9 beneath as much noise": parts(VARIATION, correlation=0.9, noise=VARIATION),
}
"""What is kept of our own runs: iterations in stretches."""
