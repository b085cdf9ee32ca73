"""Times of a run as tables show them: the median, and percentiles with the digits that are known."""

from typing import Literal

from infertui.measure.itl import Gaps
from infertui.measure.statistics import Distribution
from infertui.units import format_seconds

NOT_AVAILABLE = "n/a"


def median_text(values: Distribution | None) -> str:
    """The median of a time, which is what tables show."""
    return NOT_AVAILABLE if values is None or values.p50 is None else format_seconds(values.p50)


def itl_text(gaps: Gaps | None, percentile: Literal[50, 90, 99] = 50) -> str:
    """A percentile of ITL, not available where so few steps cannot bound it.

    Two digits: gaps are kept in buckets of 2 %. Those that another program told have no buckets.
    """
    value = gaps.known(percentile) if gaps else None
    if gaps is None or value is None:
        return NOT_AVAILABLE
    return format_seconds(value, 2 if gaps.histogram else 3)
