"""What the measuring of a device's ceilings tells, step by step."""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from msgspec import Struct


class PeaksSubject(Struct, frozen=True, tag="subject"):
    """What is going to be measured, and by what. `device` is empty for a CPU, whose name the parent knows."""

    device: str
    uuid: str
    threads: int | None
    software: str


class Started(Struct, frozen=True, tag="started"):
    """A figure is being measured: `copy`, or a number format."""

    what: str


class Rate(Struct, frozen=True, tag="rate"):
    """A figure that was measured: bytes or operations per second of each repetition, at one size.

    `by_clock` are those of the host's clock, where `rates` are by the device's own events.
    """

    what: str
    rates: tuple[float, ...]
    size: str
    by_clock: tuple[float, ...] = ()


class Missing(Struct, frozen=True, tag="missing"):
    """A format that is not measured, and why."""

    what: str
    reason: str


class PeaksDone(Struct, frozen=True, tag="done"):
    """Everything was measured."""


class Refused(Struct, frozen=True, tag="refused"):
    """It cannot be measured at all."""

    message: str
    remedy: str = ""


Told = PeaksSubject | Started | Rate | Missing | PeaksDone | Refused


class PeaksPlan(Struct, frozen=True):
    """How long to take: seconds for each figure."""

    copy_s: float
    format_s: float
    repeats: int
    copy_bytes: int
    largest: int
    """Rows and columns of the largest matrices."""


FULL_CUDA = PeaksPlan(copy_s=1.0, format_s=1.5, repeats=40, copy_bytes=4 << 30, largest=16384)
QUICK_CUDA = PeaksPlan(copy_s=0.3, format_s=0.3, repeats=10, copy_bytes=1 << 30, largest=8192)
FULL_CPU = PeaksPlan(copy_s=3.0, format_s=3.0, repeats=20, copy_bytes=1 << 30, largest=8192)
QUICK_CPU = PeaksPlan(copy_s=0.7, format_s=0.7, repeats=6, copy_bytes=1 << 28, largest=4096)


class MeasuredDevice(Protocol):
    """A device that is measured: made ready when it is constructed."""

    @property
    def subject(self) -> PeaksSubject:
        """What it is."""
        ...

    @property
    def formats(self) -> Sequence[str]:
        """Number formats to try, in order."""
        ...

    def copy(self) -> Rate:
        """Measure the copy."""
        ...

    def product(self, what: str) -> Rate | Missing:
        """Measure the matrix product in a format."""
        ...


def measure(bench: MeasuredDevice) -> Iterator[Told]:
    """Measure everything, telling each figure as it comes."""
    yield Started("copy")
    yield bench.copy()
    for what in bench.formats:
        yield Started(what)
        yield bench.product(what)
    yield PeaksDone()


def square(n: int) -> str:
    """The size of a product of two square matrices, in words."""
    return f"{n} x {n} x {n}"


def best_size(
    sizes: Sequence[int], budget_s: float, prepare: Callable[[int], Callable[[], float]], repeats: int
) -> tuple[int, tuple[float, ...]] | None:
    """Find the size with the highest rate, and the seconds of its repetitions.

    `prepare` makes ready the product of matrices of a size and gives what does it once and returns its seconds. Larger
    sizes are tried while the next one, eight times the work, fits into what is left of the budget three times; None
    without any size.
    """
    best: tuple[int, tuple[float, ...]] | None = None
    left = budget_s
    for n in sizes:
        once = prepare(n)
        first = once()  # loads kernels, or picks an algorithm
        taken: list[float] = []
        share = left / 2
        while len(taken) < 3 or (len(taken) < repeats and sum(taken) < share):
            taken.append(once())
        left -= first + sum(taken)
        if best is None or n**3 / min(taken) > best[0] ** 3 / min(best[1]):
            best = n, tuple(taken)
        if left < 3 * 8 * min(taken):
            break
    return best
