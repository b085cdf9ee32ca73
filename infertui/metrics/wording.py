"""How figures of a result are written that are more than a number and its unit. Pure."""

from typing import TYPE_CHECKING, Literal

from infertui.metrics.marks import in_short, telling
from infertui.metrics.metric import NOT_AVAILABLE
from infertui.metrics.reads import caveats, energy_is_short, error_share, prompt_tokens_per_request
from infertui.text import clean
from infertui.units import format_number, format_seconds

if TYPE_CHECKING:
    from infertui.measure.itl import Gaps
    from infertui.measure.statistics import Distribution
    from infertui.measure.summary import Summary
    from infertui.results.result import PowerFigures, Result

ASSUMED = "assumed"
"""Beside an interval that takes iterations as independent, which could not be looked at."""
DEPENDENT = "dependent?"
"""In the place of one where iterations may depend on one another too much."""


def interval_text(summary: "Summary", between: str = " to ") -> str:
    """`85.4 to 85.6`, `85.4 to 85.6 assumed`, `dependent?` where there is none for that reason; empty for none."""
    found = summary.output_throughput_interval
    if found is None:
        return DEPENDENT if summary.independence == "missing" else ""
    shown = f"{format_number(found.low)}{between}{format_number(found.high)}"
    return f"{shown} {ASSUMED}" if summary.independence == "assumed" else shown


def interval_in_words(summary: "Summary") -> str:
    """The same for whoever reads of one run; empty for none."""
    found = summary.output_throughput_interval
    if found is None:
        return "no interval: iterations may depend on one another" if summary.independence == "missing" else ""
    shown = f"95 % {format_number(found.low)} to {format_number(found.high)}"
    return f"{shown}, assuming independent iterations" if summary.independence == "assumed" else shown


def throughput_text(result: "Result", between: str = " to ") -> str:
    """`85.5 (85.4 to 85.6)`."""
    summary = result.summary
    if summary.output_throughput is None:
        return NOT_AVAILABLE
    spread = interval_text(summary, between)
    return format_number(summary.output_throughput) + (f" ({spread})" if spread else "")


def median_text(values: "Distribution | None") -> str:
    """The median of a time, which is what tables show."""
    return NOT_AVAILABLE if values is None or values.p50 is None else format_seconds(values.p50)


def itl_text(gaps: "Gaps | None", percentile: Literal[50, 90, 99] = 50) -> str:
    """A percentile of ITL, not available where so few steps cannot bound it.

    Two digits: gaps are kept in buckets of 2 %. Those that another program told have no buckets.
    """
    value = gaps.known(percentile) if gaps else None
    if gaps is None or value is None:
        return NOT_AVAILABLE
    return format_seconds(value, 2 if gaps.histogram else 3)


def joules_text(result: "Result", value: float | None) -> str:
    """A figure of the run's energy for a table: `0.413`, or `0.33+/-21%` where the window was too short."""
    if value is None:
        return NOT_AVAILABLE
    if not energy_is_short(result):
        return format_number(value)
    return f"{value:.2g}+/-{(error_share(result) or 0.0) * 100:.0f}%"


def provenance(power: "PowerFigures") -> str:
    """Where the energy comes from: `counter of the driver; 120 power samples, largest gap 0.10 s`."""
    where = "RAPL counter of the CPU packages" if power.domain == "cpu-package" else "counter of the driver"
    if power.source is None:
        return "no source"
    parts = [where if power.source == "counter" else "integral of power samples"]
    if power.samples:
        gap = f", largest gap {format_seconds(power.largest_gap_s)}" if power.largest_gap_s is not None else ""
        parts.append(f"{power.samples:,} {'sample' if power.samples == 1 else 'samples'}{gap}")
    if power.reason:
        parts.append(power.reason)
    return "; ".join(parts)


def energy_from(result: "Result") -> str:
    """The same of a run; empty where its energy is not known."""
    return provenance(result.power) if result.power and result.power.energy_j is not None else ""


def prompt_tokens_text(result: "Result") -> str:
    """Prompt tokens of a request, in whole numbers."""
    value = prompt_tokens_per_request(result)
    return NOT_AVAILABLE if value is None else f"{value:.0f}"


def agreement_text(result: "Result") -> str:
    """The share of its reference's tokens that it has, or that it is the reference."""
    quality = result.quality
    if quality is not None and quality.reference and quality.reference == result.id:
        return "reference"
    share = quality.agreement.share if quality and quality.agreement else None
    return NOT_AVAILABLE if share is None else f"{share:.1%}"


def validity_text(result: "Result") -> str:
    """Whether the run may be believed, and what has to stand beside its figures."""
    if result.state != "finished":
        return result.state
    said = "yes" if result.verdict.valid else "no: " + "; ".join(result.verdict.invalid)
    return "; ".join((said, *caveats(result)))


def why_invalid(result: "Result") -> str:
    """`invalid: host busy, few samples`, the most telling first."""
    return clean(": ".join(filter(None, ("invalid", in_short(telling(result.verdict))))))


def marks_text(result: "Result") -> str:
    """The same in few words; empty where nothing speaks against it."""
    state = result.state if result.state != "finished" else "" if result.verdict.valid else why_invalid(result)
    return ", ".join(filter(None, (state, *caveats(result))))
