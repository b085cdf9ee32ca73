"""The memory of the GPU that a study is about, and what of it may be used."""

from msgspec import Struct

from infertui.errors import UsageError
from infertui.integers import Whole

CEILING = 0.85
"""The share of the memory that is to be in use at most, unless told otherwise."""
_SURELY_PERCENT = 10


class Card(Struct, frozen=True):
    """A GPU's memory in bytes. `others` is what is in use there beside the run, `ceiling` the share that all may take
    together. `total` is None where it is not known: then nothing is refused."""

    total: Whole | None = None
    others: Whole = 0
    ceiling: float = CEILING

    def share(self, size: float) -> float:
        """The part of the card that so many bytes are; 0 of one whose memory is not known."""
        return size / self.total if self.total else 0.0

    def fits(self, size: float) -> bool:
        """Whether so many bytes, with what others use, are within the ceiling."""
        return not self.total or size + self.others <= self.ceiling * self.total

    def allows(self, share: float | None) -> bool:
        """Whether this part of the card is within the ceiling where nobody else uses it."""
        return share is None or share <= self.ceiling


def parse_ceiling(text: str) -> float:
    """`85%`, `85` or `0.85` as a share. Raises UsageError."""
    number, percent = text.strip().removesuffix("%"), text.strip().endswith("%")
    try:
        value = float(number)
    except ValueError:
        value = 0.0
    if not percent and 1 < value < _SURELY_PERCENT:
        raise UsageError(
            f"--vram-ceiling {text!r} is neither a share of 1 nor clearly percent", remedy="Write 85% or 0.85."
        )
    found = value / (100 if percent or value > 1 else 1)
    if not 0 < found <= 1:
        raise UsageError(f"--vram-ceiling {text!r} is no share of the memory", remedy="Allowed: 1% to 100%, as in 85%.")
    return found
