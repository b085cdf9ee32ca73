"""Looks at what vLLM holds, from inside the processes that hold it.

`WorkerExtension` is given to vLLM as `worker_extension_cls`: its methods become methods of the worker of every rank,
wherever that runs, and are called through `collective_rpc`. Answers are plain data, so that they cross processes as
they are.
"""

from collections.abc import Iterator
from typing import Any

from infertui.targets.engine.executed import Replays


class WorkerExtension:
    """Questions to a vLLM worker, mixed into its class."""

    model_runner: Any
    vllm_config: Any
    _infertui_replays: Replays | None = None

    def infertui_count_replays(self) -> None:
        """Count replays of CUDA graphs from now on."""
        self._infertui_replays = Replays()

    def infertui_look(self) -> dict[str, Any]:
        """What is loaded and in force on this rank; see the helpers for the parts."""
        import torch

        model = self.model_runner.get_model()
        config = self.vllm_config
        return {
            **_weights(model),
            **_attention(config.compilation_config.static_forward_context),
            **_kv_cache(self.model_runner),
            **_compiled(model, config.compilation_config),
            "graph_replays": self._infertui_replays.count if self._infertui_replays else None,
            **_device(next(model.parameters()).device),
            "model_class": type(model).__name__,
            "runner": f"{type(self.model_runner).__module__}.{type(self.model_runner).__name__}",
            "drafter": _drafter(self.model_runner),
            "kv_asked": int(config.cache_config.kv_cache_memory_bytes or 0),
            "kv_blocks": int(config.cache_config.num_gpu_blocks or 0),
            "batched_tokens": int(config.scheduler_config.max_num_batched_tokens),
            "tensor_parallel": int(config.parallel_config.tensor_parallel_size),
            "threads": torch.get_num_threads(),
        }

    def infertui_memory(self) -> tuple[int, int] | None:
        """Peaks of live tensors and of what the allocator held, in bytes; None without CUDA."""
        import torch

        if not torch.cuda.is_initialized():
            return None
        return torch.cuda.max_memory_allocated(), torch.cuda.max_memory_reserved()

    def infertui_reset_peak_memory(self) -> None:
        """Forget the peaks so far."""
        import torch

        if torch.cuda.is_initialized():
            torch.cuda.reset_peak_memory_stats()


def _stored(tensor: Any) -> Iterator[Any]:
    """The plain tensors that a tensor is made of: a quantized one holds integers and scales."""
    if hasattr(tensor, "__tensor_flatten__"):
        for name in tensor.__tensor_flatten__()[0]:
            yield from _stored(getattr(tensor, name))
    else:
        yield tensor


def _name(dtype: Any) -> str:
    return str(dtype).removeprefix("torch.")


def _weights(model: Any) -> dict[str, Any]:
    """Bytes by number format, parameters, and the layers whose weights are not held in the format of compute.

    On a CPU the library hands weights over to oneDNN, which packs them and keeps them out of sight: their size is
    taken from the layer's shape. Rows that pad the vocabulary take bytes and are no parameters.
    """
    formats: dict[str, int] = {}
    parameters = 0
    for parameter in model.parameters():
        parameters += parameter.numel()
        for part in _stored(parameter):
            formats[_name(part.dtype)] = formats.get(_name(part.dtype), 0) + part.nbytes
    quantized: dict[str, int] = {}
    methods: set[str] = set()
    linear = packed = 0
    for module in model.modules():
        method = type(getattr(module, "quant_method", None)).__name__
        if "Embedding" in method:
            rows = module.weight.shape[0] - getattr(module, "org_vocab_size", module.weight.shape[0])
            parameters -= max(0, rows) * module.weight.shape[1]
        elif _is_packed(module):
            linear, packed = linear + 1, packed + 1
            numbers = _inputs(module) * _outputs(module)
            parameters += numbers
            name = _name(module.weight.dtype)
            formats[name] = formats.get(name, 0) + numbers * module.weight.element_size()
        elif method != "NoneType" and (held := [part for weight in _matrices(module) for part in _stored(weight)]):
            linear += 1
            largest = _name(max(held, key=lambda part: part.nbytes).dtype)
            if "Unquantized" not in method and largest not in _COMPUTE:
                quantized[largest] = quantized.get(largest, 0) + 1
                methods.add(method)
    return {
        "formats": formats, "parameters": parameters, "linear_layers": linear, "packed": packed,
        "quantized": quantized, "quantization_methods": sorted(methods),
    }  # fmt: skip


_COMPUTE = ("float64", "float32", "float16", "bfloat16")


def _matrices(module: Any) -> list[Any]:
    return [parameter for parameter in module.parameters(recurse=False) if parameter.dim() >= 2]


def _is_packed(module: Any) -> bool:
    weight = getattr(module, "weight", None)
    return hasattr(module, "cpu_linear") and weight is not None and weight.numel() == 0


def _inputs(module: Any) -> int:
    return int(getattr(module, "input_size_per_partition", 0) or module.input_size)


def _outputs(module: Any) -> int:
    return int(getattr(module, "output_size_per_partition", 0) or module.output_size)


def _attention(layers: dict[str, Any]) -> dict[str, Any]:
    names = {
        layer.attn_backend.get_name() for layer in layers.values() if getattr(layer, "attn_backend", None) is not None
    }
    return {"attention": sorted(names)}


def _kv_cache(runner: Any) -> dict[str, Any]:
    """Bytes of the pool: layers share storage, which counts once."""
    storages: dict[int, int] = {}
    formats: set[str] = set()
    for tensor in _tensors(getattr(runner, "kv_caches", ())):
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = storage.nbytes()
        formats.add(_name(tensor.dtype))
    return {"kv_bytes": sum(storages.values()), "kv_formats": sorted(formats)}


def _tensors(held: Any) -> Iterator[Any]:
    if hasattr(held, "untyped_storage"):
        yield held
    elif isinstance(held, list | tuple):
        for each in held:
            yield from _tensors(each)


def _compiled(model: Any, config: Any) -> dict[str, Any]:
    """Which parts really run as compiled code, where that came from, and the graphs captured by now.

    A part that the library compiles itself says so in `compiled`. One that it read from the artefact of an earlier
    start leaves that at False: it calls `aot_compiled_fn`, and says in `was_aot_compile_fn_loaded_from_disk` that it
    was read.
    """
    from torch._dynamo.utils import calculate_time_spent, counters
    from vllm.compilation.counter import compilation_counter as counted

    parts = [module for module in model.modules() if hasattr(module, "do_not_compile")]
    done = [module for module in parts if not module.do_not_compile and _runs_compiled(module)]
    read = [module for module in done if getattr(module, "was_aot_compile_fn_loaded_from_disk", False)]
    hits, misses = (int(counters["inductor"].get(f"fxgraph_cache_{word}", 0)) for word in ("hit", "miss"))
    seconds = float(config.compilation_time) or float(calculate_time_spent().get("inductor_compile", 0.0))
    return {
        "compilable": len(parts),
        "compiled": len(done),
        "compiled_read": len(read),
        "compile_backend": str(config.backend),
        "compile_mode": getattr(config.mode, "name", str(config.mode)),
        "cudagraph_mode": getattr(config.cudagraph_mode, "name", str(config.cudagraph_mode)),
        "cudagraphs": int(counted.num_cudagraph_captured),
        "compile_seconds": seconds,
        # Below the parts: the library may have kept their pieces, and inductor has a cache of its own.
        "pieces_read": int(getattr(counted, "num_compiled_artifacts_loaded", 0)) + hits,
        "pieces_compiled": max(misses, int(counted.num_inductor_compiles) - hits),
    }


def _runs_compiled(module: Any) -> bool:
    return bool(getattr(module, "compiled", False)) or getattr(module, "aot_compiled_fn", None) is not None


def _drafter(runner: Any) -> str:
    found = getattr(runner, "drafter", None) or getattr(runner, "speculator", None)
    return type(found).__name__ if found is not None else ""


def _device(device: Any) -> dict[str, Any]:
    if device.type != "cuda":
        return {"device": str(device), "device_name": device.type.upper(), "device_uuid": ""}
    import torch

    properties = torch.cuda.get_device_properties(device)
    return {"device": str(device), "device_name": str(properties.name), "device_uuid": f"GPU-{properties.uuid}"}
