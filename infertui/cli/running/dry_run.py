"""`--dry-run`: what would run, on what, how long, and what would fail. Looks at the machine, and loads nothing."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from infertui.cli.output import say, say_json
from infertui.integers import Whole
from infertui.metrics.metric import NOT_AVAILABLE
from infertui.text import clean

if TYPE_CHECKING:
    from infertui.config.schema import Config
    from infertui.config.sources import Resolved
    from infertui.config.sweep import Variant
    from infertui.errors import InfertuiError
    from infertui.models.resolve import ModelSource
    from infertui.pipeline.estimate import Estimate
    from infertui.runner.execution.loading import Choice
    from infertui.telemetry.readings import GpuInfo, Sample

MOST_SHOWN = 24
"""Runs that are described; of more the first of these, and all that would fail."""
_T = TypeVar("_T")


class ForeseenRun(Struct, frozen=True):
    """What is known of a run before it begins. None and empty are not known; bytes and seconds.

    `rough`: the time is no earlier run's. `problem`: it would be refused, for this reason.
    """

    name: str
    model: str = ""
    engine: str = ""
    device: str = ""
    work: str = ""
    memory_needed: Whole | None = None
    memory_free: Whole | None = None
    fits: bool | None = None
    seconds: float | None = None
    rough: bool = False
    problem: str = ""
    remedy: str = ""


class DryRun(Struct, frozen=True):
    """All of it. `settings`: the keys that something set, with the value as TOML and where it came from."""

    runs: tuple[ForeseenRun, ...]
    settings: dict[str, tuple[str, str]]


def dry_run(resolved: "Resolved", variants: "Sequence[Variant]", out: Path, *, as_json: bool) -> int:
    """Say what these runs of a config would be: the exit code, that of the first that would be refused."""
    codes: list[int] = []
    foreseen = foresee(variants, out, codes.append)
    told = DryRun(tuple(foreseen), _settings(resolved))
    if as_json:
        say_json(told, indent=1)
    else:
        for line in _lines(told):
            say(line)
    return codes[0] if codes else 0


def foresee(
    variants: "Sequence[Variant]", out: Path, refused: Callable[[int], None] = lambda _: None
) -> list[ForeseenRun]:
    """Look at the machine, the models and earlier runs in `out`. `refused` hears the exit code of what would be."""
    from infertui.pipeline.machine import look

    gpus, sample = _machine()
    seer = _Seer(gpus, sample, out)
    found = []
    problems = look([variant.config for variant in variants], gpus)
    for variant, problem in zip(variants, problems, strict=True):
        one, unfit = seer.of(variant)
        if (error := problem or unfit) is not None:
            refused(error.exit_code)
            one = replace(one, problem=clean(error.message.partition("\n")[0].rstrip(":")), remedy=clean(error.remedy))
        found.append(one)
    return found


def _machine() -> "tuple[tuple[GpuInfo, ...], Sample]":
    from infertui.telemetry.cards import samples_now
    from infertui.telemetry.host import HostReader
    from infertui.telemetry.readings import Sample

    found = samples_now()
    gpus = tuple(gpu for gpu, _ in found)
    return gpus, Sample(time.monotonic_ns(), tuple(sample for _, sample in found), HostReader().sample())


class _Seer:
    """Remembers what was found: the variants of a sweep share models, engines and prompts."""

    def __init__(self, gpus: "tuple[GpuInfo, ...]", sample: "Sample", out: Path) -> None:
        from infertui.results.runs import Store

        self._gpus, self._sample, self._store = gpus, sample, Store(out)
        self._known: dict[object, object] = {}

    def of(self, variant: "Variant") -> "tuple[ForeseenRun, InfertuiError | None]":
        """What is known of it, and why its model does not fit."""
        config = variant.config
        if config.target.kind == "endpoint":
            return self._load(variant), None
        from infertui.errors import InfertuiError
        from infertui.load.prompts import load_prompts
        from infertui.models.memory.estimate import check
        from infertui.runner.execution.loading import choose, foresee_fit
        from infertui.runner.scheduling.device_slots import devices_of, slot_name, slot_of

        named = ForeseenRun(variant.name, model=clean(config.model.id), engine=config.engine.name)
        choice = self._or_none(("engine", config.engine), lambda: choose(config.engine))
        if choice is None:
            return named, None
        lane = slot_of(config, self._gpus, choice)
        gpu = next((gpu for gpu in self._gpus if slot_name(gpu) in devices_of(lane)), None)
        named = replace(named, engine=_engine(choice, config), device=_device(lane, self._gpus))
        prompts = self._or_none(("prompts", config.workload), lambda: load_prompts(config.workload))
        if prompts is None:
            return named, None
        really = replace(config, engine=choice.engine)
        duration = self._seconds(config, len(prompts), lane)
        named = replace(
            named, model=self._model(config), work=_work(config, len(prompts)),
            seconds=duration.seconds if duration else None, rough=bool(duration and duration.rough),
        )  # fmt: skip
        fit = self._or_none(None, lambda: foresee_fit(really, prompts, gpu, self._sample))
        if fit is None:
            return named, None
        total = fit.needed.total if fit.needed else None
        told = replace(named, memory_needed=total, memory_free=fit.free, fits=fit.fits)
        try:
            if fit.needed is not None and fit.free is not None:
                check(fit.needed, fit.free, fit.ways, forced=config.device.force)
        except InfertuiError as error:
            return told, error
        return told, None

    def _load(self, variant: "Variant") -> ForeseenRun:
        from infertui.load.planner import load_seconds

        config = variant.config
        started = config.target.serve != "none"
        return ForeseenRun(
            variant.name,
            model=clean(config.target.model or config.model.id) if started or config.target.model else "",
            engine=f"{config.target.serve}, started for it" if started else clean(config.target.url),
            work=_load_words(config),
            seconds=self._or_none(None, lambda: load_seconds(config)),
        )

    def _model(self, config: "Config") -> str:
        from infertui.units import format_count

        source = self._source(config)
        if source is None:
            return clean(config.model.id)
        about = "" if source.shape.exact else "about "
        at = "" if source.kind == "synthetic" else f", {source.path}"
        return clean(f"{source.label}, {about}{format_count(source.parameters)} parameters{at}")

    def _seconds(self, config: "Config", pool: int, lane: str) -> "Estimate | None":
        from infertui.pipeline.estimate import earlier_runs, estimate

        source = self._source(config)
        earlier = self._or_none(("runs", config.model.id), lambda: list(self._store.naming(config.model.id))) or []
        return estimate(config, earlier_runs(earlier, config, lane), pool, source.shape if source else None, lane)

    def _source(self, config: "Config") -> "ModelSource | None":
        from infertui.models.resolve import resolve

        return self._or_none(("model", config.model), lambda: resolve(config.model.id, config.model.revision))

    def _or_none(self, key: object, find: Callable[[], _T]) -> _T | None:
        """What is found, once where it has a key; None where it cannot be, which vetting tells the reason of."""
        from infertui.errors import InfertuiError

        if key is None or key not in self._known:
            try:
                found: _T | None = find()
            except (InfertuiError, OSError, ValueError):
                found = None
            if key is None:
                return found
            self._known[key] = found
        return self._known[key]  # type: ignore[return-value]


def _engine(choice: "Choice", config: "Config") -> str:
    engine = choice.engine
    words = (getattr(engine, key) for key in ("mode", "dtype", "quantization"))
    told = ", ".join((engine.name, *(word for word in words if word not in ("auto", "none"))))
    if versions := choice.status.versions:
        told += f" ({', '.join(f'{package} {version}' for package, version in versions.items())})"
    return f"{told} (in place of {config.engine.name}: {clean(choice.reason)})" if choice.requested else clean(told)


def _device(lane: str, gpus: "Sequence[GpuInfo]") -> str:
    from infertui.runner.scheduling.device_slots import CPU, devices_of, slot_name

    if lane == CPU:
        return "CPU"
    return ", ".join(f"GPU {gpu.label} {clean(gpu.name)}" for gpu in gpus if slot_name(gpu) in devices_of(lane)) or lane


def _work(config: "Config", pool: int) -> str:
    from infertui.load.batches import iterations_of

    workload, measurement = config.workload, config.measurement
    batches = iterations_of(workload, measurement, pool)
    prompt = f"{workload.input_len} tokens in" if workload.input_len else "prompts as they are"
    least = f", for {measurement.min_seconds:g} s at least" if measurement.min_seconds else ""
    most = f", {measurement.max_seconds:g} s at most" if measurement.max_seconds else ""
    warmup = "warm-up by rule" if measurement.warmup == "auto" else f"{measurement.warmup} warm-up"
    return f"{batches} batches of {workload.batch_size}, {prompt}, {workload.output_len} out; {warmup}{least}{most}"


def _load_words(config: "Config") -> str:
    from infertui.load.levels import in_flight_asked

    load, workload = config.load, config.workload
    if load.trace:
        most = f"at most {load.concurrency} in flight, " if load.concurrency else ""
        first = f"the first {workload.num_prompts} requests of it, " if workload.num_prompts else ""
        return f"trace {clean(load.trace)}; {most}{first}lengths as it has them"
    if load.steps:
        level = f"steps {clean(load.steps)}"
    elif load.request_rate:
        most = f", at most {load.concurrency} in flight" if load.concurrency else ""
        level = f"{load.request_rate:g} requests/s, {load.arrival}{most}"
    else:
        level = f"{in_flight_asked(load)} in flight"
    prompt = f"{workload.input_len} tokens in" if workload.input_len else "prompts as they are"
    requests = f"{workload.num_prompts} requests, " if workload.num_prompts else ""
    return f"{level}; {requests}{prompt}, {workload.output_len} out"


def _settings(resolved: "Resolved") -> dict[str, tuple[str, str]]:
    from infertui.config import toml
    from infertui.config.fields import toml_path
    from infertui.config.parse import flat_values

    flat: Mapping[str, object] = flat_values(resolved.config)
    return {
        toml_path(path): (clean(toml.value_literal(flat[path])), clean(resolved.sources[path]))
        for path in resolved.changed()
        if path in flat
    }


def _lines(told: DryRun) -> list[str]:
    lines = []
    if told.settings:
        lines.append("settings that are not at their defaults")
        width = max(map(len, told.settings))
        lines += [f"  {key:<{width}}  {value}  ({source})" for key, (value, source) in told.settings.items()]
    shown = [one for at, one in enumerate(told.runs) if at < MOST_SHOWN or one.problem]
    for one in shown:
        lines += ["", one.name or "one configuration", *(f"  {row}" for row in _rows(one))]
    if len(shown) < len(told.runs):
        lines += ["", f"{len(told.runs) - len(shown)} more that would run are in --json"]
    return [*lines, "", total_text(told.runs)]


def _rows(one: ForeseenRun) -> list[str]:
    from infertui.pipeline.estimate import Estimate

    rows = [("model", one.model), ("target", one.engine), ("device", one.device), ("work", one.work)]
    if one.memory_needed is not None:
        rows.append(("memory", _memory(one)))
    time_s = NOT_AVAILABLE if one.seconds is None else Estimate(one.seconds, one.rough).text
    rows.append(("time", time_s))
    if one.problem:
        rows.append(("fails", ". ".join(filter(None, (one.problem, one.remedy)))))
    return [f"{heading:<7} {text}" for heading, text in rows if text]


def _memory(one: ForeseenRun) -> str:
    from infertui.units import format_bytes

    assert one.memory_needed is not None  # noqa: S101
    needed = format_bytes(one.memory_needed)
    if one.memory_free is None:
        return f"{needed}; how much is free is not known"
    verdict = {True: "fits", False: "does not fit", None: "close: may not fit"}[one.fits]
    return f"{needed} of {format_bytes(one.memory_free)} free: {verdict}"


def total_text(runs: Sequence[ForeseenRun]) -> str:
    """How many runs, how long in all, and how many would fail."""
    from infertui.pipeline.estimate import Estimate

    able = [one for one in runs if not one.problem]
    known = [one for one in able if one.seconds is not None]
    text = f"{len(runs)} run{'s' if len(runs) != 1 else ''}"
    if known:
        whole = Estimate(sum(one.seconds or 0.0 for one in known), any(one.rough for one in known)).text
        text += f", {whole}" + (f" and {len(able) - len(known)} of unknown length" if len(known) < len(able) else "")
    failing = len(runs) - len(able)
    return text + (f"; {failing} would fail" if failing else "")
