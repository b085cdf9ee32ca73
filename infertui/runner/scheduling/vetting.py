"""Requests that are known to be wrong before anything of them begins: no worker is started, and no run is kept.

Whatever is to be measured passes here, whichever way it came: when it is asked for, and again when its turn comes. Only
files are read and engines asked whether they are there; no model is loaded, no backend imported.

What the words of options take besides their engine: packages, and GPUs of an age.
"""

import logging
import time
from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

from msgspec.structs import replace

from infertui.analysis.capacity.plan import check_search
from infertui.config.engine_options import path_of
from infertui.config.engines.spec import Need
from infertui.config.fields import FIELDS
from infertui.config.schema import Config
from infertui.config.sweep import Variant
from infertui.errors import ConfigError, EngineError, InfertuiError, ModelError, UsageError
from infertui.load.checks import check_load
from infertui.load.prompts import load_prompts
from infertui.load.traces import read_trace
from infertui.models.resolve import resolve
from infertui.runner.blocking import call_with_timeout
from infertui.runner.endpoint.asked import check_endpoint
from infertui.runner.execution.loading import (
    Choice,
    capacity_of,
    check_lengths,
    choose,
    load_request,
    planned_gpus,
    require_usable,
)
from infertui.runner.execution.quality import scored_text
from infertui.targets.endpoint.servers import check_server
from infertui.targets.engine.base import LoadRequest, check, spec_of
from infertui.targets.engine.torch_build import NO_CUDA
from infertui.telemetry.readings import GpuInfo
from infertui.telemetry.usable import hindrance
from infertui.worker.serving.launch import find_program


def check_needs(choice: Choice, gpus: Sequence[GpuInfo]) -> None:
    """Raise ConfigError for a word of an option that takes a package that is not in the engine's environment, or more
    of the GPUs than they can. What is not known of either is not held against a word."""
    for option, needs in spec_of(choice.engine.name).needs.items():
        value = getattr(choice.engine, option)
        path = path_of(option)
        need = needs.get(str(value)) or (needs.get("*") if value != FIELDS[path].default else None)
        if need is None:
            continue
        _check_packages(path, value, need, choice)
        _check_gpus(path, value, need, gpus)


def _check_packages(path: str, value: object, need: Need, choice: Choice) -> None:
    there = choice.status.packages
    if not need.packages or there is None or set(need.packages) & set(there):
        return
    raise ConfigError(
        path,
        f"{value} needs {' or '.join(need.packages)}, which is not installed where {choice.engine.name} is",
        remedy=f"{need.install}; or leave {path} at its default.",
    )


def _check_gpus(path: str, value: object, need: Need, gpus: Sequence[GpuInfo]) -> None:
    for gpu in gpus:
        if need.capability and gpu.compute_capability and _version(gpu.compute_capability) < _version(need.capability):
            raise ConfigError(
                path,
                f"{value} needs a GPU of compute capability {need.capability}, and GPU {gpu.label} has "
                f"{gpu.compute_capability}",
                remedy=f"Leave {path} at its default there.",
            )


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) if part.isdecimal() else 0 for part in text.split("."))


_log = logging.getLogger(__name__)
T = TypeVar("T")
LIMIT_S = 30.0
"""How long looking may take where somebody waits at a screen or a socket. What was not looked at by then is let
through: it is looked at once more when its turn comes."""

Refusals = tuple[InfertuiError | None, ...]
"""What is wrong with each of several configs; None where nothing is known to be."""


async def vetted(variants: Sequence[Variant], gpus: tuple[GpuInfo, ...], limit_s: float = LIMIT_S) -> Refusals:
    """What is known to be wrong with each of the variants that were asked for together; see `refusals`.

    Raises it instead where none can run, and where one of a bench cannot, which is there to compare them.
    """
    found = await refusals([variant.config for variant in variants], gpus, limit_s)
    told = tuple(error and _of_several(error, number, variants) for number, error in enumerate(found))
    first = next((error for error in told if error is not None), None)
    if first is not None and (None not in told or any(variant.place for variant in variants)):
        raise first
    return told


async def refusals(configs: Sequence[Config], gpus: tuple[GpuInfo, ...], limit_s: float = LIMIT_S) -> Refusals:
    """What is known to be wrong with each of the configs. A thread looks, for so many seconds at most.

    After half of them it looks at no further one; a single one may take the rest, where it asks Transformers about it.
    """
    found = await call_with_timeout(lambda: _look(configs, gpus, time.monotonic() + limit_s / 2), limit_s)
    return found if found is not None else (None,) * len(configs)


def _look(configs: Sequence[Config], gpus: tuple[GpuInfo, ...], deadline: float) -> Refusals:
    look = _Look(gpus)
    return tuple(look.problem(config) if time.monotonic() < deadline else None for config in configs)


class _Look:
    """Remembers what was found out: the thousands of variants of a sweep share models, engines and prompts."""

    def __init__(self, gpus: tuple[GpuInfo, ...]) -> None:
        self._gpus = gpus
        self._known: dict[Hashable, object] = {}

    def problem(self, config: Config) -> InfertuiError | None:
        key = (
            config.model, config.engine, config.device, config.workload, config.quality, config.target, config.load,
            config.capacity,
        )  # fmt: skip
        return self._once(key, lambda: self._problem(config))

    def _problem(self, config: Config) -> InfertuiError | None:
        try:
            self._check(config)
        except InfertuiError as error:
            return error
        except (OSError, ValueError):
            return None  # whatever that is, it shows where it is tried
        except Exception:  # noqa: BLE001 (the check of an engine of another package can be broken in any way)
            _log.exception("whether a config can run could not be looked at")
            return None
        return None

    def _check(self, config: Config) -> None:
        workload, engine, model = config.workload, config.engine, config.model
        check_load(config.target, config.load, workload)
        check_search(config)
        prompts = self._once(("prompts", workload.prompts, workload.prompts_file), lambda: load_prompts(workload))
        if config.target.kind == "endpoint":
            check_endpoint(config)
            if trace := config.load.trace:
                self._once(("trace", trace), lambda: len(read_trace(trace)))
            if config.target.serve != "none":
                check_server(config)
                find_program(config)
            return
        choice = self._once(("engine", engine), lambda: choose(engine))
        require_usable(choice)
        gpus = planned_gpus(config, self._gpus, choice)
        self._once(("quality", config.quality, model.id), lambda: scored_text(config))
        if choice.engine.name == "simulator":
            return
        check_needs(choice, gpus)
        source = self._once(("model", model.id, model.revision), lambda: resolve(model.id, model.revision))
        if draft := choice.engine.draft_model:
            self._once(("model", draft, ""), lambda: _draft(draft))
        check_lengths(source, workload, prompts)
        check(self._request(config, choice, prompts, gpus), source)

    def _request(
        self, config: Config, choice: Choice, prompts: tuple[str, ...], gpus: tuple[GpuInfo, ...]
    ) -> LoadRequest:
        """What would be asked of the engine, with what `targets.engine.base.check` is told besides."""
        request = replace(load_request(config, choice, prompts), capacity=capacity_of(config.workload, prompts))
        name = config.device.name
        if name == "auto" and (gpus or self._leaves_the_cpu(choice)):
            name = "cuda" if gpus else "cpu"
        return replace(request, device=replace(config.device, name=name))

    def _leaves_the_cpu(self, choice: Choice) -> bool:
        """Whether `auto` is the CPU where no GPU is planned for a run. Without readings a library may see one."""
        return bool(self._gpus) or choice.status.cuda == NO_CUDA or hindrance(choice.status, self._gpus) is not None

    def _once(self, key: Hashable, find: Callable[[], T]) -> T:
        if key not in self._known:
            self._known[key] = find()
        return self._known[key]  # type: ignore[return-value]  # a key stands for one kind of thing


def _draft(model: str) -> None:
    try:
        resolve(model)
    except ModelError as error:
        raise ConfigError("engine.draft_model", error.message, remedy=error.remedy) from error


def _of_several(error: InfertuiError, number: int, variants: Sequence[Variant]) -> InfertuiError:
    """The error with the run that it is about, where it is one of several."""
    if len(variants) == 1:
        return error
    name = variants[number].name
    which = f"run {number + 1} of {len(variants):,}" + (f", {name}" if name else "")
    if isinstance(error, ConfigError):
        source = f"{error.source}, {which}" if error.source else which
        return ConfigError(error.path, error.problem, allowed=error.allowed, source=source, remedy=error.remedy)
    for kind in (ModelError, EngineError, UsageError):
        if isinstance(error, kind):
            return kind(f"{which}: {error.message}", remedy=error.remedy)
    return InfertuiError(f"{which}: {error.message}", remedy=error.remedy)
