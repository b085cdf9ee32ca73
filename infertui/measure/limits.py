"""How near a run came to what its device can do, and what held it back."""

from typing import Literal

from msgspec import Struct

Source = Literal["calibrated", "measured", "datasheet"]
"""Of a ceiling: by `infertui calibrate` on this very device, on another of its kind, or by its maker."""
Bound = Literal["memory bandwidth", "compute", "launch overhead", "host", "KV capacity", "client", "unknown"]


class Limits(Struct, frozen=True):
    """Shares of the device's ceilings; None is not available.

    `mbu` is decode's bytes a step over step time and memory bandwidth (bytes/s), `decode_limit` the output tokens per
    second at a share of 1. `mfu` is prefill's operations over its time and the matrix rate (operations/s).
    """

    bandwidth: float | None = None
    bandwidth_source: Source | None = None
    mbu: float | None = None
    decode_limit: float | None = None
    matrix_rate: float | None = None
    matrix_source: Source | None = None
    mfu: float | None = None
    bound: Bound = "unknown"
    why: str = ""
    """What tells that it is bound by that, in words with figures."""
    knob: str = ""
    """What to try next."""
