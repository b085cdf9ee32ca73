"""How many tokens requests ask for: lengths by the request's index, equal for equal seeds."""

from typing import Literal

import numpy as np

from infertui.load.arrivals import CHUNK, generator

INPUT, OUTPUT = 2, 3
"""Streams of random numbers."""


class PlannedLengths:
    """Around a mean: all alike, normal, or uniform.

    `spread` is a share of the mean: the standard deviation of normal lengths, half the width of uniform ones. They are
    rounded, and at least 1, which raises the mean of normal ones of a spread above some 0.4. With another mean the same
    random numbers are taken.
    """

    def __init__(
        self, mean: int, kind: Literal["fixed", "normal", "uniform"], spread: float, *, seed: int, stream: int
    ) -> None:
        self._mean, self._kind, self._spread, self._seed, self._stream = mean, kind, spread, seed, stream
        self._number = -1
        self._chunk: list[int] = []

    def at(self, index: int) -> int:
        """Of the request with that index, in tokens. Cheap where indices ascend."""
        if self._kind == "fixed" or not self._spread:
            return self._mean
        number, place = divmod(index, CHUNK)
        if number != self._number:
            self._number, self._chunk = number, self._made(number)
        return self._chunk[place]

    def _made(self, number: int) -> list[int]:
        source = generator(self._seed, self._stream, number)
        normal = self._kind == "normal"
        deviations = source.standard_normal(CHUNK) if normal else source.uniform(-1.0, 1.0, CHUNK)
        values = np.rint(self._mean * (1 + self._spread * deviations))
        lengths: list[int] = np.maximum(values, 1).astype(np.int64).tolist()
        return lengths
