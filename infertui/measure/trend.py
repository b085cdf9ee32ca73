"""Whether iterations became faster or slower while they were measured, and not by chance."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

from infertui.measure.dependence import variance_of
from infertui.measure.statistics import two_sided

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

FALSE_POSITIVES = 0.01
"""How often noise alone, without any movement, is called one."""
FEWEST = 4
MOST = 128
"""Of more values, neighbours are taken together: a movement is as clear from these."""
_EACH, _ANY_STEP = FALSE_POSITIVES / 2, FALSE_POSITIVES / 10
"""Of a line and of a level from half to half, which noise often makes together, and of a step at any place."""
_SHORTEST = 6
"""The shortest level before or after a step is one of so many parts: a few odd iterations are none."""
_ROUNDING = 1e-12
Shape = Literal["halves", "line", "step"]
SHAPES: dict[str, str] = {
    "halves": "from the first to the second half",
    "line": "steadily, from beginning to end",
    "step": "at one stroke",
}
"""As people read them."""


class Movement(Struct, frozen=True):
    """`change` is relative: of a level from the first to the second half, or from before to after a step at any place,
    or of a line from its beginning to its end.

    Told is the shape that fits best. `p` is of its t-test, two-sided; from ten values on it takes into account that
    they may depend on one another, and that of a step counts all the places at which one was looked for.
    """

    change: float
    shape: Shape
    p: float

    @property
    def rises(self) -> bool:
        """Whether noise rises so far in fewer than one of a hundred runs, where no other shape was tried."""
        return self.change > 0 and self.p < 2 * FALSE_POSITIVES

    @property
    def real(self) -> bool:
        """Whether noise moves so far in fewer than one of a hundred runs."""
        return self.p < _EACH


def movement(values: Sequence[float], *, line: bool = False) -> Movement | None:
    """How positive values moved, or how a `line` does; None below four, or where their mean is none."""
    if len(values) < FEWEST:
        return None
    import numpy as np

    series = np.asarray(values, dtype=float)
    width = math.ceil(len(series) / MOST)
    if width > 1:
        series = series[: len(series) // width * width].reshape(-1, width).mean(axis=1)
    n, mean = len(series), float(series.mean())
    if not 0 < mean < math.inf:
        return None
    series = series / mean
    place = np.arange(n, dtype=float) - (n - 1) / 2
    side = np.where(np.abs(place) < 0.5, 0.0, np.sign(place))  # an odd middle value belongs to neither half
    side = np.asarray(side, dtype=float)
    straight, halves = _fit(series, place, side, "line"), _fit(series, side, side, "halves")
    best = _told(straight if line or straight.apart < halves.apart else halves, 1.0)
    places = _places(n)
    if line or not places:
        return best
    step = _told(_stepped(series, places), len(places) * _EACH / _ANY_STEP)
    return step if step.p < best.p else best


class _Fit(Struct, eq=False):
    """From `first` to `last`; `apart` is the sum of squares by which it misses the values that both shapes have."""

    shape: Shape
    first: float
    last: float
    moved: float
    contrast: "Floats"
    residuals: "Floats"
    apart: float


def _fit(series: "Floats", along: "Floats", side: "Floats", shape: Shape) -> _Fit:
    """Least squares of `level + moved * along` over the values where `along` counts."""
    import numpy as np

    used = np.full(len(series), fill_value=True) if shape == "line" else side != 0
    values, along = series[used], along[used]
    level, contrast = float(values.mean()), along / float(along @ along)
    moved = float(contrast @ values)
    residuals = np.asarray(values - level - moved * along, dtype=float)
    shared = residuals[side != 0] if shape == "line" else residuals
    first, last = level + moved * float(along[0]), level + moved * float(along[-1])
    apart = float(np.square(shared).sum())
    return _Fit(shape, first, last, moved, np.asarray(contrast, dtype=float), residuals, apart)


def _told(fit: _Fit, tries: float) -> Movement:
    """What a shape says that was one of so many."""
    change = fit.last / fit.first - 1 if fit.first > 0 else math.inf
    degrees = len(fit.residuals) - 2
    error = math.sqrt(variance_of(fit.contrast, fit.residuals, degrees))
    if error <= _ROUNDING:
        return Movement(change, fit.shape, 0.0 if abs(fit.moved) > _ROUNDING else 1.0)
    return Movement(change, fit.shape, min(1.0, tries * two_sided(abs(fit.moved) / error, degrees)))


def _places(n: int) -> range:
    """Where a step is looked for: how many of the values are before it."""
    shortest = max(2, math.ceil(n / _SHORTEST))
    return range(shortest, n - shortest + 1) if n >= _SHORTEST else range(0)


def _stepped(series: "Floats", places: range) -> _Fit:
    """Least squares of one level before a step and another after it, wherever that fits best."""
    import numpy as np

    n, before = len(series), np.asarray(places, dtype=float)
    sums = np.cumsum(series)[places.start - 1 : places.stop - 1]
    apart = np.square(sums / before - (series.sum() - sums) / (n - before)) * before * (n - before)
    at = places[int(apart.argmax())]
    level = np.where(np.arange(n) < at, series[:at].mean(), series[at:].mean())
    contrast = np.where(np.arange(n) < at, -1 / at, 1 / (n - at))
    first, last = float(level[0]), float(level[-1])
    residuals = np.asarray(series - level, dtype=float)
    return _Fit("step", first, last, last - first, contrast, residuals, float(np.square(residuals).sum()))


def tends_up(values: Sequence[float]) -> bool:
    """Whether later values tend to be larger, by Kendall's and Mann's test at 5 %: a few odd ones do not decide it."""
    n = len(values)
    rising = sum((later > value) - (later < value) for at, value in enumerate(values) for later in values[at + 1 :])
    deviation = math.sqrt(n * (n - 1) * (2 * n + 5) / 18)
    return n > 1 and (rising - 1) / deviation > 1.645
