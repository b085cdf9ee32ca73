"""Whether a run can fit, asked before anything is loaded."""

from collections.abc import Callable, Sequence

from msgspec import Struct

from infertui.config.schema import Config, WorkloadConfig
from infertui.models.memory import DeviceKind, MemoryEstimate, check, check_positions
from infertui.models.memory_of_engine import Task, needed
from infertui.models.remedies import ways_to_fit
from infertui.models.resolve import ModelSource, resolve
from infertui.telemetry.readings import GpuInfo, Sample

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
