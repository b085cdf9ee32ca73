"""How one quantity compares, in words and with the interval: by the signed change of the figure itself.

A change is second / first - 1, in words, intervals and rules alike: 100 -> 91 is 9.0 % less, and no other number. Where
an interval does not decide, `needed` says how many observations it would probably take.
"""

import math
from collections.abc import Callable
from typing import Literal

from msgspec import Struct

from infertui.measure.comparison import Better, Ratio
from infertui.measure.dependence import FEWEST
from infertui.measure.statistics import CONFIDENCE, Interval, student_quantile
from infertui.metrics.metric import NOT_AVAILABLE
from infertui.units import format_bytes, format_number, format_seconds

Basis = Literal["iterations", "rounds", "whole"]
"""What an interval rests on; `whole`: a figure of the whole run, of which there is one."""
Outcome = Literal["better", "worse", "equal", "unclear", ""]
"""`equal`: the whole interval lies within the band; `unclear`: it holds 1 and reaches beyond, or there is none."""
Sign = Literal["+", "-", "=", "?", ""]
SIGNS: dict[Outcome, Sign] = {"better": "+", "worse": "-", "equal": "=", "unclear": "?", "": ""}
EQUAL_WITHIN = 0.02
"""The band in which two figures count as equal unless another one is asked for, as a share."""
FACTOR_FROM = 1.995
"""Ratios from this on, which is shown as 2.00, are told as factors; what is below as percent."""
_ROUNDING = 1e-9
_MOST_PLACES = 4


class ComparedFigure(Struct, frozen=True):
    """One quantity of both sides. `better` says which way is better; `ratio` is the second over the first."""

    name: str
    first: float | None
    second: float | None
    better: Better
    ratio: Ratio | None
    show: str
    """How its values are written: `seconds`, `bucketed` (seconds that are known to 1 %), `bytes` or `number`."""
    key: str = ""
    """What `--fail-if` and programs call it."""
    basis: Basis = "iterations"
    observations: int = 0
    """Of the side that has fewer; 0 where that is not known."""
    wanting: str = ""
    """Why there is no interval, where `basis` does not say it."""
    equal_within: float = EQUAL_WITHIN

    def text(self, value: float | None) -> str:
        """A value as people read it."""
        return NOT_AVAILABLE if value is None else _WAYS[self.show](value)

    @property
    def outcome(self) -> Outcome:
        """Better or worse for sure, equal for all that matters, or not clear; empty where it is not available."""
        return "" if self.ratio is None else outcome_of(self.ratio, self.better, self.equal_within)

    @property
    def sign(self) -> Sign:
        """The verdict in one character."""
        return SIGNS[self.outcome]

    @property
    def verdict(self) -> str:
        """In words, with the interval."""
        found = self.ratio
        if found is None:
            return NOT_AVAILABLE
        if found.interval is None:
            why = self.wanting or _WANTING[self.basis]
            return f"{self._change(None)}{f', {why}' if why else ''}" if found.value != 1 else "the same"
        wide = found.interval.high - found.interval.low
        ends = (_signed(end, found.value, wide) for end in (found.interval.low, found.interval.high))
        span = f"({' to '.join(ends)})"
        if _within(found.interval, self.equal_within):
            known = "different, by less than" if found.differs else "equal within"
            return f"{known} {band_text(self.equal_within)}: {_signed(found.value, found.value, wide)} {span}"
        if not found.differs:
            return f"unclear: {_signed(found.value, found.value, wide)} {span}"
        return f"{self._change(wide)} {span}"

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
    def change_text(self) -> str:
        """The signed change in percent and the verdict's sign, short enough for a table: `-60.7% +`."""
        found = self.ratio
        if found is None:
            return NOT_AVAILABLE
        wide = found.interval.high - found.interval.low if found.interval is not None else None
        if found.value >= FACTOR_FROM:
            return f"{found.value - 1:+,.{1 if found.value < 10 else 0}%} {self.sign}"
        return f"{_percent(found.value - 1, wide, '+')} {self.sign}"

    def _change(self, wide: float | None) -> str:
        """`8.2% lower`, `2.41x as high`."""
        value = self.ratio.value if self.ratio else 1.0
        higher, lower, as_much = _WORDS["higher" if self.better == "higher" else self.show]
        if value >= FACTOR_FROM:
            return f"{_digits(value, 1.0 if wide is None else wide)}x {as_much}"
        return f"{_percent(abs(value - 1), wide)} {higher if value > 1 else lower}"


def outcome_of(found: Ratio, better: Better, equal_within: float) -> Outcome:
    """What is known of a ratio; it is never better, worse or equal by its value alone."""
    if found.interval is not None and _within(found.interval, equal_within):
        return "equal"
    if not found.differs:
        return "unclear"
    return "better" if (found.value > 1) == (better == "higher") else "worse"


def _within(interval: Interval, band: float) -> bool:
    """Whether the whole interval is a change of no more than the band."""
    return 1 - band - _ROUNDING <= interval.low and interval.high <= 1 + band + _ROUNDING


_WORDS = {
    "higher": ("higher", "lower", "as high"),
    "seconds": ("longer", "shorter", "as long"),
    "bucketed": ("longer", "shorter", "as long"),
    "bytes": ("more", "less", "as much"),
    "number": ("more", "less", "as much"),
}
_WANTING: dict[Basis, str] = {
    "iterations": "too few iterations to say how sure",
    "rounds": "too few rounds to say how sure",
    "whole": "",
}
_WAYS: dict[str, Callable[[float], str]] = {
    "seconds": format_seconds,
    "bucketed": lambda value: format_seconds(value, 2),
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


def band_text(band: float) -> str:
    """A band as it was asked for: `2%`, `0.5%`."""
    return f"{band * 100:g}%"


def _percent(change: float, wide: float | None, sign: str = "") -> str:
    """A change with the digits that an interval this wide leaves; what is not 0 is never shown as 0.

    0 decimals of a percent where the interval is ten points wide or more, 2 where it is below a fiftieth, else 1.
    """
    places = 1 if wide is None else 0 if wide >= 0.0995 else 1 if wide >= 0.00195 else 2
    if wide is not None and wide < _ROUNDING:
        places = 1
    shown = f"{change:{sign}.{places}%}"
    while places < _MOST_PLACES and (_rounded_up(shown, change) or (abs(change) > _ROUNDING and not _counts(shown))):
        places += 1
        shown = f"{change:{sign}.{places}%}"
    if _rounded_up(shown, change):
        most = 10 ** (_MOST_PLACES + 2)
        return f"{math.trunc(change * most) / most:{sign}.{_MOST_PLACES}%}"
    return shown if _counts(shown) else f"{0:.{places}%}"


def _rounded_up(shown: str, change: float) -> bool:
    """Whether nearly all is told as all: nothing that was measured is 100 % less than something."""
    return abs(change) < 1 and float(shown.rstrip("%")) in (-100, 100)


def _counts(shown: str) -> bool:
    return any(digit in shown for digit in "123456789")


def _signed(ratio: float, beside: float, wide: float) -> str:
    """A ratio as a signed change, or as a factor where the one that it stands `beside` is told as one."""
    return _digits(ratio, wide) + "x" if beside >= FACTOR_FROM else _percent(ratio - 1, wide, "+")


def _digits(value: float, wide: float) -> str:
    """A ratio with as many decimals as an interval this wide calls for; what is not 1 is not shown as 1."""
    if value >= 10:
        return f"{value:,.{0 if value >= 100 else 1}f}"
    places = 2 if wide > 0.02 else 3
    if 0 < value < 0.1:
        places = max(places, 1 - math.floor(math.log10(value)))
    shown = f"{value:.{places}f}"
    while abs(value - 1) > _ROUNDING and places < _MOST_PLACES and float(shown) == 1:
        places += 1
        shown = f"{value:.{places}f}"
    return shown


MOST = 10_000
"""More than these nobody would wait for."""
_POWER = 0.841621
"""The standard normal distribution's 80 % quantile."""


def observations_needed(found: Ratio, limit: float, observations: int) -> int | None:
    """Observations with which the interval would lie on one side of the ratio `limit`, four times in five.

    If ratio and spread stay what they are: the least m with (t(m - 1) + z(0.8)) s / sqrt(m) <= |ln(ratio / limit)|, the
    standard sample size of a mean; s, of the logarithms, follows from the interval's width and the `observations` that
    it rests on. None where there is no interval, or where it would take more than `MOST`.
    """
    interval = found.interval
    if interval is None or observations < FEWEST or min(interval.low, limit) <= 0:
        return None
    half = math.log(interval.high / interval.low) / 2
    spread = half * math.sqrt(observations) / _quantile(observations)
    away = abs(math.log(found.value / limit))
    low, high = max(FEWEST, observations + 1), MOST
    if not _tells(high, spread, away):
        return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if _tells(middle, spread, away) else (middle + 1, high)
    return low


def _tells(observations: int, spread: float, away: float) -> bool:
    return (_quantile(observations) + _POWER) * spread / math.sqrt(observations) <= away


def _quantile(observations: int) -> float:
    return student_quantile((1 + CONFIDENCE) / 2, observations - 1)
