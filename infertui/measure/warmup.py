"""When a warm-up is over."""

import math
from collections.abc import Sequence

from msgspec import Struct

MIN_BATCHES = 2
MAX_BATCHES = 16
MAX_FALLING = 100
"""Batches for which it goes on where they still become faster."""
MAX_SECONDS = 60.0
TOLERANCE = 0.05
ALIKE = 0.0025
"""Batches that differ by no more need no others to show that they do not go on becoming faster."""
LOOKED_AT = 8
"""Batches that others need: among so many a fall stands out from noise that hides it between two."""
LOOKED_AT_SECONDS = 20.0
"""After so long it makes do with three."""
TREND = 0.6
"""Standard deviations of Kendall's sum from which later batches tend to be faster; noise does it in one of four."""

FALL = 0.005
"""Fall from the first half of what is looked at to the second from which it is waited for."""


class WarmupState(Struct, frozen=True):
    """Whether to stop warming up, and whether the step time was steady when we did (None: not asked)."""

    done: bool
    steady: bool | None


def warmup_state(step_seconds: list[float], elapsed_s: float, *, count: int | None) -> WarmupState:
    """Judge a warm-up from the mean step time of each batch so far.

    With a `count` it ends after that many batches. Without, it ends when compilation, autotuning, caches and clocks
    have settled: when the last two batches of two, or three of more, took the same time per step within 0.25 %, or when
    the last two took the same within 5 % and of the last eight, or of the later half where these are more, later ones
    do not tend to be faster (Mann and Kendall), or only by 0.5 % from their first half to their second. Where eight
    would take longer than 20 s, three have to do, of which each must not be faster than the one before.

    It gives up waiting for that after 16 batches, or 100 that become ever faster, or a minute, and says so.
    """
    if count is not None:
        return WarmupState(done=len(step_seconds) >= count, steady=None)
    fewest = LOOKED_AT if elapsed_s < LOOKED_AT_SECONDS else MIN_BATCHES + 1
    looked_at = step_seconds[-max(fewest, len(step_seconds) // 2) :]
    falling = tends_down(looked_at) and _fall(looked_at) > FALL
    if _alike(step_seconds) or (len(looked_at) >= fewest and not falling and _within(step_seconds[-2:], TOLERANCE)):
        return WarmupState(done=True, steady=True)
    spent = len(step_seconds) >= (MAX_FALLING if falling else MAX_BATCHES)
    return WarmupState(done=spent or (bool(step_seconds) and elapsed_s >= MAX_SECONDS), steady=False)


def tends_down(values: Sequence[float]) -> bool:
    """Whether later values tend to be smaller, by Kendall's sum over all pairs (Mann 1945)."""
    n = len(values)
    falling = sum((later < value) - (later > value) for at, value in enumerate(values) for later in values[at + 1 :])
    return n > 1 and falling > 1 + TREND * math.sqrt(n * (n - 1) * (2 * n + 5) / 18)


def _fall(values: Sequence[float]) -> float:
    half = len(values) // 2
    before, after = sum(values[:half]) / half, sum(values[-half:]) / half
    return 1 - after / before if before > 0 else 0.0


def _alike(step_seconds: Sequence[float]) -> bool:
    return len(step_seconds) >= MIN_BATCHES and _within(step_seconds[-MIN_BATCHES - 1 :], ALIKE)


def _within(values: Sequence[float], share: float) -> bool:
    return max(values) - min(values) <= share * max(values)
