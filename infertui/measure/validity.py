"""When a warm-up is over, and whether a run's numbers may be believed: reasons against, each said in words.

What could not be found out is None, and is never held against a run.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Protocol

from msgspec import Struct

from infertui.measure.records import BatchRecord
from infertui.measure.statistics import describe
from infertui.measure.summary import bounds_of, client_share, speeds
from infertui.measure.trend import SHAPES, movement, tends_up

# Clock reductions from outside the measured configuration. A power cap is how a busy GPU normally runs: a note.
DISTURBING_THROTTLES = frozenset({"hw-slowdown", "hw-thermal", "hw-power-brake", "sw-thermal", "sync-boost"})
# What boards do at their best belongs to them: `reliability` and `board-limit` hold the clocks of many all the time.
DISTURBING_POLICIES = frozenset({"thermal", "sync-boost"})
POWER_CAP = "power-cap"

# Beyond these the spread of the iterations is worth a word, where it is not already too wide.
NOTED_DRIFT = 0.05
NOTED_VARIATION = 0.10
SATURATED_CPU = 90.0
"""Percent of its CPUs' time from which a host has none to spare: until then nobody waits for anybody."""
HELD_SHARE = 0.01
"""Share of the window for which a policy of the driver may hold the clocks down before it counts."""
NOTED_RISE = 0.01
"""Rise of the speed while measuring from which the warm-up was not over, where it goes on in one line."""
_LINE = 3
"""Fewest values whose line tells how far off it may be."""
LAST_OF_WARMUP = 16
"""Batches of the warm-up that are looked at together with the iterations."""


class Thresholds(Protocol):
    """Where disturbance begins; a threshold of 0 is never crossed. Shares are of 1, `max_others_cpu` is percent."""

    @property
    def max_drift(self) -> float:
        """Change of throughput while measuring: from first to second half, or steadily from beginning to end."""

    @property
    def max_variation(self) -> float:
        """Standard deviation of the iterations' throughput over their mean."""

    @property
    def min_iterations(self) -> int:
        """Fewest measured batches."""

    @property
    def max_swap_mib(self) -> float:
        """MiB swapped in and out."""

    @property
    def max_others_cpu(self) -> float:
        """Percent of the CPUs' time that others took, where none was left."""

    @property
    def max_clock_fall(self) -> float:
        """Fall of the GPU's clock below its highest."""

    @property
    def max_client_share(self) -> float:
        """Share of the time that infertui's own calls took."""

    @property
    def throttling(self) -> bool:
        """Whether clocks held down from outside count against a run, and are no note."""

    @property
    def foreign_processes(self) -> bool:
        """Whether another process on the GPU does."""

    @property
    def steady_warmup(self) -> bool:
        """Whether a warm-up that did not become steady does, or that was not over."""


class Verdict(Struct, frozen=True):
    """`invalid` holds what makes the numbers wrong, `notes` what a reader should know.

    `marks` are short words for both, for a table: those of `invalid` first. `against` is the mark of each of `invalid`,
    empty for one without. Results of before these were there have none.
    """

    invalid: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    marks: tuple[str, ...] = ()
    against: tuple[str, ...] = ()

    @property
    def valid(self) -> bool:
        """No reason against."""
        return not self.invalid


class Circumstances(Struct, frozen=True):
    """What was seen around the measured window, and in it. None is not known.

    `output_len` is how many tokens were asked for where a request does not say so itself. `warmup` are the batches of
    the warm-up, as far as they are kept.
    `throttles` are the reasons of the driver's clock events, `throttle_shares` the share of samples (0 to 1) that
    showed each, `violation_s` the seconds for which a policy held the clocks down, of the window's `window_s`.
    `host_busy` and `others_cpu` are percent of the time of the CPUs that the worker may use: all that was spent, and
    what others than the worker's processes spent. `swapped` is bytes that the host swapped in and out.
    `clock_fall` is how far the GPU's clock fell below the highest before it in the window, as a share.
    """

    output_len: int
    warmup_steady: bool | None = None
    warmup: tuple[BatchRecord, ...] = ()
    throttles: tuple[str, ...] | None = None
    throttle_shares: dict[str, float] | None = None
    violation_s: dict[str, float] | None = None
    window_s: float | None = None
    clock_fall: float | None = None
    foreign_processes: tuple[str, ...] | None = None
    lost_gpus: tuple[str, ...] = ()
    swapped: int | None = None
    host_busy: float | None = None
    others_cpu: float | None = None
    stopped: str = ""
    random_weights: bool = False
    remote_code: bool = False
    fallback: str = ""
    """Which engine ran instead of which, and why; empty when it was the one that was asked for."""


class Reason(Struct, frozen=True):
    """One thing that a verdict says, in words and as a mark, and whether it counts against the run."""

    text: str
    mark: str = ""
    against: bool = False


def judge(batches: Sequence[BatchRecord], seen: Circumstances, limits: Thresholds) -> Verdict:
    """Judge the measured batches by what was seen, within `limits`. No batch at all is invalid as well."""
    found = [
        *_completeness(batches, seen, limits),
        *_clocks(seen, limits),
        *_company(seen, limits),
        *_own_cost(batches, limits),
        *_steadiness(batches, seen, limits),
        *_remarks(seen),
    ]
    return verdict_of(found)


def verdict_of(found: Sequence[Reason]) -> Verdict:
    """Of all that was found, in this order."""
    against, beside = [one for one in found if one.against], [one for one in found if not one.against]
    return Verdict(
        invalid=tuple(one.text for one in against),
        notes=tuple(one.text for one in beside),
        marks=tuple(dict.fromkeys(one.mark for one in (*against, *beside) if one.mark)),
        against=tuple(one.mark for one in against),
    )


def _completeness(batches: Sequence[BatchRecord], seen: Circumstances, limits: Thresholds) -> Iterable[Reason]:
    """Whether what was asked for was done, and often enough."""
    good = [batch for batch in batches if not batch.error]
    if not batches:
        yield Reason("nothing was measured", "", against=True)
    elif len(good) < len(batches):
        first = next(batch.error for batch in batches if batch.error)
        yield Reason(f"{len(batches) - len(good)} of {len(batches)} batches failed: {first}", "failures", against=True)
    if good and len(good) < limits.min_iterations:
        few = f"too few samples: {_count(len(good), 'measured batch', 'measured batches')}, fewer than"
        yield Reason(f"{few} {limits.min_iterations}", "few", against=True)
    lengths = {(request.tokens, request.asked_tokens) for batch in good for request in batch.requests}
    pairs = {(got, seen.output_len if asked is None else asked) for got, asked in lengths}
    for what, mark, wrong in (
        ("not reached", "short-output", {(got, asked) for got, asked in pairs if got < asked}),
        ("exceeded", "long-output", {(got, asked) for got, asked in pairs if got > asked}),
    ):
        if wrong:
            told, wanted = (", ".join(map(str, sorted(set(each)))) for each in zip(*wrong, strict=True))
            text = f"output length {what}: {told} tokens where {wanted} were asked for"
            yield Reason(text, mark, against=True)


def _clocks(seen: Circumstances, limits: Thresholds) -> Iterable[Reason]:
    """Whether something from outside held the GPU's clocks down."""
    reasons, shares = seen.throttles or (), seen.throttle_shares or {}
    told = [
        name + (f" in {percent(shares[name])} of the samples" if shares.get(name) else "")
        for name in sorted(DISTURBING_THROTTLES & set(reasons))
    ]
    held = {
        name: seconds
        for name, seconds in (seen.violation_s or {}).items()
        if name in DISTURBING_POLICIES and seen.window_s and seconds > HELD_SHARE * seen.window_s
    }
    told += [f"clocks held down for {seconds:.2g} s by {name}" for name, seconds in sorted(held.items())]
    if told:
        hot = any("thermal" in name for name in (*held, *(set(reasons) & DISTURBING_THROTTLES)))
        mark = "thermal" if hot else "throttle"
        yield Reason(f"the GPU was throttled: {', '.join(told)}", mark, against=limits.throttling)
    capped = POWER_CAP in reasons
    if capped:
        power_s = (seen.violation_s or {}).get("power", 0.0)
        much = f" for {power_s:.1f} of {seen.window_s:.1f} s" if power_s >= 0.05 and seen.window_s else ""
        yield Reason(f"the GPU ran at its power limit{much}", POWER_CAP)
    if limits.max_clock_fall and seen.clock_fall is not None and seen.clock_fall > limits.max_clock_fall:
        text = f"the GPU's clock fell by {percent(seen.clock_fall)} while measuring"
        # At its power limit a GPU moves its clock all the time, and that belongs to what is measured.
        more = ", as its power limit made it" if capped else f", by more than {percent(limits.max_clock_fall)}"
        yield Reason(text + more, "clocks", against=not capped)


def _company(seen: Circumstances, limits: Thresholds) -> Iterable[Reason]:
    """Whether others used what the run needs."""
    if seen.foreign_processes:
        text = f"another process used the GPU: {', '.join(seen.foreign_processes)}"
        yield Reason(text, "foreign", against=limits.foreign_processes)
    if seen.lost_gpus:
        yield Reason(f"telemetry of the GPU was lost: {', '.join(seen.lost_gpus)}", "gpu-lost", against=True)
    swapped = None if seen.swapped is None else seen.swapped / 2**20
    if limits.max_swap_mib and swapped is not None and swapped > limits.max_swap_mib:
        text = f"the host swapped {swapped:.0f} MiB in and out while measuring, more than {limits.max_swap_mib:g}"
        yield Reason(text, "swap", against=True)
    busy, others = seen.host_busy, seen.others_cpu
    if busy is None or others is None or not limits.max_others_cpu:
        return
    if busy >= SATURATED_CPU and others > limits.max_others_cpu:
        text = (
            f"other processes used {others:.0f} % of the CPUs, more than {limits.max_others_cpu:g} %, "
            f"and none was left: they were {busy:.0f} % busy"
        )
        yield Reason(text, "host-busy", against=True)


def _own_cost(batches: Sequence[BatchRecord], limits: Thresholds) -> Iterable[Reason]:
    """Whether what was measured is the measuring."""
    share = client_share(batches)
    if limits.max_client_share and share is not None and share > limits.max_client_share:
        # A digit more than of the threshold: 5.04 % is more than 5 %.
        text = f"infertui's own calls took at least {share * 100:.3g} % of the time, more than "
        text += percent(limits.max_client_share)
        yield Reason(text, "client", against=True)


def _steadiness(batches: Sequence[BatchRecord], seen: Circumstances, limits: Thresholds) -> Iterable[Reason]:
    """Whether the iterations took equally long, from the beginning."""
    good = [batch for batch in batches if not batch.error and batch.seconds]
    what, rates = speeds(good)
    moved = movement(rates)
    if seen.warmup_steady is False:
        # A warm-up gives up in the end. Where the figures then stood still, all was warm, and only noise kept it going.
        went_on = moved is None or (abs(moved.change) > NOTED_DRIFT and moved.real)
        text = "warm-up was not steady when measuring began"
        yield Reason(text, "unsteady", against=limits.steady_warmup and went_on)
    yield from _warming(good, seen, limits)
    if moved is not None and moved.real and abs(moved.change) > min(NOTED_DRIFT, limits.max_drift or NOTED_DRIFT):
        wide = bool(limits.max_drift) and abs(moved.change) > limits.max_drift
        text = f"{what} drifted by {moved.change:+.0%} {SHAPES[moved.shape]}"
        yield Reason(text + _beyond(limits.max_drift, wide), "drift", against=wide)
    if good and bounds_of(good).independence == "missing":
        yield Reason(_DEPENDENT)
    spread = describe(rates)
    share = spread.std / spread.mean if spread and spread.std and spread.mean else 0.0
    if share > min(NOTED_VARIATION, limits.max_variation or NOTED_VARIATION):
        wide = bool(limits.max_variation) and share > limits.max_variation
        text = f"{what} varied by {share:.0%} between iterations"
        yield Reason(text + _beyond(limits.max_variation, wide), "noisy", against=wide)


_DEPENDENT = (
    "iterations may depend on one another too much for an interval of the throughput: measure more of them"
    " (measurement.iterations), or longer ones (workload.output_len)"
)


def _warming(good: Sequence[BatchRecord], seen: Circumstances, limits: Thresholds) -> Iterable[Reason]:
    """Whether iterations went on becoming faster, as the last batches of the warm-up did.

    How far the plateau is off cannot be told from a line: the rise while measuring is what is known. A warm-up that was
    slow and then over bends the line as well: iterations that alone cannot have risen half as far are no part of it.
    """
    before = [batch for batch in seen.warmup if not batch.error and batch.seconds][-LAST_OF_WARMUP:]
    what, rates = speeds([*before, *good])
    joined = movement(rates, line=True)
    if joined is None or not good or not (joined.rises and tends_up(rates)):
        return
    rise = joined.change * (len(good) - 1) / (len(rates) - 1)
    if rise > NOTED_RISE and _at_most(rates[-len(good) :]) > rise / 2:
        text = f"{what} still rose, by {percent(rise)} while measuring: the warm-up was not over, and it would rise on"
        yield Reason(text, "warming", against=limits.steady_warmup and rise > NOTED_DRIFT)


def _at_most(rates: Sequence[float]) -> float:
    """The largest relative rise from first to last that iterations alone are likely to have.

    Of a line, and three of its standard errors; of two values, which tell of no noise, the double.
    """
    n, mean = len(rates), sum(rates) / len(rates)
    if n < _LINE:
        return 2 * (rates[-1] / rates[0] - 1)
    along = [place - (n - 1) / 2 for place in range(n)]
    spread = sum(each * each for each in along)
    slope = sum(each * rate for each, rate in zip(along, rates, strict=True)) / spread
    apart = sum((rate - mean - slope * each) ** 2 for each, rate in zip(along, rates, strict=True))
    return (slope + 3 * math.sqrt(apart / (n - 2) / spread)) * (n - 1) / mean


def _remarks(seen: Circumstances) -> Iterable[Reason]:
    """What a reader should know besides."""
    if seen.fallback:
        yield Reason(f"FALLBACK: {seen.fallback}")
    if seen.stopped:
        yield Reason(f"stopped early: {seen.stopped}")
    if seen.remote_code:
        yield Reason("code that came with the model was allowed to run (model.trust_remote_code)")
    if seen.random_weights:
        yield Reason("random weights: the speed is the architecture's, the text means nothing")


def _beyond(limit: float, crossed: bool) -> str:
    return f", by more than {percent(limit)}" if crossed else ""


def percent(share: float) -> str:
    """Of a share of 1, with two digits below ten percent. What is not all of it is never shown as all."""
    if 0.995 <= share < 1:
        return f"{math.floor(share * 1000) / 10:.1f} %"
    return f"{share * 100:.2g} %" if share < 0.1 else f"{share * 100:.0f} %"


def _count(number: int, one: str, several: str) -> str:
    return f"{number} {one if number == 1 else several}"


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
