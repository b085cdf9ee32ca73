"""A curve over what a sweep varied, as figures, and drawn as lines of text: values in, lines out. Pure."""

from msgspec import Struct

from infertui.analysis.curve import curve, knee
from infertui.axes import level_text

_CHANGES = 1.05
"""Memory that grows by less than this is told by a table."""
_FEWEST = 3
GIB = 2.0**30


class SweepPoint(Struct, frozen=True):
    """A run at the value `x`: output tokens per second with its 95 % interval, bytes of memory at the peak, and seconds
    to the first token, median and 99th percentile. None is not available."""

    x: float
    run: str
    throughput: float
    low: float | None = None
    high: float | None = None
    memory: float | None = None
    valid: bool = True
    ttft: float | None = None
    ttft_p99: float | None = None


class SweepCurve(Struct, frozen=True):
    """Runs that differ in the numeric setting `key` alone, by its value; `heading` names it, and `fixed` says what sets
    them apart from those of other curves. `failed` are values at which no run finished."""

    key: str
    heading: str
    points: tuple[SweepPoint, ...]
    fixed: str = ""
    failed: tuple[float, ...] = ()

    @property
    def title(self) -> str:
        """What was varied, and of what."""
        return f"{self.heading}, {self.fixed}" if self.fixed else self.heading

    @property
    def fastest(self) -> SweepPoint:
        """The valid point with the most tokens per second; any where none is valid."""
        return max(self.points, key=lambda point: (point.valid, point.throughput))

    @property
    def knee(self) -> float | None:
        """The least value to which all larger ones together add little; of valid runs where there are any."""
        valid = [point for point in self.points if point.valid]
        return knee([(point.x, point.throughput) for point in valid or self.points])

    @property
    def memory_changes(self) -> bool:
        """Whether memory is known at enough points, and not about the same at all of them."""
        known = [point.memory for point in self.points if point.memory]
        return len(known) >= _FEWEST and max(known) > _CHANGES * min(known)


def throughput_lines(one: SweepCurve, *, ascii_only: bool = False) -> list[str]:
    """Throughput over the setting, under a title; the knee is pointed at."""
    against = sum(not point.valid for point in one.points)
    doubt = f" ({against} of {len(one.points)} runs are invalid)" if against else ""
    found = one.knee
    told = "" if found is None else f", knee at {level_text(found)}"
    return curve(
        [(point.x, point.throughput) for point in one.points], title=f"output tok/s over {one.title}{told}{doubt}",
        axis=one.heading, crosses=one.failed, marks=() if found is None else (found,), ascii_only=ascii_only,
    )  # fmt: skip


def memory_lines(one: SweepCurve, *, ascii_only: bool = False) -> list[str]:
    """Memory over the setting; nothing where it hardly changes."""
    if not one.memory_changes:
        return []
    return curve(
        [(point.x, point.memory / GIB) for point in one.points if point.memory], title=f"memory, GiB, over {one.title}",
        axis=one.heading, crosses=one.failed, ascii_only=ascii_only,
    )  # fmt: skip
