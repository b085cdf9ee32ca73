"""From the batches of a run to its figures."""

import math
from collections.abc import Callable, Sequence
from typing import Literal

import msgspec
from msgspec import Struct

from infertui.integers import Whole
from infertui.measure.itl import Gaps, merge_gaps
from infertui.measure.records import BatchRecord, EngineMemory, Request
from infertui.measure.statistics import Bounds, Distribution, Independence, Interval, describe, ratio_bounds
from infertui.measure.trend import movement

ObservationUnit = Literal["batch", "block"]
"""`batch`: an iteration, whose requests share the state of the machine; `block`: batches in a row, of very many."""
NO_MORE_THAN_NOISE = "noise"
"""The shape of a change that noise alone makes in more than one of a hundred runs."""


COUNTS = ("iterations", "requests", "failed", "prompt_tokens", "output_tokens", "measured_s")
"""What is known of every run of infertui, and need not be of one that was imported."""


class Summary(Struct, frozen=True):
    """What the measured batches say. Seconds, tokens per second; None is not available.

    Throughput is tokens over the summed wall time of the measured batches: what happens between them is not the
    engine's. `output_throughput` counts generated tokens, `total_throughput` prompt tokens as well. Distributions
    are over requests. Those of a static batch share their times, those of a scheduled one compete for the same device:
    either way a batch counts as one independent observation.
    """

    iterations: Whole | None
    requests: Whole | None
    failed: Whole | None
    prompt_tokens: Whole | None
    output_tokens: Whole | None
    measured_s: float | None
    output_throughput: float | None = None
    output_throughput_interval: Interval | None = None
    independence: Independence = ""
    """Of iterations, as that interval takes them; empty in lines kept without it."""
    total_throughput: float | None = None
    drift: float | None = None
    """Change of the throughput (of decode speed, where prompts are uneven) while measuring, see `with_drift`."""
    drift_shape: str = ""
    """`halves`, `line`, `step`, or `noise` where it is no more than that; empty in lines kept without it."""
    latency: Distribution | None = None
    ttft: Distribution | None = None
    tpot: Distribution | None = None
    tps: Distribution | None = None
    itl: Gaps | None = None
    memory: EngineMemory = EngineMemory()
    prefill: float | None = None
    """Mean over the batches of the time until every sequence had its first token."""
    client_share: float | None = None
    """See `client_share`."""
    cut_off: Whole = 0
    """Requests that were in flight when the time was up: neither done nor failed, and not among `requests`."""
    prefill_throughput: float | None = None
    """Prompt tokens a second while prompts were processed; see `prefill_speed` for lines kept without it."""
    observation_unit: ObservationUnit | Literal[""] = ""
    """What the throughput's interval, or that there is none, counts as one observation; empty of too few of them."""
    observations: Whole = 0
    """How many of these there are; both are missing in lines kept without them."""
    output_throughput_peak: float | None = None
    """Generated tokens a second of the fastest batch."""

    @property
    def untold(self) -> tuple[str, ...]:
        """Those of COUNTS that are not known."""
        return tuple(name for name in COUNTS if getattr(self, name) is None)

    @property
    def good(self) -> int | None:
        """Requests that did not fail; None where it is not known how many there were."""
        return None if self.requests is None else self.requests - (self.failed or 0)


def summarise(batches: Sequence[BatchRecord]) -> Summary:
    """Figures over the measured batches; failed ones are counted and otherwise left out."""
    requests = sum(len(batch.requests) for batch in batches)
    good = [batch for batch in batches if not batch.error]
    seconds = sum(batch.seconds for batch in good)
    output = sum(batch.tokens for batch in good)
    prompt = sum(part.prompt_tokens for batch in good for part in batch.requests)
    counts = Summary(
        iterations=len(batches),
        requests=requests,
        failed=requests - sum(len(batch.requests) for batch in good),
        prompt_tokens=prompt,
        output_tokens=output,
        measured_s=seconds,
        memory=_peaks(batches),
    )
    if not seconds:
        return counts
    until_first = _prefill(good)
    figures = msgspec.structs.replace(
        counts,
        output_throughput=output / seconds,
        output_throughput_peak=max(batch.tokens / batch.seconds for batch in good if batch.seconds),
        total_throughput=(output + prompt) / seconds,
        latency=_over_requests(good, lambda _, request: request.latency),
        ttft=_over_requests(good, lambda _, request: request.ttft),
        tpot=_over_requests(good, BatchRecord.tpot_of),
        tps=_over_requests(good, lambda _, request: request.tps),
        itl=merge_gaps(batch.itl for batch in good if batch.itl),
        prefill=until_first,
        client_share=client_share(good),
        prefill_throughput=prompt / (until_first * len(good)) if until_first else None,
    )
    bounded = _with_bounds(figures, bounds_of(good), len(good))
    return with_drift(bounded, speeds([batch for batch in good if batch.seconds])[1])


def bounds_of(batches: Sequence[BatchRecord]) -> Bounds:
    """Of the throughput of batches that did not fail."""
    tokens, seconds = [float(batch.tokens) for batch in batches], [batch.seconds for batch in batches]
    return ratio_bounds(tokens, seconds, [batch.stretches_ns for batch in batches])


def with_interval(summary: Summary, tokens: Sequence[float], seconds: Sequence[float]) -> Summary:
    """With the same of iterations of which no more is known than what they took altogether."""
    return _with_bounds(summary, ratio_bounds(tokens, seconds), len(tokens))


def _with_bounds(summary: Summary, found: Bounds, batches: int) -> Summary:
    return msgspec.structs.replace(
        summary,
        output_throughput_interval=found.interval,
        independence=found.independence,
        observations=found.observations,
        observation_unit=("batch" if found.observations == batches else "block") if found.observations else "",
    )


def with_drift(summary: Summary, rates: Sequence[float]) -> Summary:
    """With the change of the shape that fits these speeds of its iterations best, by which it is marked as well."""
    moved = movement(rates)
    if moved is None or not math.isfinite(moved.change):
        return summary
    return msgspec.structs.replace(
        summary, drift=moved.change, drift_shape=moved.shape if moved.real else NO_MORE_THAN_NOISE
    )


def speeds(batches: Sequence[BatchRecord]) -> tuple[str, list[float]]:
    """What to judge iterations by, and its values: tokens per second, of whole batches or of their decoding.

    Where prompts differ by more tokens than are generated, batches differ in throughput by themselves.
    """
    lengths = [max((part.prompt_tokens for part in batch.requests), default=0) for batch in batches]
    generated = max((part.tokens for batch in batches for part in batch.requests), default=0)
    if lengths and max(lengths) - min(lengths) > generated:
        steps = [len(batch.requests) / batch.tpot if batch.tpot else None for batch in batches]
        known = [rate for rate in steps if rate is not None]
        if len(known) == len(steps):
            return "decode speed", known
    return "throughput", [batch.tokens / batch.seconds for batch in batches]


def prefill_speed(
    told: float | None, *, prompt_tokens: int | None, iterations: int | None, failed: int | None, prefill: float | None
) -> float | None:
    """Prompt tokens a second, as `told`, else by the other figures of a summary that was kept without it.

    Prompt tokens of all batches over their time until every sequence had its first token. None is not available; so it
    is where requests failed, whose batches have no such time.
    """
    if told is not None or failed or prefill is None or not prompt_tokens or not iterations or prefill <= 0:
        return told
    return prompt_tokens / (prefill * iterations)


def client_share(batches: Sequence[BatchRecord]) -> float | None:
    """Share of the measured batches' wall time that infertui's own calls took between the steps, 0 to 1.

    It is a lower bound: half to two thirds of a call are seen, see `BatchRecord.client_ns`. Failed batches are left
    out. None where it is not known of one of the others, and where no time passed.
    """
    good = [batch for batch in batches if not batch.error]
    spent = [batch.client_ns for batch in good if batch.client_ns is not None]
    lasted = sum(batch.end_ns - batch.start_ns for batch in good)
    return sum(spent) / lasted if lasted > 0 and len(spent) == len(good) else None


def _prefill(batches: Sequence[BatchRecord]) -> float | None:
    """None where a sequence's first token is not known."""
    longest: list[float] = []
    for batch in batches:
        firsts = [request.ttft for request in batch.requests]
        known = [first for first in firsts if first is not None]
        if len(known) < len(firsts) or not known:
            return None
        longest.append(max(known))
    return sum(longest) / len(longest) if longest else None


def _over_requests(
    batches: Sequence[BatchRecord], figure: Callable[[BatchRecord, Request], float | None]
) -> Distribution | None:
    return _by_unit([[figure(batch, request) for request in batch.requests] for batch in batches])


def _by_unit(units: Sequence[Sequence[float | None]]) -> Distribution | None:
    """Over all values that are known; each unit in which there is one, a batch here, is an independent observation.

    Where the requests of each unit share its times, units alone scatter: their deviation is not that of a sample in
    which each of them stands several times, which is smaller, and 0 for a single one.
    """
    known = [found for unit in units if (found := [value for value in unit if value is not None])]
    whole = describe([value for unit in known for value in unit], independent=len(known))
    if whole is None or not all(value == unit[0] for unit in known for value in unit):
        return whole
    each = describe([unit[0] for unit in known])
    return msgspec.structs.replace(whole, std=each.std if each else None)


def _peaks(batches: Sequence[BatchRecord]) -> EngineMemory:
    def peak(values: list[int | None]) -> int | None:
        return max((value for value in values if value is not None), default=None)

    return EngineMemory(
        allocated_peak=peak([batch.memory.allocated_peak for batch in batches]),
        reserved_peak=peak([batch.memory.reserved_peak for batch in batches]),
        resident_peak=peak([batch.memory.resident_peak for batch in batches]),
    )
