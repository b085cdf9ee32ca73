"""When a warm-up is over."""

from msgspec import Struct

MIN_BATCHES = 2
MAX_BATCHES = 10
MAX_SECONDS = 60.0
TOLERANCE = 0.05


class WarmupState(Struct, frozen=True):
    """Whether to stop warming up, and whether the step time was steady when we did (None: not asked)."""

    done: bool
    steady: bool | None


def warmup_state(step_seconds: list[float], elapsed_s: float, *, count: int | None) -> WarmupState:
    """Judge a warm-up from the mean step time of each batch so far.

    With a `count` it ends after that many batches. Without, it ends when two batches in a row took the same time
    per step within 5 %: compilation, autotuning, caches and clocks have settled. It gives up waiting for that after
    10 batches or a minute and says so.
    """
    if count is not None:
        return WarmupState(done=len(step_seconds) >= count, steady=None)
    if len(step_seconds) >= MIN_BATCHES:
        before, last = step_seconds[-2:]
        if abs(last - before) <= TOLERANCE * max(last, before):
            return WarmupState(done=True, steady=True)
    spent = len(step_seconds) >= MAX_BATCHES or (step_seconds and elapsed_s >= MAX_SECONDS)
    return WarmupState(done=bool(spent), steady=False)
