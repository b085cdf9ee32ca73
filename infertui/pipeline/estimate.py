"""How long a pipeline will take: from earlier runs of its kind, else roughly, from the size of the model. Pure.

The rough model: weights are read once for each decode step at the memory bandwidth below, prefill computes 2 operations
a parameter and token, loading reads the weights from disk. It is right within a factor of a few, and said to be rough.
"""

import math
from collections.abc import Iterable, Sequence

from msgspec import Struct

from infertui.config.schema import Config
from infertui.load.batches import iterations_of
from infertui.models.shapes import ModelShape, weight_bytes
from infertui.results.result import Result
from infertui.runner.scheduling.device_slots import CPU
from infertui.runner.scheduling.placement import USUAL_WARMUP_BATCHES, duration_of, estimate_duration, kind_of
from infertui.runner.scheduling.queue_store import Duration

REPORT_S = 10.0
"""Reading the runs, and drawing a dozen charts."""
UNDRAWN_REPORT_S = 1.0
COMPILE_S = 60.0
_COMPILED = frozenset({"compile", "cudagraph"})


class Machine(Struct, frozen=True):
    """What the rough model takes a device to do."""

    bytes_per_s: float
    """From memory, in a decode step."""
    operations_per_s: float
    """In prefill."""
    step_s: float
    """Of a decode step, however small the model is: launches and Python."""
    start_s: float
    """Until a worker has imported its backend."""


ON_CPU = Machine(10e9, 100e9, 0.004, 6.0)
ON_GPU = Machine(500e9, 50e12, 0.010, 12.0)
_DISK_BYTES_PER_S = 500e6


class Estimate(Struct, frozen=True):
    """Seconds; `rough` where no earlier run of the kind tells."""

    seconds: float
    rough: bool = False

    def __add__(self, other: "Estimate") -> "Estimate":
        return Estimate(self.seconds + other.seconds, self.rough or other.rough)

    def times(self, count: int) -> "Estimate":
        """So many of these, one after the other."""
        return Estimate(self.seconds * count, self.rough)

    @property
    def text(self) -> str:
        """`4 min`, `rough: 4 min`."""
        return f"{'roughly ' if self.rough else 'about '}{span(self.seconds)}"


def span(seconds: float) -> str:
    """A time as people plan with it: `40 s`, `4 min`, `2 h 10 min`."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def earlier_runs(results: Iterable[Result], config: Config, lane: str) -> list[Duration]:
    """What runs of the same kind, on the same kind of device, say; the newest first. Results are the oldest first."""
    kind, found = kind_of(config, lane), []
    for result in results:
        if result.config is None or result.loaded is None or (result.loaded.device == "cpu") != (lane == CPU):
            continue
        if kind_of(result.config, lane) == kind and (duration := duration_of(result, lane)) is not None:
            found.append(duration)
    return found[::-1]


def estimate(
    config: Config, earlier: Sequence[Duration], pool: int, shape: ModelShape | None, lane: str
) -> Estimate | None:
    """Of one run, with a process of its own; None where nothing is known of the model. `pool` is how many prompts."""
    known = estimate_duration(config, earlier, pool)
    if known is not None:
        return Estimate(known)
    if config.engine.name == "simulator":
        return Estimate(_simulated(config, pool))
    return None if shape is None else Estimate(_rough(config, pool, shape, ON_CPU if lane == CPU else ON_GPU), True)


def _batches(config: Config, pool: int, batch_s: float) -> float:
    """Seconds of warm-up and measuring."""
    measurement = config.measurement
    iterations = iterations_of(config.workload, measurement, pool)
    if measurement.min_seconds and batch_s > 0:
        iterations = max(iterations, math.ceil(measurement.min_seconds / batch_s))
    measured = iterations * batch_s
    if measurement.max_seconds:
        measured = min(measured, measurement.max_seconds + batch_s)
    warmup = measurement.warmup if isinstance(measurement.warmup, int) else USUAL_WARMUP_BATCHES
    return warmup * batch_s + measured


def _rough(config: Config, pool: int, shape: ModelShape, machine: Machine) -> float:
    workload = config.workload
    dtype = config.engine.dtype
    if dtype == "auto":
        dtype = "float32" if machine is ON_CPU else "bfloat16"
    size = weight_bytes(shape, dtype)
    step = machine.step_s + size / machine.bytes_per_s
    tokens = workload.batch_size * (workload.input_len or 32)
    prefill = 2 * shape.active_parameters * tokens / machine.operations_per_s
    compiling = COMPILE_S if config.engine.mode in _COMPILED else 0.0
    load = machine.start_s + size / _DISK_BYTES_PER_S + compiling
    return load + _batches(config, pool, prefill + workload.output_len * step)


def _simulated(config: Config, pool: int) -> float:
    options = config.engine.simulator
    if options.virtual_time:
        return 1.0
    batch_s = (options.ttft_ms + (config.workload.output_len - 1) * options.step_ms) / 1000
    return 1.0 + options.load_ms / 1000 + _batches(config, pool, batch_s)
