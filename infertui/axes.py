"""Axes of charts, wherever they are drawn: how far they reach, where their ticks are, what these are called. Pure.

Ticks are round, no two of them have the same label, and an axis is never so short that noise fills it.
"""

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise

from msgspec import Struct

from infertui.units import format_count

MIN_SPAN = 0.1
"""The least length of a linear axis, as a share of the largest value on it: 0.1 % of noise is a hundredth of it."""
FROM_ZERO = 0.7
"""Where no value is negative, and the least is below this share of the largest, an axis starts at zero."""
_HUGE = 1e300
"""What lies beyond cannot be scaled with floats."""
_TINY = 1e-290
_STEPS_IN_RANGE, _FEW_TICKS = 5, 4
_LEVELS = 4.0
"""From this ratio of the largest to the least on, levels may be spread so evenly by their logarithm that it is used."""
_SUFFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
_SHORT_FROM = 1e4
_EXPONENT_FROM, _EXPONENT_BELOW = 1e15, 1e-5
_TIMES = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400)
"""Round steps of a time axis, in seconds."""
DURATIONS = ((1.0, "s", 1.0), (1e-3, "ms", 1e3), (0.0, "us", 1e6))
"""From how many seconds on a unit is used, its name, and how many of them a second has."""


class Tick(Struct, frozen=True):
    """A value that is written beside an axis, and how."""

    value: float
    label: str


class Axis(Struct, frozen=True):
    """From `low` to `high`, which is larger; a logarithmic one has positive ends."""

    low: float
    high: float
    log: bool = False

    def place(self, value: float) -> float:
        """Where `value` is: 0 at the low end, 1 at the high one, beyond these outside."""
        if not self.log:
            return value / (self.high - self.low) - self.low / (self.high - self.low)
        if value <= 0:
            return -math.inf
        return (math.log(value) - math.log(self.low)) / (math.log(self.high) - math.log(self.low))


def round_step(least: float) -> float:
    """The least of 1, 2 and 5 times a power of ten that is not smaller than `least`, which is positive and finite."""
    power = math.floor(math.log10(least))
    for exponent in (power, power + 1):
        for times in (1, 2, 5):
            step = float(f"{times}e{exponent}")
            if step >= least * (1 - 1e-9):
                return step
    return float(f"1e{power + 2}")


def value_axis(low: float, high: float, before: Axis | None = None, *, zero: bool = False) -> Axis:
    """A linear axis with round ends that holds `low` to `high`; from 0 to 1 where these are no numbers.

    It starts at zero unless the values lie far above it, with `zero` in any case. `before` stays when it still fits and
    is not far too long: a chart whose scale moves must be painted whole.
    """
    if not (math.isfinite(low) and math.isfinite(high)):
        return before or Axis(0.0, 1.0)
    low, high = (min(max(end, -_HUGE), _HUGE) for end in (low, high))
    low, high = (0.0 if abs(end) < _TINY else end for end in (low, high))
    if low >= 0 and (zero or low < FROM_ZERO * high or high == 0):
        low = 0.0
    elif zero and high < 0:
        high = 0.0
    low, high = _long_enough(low, high)
    if before and before.low <= low and high <= before.high and before.high - before.low <= 2.5 * (high - low):
        return before
    step = round_step((high - low) / _STEPS_IN_RANGE)
    bottom, top = math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step
    return Axis(bottom, max(bottom + step, top))


def _long_enough(low: float, high: float) -> tuple[float, float]:
    """Both ends, as far apart as MIN_SPAN has it."""
    if low == high == 0:
        return 0.0, 1.0
    missing = MIN_SPAN * max(abs(low), abs(high)) - (high - low)
    return (low, high) if missing <= 0 else (low - missing / 2, high + missing / 2)


def level_axis(levels: Iterable[float]) -> Axis:
    """An axis of what was swept, which ends at its least and largest level: logarithmic where they multiply.

    One level stands in the middle, and no level gives an axis from 0 to 1. Levels that are no numbers are left out.
    """
    found = sorted({min(max(level, -_HUGE), _HUGE) for level in levels if math.isfinite(level)})
    if not found:
        return Axis(0.0, 1.0)
    low, high = found[0], found[-1]
    if high - low <= 1e-9 * max(abs(low), abs(high)):
        half = abs(low) / 2 if abs(low) > _TINY else 0.5
        return Axis(low - half, low + half)
    return Axis(low, high, log=_multiply(found))


def _multiply(levels: Sequence[float]) -> bool:
    """Whether steps from level to level are more alike as ratios than as differences."""
    if len(levels) < 3 or levels[0] <= _TINY or levels[-1] / levels[0] < _LEVELS:
        return False
    ratios = [math.log(other) - math.log(one) for one, other in pairwise(levels)]
    differences = [other - one for one, other in pairwise(levels)]
    return max(ratios) * min(differences) < max(differences) * min(ratios)


def ticks(axis: Axis, most: int) -> tuple[Tick, ...]:
    """At most so many round ticks within the axis, rising; two at least of a linear one that `value_axis` made."""
    if axis.log:
        values = _decades(axis)
        return _named(values[:: -(-len(values) // max(1, most))])
    most = max(2, most)
    step = round_step(max((axis.high - axis.low) / most / 2.5, _TINY))
    found = _multiples(axis, step)
    while len(found) > most:
        larger = round_step(step * 1.5)
        if len(fewer := _multiples(axis, larger)) < 2:
            found = found[:: -(-len(found) // most)]
        else:
            step, found = larger, fewer
    return tuple(Tick(value, label) for value, label in _labelled(found, step))


def tick_rows(axis: Axis, rows: int) -> dict[int, str]:
    """Labels of a vertical axis by row, 0 being the topmost: at every third row or so, at every other one of a few."""
    if not axis.high > axis.low or rows < 1:
        return {}
    found = ticks(axis, min(1 + (rows - 1) // 2, max(_FEW_TICKS, 1 + (rows - 1) // 3)))[:rows]
    return {round((1 - axis.place(one.value)) * (rows - 1)): one.label for one in found}


def _multiples(axis: Axis, step: float) -> list[float]:
    first, last = math.ceil(axis.low / step - 1e-9), math.floor(axis.high / step + 1e-9)
    return [times * step for times in range(first, last + 1)]


def level_ticks(axis: Axis, levels: Iterable[float], most: int) -> tuple[Tick, ...]:
    """At most so many ticks at levels that were measured; round ones where a linear axis has more levels than that."""
    most = max(1, most)
    known = sorted({float(level) for level in levels if axis.low <= level <= axis.high and math.isfinite(level)})
    if not known or (len(known) > most and not axis.log):
        return ticks(axis, most)
    return _named(known[:: -(-len(known) // most)])


def _named(values: Sequence[float]) -> tuple[Tick, ...]:
    """Each with a label; of several that would have the same one the first."""
    named = {level_text(value): value for value in reversed(values)}
    return tuple(Tick(value, label) for label, value in reversed(named.items()))


def _decades(axis: Axis) -> list[float]:
    """1, 2 and 5 of every power of ten within the axis."""
    first, last = math.floor(math.log10(axis.low)), math.floor(math.log10(axis.high))
    every = max(1, (last - first) // 10)
    found = [float(f"{times}e{power}") for power in range(first, last + 1, every) for times in (1, 2, 5)]
    return [value for value in found if axis.low * (1 - 1e-9) <= value <= axis.high * (1 + 1e-9)]


def level_text(level: float) -> str:
    """What was swept, as it was asked for: `16`, `0.7`, `32k`, `131,072`."""
    level = float(level)
    if not level.is_integer() or abs(level) >= _EXPONENT_FROM:
        return f"{level:.6g}"
    size, suffix = next(
        ((size, sign) for size, sign in _SUFFIXES if abs(level) >= max(size, _SHORT_FROM) and level % size == 0),
        (1.0, ""),
    )
    return f"{level / size:,.0f}{suffix}" if suffix or abs(level) < 1e9 else f"{level:.6g}"


def _labelled(values: Sequence[float], step: float) -> list[tuple[float, str]]:
    """Multiples of a round step with labels of one form: as many decimals for all, and one suffix."""
    largest = max((abs(value) for value in values), default=0.0)
    factor, suffix = 1.0, ""
    if largest >= _SHORT_FROM:
        factor, suffix = next((size, sign) for size, sign in _SUFFIXES if largest >= size)
    if largest >= _EXPONENT_FROM or 0 < largest < _EXPONENT_BELOW:
        digits = max(0, math.floor(math.log10(largest)) - math.floor(math.log10(abs(step) * (1 + 1e-9))))
        return [(value, "0" if value == 0 else _exponent(value, digits)) for value in values]
    decimals = max(0, -math.floor(math.log10(step / factor * (1 + 1e-9))))
    labels = [f"{value / factor + 0.0:,.{decimals}f}" for value in values]
    return [
        (value, "0" if value == 0 else label + suffix) for value, label in zip(values, labels, strict=True)
    ]  # fmt: skip


def _exponent(value: float, digits: int) -> str:
    mantissa, _, power = f"{value:.{digits}e}".partition("e")
    return f"{mantissa}e{int(power)}"


def number_text(value: float) -> str:
    """Any number in few cells: `0.25`, `2,500`, `12k`."""
    if value == 0:
        return "0"
    if abs(value) >= _SHORT_FROM:
        number, _, suffix = format_count(value).partition(" ")
        return f"{float(number):g}{suffix}"
    return f"{value:,.4g}" if abs(value) >= 1000 else f"{value:.3g}"


def seconds_ticks(axis: Axis, most: int) -> tuple[Tick, ...]:
    """At most so many ticks of a time axis in seconds, at round minutes or hours where it is long."""
    length = axis.high - axis.low
    most = max(2, most)
    if length < most:
        return tuple(Tick(one.value, elapsed(one.value)) for one in ticks(axis, most) if _told(one.value))
    step = next((float(step) for step in _TIMES if length / step <= most - 1 + 1e-9), 0.0)
    step = step or 86_400 * round_step(length / (most - 1) / 86_400)
    return tuple(Tick(value, elapsed(value)) for value in _multiples(axis, step))


def _told(seconds: float) -> bool:
    """Whether a label can say it exactly: tenths of a second are written below ten."""
    parts = seconds * (10 if abs(seconds) < 9.95 else 1)
    return abs(parts - round(parts)) < 1e-6


def elapsed(seconds: float) -> str:
    """A point of a time axis: `45s`, `1:30`, `2:05:00`; negative before zero."""
    sign, whole = ("-" if seconds <= -0.05 else ""), abs(seconds)
    if 0.05 <= whole < 9.95 and abs(whole - round(whole)) > 0.05:
        return f"{sign}{whole:.1f}s"
    minutes, rest = divmod(round(whole), 60)
    sign = sign if minutes or rest else ""
    if minutes == 0:
        return f"{sign}{rest}s"
    hours, minutes = divmod(minutes, 60)
    return f"{sign}{hours}:{minutes:02}:{rest:02}" if hours else f"{sign}{minutes}:{rest:02}"


def duration_unit(longest: float) -> tuple[str, float]:
    """The unit in which durations up to `longest` seconds read best, and how many of them a second has."""
    return next((name, factor) for least, name, factor in DURATIONS if longest >= least)


def label_start(tick: Tick, axis: Axis, width: int) -> int:
    """The first cell of a label that is centred on its place on `width` cells, as far as these reach."""
    return min(
        max(0, round(axis.place(tick.value) * (width - 1)) - len(tick.label) // 2), max(0, width - len(tick.label))
    )


def thinned(found: Sequence[Tick], axis: Axis, width: int) -> list[Tick]:
    """Those of the ticks whose labels leave a blank between them on `width` cells: the ends first, then from the low
    one on whatever fits.
    """
    kept: dict[float, tuple[int, int]] = {}
    for tick in dict.fromkeys([*found[:1], *found[-1:], *found]):
        start = label_start(tick, axis, width)
        end = start + len(tick.label)
        if end <= width and all(end < low or high < start for low, high in kept.values()):
            kept[tick.value] = start, end
    return [tick for tick in found if tick.value in kept]
