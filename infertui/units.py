"""Quantities as people read them."""

import math

_HUGE, _TINY = 1e15, 1e-9
"""Figures beyond these have an exponent: nobody counts sixteen digits, and 1e308 has three hundred."""


def format_bytes(count: float) -> str:
    """Binary units with three or four significant digits: `1536` is `1.50 KiB`."""
    size = float(count)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if abs(size) < 1024 or unit == "TiB":
            break
        size /= 1024
    return f"{size:.0f} {unit}" if unit == "B" else f"{_figure(size)} {unit}"


def format_count(count: float) -> str:
    """Decimal thousands: `124439808` is `124 M`."""
    size = float(count)
    for suffix in ("", " k", " M", " G", " T"):
        if abs(size) < 1000 or suffix == " T":
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
        if abs(rate) < 1000 or prefix == "T":
            break
        rate /= 1000
    return f"{format_number(rate)} {prefix}{unit}"


def format_seconds(seconds: float) -> str:
    """A duration: microseconds to hours, whichever reads best."""
    if not abs(seconds) < _HUGE:
        return f"{_figure(seconds)} s"
    if 0 < abs(seconds) < 0.95e-6:
        return f"{seconds * 1e9:.0f} ns"
    if seconds < 0.9995e-3:
        return f"{seconds * 1e6:.0f} us"
    if seconds < 1:
        return f"{seconds * 1e3:.{_decimals(max(seconds * 1e3, 1.0))}f} ms"
    if seconds < 60:
        return f"{seconds:.{_decimals(seconds)}f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def format_number(value: float) -> str:
    """A figure with at least three significant digits, thousands separated; an exponent from 1e15 on and below 1e-9."""
    return _figure(value, ",")


def _figure(value: float, separator: str = "") -> str:
    if abs(value) >= _HUGE or 0 < abs(value) < _TINY:
        return f"{value:.3g}"
    return f"{value:{separator}.{_decimals(value)}f}"


def _decimals(value: float) -> int:
    if 0 < abs(value) < 1:
        return 2 - math.floor(math.log10(abs(value)))
    return 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
