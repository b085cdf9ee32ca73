"""When a warm-up is over."""

from msgspec import Struct

MIN_BATCHES = 2
MAX_BATCHES = 10
MAX_FALLING = 100
"""Batches for which it goes on where they still become faster."""
MAX_SECONDS = 60.0
TOLERANCE = 0.05
ALIKE = 0.0025
"""Two batches that differ by no more need no third to show that they do not go on becoming faster."""
FALL = 0.001
"""Fall of the step time to the last of three batches from which they still become faster."""


class WarmupState(Struct, frozen=True):
    """Whether to stop warming up, and whether the step time was steady when we did (None: not asked)."""

    done: bool
    steady: bool | None


def warmup_state(step_seconds: list[float], elapsed_s: float, *, count: int | None) -> WarmupState:
    """Judge a warm-up from the mean step time of each batch so far.

    With a `count` it ends after that many batches. Without, it ends when two batches in a row took the same time per
    step within 5 %, and the last three did not become faster one after another, by 0.1 % or more in the end:
    compilation, autotuning, caches and clocks have settled. By chance three in a row become faster once in six times,
    which costs a batch. What approaches its plateau with a time constant of k batches is then within 0.1 % x k of it,
    2 % for 20.

    It gives up waiting for that after 10 batches, or 100 that become ever faster, or a minute, and says so.
    """
    if count is not None:
        return WarmupState(done=len(step_seconds) >= count, steady=None)
    falling = _falling(step_seconds)
    if len(step_seconds) >= MIN_BATCHES and not falling:
        before, last = step_seconds[-2:]
        within = ALIKE if len(step_seconds) == MIN_BATCHES else TOLERANCE
        if abs(last - before) <= within * max(last, before):
            return WarmupState(done=True, steady=True)
    spent = len(step_seconds) >= (MAX_FALLING if falling else MAX_BATCHES)
    return WarmupState(done=spent or (bool(step_seconds) and elapsed_s >= MAX_SECONDS), steady=False)


def _falling(step_seconds: list[float]) -> bool:
    if len(step_seconds) <= MIN_BATCHES:
        return False
    first, middle, last = step_seconds[-3:]
    return first > middle > last and middle - last >= FALL * middle
