"""Whether a run can fit, asked before anything is loaded."""

from msgspec import Struct

from infertui.config.schema import Config
from infertui.gpu.readings import GpuInfo, Sample
from infertui.models.fit import MemoryEstimate, check, check_positions, estimate
from infertui.models.resolve import resolve

# A byte-level tokenizer makes a token of each byte; subword vocabularies make far fewer.
BYTES_PER_SUBWORD = 3


class Fit(Struct, frozen=True):
    """What a run needs and what is free, in bytes; None where that is not known. `lines` is the arithmetic."""

    lines: tuple[str, ...]
    needed: MemoryEstimate | None = None
    free: int | None = None

    @property
    def fits(self) -> bool | None:
        """Whether it does; None is not known."""
        return None if self.needed is None or self.free is None else self.needed.total <= self.free


def check_fit(
    config: Config, prompts: tuple[str, ...], gpu: GpuInfo | None, latest: Sample | None, *, loaded: bool = False
) -> tuple[str, ...]:
    """The estimate as lines of arithmetic. Raises DoesNotFitError, unless forced, and ModelError for the model.

    With the model `loaded` already, its weights and overhead are not missing from what is free.
    """
    fit = foresee_fit(config, prompts, gpu, latest, loaded=loaded)
    if fit.needed is not None and fit.free is not None:
        check(fit.needed, fit.free, forced=config.device.force)
    return fit.lines


def foresee_fit(
    config: Config, prompts: tuple[str, ...], gpu: GpuInfo | None, latest: Sample | None, *, loaded: bool = False
) -> Fit:
    """The estimate. Raises ModelError for the model, and ConfigError for lengths that it cannot take."""
    if config.engine.name == "simulator":
        return Fit(("the simulator loads no model",))
    source = resolve(config.model.id, config.model.revision)
    workload = config.workload
    length = workload.input_len
    if length:
        check_positions(source.shape, length, workload.output_len)
    else:
        longest = max(len(prompt.encode(errors="replace")) for prompt in prompts)
        if source.kind == "synthetic":
            length = longest
            check_positions(source.shape, length, workload.output_len)
        else:
            length = longest // BYTES_PER_SUBWORD + 1
    needed = estimate(
        source.shape,
        dtype=config.engine.dtype,
        device_kind="cuda" if gpu else "cpu",
        batch_size=workload.batch_size,
        input_len=length,
        output_len=workload.output_len,
        attention=config.engine.attention,
        weights_on_disk=source.weights_bytes_on_disk,
        quantization=config.engine.quantization,
        tensor_parallel=config.engine.tensor_parallel if gpu else 1,
    )
    where = f"GPU {gpu.label} {gpu.name}" if gpu else "the CPU"
    head = f"memory estimate for {source.label} on {where}:"
    free = _free_bytes(gpu, latest)
    if free is None:
        return Fit((head, *needed.explain(), "how much is free is not available"), needed)
    if loaded:
        free += needed.weights + needed.overhead
    return Fit((head, *needed.explain(free)), needed, free)


def _free_bytes(gpu: GpuInfo | None, latest: Sample | None) -> int | None:
    if latest is None:
        return None
    if gpu is None:
        used, total = latest.host.memory_used, latest.host.memory_total
    else:
        reading = next((entry for entry in latest.gpus if entry.uuid == gpu.uuid), None)
        used, total = (reading.memory_used, reading.memory_total) if reading else (None, None)
    return None if used is None or total is None else total - used
