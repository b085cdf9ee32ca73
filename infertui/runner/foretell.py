"""How long a run will take, from earlier runs of the same kind."""

import hashlib
import math
from collections.abc import Sequence

import msgspec

from infertui.config.engines.registry import SPECS
from infertui.config.schema import Config, EngineLevers
from infertui.store.queue import Duration
from infertui.store.result import Result
from infertui.workloads.batches import iterations_of

USUAL_WARMUP_BATCHES = 2


def kind_of(config: Config, lane: str) -> str:
    """What runs must share to foretell each other: everything that decides the speed but batch and lengths."""
    model, engine = config.model, config.engine
    levers = {name: getattr(engine, name) for name in EngineLevers.__struct_fields__ if name != "fallback"}
    options = getattr(engine, spec.table, None) if (spec := SPECS.get(engine.name)) else None
    told = msgspec.json.encode((model.id, model.revision, levers, options, lane), order="sorted")
    # Durations of every queue are searched by it: its length matters, and what it says no more than that it differs.
    return f"{model.id}|{engine.name}|{lane}|{hashlib.sha256(told).hexdigest()[:16]}"


def duration_of(result: Result, lane: str) -> Duration | None:
    """What a finished run says about the next of its kind."""
    summary, workload = result.summary, result.config.workload
    if result.state != "finished" or not summary.iterations:
        return None
    if result.loaded and result.loaded.engine != result.config.engine.name:
        return None  # another engine ran: that says nothing about this one
    return Duration(
        kind=kind_of(result.config, lane),
        batch_size=workload.batch_size,
        output_len=workload.output_len,
        load_s=sum(result.phases.get(phase, 0.0) for phase in ("spawn", "load", "compile", "capture")),
        step_s=summary.measured_s / (summary.iterations * workload.output_len),
        warmup_batches=result.warmup_batches,
    )


def foretell(config: Config, earlier: Sequence[Duration], pool: int | None = None) -> float | None:
    """Seconds that a run will take; None without earlier runs. The nearest in batch and length tells the pace.

    `pool` is the number of its prompts. Where that decides how much is measured and is None, not known, so is the time.
    """
    workload, measurement = config.workload, config.measurement
    if not earlier or (pool is None and not (measurement.iterations or workload.num_prompts)):
        return None
    iterations = iterations_of(workload, measurement, pool or 0)

    def distance(known: Duration) -> float:
        batch = abs(math.log(known.batch_size / workload.batch_size))
        return batch + abs(math.log(known.output_len / workload.output_len))

    nearest = min(earlier, key=distance)
    load = max((known.load_s for known in earlier[:10]), default=0.0)
    warmup = measurement.warmup if isinstance(measurement.warmup, int) else nearest.warmup_batches
    measured = iterations * workload.output_len * nearest.step_s
    if measurement.max_seconds:
        measured = min(measured, measurement.max_seconds)
    return load + (warmup or USUAL_WARMUP_BATCHES) * workload.output_len * nearest.step_s + measured
