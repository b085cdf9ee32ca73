"""When requests of an open loop are due: arrivals at a rate of 1, stretched in time to the rate that is wanted.

The unit process is constant, Poisson, or a renewal process of gamma gaps. Its n-th arrival, at u, is due when the
integral of the rate reaches u: exact for any rate over time, and for Poisson arrivals that is the inhomogeneous Poisson
process of that rate (Cinlar, Introduction to Stochastic Processes, 1975, chapter 4). Times are sums of all gaps so far,
never taken anew from the last one, so nothing drifts.
"""

import math
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from infertui.load.levels import Levels

CHUNK = 1024
Floats = NDArray[np.float64]
_STREAM = 1
"""Apart from the streams of lengths, which share the seed."""


def generator(seed: int, stream: int, chunk: int) -> np.random.Generator:
    """Random numbers of one chunk of one stream of a plan: every chunk can be made without those before."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence((seed, stream, chunk))))


class UnitArrivals:
    """The times of arrivals at a rate of 1, by index, equal for equal seeds.

    `shape` is that of gamma gaps, whose coefficient of variation is 1 / sqrt(shape), as vLLM's burstiness. The first
    arrival comes after a gap; of constant ones it is at 0.
    """

    def __init__(self, arrival: Literal["poisson", "constant", "gamma"], shape: float, seed: int) -> None:
        self._arrival, self._shape, self._seed = arrival, shape, seed
        self._before = [0.0]
        """When the arrival before each chunk was, of as many chunks as were looked at."""

    def chunk(self, number: int) -> Floats:
        """DueTimes `number * CHUNK` to `(number + 1) * CHUNK`, ascending."""
        if self._arrival == "constant":
            return np.arange(number * CHUNK, (number + 1) * CHUNK, dtype=np.float64)
        while len(self._before) <= number:
            self._before.append(float(self._sums(len(self._before) - 1)[-1]))
        return self._sums(number)

    def _sums(self, number: int) -> Floats:
        source = generator(self._seed, _STREAM, number)
        if self._arrival == "gamma":
            gaps = source.standard_gamma(self._shape, CHUNK) / self._shape
        else:
            gaps = source.standard_exponential(CHUNK)
        return np.cumsum(np.concatenate(([self._before[number]], gaps)))[1:]


class DueTimes:
    """Due times in seconds, by index, of arrivals at a rate over time."""

    def __init__(self, unit: UnitArrivals, rate: Levels) -> None:
        self.rate = rate
        self._unit = unit
        spans = list(rate.spans())
        self._starts = np.array([one.start for one, _ in spans])
        self._levels = np.array([one.level for one, _ in spans])
        self._slopes = np.array([one.slope for one, _ in spans])
        masses = [one.mass(until - one.start) if until < math.inf else math.inf for one, until in spans]
        self._ends = np.cumsum(masses)
        self._begins = np.concatenate(([0.0], self._ends[:-1]))

    def due(self, first: int = 0) -> Iterator[float]:
        """From the arrival with the index `first` on, until the rate ends."""
        number, skipped = divmod(first, CHUNK)
        while True:
            for time in self._times(self._unit.chunk(number))[skipped:].tolist():
                if time == math.inf:
                    return
                yield time
            number, skipped = number + 1, 0

    def changed(self, at: float, rate: float) -> "DueTimes":
        """The same arrivals, of which those that are due after `at` come at another rate."""
        return DueTimes(self._unit, self.rate.changed(at, rate))

    def _times(self, units: Floats) -> Floats:
        """Where the integral of the rate reaches each of `units`; infinite beyond its end."""
        # To the right: what falls on a boundary comes after a pause, as the first of constant arrivals comes at 0.
        found: NDArray[Any] = np.searchsorted(self._ends, units, side="right")
        inside = found < len(self._ends)
        at = found[inside]
        rest, level = units[inside] - self._begins[at], self._levels[at]
        # The root of level * x + slope * x**2 / 2 = rest, in the form that loses no digits where the slope is small.
        with np.errstate(invalid="ignore"):
            later = 2 * rest / (level + np.sqrt(level * level + 2 * self._slopes[at] * rest))
        times = np.full(len(units), np.inf)
        times[inside] = self._starts[at] + np.where(rest > 0, later, 0.0)
        return times
