"""The energy of a run as text, with where it comes from: the same wording wherever energy is shown."""

from collections.abc import Iterator

from msgspec.structs import replace

from infertui.measure.energy import (
    ENOUGH_S,
    NOTED_ERROR,
)
from infertui.metrics.metric import NOT_AVAILABLE
from infertui.metrics.reads import beyond_idle, energy_is_short, error_share, gross
from infertui.metrics.wording import provenance
from infertui.results.result import Result
from infertui.text import clean
from infertui.units import format_number, format_seconds

SHORT = "short-energy"
"""The mark of energy whose window was too short."""


def with_short_energy(result: Result) -> Result:
    """The result, with a note and a mark where its window was too short for its energy."""
    share, power = error_share(result), result.power
    if share is None or power is None or not energy_is_short(result):
        return result
    seconds = f"{format_seconds(power.window_s)} were measured and the" if power.window_s is not None else "the"
    note = (
        f"energy is known to {share * 100:.0f} % only: {seconds} counter is refreshed ten times a second"
        f" (measurement.min_seconds={ENOUGH_S:g} makes it 2 %)"
    )
    verdict = result.verdict
    told = replace(verdict, notes=(*verdict.notes, note), marks=tuple(dict.fromkeys((*verdict.marks, SHORT))))
    return replace(result, verdict=told)


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
