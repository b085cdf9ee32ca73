"""Quantities as people read them."""

import math

_HUGE, _TINY = 1e15, 1e-9
"""Figures beyond these have an exponent: nobody counts sixteen digits, and 1e308 has three hundred."""


def format_bytes(count: float) -> str:
    """Binary units with three or four significant digits: `1536` is `1.50 KiB`."""
    size = float(count)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if abs(size) < 1023.5 or unit == "TiB":  # what is rounded to 1024 is one of the next unit
            break
        size /= 1024
    return f"{size:.0f} {unit}" if unit == "B" else f"{_figure(size)} {unit}"


def format_count(count: float) -> str:
    """Decimal thousands: `124439808` is `124 M`."""
    size = float(count)
    for suffix in ("", " k", " M", " G", " T"):
        if abs(size) < 999.5 or suffix == " T":
            break
        size /= 1000
    return f"{size:.0f}" if suffix == "" else f"{_figure(size)}{suffix}"


def format_about(count: float) -> str:
    """As `format_count` of an estimate: two significant digits, `6921720704` is `about 6.9 G`."""
    size = float(f"{count:.1e}")
    for suffix in ("", " k", " M", " G", " T"):
        if abs(size) < 1000 or suffix == " T":
            break
        size /= 1000
    return f"about {size:.{1 if suffix and abs(size) < 10 else 0}f}{suffix}"


def format_rate(value: float, unit: str) -> str:
    """A rate with a decimal prefix, up to tera: `4.27e12` of `B/s` is `4.27 TB/s`."""
    rate = float(value)
    for prefix in ("", "k", "M", "G", "T"):
        if abs(rate) < 999.5 or prefix == "T":
            break
        rate /= 1000
    return f"{format_number(rate)} {prefix}{unit}"


def format_seconds(seconds: float, digits: int = 3) -> str:
    """A duration: nanoseconds to hours, whichever reads best. Below a minute with two or three significant `digits`."""
    if digits == 2 and math.isfinite(seconds):
        seconds = float(f"{seconds:.1e}")
    if not abs(seconds) < _HUGE:
        return f"{_figure(seconds)} s"
    fewer = 3 - digits
    if seconds == 0:
        return "0 us"
    if seconds < 0:
        return f"-{format_seconds(-seconds, digits)}"
    if seconds < 0.9995e-6:
        return f"{seconds * 1e9:.3g} ns"
    if seconds < 0.9995e-3:
        return f"{seconds * 1e6:.0f} us"
    if seconds < 0.9995:
        return f"{seconds * 1e3:.{max(0, _decimals(max(seconds * 1e3, 1.0)) - fewer)}f} ms"
    if seconds < 59.95:
        return f"{seconds:.{max(0, _decimals(seconds) - fewer)}f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def format_number(value: float) -> str:
    """A figure with at least three significant digits, thousands separated; an exponent from 1e15 on and below 1e-9."""
    return _figure(value, ",")


def _figure(value: float, separator: str = "") -> str:
    if abs(value) >= _HUGE or 0 < abs(value) < _TINY:
        return f"{value:.3g}"
    return f"{value + 0.0:{separator}.{_decimals(value)}f}"  # + 0.0: a negative zero is none to a reader


def _decimals(value: float) -> int:
    """Those of three significant digits, of the value as it is rounded to these: 9.999 has one, as 10.0."""
    size = abs(float(f"{value:.2e}"))
    if 0 < size < 1:
        return 2 - math.floor(math.log10(size))
    return 0 if size >= 100 else 1 if size >= 10 else 2
