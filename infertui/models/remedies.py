"""What would make a run fit: the most layers on the GPU, sequences, or tokens for which the estimate still fits."""

from collections.abc import Callable

from msgspec.structs import replace

from infertui.config.schema import EngineConfig
from infertui.models.memory.estimate import DeviceKind, MemoryEstimate
from infertui.models.memory.of_engine import Task, needed
from infertui.models.resolve import ModelSource


def ways_to_fit(
    source: ModelSource,
    engine: EngineConfig,
    device_kind: DeviceKind,
    task: Task,
    free_bytes: int,
    *,
    draft: ModelSource | None = None,
) -> list[str]:
    """Changes of one setting each with which the run would fit into `free_bytes`, as people would read them; what would
    help without being sure to where there is none."""

    def fits(engine: EngineConfig, task: Task) -> bool:
        found = needed(source, engine, device_kind, task, draft=draft)
        return found is not None and found.fits(free_bytes) is True

    ways = []
    if engine.name == "llama-cpp":
        options = engine.llama_cpp
        if device_kind == "cuda":
            all_layers = source.shape.layers + 1
            asked = options.n_gpu_layers if 0 <= options.n_gpu_layers < all_layers else all_layers
            layers = _most(
                0, asked, lambda count: fits(replace(engine, llama_cpp=replace(options, n_gpu_layers=count)), task)
            )
            if layers is not None:
                ways.append(f"engine.llama_cpp.n_gpu_layers of at most {layers}")
        if options.n_ctx > task.batch_size * task.positions and fits(
            replace(engine, llama_cpp=replace(options, n_ctx=0)), task
        ):
            ways.append("engine.llama_cpp.n_ctx of 0, which is as many positions as the workload needs")
    if engine.name == "vllm" and fits(replace(engine, vllm=replace(engine.vllm, sizes="workload")), task):
        ways.append("engine.vllm.sizes of workload, without room for the longest sequence that the model takes")
    batch = _most(1, task.batch_size, lambda count: fits(engine, replace(task, batch_size=count)))
    if batch is not None:
        ways.append(f"workload.batch_size of at most {batch}")
    prompt = _most(1, task.input_len, lambda count: fits(engine, replace(task, input_len=count)))
    output = _most(1, task.output_len, lambda count: fits(engine, replace(task, output_len=count)))
    if prompt is not None:
        ways.append(f"workload.input_len of at most {prompt}")
    if output is not None:
        ways.append(f"workload.output_len of at most {output}")
    if _in_float32(source, engine, device_kind, task) and fits(replace(engine, dtype="bfloat16"), task):
        ways.append("a 16-bit engine.dtype (bfloat16, float16)")
    return ways or ["a smaller model"]


def _in_float32(source: ModelSource, engine: EngineConfig, device_kind: DeviceKind, task: Task) -> bool:
    found: MemoryEstimate | None = needed(source, engine, device_kind, task)
    return found is not None and found.dtype == "float32" and engine.quantization == "auto"


def _most(least: int, most: int, fits: Callable[[int], bool]) -> int | None:
    """The largest number below `most`, and from `least` on, that fits; None where not even the least does."""
    if least >= most or not fits(least):
        return None
    low, high = least, most
    while high - low > 1:
        middle = (low + high) // 2
        if fits(middle):
            low = middle
        else:
            high = middle
    return low
