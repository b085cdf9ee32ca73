"""How near a run came to what its device can do, and what held it back."""

from typing import Literal

from msgspec import Struct

Source = Literal["calibrated", "measured", "datasheet"]
"""Of a ceiling: by `infertui calibrate` on this very device, on another of its kind, or by its maker."""
Bound = Literal[
    "memory bandwidth", "compute", "kernel efficiency", "launch overhead", "host", "KV capacity", "client", "unknown"
]  # fmt: skip
"""`kernel efficiency`: the GPU ran all the time, and came near no ceiling: its kernels are too short or too slow."""


class Limits(Struct, frozen=True):
    """Shares of the device's ceilings; None is not available, and `reasons` says why, by field.

    `mbu` is decode's bytes a step over step time and memory bandwidth (bytes/s), `decode_limit` the output tokens per
    second at a share of 1. `mfu` is prefill's operations over its time and the matrix rate (operations/s). Of a run on
    several GPUs the ceilings are those of all together.
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
    step_s: float | None = None
    """Mean time of a decode step."""
    step_weights: float | None = None
    """Bytes of weights that a step reads."""
    step_kv: float | None = None
    """Bytes of keys and values that a step reads, of all sequences."""
    step_operations: float | None = None
    """Operations of a step, of all sequences."""
    prefill_s: float | None = None
    """Mean time until every sequence of a batch had its first token."""
    prefill_operations: float | None = None
    """Operations of a batch's prefill."""
    matrix_format: str = ""
    """The number format whose matrix rate `mfu` refers to."""
    reasons: dict[str, str] = {}
