"""Energy per token and per request, gross and above idle."""

from msgspec import Struct


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
