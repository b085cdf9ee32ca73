"""How long a run will take, from earlier runs of the same kind."""

import math
from collections.abc import Sequence

from infertui.config.schema import Config
from infertui.store.queue import Duration
from infertui.store.result import Result
from infertui.workloads.batches import iterations_of

USUAL_WARMUP_BATCHES = 2


def kind_of(config: Config, lane: str) -> str:
    """What runs must share to foretell each other: everything that decides the speed but batch and lengths."""
    model, engine = config.model, config.engine
    return "|".join((model.id, model.revision, engine.name, engine.dtype, engine.attention, lane))


def duration_of(result: Result, lane: str) -> Duration | None:
    """What a finished run says about the next of its kind."""
    summary, workload = result.summary, result.config.workload
    if result.state != "finished" or not summary.iterations:
        return None
    return Duration(
        kind=kind_of(result.config, lane),
        batch_size=workload.batch_size,
        output_len=workload.output_len,
        load_s=result.phases.get("spawn", 0.0) + result.phases.get("load", 0.0),
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
