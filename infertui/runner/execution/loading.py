"""What one run is loaded with: the engine that will really run, its device and environment, whether it fits, its
worker.

A worker is kept for the next run where that needs the same loaded model.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from infertui.config.engine_options import COMMON_OPTIONS
from infertui.config.schema import Config, DeviceConfig, EngineConfig, WorkloadConfig
from infertui.credentials import without_credentials
from infertui.errors import ConfigError, EngineError
from infertui.models.memory.estimate import DeviceKind, MemoryEstimate, check, check_positions
from infertui.models.memory.of_engine import Task, needed
from infertui.models.remedies import ways_to_fit
from infertui.models.resolve import ModelSource, resolve
from infertui.targets.engine.base import Capacity, Loaded, LoadRequest, Probe, spec_of
from infertui.targets.engine.environments import environment_for, probe_for
from infertui.targets.engine.torch_build import NO_CUDA
from infertui.telemetry.readings import GpuInfo, Sample
from infertui.telemetry.usable import hindrance, library_of
from infertui.telemetry.visible import as_cuda_value, visible
from infertui.worker.process import WorkerProcess

STAND_IN = "transformers"


class Choice(Struct, frozen=True):
    """The engine that will run, and whether it can. `requested` and `reason` are empty unless it is a fallback."""

    engine: EngineConfig
    status: Probe
    requested: str = ""
    reason: str = ""


def choose(engine: EngineConfig) -> Choice:
    """The engine itself; Transformers with every option but `dtype` at its default where it cannot be used and
    `engine.fallback` allows that. One that can be used and then fails has failed: nothing stands in for it.

    Looks at files, and may ask another interpreter for seconds: not to be called on an event loop.
    """
    status = probe_for(engine)
    if status.available or not engine.fallback or engine.name == STAND_IN:
        return Choice(engine, status)
    instead = EngineConfig(name=STAND_IN, dtype=engine.dtype)
    reason = status.reason
    if dropped := [
        f"{option} = {getattr(engine, option)}"
        for option in COMMON_OPTIONS
        if getattr(engine, option) != getattr(instead, option)
    ]:
        reason += f" (and without engine.{', engine.'.join(dropped)})"
    return Choice(instead, probe_for(instead), requested=engine.name, reason=reason)


def require_usable(choice: Choice) -> None:
    """Raise EngineError, with reason and remedy, for an engine that cannot be used."""
    if choice.status.available:
        return
    first = f"engine {choice.requested} cannot be used: {choice.reason}; " if choice.requested else ""
    raise EngineError(
        f"{first}engine {choice.engine.name} cannot be used: {choice.status.reason}", remedy=choice.status.remedy
    )


# A token is a byte at least; tokenizers put up to two special ones around a prompt.
AROUND_A_PROMPT = 2


def load_request(config: Config, choice: Choice, prompts: Sequence[str]) -> LoadRequest:
    """The request for the chosen engine. Those that are not sized at load know no capacity, and stay loaded longer."""
    sized = spec_of(choice.engine.name).sized_at_load
    return LoadRequest(
        config.model,
        choice.engine,
        config.device,
        capacity=capacity_of(config.workload, prompts) if sized else None,
        requested=choice.requested,
        fallback_reason=choice.reason,
    )


def capacity_of(workload: WorkloadConfig, prompts: Sequence[str]) -> Capacity:
    """The most that a workload asks for; without `input_len` an upper bound from the longest of its prompts."""
    longest = max((len(prompt.encode(errors="replace")) for prompt in prompts), default=0)
    return Capacity(
        sequences=workload.batch_size,
        prompt_tokens=workload.input_len or longest + AROUND_A_PROMPT,
        output_tokens=workload.output_len,
    )


def worker_environment(
    device: DeviceConfig,
    gpus: tuple[GpuInfo, ...],
    inherited: Mapping[str, str],
    python: Path | None = None,
    planned: Sequence[GpuInfo] = (),
) -> dict[str, str]:
    """The variables of a worker, of another interpreter where `python` names one.

    It sees the GPUs that are `planned` for it and no others: what a library allocates, captures or launches on its
    first GPU is then where the model is. They are named by UUID, so no two ways of numbering them can disagree. It gets
    no tokens, keys or passwords: models are here before it starts, and its output is kept.
    """
    environment = without_credentials(environment_for(python, inherited))
    environment["PYTHONUNBUFFERED"] = "1"
    environment["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"
    environment.setdefault("TOKENIZERS_PARALLELISM", "false")
    if device.name == "cpu":
        environment["CUDA_VISIBLE_DEVICES"] = "-1"
    elif planned and _narrows(device, gpus, planned, environment):
        environment["CUDA_VISIBLE_DEVICES"] = as_cuda_value(planned)
    elif device.visible and gpus:
        environment["CUDA_VISIBLE_DEVICES"] = as_cuda_value(visible(device.visible, gpus))
    elif device.visible:
        environment["CUDA_VISIBLE_DEVICES"] = device.visible
    return environment


def _narrows(
    device: DeviceConfig, gpus: tuple[GpuInfo, ...], planned: Sequence[GpuInfo], environment: Mapping[str, str]
) -> bool:
    """Whether others would be seen as well. The only GPU of a machine needs no name."""
    inherited = "CUDA_VISIBLE_DEVICES" in environment
    return inherited or bool(device.visible) or len(visible(device.visible, gpus)) > len(planned)


def as_the_worker_sees(device: DeviceConfig, planned: Sequence[GpuInfo]) -> DeviceConfig:
    """The device in a worker that sees no other GPUs than those planned for it: the first of them."""
    return replace(device, name="cuda:0") if planned and device.name.startswith("cuda:") else device


def as_asked(found: str, device: DeviceConfig, planned: Sequence[GpuInfo]) -> str:
    """The device that a worker names, in the numbering of the config: its `cuda:0` may be the run's `cuda:1`."""
    kind, colon, number = found.partition(":")
    if not planned or kind != "cuda" or not number.isdecimal():
        return found
    return f"{kind}{colon}{int(number) + _index(device)}"


def _index(device: DeviceConfig) -> int:
    return int(device.name.partition(":")[2] or 0)


def hidden_gpus(device: DeviceConfig, gpus: tuple[GpuInfo, ...]) -> str:
    """What to say where a run could use GPUs and is kept from seeing any; empty else."""
    if device.name != "auto" or not gpus or not device.visible or visible(device.visible, gpus):
        return ""
    return f"the CPU is used: no GPU can be seen{_hidden(device)}"


def _hidden(device: DeviceConfig) -> str:
    return f", since device.visible (or CUDA_VISIBLE_DEVICES) is {device.visible}" if device.visible else ""


def planned_gpus(config: Config, gpus: tuple[GpuInfo, ...], choice: Choice) -> tuple[GpuInfo, ...]:
    """The GPUs that a run will use, several where its layers are divided; none for the CPU.

    Raises ConfigError for a device that cannot be.
    """
    device, engine = config.device, choice.engine
    if engine.name == "simulator":  # it uses none, and may claim one
        return tuple(gpu for gpu in gpus if gpu.uuid == engine.simulator.gpu_uuid)[:1]
    devices = spec_of(engine.name).devices
    if devices == ("cpu",):
        if device.name.startswith("cuda"):
            raise ConfigError("device.name", f"{engine.name} computes on CPUs alone", allowed="auto or cpu")
        return ()
    hindered = hindrance(choice.status, gpus)
    if device.name.startswith("cuda") and hindered:
        raise ConfigError("device.name", f"is {device.name}, but {hindered.reason}", remedy=hindered.remedy)
    if device.name.startswith("cuda") and not gpus and choice.status.cuda == NO_CUDA:
        raise ConfigError(
            "device.name",
            f"is {device.name}, but {library_of(choice.status)} is built without CUDA, and no GPU was found here",
            allowed="auto or cpu",
        )
    if device.name == "cpu" or not gpus or hindered:
        if "cpu" not in devices:
            here = "device.name is cpu" if device.name == "cpu" else "none was found here"
            here = hindered.reason if hindered and device.name != "cpu" else here
            remedy = hindered.remedy if hindered else ""
            raise ConfigError("engine.name", f"{engine.name} needs an NVIDIA GPU, and {here}", remedy=remedy)
        return ()
    index, seen = _index(device), visible(device.visible, gpus)
    if device.name.startswith("cuda") and index >= len(seen):
        raise ConfigError(
            "device.name",
            f"is {device.name}, but this run can see {len(seen)} of {len(gpus)} GPUs{_hidden(device)}",
            allowed=", ".join(f"cuda:{number}" for number in range(len(seen))) or "auto or cpu",
        )
    if not seen and "cpu" not in devices:
        raise ConfigError("engine.name", f"{engine.name} needs an NVIDIA GPU, and device.visible hides every one")
    found = tuple(seen[index : index + engine.tensor_parallel])
    if found and len(found) < engine.tensor_parallel:
        raise ConfigError(
            "engine.tensor_parallel",
            f"{engine.tensor_parallel} GPUs are asked for, and this run can see {len(found)}",
            allowed=f"at most {len(found)}",
        )
    return found


# A byte-level tokenizer makes a token of each byte; subword vocabularies make far fewer.
BYTES_PER_SUBWORD = 3


class Fit(Struct, frozen=True):
    """What a run needs and what is free, in bytes; None where that is not known. `lines` is the arithmetic, `ways`
    finds what would make it fit."""

    lines: tuple[str, ...]
    needed: MemoryEstimate | None = None
    free: int | None = None
    ways: Callable[[], list[str]] = list

    @property
    def fits(self) -> bool | None:
        """Whether it does; None is not known, or close."""
        return None if self.needed is None or self.free is None else self.needed.fits(self.free)


def check_fit(
    config: Config, prompts: tuple[str, ...], gpu: GpuInfo | None, latest: Sample | None, *, loaded: bool = False
) -> tuple[str, ...]:
    """The estimate as lines of arithmetic. Raises DoesNotFitError, unless forced, and ModelError for the model.

    With the model `loaded` already, its weights and overhead are not missing from what is free.
    """
    fit = foresee_fit(config, prompts, gpu, latest, loaded=loaded)
    if fit.needed is not None and fit.free is not None:
        check(fit.needed, fit.free, fit.ways, forced=config.device.force)
    return fit.lines


def foresee_fit(
    config: Config, prompts: tuple[str, ...], gpu: GpuInfo | None, latest: Sample | None, *, loaded: bool = False
) -> Fit:
    """The estimate. Raises ModelError for the model, and ConfigError for lengths that it cannot take."""
    if config.engine.name == "simulator":
        return Fit(("the simulator loads no model",))
    source = resolve(config.model.id, config.model.revision)
    workload = config.workload
    length = check_lengths(source, workload, prompts)
    kind: DeviceKind = "cuda" if gpu else "cpu"
    task = Task(workload.batch_size, length, workload.output_len)
    draft = _draft(config)
    found = needed(source, config.engine, kind, task, draft=draft)
    where = f"GPU {gpu.label} {gpu.name}" if gpu else "the CPU"
    head = f"memory estimate for {source.label} on {where}:"
    free = _free_bytes(gpu, latest)
    if found is None:
        unknown = f"what {source.shape.architecture} keeps of a token is not known: whether it fits is not known either"
        return Fit((head, unknown), None, free)
    if free is None:
        return Fit((head, *found.explain(), "how much is free is not available"), found)
    if loaded:
        free += found.weights + found.overhead + found.spare
    known = free
    return Fit(
        (head, *found.explain(free)),
        found,
        free,
        lambda: ways_to_fit(source, config.engine, kind, task, known, draft=draft),
    )


def check_lengths(source: ModelSource, workload: WorkloadConfig, prompts: Sequence[str]) -> int:
    """The tokens of the longest prompt, as near as is known. Raises ConfigError for more than the model can take."""
    if length := workload.input_len:
        check_positions(source.shape, length, workload.output_len)
        return length
    longest = max(len(prompt.encode(errors="replace")) for prompt in prompts)
    if source.kind != "synthetic":
        return longest // BYTES_PER_SUBWORD + 1
    check_positions(source.shape, longest, workload.output_len)
    return longest


def _draft(config: Config) -> ModelSource | None:
    engine = config.engine
    return resolve(engine.draft_model) if engine.speculation == "draft-model" and engine.draft_model else None


def _free_bytes(gpu: GpuInfo | None, latest: Sample | None) -> int | None:
    if latest is None:
        return None
    if gpu is None:
        used, total = latest.host.memory_used, latest.host.memory_total
    else:
        reading = next((entry for entry in latest.gpus if entry.uuid == gpu.uuid), None)
        used, total = (reading.memory_used, reading.memory_total) if reading else (None, None)
    return None if used is None or total is None else total - used


def _with_adapted(held: LoadRequest, request: LoadRequest) -> LoadRequest:
    """What is loaded, with the keys of the other request that its engine takes anew."""
    engine, device = held.engine, held.device
    for path in spec_of(held.engine.name).adapts:
        section, _, key = path.partition(".")
        if section == "device":
            device = replace(device, **{key: getattr(request.device, key)})
        elif "." in key:
            table, _, option = key.partition(".")
            value = getattr(getattr(request.engine, table), option)
            engine = replace(engine, **{table: replace(getattr(engine, table), **{option: value})})
        else:
            engine = replace(engine, **{key: getattr(request.engine, key)})
    return replace(held, engine=engine, device=device)


class WorkerSlot:
    """Holds at most one worker. Whoever takes it talks to it alone."""

    def __init__(self) -> None:
        self._worker: WorkerProcess | None = None
        self._request: LoadRequest | None = None
        self._loaded: Loaded | None = None
        self._python = ""
        self._clearing = asyncio.Lock()

    def holding(self, request: LoadRequest, python: str) -> tuple[WorkerProcess, Loaded] | None:
        """The living worker that has exactly this loaded, in that interpreter."""
        wanted = self._request == request and self._python == python
        if self._worker and self._worker.alive and self._loaded and wanted:
            return self._worker, self._loaded
        return None

    def adaptable(self, request: LoadRequest, python: str) -> WorkerProcess | None:
        """The living worker that has this model, and can take anew what sets the request apart, in that interpreter."""
        held = self._request
        if held is None or not (self._worker and self._worker.alive and self._loaded and self._python == python):
            return None
        if request.engine.tensor_parallel > 1 or held == request:
            return None
        return self._worker if _with_adapted(held, request) == request else None

    @property
    def current(self) -> WorkerProcess | None:
        """The worker that lives, and may hold device memory."""
        return self._worker if self._worker and self._worker.alive else None

    @property
    def occupied(self) -> bool:
        """Whether a worker lives, be it one that is ending."""
        return self.current is not None or self._clearing.locked()

    async def spawn(self, log: Path, environment: Mapping[str, str], python: str) -> WorkerProcess:
        """A new worker of that interpreter in place of the old one, which is gone when this returns."""
        await self.clear()
        self._worker = await WorkerProcess.spawn(log, environment, python)
        self._python = python
        return self._worker

    def keep(self, request: LoadRequest, loaded: Loaded) -> None:
        """Note what the worker has loaded."""
        self._request, self._loaded = request, loaded

    async def clear(self) -> None:
        """End the worker, if there is one; when this returns none is left, whoever began to end it."""
        worker, self._worker, self._request, self._loaded = self._worker, None, None, None
        async with self._clearing:
            if worker:
                await worker.close()
