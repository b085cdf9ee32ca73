"""On which device entries will run, and for how long, from earlier runs of the same kind.

Asked for whole sweeps at once, and never reads a file for it.
"""

import contextlib
import hashlib
import math
from collections.abc import Callable, Iterable, Sequence

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from infertui.analysis.capacity.plan import is_search
from infertui.config.engines.registry import SPECS
from infertui.config.schema import CommonEngineOptions, Config, DeviceConfig, EngineConfig, WorkloadConfig
from infertui.errors import InfertuiError
from infertui.load.batches import iterations_of
from infertui.load.planner import load_seconds
from infertui.load.prompts import load_prompts
from infertui.results.result import Result
from infertui.runner.blocking import call_with_timeout
from infertui.runner.execution.loading import Choice, choose
from infertui.runner.scheduling.device_slots import slot_of
from infertui.runner.scheduling.queue_store import Duration, Entry
from infertui.targets.engine.base import Probe
from infertui.telemetry.readings import GpuInfo

USUAL_WARMUP_BATCHES = 2
NEAR = 2.0
"""Batch sizes, or prompts, within this factor take the same time."""


class Growth(Struct, frozen=True):
    """How times grow with the sequences of a batch: to which power of their number."""

    prefill: float
    """Of sequences and of prompt tokens."""
    decode: float


ON_CPU, ON_GPU = Growth(1.0, 0.5), Growth(0.3, 0.1)
"""Where no earlier runs tell: prefill computes as much more, decode reads the same weights for all sequences. A small
model on a CPU from 1 to 32: 0.99 and 0.57; medians of two GPT-2 and Llama shapes from 1 to 8 and 8 to 32 in every mode
on an H200: 0.2 and 0.1, with a spread of 0.3."""


def kind_of(config: Config, lane: str) -> str:
    """What runs must share to foretell each other: everything that decides the speed but batch and lengths."""
    if config.target.kind == "endpoint":
        told = msgspec.json.encode((config.target, config.load), order="sorted")
        return f"{config.target.model}|endpoint|{lane}|{hashlib.sha256(told).hexdigest()[:16]}"
    model, engine = config.model, config.engine
    settings = {name: getattr(engine, name) for name in CommonEngineOptions.__struct_fields__ if name != "fallback"}
    options = getattr(engine, spec.table, None) if (spec := SPECS.get(engine.name)) else None
    told = msgspec.json.encode((model.id, model.revision, settings, options, lane), order="sorted")
    # Durations of every queue are searched by it: its length matters, and what it says no more than that it differs.
    return f"{model.id}|{engine.name}|{lane}|{hashlib.sha256(told).hexdigest()[:16]}"


def duration_of(result: Result, lane: str) -> Duration | None:
    """What a finished run says about the next of its kind."""
    summary, config = result.summary, result.config
    good, iterations, seconds = summary.good, summary.iterations, summary.measured_s
    if config is None or result.state != "finished" or not iterations or good is None or seconds is None:
        return None
    workload = config.workload
    if result.loaded and result.loaded.engine != config.engine.name:
        return None  # another engine ran: that says nothing about this one
    failed = (summary.failed or 0) // workload.batch_size
    if iterations <= failed:
        return None
    return Duration(
        kind=kind_of(config, lane),
        batch_size=workload.batch_size,
        output_len=workload.output_len,
        load_s=sum(result.phases.get(phase, 0.0) for phase in ("spawn", "load", "compile", "capture")),
        step_s=seconds / ((iterations - failed) * workload.output_len),
        warmup_batches=result.warmup_batches,
        prefill_s=summary.prefill,
        prompt_tokens=summary.prompt_tokens / good if good > 0 and summary.prompt_tokens is not None else None,
    )


def estimate_duration(config: Config, earlier: Sequence[Duration], pool: int | None = None) -> float | None:
    """Seconds that a run will take; None without earlier runs, which are the newest first.

    The nearest in batch, prompt and output length tells the pace. A batch takes its prefill, and a decode step for each
    further token: the output's length moves the steps alone. `pool` is the number of its prompts. Where that decides
    how much is measured and is None, not known, so is the time.
    """
    workload, measurement = config.workload, config.measurement
    if is_search(config):
        return None
    if config.target.kind == "endpoint":
        return load_seconds(config)
    if not earlier or (pool is None and not (measurement.iterations or workload.num_prompts)):
        return None
    iterations = iterations_of(workload, measurement, pool or 0)
    nearest = min(earlier, key=lambda known: _distance(known, config))
    batch_s = _batch_s(nearest, config, _growth(earlier))
    load = max((known.load_s for known in earlier[:10]), default=0.0)
    warmup = measurement.warmup if isinstance(measurement.warmup, int) else nearest.warmup_batches
    if measurement.min_seconds and batch_s > 0:
        iterations = max(iterations, math.ceil(measurement.min_seconds / batch_s))
    measured = iterations * batch_s
    if measurement.max_seconds:
        measured = min(measured, measurement.max_seconds)
    return load + (warmup or USUAL_WARMUP_BATCHES) * batch_s + measured


def _distance(known: Duration, config: Config) -> float:
    """How unlike a run was, in powers of e."""
    workload = config.workload
    batch = abs(math.log(known.batch_size / workload.batch_size))
    prompt = abs(math.log(_prompt_ratio(known, workload.input_len)))
    return batch + prompt + abs(math.log(known.output_len / workload.output_len))


def _prompt_ratio(known: Duration, input_len: int) -> float:
    """How many times the prompt's tokens there will be; 1 where either is not known."""
    return input_len / known.prompt_tokens if input_len and known.prompt_tokens else 1.0


def _batch_s(known: Duration, config: Config, growth: Growth) -> float:
    workload = config.workload
    sequences = _beyond_near(workload.batch_size / known.batch_size)
    prompts = _beyond_near(_prompt_ratio(known, workload.input_len))
    decode = known.decode_s * math.pow(sequences, growth.decode)
    # Of what was kept without a prefill, the first step is like any other.
    prefill = decode if known.prefill_s is None else known.prefill_s * math.pow(sequences * prompts, growth.prefill)
    return prefill + (workload.output_len - 1) * decode


def _beyond_near(ratio: float) -> float:
    return 1.0 if 1 / NEAR <= ratio <= NEAR else ratio


def _growth(earlier: Sequence[Duration]) -> Growth:
    """As the runs with the fewest and the most sequences say, the newest of each; else as is usual."""
    few, many = min(earlier, key=lambda known: known.batch_size), max(earlier, key=lambda known: known.batch_size)
    usual = ON_CPU if "|cpu|" in few.kind else ON_GPU
    if many.batch_size <= NEAR * few.batch_size:
        return usual
    span = math.log(many.batch_size / few.batch_size)

    def power(least: float | None, most: float | None, otherwise: float) -> float:
        return min(1.0, max(0.0, math.log(most / least) / span)) if least and most else otherwise

    alike = few.prompt_tokens == many.prompt_tokens
    prefill = power(few.prefill_s, many.prefill_s, usual.prefill) if alike else usual.prefill
    return Growth(prefill, power(few.decode_s, many.decode_s, usual.decode))


COUNTING_S = 5.0
ASKING_S = 25.0
NEWS = 0.1
"""An estimate that moves by less than this share is not worth an event."""


class Placement:
    """Places entries. What files say is learned beforehand, by `learn`."""

    def __init__(self, gpus: Callable[[], tuple[GpuInfo, ...]], durations: Callable[[str], list[Duration]]) -> None:
        self._gpus = gpus
        self._durations = durations
        self._pools: dict[str, int] = {}
        self._choices: dict[tuple[str, str, bool], Choice] = {}

    async def learn(self, configs: Iterable[Config]) -> None:
        """Count the prompts of configs, and ask for their engines, in threads.

        A file that cannot be read, or not soon, has no number; an engine that does not answer soon is not known.
        """
        configs = [config for config in configs if config.target.kind == "engine"]
        wanted = {_pool_of(config.workload): config.workload for config in configs if _counts(config)}
        engines = {_asked_of(config.engine): config.engine for config in configs}

        def count() -> dict[str, int]:
            found = {}
            for name, workload in wanted.items():
                with contextlib.suppress(InfertuiError, OSError, ValueError, RuntimeError):
                    found[name] = _count(workload)
            return found

        if wanted:
            self._pools |= await call_with_timeout(count, COUNTING_S) or {}
        if engines:
            self._choices |= (
                await call_with_timeout(lambda: {key: choose(engine) for key, engine in engines.items()}, ASKING_S)
                or {}
            )

    def placed(self, entries: Sequence[Entry]) -> list[Entry]:
        """The entries with their lanes and estimates."""
        gpus = self._gpus()
        lanes: dict[tuple[str, DeviceConfig, EngineConfig], str] = {}
        earlier: dict[str, list[Duration]] = {}
        placed = []
        for entry in entries:
            config = entry.config
            where = (config.target.kind, config.device, config.engine)
            if where not in lanes:
                lanes[where] = slot_of(config, gpus, self._choice(config.engine))
            kind = kind_of(config, lanes[where])
            if kind not in earlier:
                earlier[kind] = _latest(self._durations(kind))
            seconds = estimate_duration(config, earlier[kind], self._pools.get(_pool_of(config.workload)))
            placed.append(replace(entry, lane=lanes[where], estimate_s=seconds))
        return placed

    def _choice(self, engine: EngineConfig) -> Choice:
        """As `learn` found it; where it did not, as if the engine could be used."""
        known = self._choices.get(_asked_of(engine))
        if known is None:
            return Choice(engine, Probe(engine.name, available=True, reason="it was not asked"))
        return known if known.requested else replace(known, engine=engine)

    def foreseen_anew(self, waiting: Sequence[Entry], duration: Duration) -> list[Entry]:
        """Those of the waiting entries that will take another time, now that a run of this kind took so long."""
        kin = [entry for entry in waiting if kind_of(entry.config, entry.lane) == duration.kind]
        return [new for old, new in zip(kin, self.placed(kin), strict=True) if _differs(old.estimate_s, new.estimate_s)]


def _asked_of(engine: EngineConfig) -> tuple[str, str, bool]:
    """What decides whether an engine can be used; a sweep over its options asks once."""
    return engine.name, engine.python, engine.fallback


def _differs(old: float | None, new: float | None) -> bool:
    if old is None or new is None:
        return old != new
    return abs(new - old) > NEWS * old


def _latest(durations: Sequence[Duration]) -> list[Duration]:
    """The latest of each batch size and length: no other will ever be the nearest."""
    found: dict[tuple[int, int], Duration] = {}
    for duration in durations:
        found.setdefault((duration.batch_size, duration.output_len), duration)
    return list(found.values())


def _counts(config: Config) -> bool:
    """Whether the number of prompts decides how much is measured."""
    return not config.measurement.iterations and not config.workload.num_prompts


def _pool_of(workload: WorkloadConfig) -> str:
    return f"file {workload.prompts_file}" if workload.prompts_file else workload.prompts


def _count(workload: WorkloadConfig) -> int:
    """The number of prompts."""
    return len(load_prompts(workload))
