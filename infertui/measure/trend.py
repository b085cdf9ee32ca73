"""Whether iterations became faster or slower while they were measured, and not by chance."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

from infertui.measure.dependence import variance_of
from infertui.measure.student import two_sided

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

FALSE_POSITIVES = 0.01
"""How often noise alone, without any movement, is called one."""
FEWEST = 4
MOST = 256
"""Of more values, neighbours are taken together: a movement is as clear from these."""
_EACH = FALSE_POSITIVES / 2
"""Two shapes are tried."""
_ROUNDING = 1e-12
Shape = Literal["halves", "line"]


class Movement(Struct, frozen=True):
    """`change` is relative: of the level from the first to the second half, or of a line from its beginning to its end.

    Told is the shape that fits better. `p` is of its t-test, two-sided; from ten values on it takes into account that
    they may depend on one another.
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
    best = straight if line or straight.apart < halves.apart else halves
    moved, reach = best.moved, (n - 1) / 2 if best.shape == "line" else 1.0
    low, high = best.level - moved * reach, best.level + moved * reach
    change = high / low - 1 if low > 0 else math.inf
    degrees = len(best.residuals) - 2
    error = math.sqrt(variance_of(best.contrast, best.residuals, degrees))
    if error <= _ROUNDING:
        return Movement(change, best.shape, 0.0 if abs(moved) > _ROUNDING else 1.0)
    return Movement(change, best.shape, two_sided(abs(moved) / error, degrees))


class _Fit(Struct, eq=False):
    """`apart` is the sum of squares by which it misses the values that both shapes have."""

    shape: Shape
    level: float
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
    return _Fit(shape, level, moved, np.asarray(contrast, dtype=float), residuals, float(np.square(shared).sum()))


def tends_up(values: Sequence[float]) -> bool:
    """Whether later values tend to be larger, by Kendall's and Mann's test at 5 %: a few odd ones do not decide it."""
    n = len(values)
    rising = sum((later > value) - (later < value) for at, value in enumerate(values) for later in values[at + 1 :])
    deviation = math.sqrt(n * (n - 1) * (2 * n + 5) / 18)
    return n > 1 and (rising - 1) / deviation > 1.645
