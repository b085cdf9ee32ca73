"""The interval of a run's throughput as text, with what it rests on, for every view."""

from infertui.measure.summary import Summary
from infertui.units import format_number

ASSUMED = "assumed"
"""Beside an interval that takes iterations as independent, which could not be looked at."""
DEPENDENT = "dependent?"
"""In the place of one where iterations may depend on one another too much."""


def interval_text(summary: Summary, between: str = " to ") -> str:
    """`85.4 to 85.6`, `85.4 to 85.6 assumed`, `dependent?` where there is none for that reason; empty for none."""
    found = summary.output_throughput_interval
    if found is None:
        return DEPENDENT if summary.independence == "missing" else ""
    shown = f"{format_number(found.low)}{between}{format_number(found.high)}"
    return f"{shown} {ASSUMED}" if summary.independence == "assumed" else shown


def interval_in_words(summary: Summary) -> str:
    """The same for whoever reads of one run; empty for none."""
    found = summary.output_throughput_interval
    if found is None:
        return "no interval: iterations may depend on one another" if summary.independence == "missing" else ""
    shown = f"95 % {format_number(found.low)} to {format_number(found.high)}"
    return f"{shown}, assuming independent iterations" if summary.independence == "assumed" else shown
