"""How one quantity compares, in words and with the interval."""

from collections.abc import Callable
from typing import Literal

from msgspec import Struct

from infertui.measure.comparison import Better, Ratio
from infertui.units import format_bytes, format_number, format_seconds

Basis = Literal["iterations", "rounds", "whole"]
"""What an interval rests on; `whole`: a figure of the whole run, of which there is one."""
Sign = Literal["+", "-", "=", "?", ""]
"""Better, worse, no difference, not sure for want of observations, and not available."""
NOT_AVAILABLE = "n/a"
_PERCENT_BELOW = 1.1
_JUST_ABOVE = 1.005


class Figure(Struct, frozen=True):
    """One quantity of both sides. `better` says which way is better; `ratio` is the second over the first."""

    name: str
    first: float | None
    second: float | None
    better: Better
    ratio: Ratio | None
    show: str
    """How its values are written: `seconds`, `bytes` or `number`."""
    key: str = ""
    """What `--fail-if` and programs call it."""
    basis: Basis = "iterations"

    def text(self, value: float | None) -> str:
        """A value as people read it."""
        return NOT_AVAILABLE if value is None else _WAYS[self.show](value)

    @property
    def sign(self) -> Sign:
        """The verdict in one character."""
        if self.ratio is None:
            return ""
        if self.ratio.differs is None:
            return "?"
        return ("+" if self._is_better else "-") if self.ratio.differs else "="

    @property
    def verdict(self) -> str:
        """In words, with the interval."""
        found = self.ratio
        if found is None:
            return NOT_AVAILABLE
        if found.interval is None:
            return f"{self._factor()} {self._word}{_WANTING[self.basis]}" if found.value != 1 else "the same"
        if not found.differs:
            return f"no difference: {_span(found.value, found.interval.low, found.interval.high)}"
        low, high = found.interval.low, found.interval.high
        if found.value < 1:
            low, high = 1 / high, 1 / low
        return f"{self._factor(high - low, most=high)} {self._word}, {_span_only(low, high)}"

    @property
    def ratio_text(self) -> str:
        """The ratio with its interval and the verdict's sign, short enough for a table: `2.41 2.38-2.44 +`."""
        found = self.ratio
        if found is None:
            return NOT_AVAILABLE
        if found.interval is None:
            return f"{_digits(found.value, 1.0)} {self.sign}"
        low, high = found.interval.low, found.interval.high
        wide = high - low
        return f"{_digits(found.value, wide)} {_digits(low, wide)}-{_digits(high, wide)} {self.sign}"

    @property
    def _is_better(self) -> bool:
        return self.ratio is not None and (self.ratio.value > 1) == (self.better == "higher")

    def _factor(self, wide: float = 1.0, *, most: float = 0.0) -> str:
        value = self.ratio.value if self.ratio else 1.0
        value = value if value >= 1 else 1 / value
        return f"{_digits(value, wide)}x" if max(value, most) >= _PERCENT_BELOW else percent(value - 1)

    @property
    def _word(self) -> str:
        if self.show == "seconds" or self.better == "higher":
            return "faster" if self._is_better else "slower"
        return "less" if self._is_better else "more"


_WANTING: dict[Basis, str] = {
    "iterations": ", too few iterations to say how sure",
    "rounds": ", too few rounds to say how sure",
    "whole": "",
}
_WAYS: dict[str, Callable[[float], str]] = {
    "seconds": format_seconds,
    "bytes": format_bytes,
    "number": format_number,
}


def p_text(p: float) -> str:
    """A p value as people read it."""
    return "< 0.001" if p < 0.001 else f"{p:.{4 if p < 0.1 else 3}f}"


def percent(share: float) -> str:
    """A share with two digits that count, or more: `0.042%`, `3.4%`."""
    size = abs(share)
    return f"{share:.{3 if size < 1e-3 else 2 if size < 1e-2 else 1}%}"


def _span(value: float, low: float, high: float) -> str:
    wide = high - low
    return f"{_digits(value, wide)}, {_digits(low, wide)} to {_digits(high, wide)}"


def _span_only(low: float, high: float) -> str:
    if high < _PERCENT_BELOW:
        return f"{percent(low - 1)} to {percent(high - 1)}"
    # An interval that leaves 1 out must not seem to begin with it.
    return f"{_digits(low, 0.0 if low < _JUST_ABOVE else high - low)} to {_digits(high, high - low)}"


def _digits(value: float, wide: float) -> str:
    """A ratio with as many decimals as an interval this wide calls for."""
    if value >= 10:
        return f"{value:,.{0 if value >= 100 else 1}f}"
    return f"{value:.{2 if wide > 0.02 else 3}f}"
