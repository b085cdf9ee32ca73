"""Whether a run can fit, asked before anything is loaded."""

from infertui.config.schema import Config
from infertui.gpu.readings import GpuInfo, Sample
from infertui.models.fit import check, check_positions, estimate
from infertui.models.resolve import resolve

# A byte-level tokenizer makes a token of each byte; subword vocabularies make far fewer.
BYTES_PER_SUBWORD = 3


def check_fit(
    config: Config, prompts: tuple[str, ...], gpu: GpuInfo | None, latest: Sample | None, *, loaded: bool = False
) -> tuple[str, ...]:
    """The estimate as lines of arithmetic. Raises DoesNotFitError, unless forced, and ModelError for the model.

    With the model `loaded` already, its weights and overhead are not missing from what is free.
    """
    if config.engine.name == "simulator":
        return ("the simulator loads no model",)
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
    )
    where = f"GPU {gpu.label} {gpu.name}" if gpu else "the CPU"
    head = f"memory estimate for {source.label} on {where}:"
    free = _free_bytes(gpu, latest)
    if free is None:
        return (head, *needed.explain(), "how much is free is not available")
    if loaded:
        free += needed.weights + needed.overhead
    check(needed, free, forced=config.device.force)
    return (head, *needed.explain(free))


def _free_bytes(gpu: GpuInfo | None, latest: Sample | None) -> int | None:
    if latest is None:
        return None
    if gpu is None:
        used, total = latest.host.memory_used, latest.host.memory_total
    else:
        reading = next((entry for entry in latest.gpus if entry.uuid == gpu.uuid), None)
        used, total = (reading.memory_used, reading.memory_total) if reading else (None, None)
    return None if used is None or total is None else total - used
