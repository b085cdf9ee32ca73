"""Energy per token and per request, gross and above idle, and how far it may be off."""

from msgspec import Struct

COUNTER_UPDATE_S = 0.1
"""How often a GPU's energy counter is refreshed. No driver tells; on H200s equal windows differ by as much: against
integrated power samples the energy of 0.48 s has a standard deviation of 8.1 %, of 1 to 2 s 2.4 %, beyond 5 s 0.6 %."""
NOTED_ERROR = 0.01
"""Uncertainty of energy from which it is told, as a share."""
SHORT_ERROR = 0.05
"""The same from which the window, of less than 2 s, was too short for it."""
ENOUGH_S = 5.0
"""Seconds of measuring after which energy is known within 2 %."""


class EnergyFigures(Struct, frozen=True):
    """What one token and one request took (joules), and tokens a second per watt. None is not available."""

    joules_per_token: float | None = None
    joules_per_request: float | None = None
    tokens_per_s_per_w: float | None = None


def energy_figures(joules: float, *, tokens: int, requests: int) -> EnergyFigures:
    """`joules` that were spent on so many generated tokens and finished requests.

    (tokens / s) / (J / s) = tokens / J: tokens a second per watt do not depend on the window's length. Energy that is
    not above nothing, as what is left above idle can be within the noise, gives no such ratio.
    """
    return EnergyFigures(
        joules_per_token=joules / tokens if tokens else None,
        joules_per_request=joules / requests if requests else None,
        tokens_per_s_per_w=tokens / joules if tokens and joules > 0 else None,
    )


def above_idle(joules: float, window_s: float, idle_w: float) -> float:
    """Joules beyond what the device would have drawn at rest for as long; noise can put it below nothing."""
    return joules - idle_w * window_s


def of_batches(joules: float, window_s: float | None, measured_s: float) -> float:
    """Joules of `measured_s` out of a window at the same mean power.

    Throughput counts the time of the batches alone, not what passes between them, and energy has to count the same.
    """
    return joules * measured_s / window_s if window_s and 0 < measured_s < window_s else joules


def counter_error(window_s: float) -> float:
    """How far a counter's energy of a window may be off, as a share.

    Either reading is up to one update old, any age as likely as another. Their difference is within one update, with
    1 / sqrt(6) of one as its standard deviation.
    """
    return min(1.0, COUNTER_UPDATE_S / window_s) if window_s > 0 else 1.0
