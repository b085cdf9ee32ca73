"""A curve over what a sweep varied, as figures, and drawn as lines of text: values in, lines out. Pure."""

from collections.abc import Iterable

from msgspec import Struct

from infertui.analysis.curve import HEIGHT, WIDTH, curve
from infertui.units import format_bytes

_CHANGES = 1.05
"""Memory that grows by less than this is told by a table."""
_FEWEST = 3


class SweepPoint(Struct, frozen=True):
    """A run at the value `x`: output tokens per second with its 95 % interval, and bytes of memory at the peak. None is
    not available."""

    x: float
    run: str
    throughput: float
    low: float | None = None
    high: float | None = None
    memory: float | None = None
    valid: bool = True


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
    def memory_changes(self) -> bool:
        """Whether memory is known at enough points, and not about the same at all of them."""
        known = [point.memory for point in self.points if point.memory]
        return len(known) >= _FEWEST and max(known) > _CHANGES * min(known)


class ChartSize(Struct, frozen=True):
    """Cells and rows of a drawing, and the cells for its labels at least, as in `curve`."""

    width: int = WIDTH
    height: int = HEIGHT
    gutter: int = 0


USUAL = ChartSize()


def throughput_lines(
    one: SweepCurve, *, ascii_only: bool = False, size: ChartSize = USUAL, marks: Iterable[float] = ()
) -> list[str]:
    """Throughput over the setting, under a title; `marks` are pointed at."""
    against = sum(not point.valid for point in one.points)
    doubt = f" ({against} of {len(one.points)} runs are invalid)" if against else ""
    return curve(
        [(point.x, point.throughput) for point in one.points], title=f"output tok/s over {one.title}{doubt}",
        axis=one.heading, crosses=one.failed, marks=tuple(marks), width=size.width, height=size.height,
        gutter=size.gutter, ascii_only=ascii_only,
    )  # fmt: skip


def memory_lines(one: SweepCurve, *, ascii_only: bool = False, size: ChartSize = USUAL) -> list[str]:
    """Memory over the setting; nothing where it hardly changes."""
    if not one.memory_changes:
        return []
    return curve(
        [(point.x, point.memory) for point in one.points if point.memory], title=f"memory over {one.title}",
        axis=one.heading, text=format_bytes, crosses=one.failed, width=size.width, height=size.height,
        gutter=size.gutter, ascii_only=ascii_only,
    )  # fmt: skip
