"""The energy of a run as text, with where it comes from: the same wording wherever energy is shown."""

from collections.abc import Iterator

from msgspec.structs import replace

from infertui.measure.energy import (
    ENOUGH_S,
    NOTED_ERROR,
    SHORT_ERROR,
    EnergyFigures,
    above_idle,
    counter_error,
    energy_figures,
)
from infertui.results.result import PowerFigures, Result
from infertui.text import clean
from infertui.units import format_number, format_seconds

NOT_AVAILABLE = "n/a"
SHORT = "short-energy"
"""The mark of energy whose window was too short."""


def gross(result: Result) -> EnergyFigures:
    """Energy per token and per request of all that the device drew; nothing where that is not known."""
    power = result.power
    if power is not None and power.energy_j is None:
        return EnergyFigures(joules_per_token=power.joules_per_token)  # of another program, which told no more
    return _figures(result, power.energy_j if power else None)


def beyond_idle(result: Result) -> EnergyFigures:
    """The same without what the device would have drawn at rest."""
    power = result.power
    if power is None or power.energy_j is None or power.idle_power_w is None or power.window_s is None:
        return EnergyFigures()
    return _figures(result, above_idle(power.energy_j, power.window_s, power.idle_power_w))


def error_share(result: Result) -> float | None:
    """How far the energy may be off, as a share. None is not known, as of an integral."""
    power = result.power
    if power is None or not power.energy_j:
        return None
    if power.error_j is not None:
        return power.error_j / power.energy_j
    # Kept before it was told: a counter's follows from the window.
    known = power.source == "counter" and power.domain == "gpu" and power.window_s is not None
    return counter_error(power.window_s or 0.0) if known else None


def joules_text(result: Result, value: float | None) -> str:
    """A figure of the run's energy for a table: `0.413`, or `0.33+/-21%` where the window was too short."""
    if value is None:
        return NOT_AVAILABLE
    share = error_share(result)
    if share is None or share <= SHORT_ERROR:
        return format_number(value)
    return f"{value:.2g}+/-{share * 100:.0f}%"


def with_short_energy(result: Result) -> Result:
    """The result, with a note and a mark where its window was too short for its energy."""
    share, power = error_share(result), result.power
    if share is None or share <= SHORT_ERROR or power is None:
        return result
    seconds = f"{format_seconds(power.window_s)} were measured and the" if power.window_s is not None else "the"
    note = (
        f"energy is known to {share * 100:.0f} % only: {seconds} counter is refreshed ten times a second"
        f" (measurement.min_seconds={ENOUGH_S:g} makes it 2 %)"
    )
    verdict = result.verdict
    told = replace(verdict, notes=(*verdict.notes, note), marks=tuple(dict.fromkeys((*verdict.marks, SHORT))))
    return replace(result, verdict=told)


def _figures(result: Result, joules: float | None) -> EnergyFigures:
    summary = result.summary
    if joules is None or not summary.output_tokens:
        return EnergyFigures()
    return energy_figures(joules, tokens=summary.output_tokens, requests=max(0, summary.good or 0))


def energy_rows(result: Result) -> list[tuple[str, str]]:
    """Names and values: the energy with its provenance, then what a token and a request took of it."""
    power = result.power
    if power is None or power.energy_j is None:
        reason = f": {power.reason}" if power and power.reason else ""
        return [("energy", NOT_AVAILABLE + reason), *_efficiency_row(result)]
    share = error_share(result)
    window = f" in {format_seconds(power.window_s)}" if power.window_s is not None else ""
    off = f" +/- {share * 100:.2g} %" if share is not None and share > NOTED_ERROR else ""
    shown = f"{format_number(power.energy_j)} J{off}{window} ({provenance(power)})"
    watts = [
        f"{name} {value:.0f} W"
        for name, value in (("mean", power.mean_power_w), ("max", power.max_power_w), ("idle", power.idle_power_w))
        if value is not None
    ]
    if watts and power.idle_from:
        watts[-1] += f" as before {clean(power.idle_from)}"
    return [("energy", "  ".join((shown, ", ".join(watts))) if watts else shown), *_efficiency_row(result)]


def _efficiency_row(result: Result) -> list[tuple[str, str]]:
    parts = list(_efficiency(result))
    return [("efficiency", "  ".join(parts))] if parts else []


def provenance(power: PowerFigures) -> str:
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


def energy_from(result: Result) -> str:
    """The same of a run; empty where its energy is not known."""
    return provenance(result.power) if result.power and result.power.energy_j is not None else ""


def _efficiency(result: Result) -> Iterator[str]:
    whole, more = gross(result), beyond_idle(result)
    for unit, value, above in (
        ("J/tok", whole.joules_per_token, more.joules_per_token),
        ("J/request", whole.joules_per_request, more.joules_per_request),
        ("tok/s/W", whole.tokens_per_s_per_w, more.tokens_per_s_per_w),
    ):
        if value is not None:
            yield f"{format_number(value)} {unit}" + (
                f" ({format_number(above)} above idle)" if above is not None else ""
            )
