"""What is there and what was loaded, found by looking at the library's own objects."""

import importlib.metadata
import sys
from collections import Counter
from collections.abc import Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from infertui.config.engines.transformers import SPEC
from infertui.targets.engine.base import Probe
from infertui.targets.engine.torch_build import cuda_of_torch

if TYPE_CHECKING:
    import torch

NEEDS = ("torch", "transformers")
REMEDY = 'pip install "infertui[transformers]"'
PACKAGES = sorted({name for needs in SPEC.needs.values() for need in needs.values() for name in need.packages})

# torchao's tensor classes, by what they hold.
_KINDS = {"Int8Tensor": "int8", "Float8Tensor": "fp8"}
_INT4 = "Int4"


def probe() -> Probe:
    """Usable when torch and transformers are installed. Neither is imported."""
    missing = [name for name in NEEDS if find_spec(name) is None]
    if missing:
        return Probe("transformers", available=False, reason=f"{' and '.join(missing)} not installed", remedy=REMEDY)
    try:
        versions = {name: importlib.metadata.version(name) for name in NEEDS}
    except importlib.metadata.PackageNotFoundError as error:
        reason = f"there is a folder or module named {error.name}, but not the package"
        return Probe("transformers", available=False, reason=reason, remedy=REMEDY)
    packages = tuple(name for name in PACKAGES if find_spec(name) is not None)
    return Probe(
        "transformers", available=True, reason="installed", versions=versions, cuda=cuda_of_torch(), packages=packages
    )


def libraries(device: "torch.device") -> tuple[dict[str, str], dict[str, str]]:
    """Versions of the libraries that are at work, and the file from which each was imported."""
    import torch

    names = [*NEEDS, *(name for name in ("torchao", "triton", "flash_attn") if name in sys.modules)]
    versions = {name: _version(name) for name in names}
    if torch.version.cuda:
        versions["cuda"] = torch.version.cuda
    if device.type == "cuda":
        versions["cudnn"] = str(torch.backends.cudnn.version())
    paths = {name: str(getattr(sys.modules[name], "__file__", "") or "") for name in names}
    return versions, paths


def _version(name: str) -> str:
    """As the imported module says; the package's metadata may belong to another copy."""
    found = getattr(sys.modules[name], "__version__", None)
    return str(found) if found is not None else importlib.metadata.version(name)


def attention_in_force(model: Any) -> str:
    """The implementation that the attention modules look up at every step; several are joined by `+`.

    Continuous batching calls eager attention over pages `paged|eager`.
    """
    found = {
        _attention_word(str(module.config._attn_implementation))
        for module in model.modules()
        if "attention" in type(module).__name__.lower() and hasattr(module, "config")
    }
    return "+".join(sorted(found)) or _attention_word(str(model.config._attn_implementation))


def _attention_word(name: str) -> str:
    """A name by which attention modules look up a function; with the function's, where it is not the library's."""
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    word = name.removeprefix("paged|")
    function = ALL_ATTENTION_FUNCTIONS.get(name)
    home = str(getattr(function, "__module__", ""))
    if function is None or (home.startswith("transformers.integrations.") and word.partition("_")[0] in home):
        return word
    return f"{home}.{getattr(function, '__name__', '?')} in place of {word}"


def compute_in_force(dtype: str, device: "torch.device") -> str:
    """`dtype`, that of the weights; with what products are computed in, where the process was told otherwise."""
    import torch

    if torch.is_autocast_enabled(device.type):
        other = str(torch.get_autocast_dtype(device.type)).removeprefix("torch.")
        return dtype if other == dtype else f"{dtype} with autocast to {other}"
    if dtype == "float32" and torch.get_float32_matmul_precision() != "highest":
        return f"float32 with products in {torch.get_float32_matmul_precision()} precision"
    return dtype


def sdpa_kernels() -> str:
    """The kernels among which scaled_dot_product_attention picks on a GPU, as far as they are switched on."""
    from torch.backends import cuda

    enabled = {
        "flash": cuda.flash_sdp_enabled(),
        "cudnn": cuda.cudnn_sdp_enabled(),
        "efficient": cuda.mem_efficient_sdp_enabled(),
        "math": cuda.math_sdp_enabled(),
    }
    return ", ".join(name for name, on in enabled.items() if on)


def stored_bytes(tensor: Any) -> int:
    """Bytes that this process holds for a tensor: its inner tensors where it is quantised, its shard if divided."""
    if hasattr(tensor, "to_local"):
        return stored_bytes(tensor.to_local())
    if hasattr(tensor, "__tensor_flatten__"):
        inner = (getattr(tensor, name) for name in tensor.__tensor_flatten__()[0])
        return sum(stored_bytes(part) for part in inner if part is not None)
    return int(tensor.nbytes)


def weight_bytes(model: Any) -> int:
    """Bytes of all weights, buffers that are kept in checkpoints included; tied weights count once."""
    return sum(stored_bytes(tensor) for tensor in _weights(model))


def lookup_bytes(model: Any) -> int:
    """Bytes of the weights of which a step reads single rows: embeddings of tokens and positions.

    The embedding that is the output layer as well is read whole.
    """
    from torch import nn

    head = model.get_output_embeddings()
    whole = head.weight.data_ptr() if head is not None else 0
    tables = [module.weight for module in model.modules() if isinstance(module, nn.Embedding)]
    return sum(stored_bytes(weight) for weight in tables if weight.data_ptr() != whole)


def _weights(model: Any) -> Iterator[Any]:
    yield from model.parameters()
    seen: set[int] = set()
    for module in model.modules():
        for name, buffer in module._buffers.items():
            if buffer is not None and name not in module._non_persistent_buffers_set and id(buffer) not in seen:
                seen.add(id(buffer))
                yield buffer


def dtype_in_force(model: Any) -> tuple[str, str]:
    """The floating-point format of most of the weights, and all formats with their share when there are several."""
    counts: Counter[str] = Counter()
    for tensor in model.parameters():
        if tensor.is_floating_point():
            counts[str(tensor.dtype).removeprefix("torch.")] += tensor.numel()
    if not counts:
        return str(model.dtype).removeprefix("torch."), ""
    total = counts.total()
    mixed = ", ".join(f"{name} {count / total:.2%}" for name, count in counts.most_common()) if len(counts) > 1 else ""
    return counts.most_common(1)[0][0], mixed


def quantization_in_force(model: Any) -> tuple[str, int, str]:
    """The word for the format of quantised weights (`none` without), how many modules have them, and their classes.

    A checkpoint that was quantised by another method is called by that method's name, and its modules are those
    whose weight is no floating-point tensor or whose class the method brought.
    """
    words: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    for module in model.modules():
        weight = module._parameters.get("weight")
        word = weight_word(weight)
        if word:
            words[word] += 1
            kinds[type(weight).__name__] += 1
    if words:
        return "+".join(sorted(words)), words.total(), ", ".join(f"{count} {name}" for name, count in kinds.items())
    method = _checkpoint_method(model)
    if not method:
        return "none", 0, ""
    foreign = [module for module in model.modules() if _is_foreign(module)]
    names = Counter(type(module).__name__ for module in foreign)
    return method, len(foreign), ", ".join(f"{count} {name}" for name, count in names.items())


def weight_word(weight: Any) -> str:
    """The word for a weight that torchao quantised, empty for any other."""
    name = type(weight).__name__
    if name == "Float8Tensor" and getattr(weight, "act_quant_kwargs", None) is not None:
        return "fp8-dynamic"
    if name == "Int8Tensor" and getattr(weight, "act_quant_kwargs", None) is not None:
        return "int8-dynamic"
    return _KINDS.get(name, "int4" if name.startswith(_INT4) else "")


def _checkpoint_method(model: Any) -> str:
    config = getattr(model.config, "quantization_config", None)
    method = config.get("quant_method") if isinstance(config, dict) else getattr(config, "quant_method", None)
    return str(getattr(method, "value", method)) if method else ""


def _is_foreign(module: Any) -> bool:
    from torch import nn

    weight = module._parameters.get("weight", module._buffers.get("weight"))
    if weight is None:
        return any(name in module._buffers for name in ("qweight", "weight_packed"))
    if weight.dtype.is_floating_point and weight.dtype.itemsize > 1:
        return False
    return isinstance(module, nn.Module)


def device_name(device: "torch.device") -> str:
    """The GPU's name, or CPU."""
    import torch

    return str(torch.cuda.get_device_name(device)) if device.type == "cuda" else "CPU"


def device_uuid(device: "torch.device") -> str:
    """As NVML has it; empty for a CPU."""
    import torch

    return f"GPU-{torch.cuda.get_device_properties(device).uuid}" if device.type == "cuda" else ""
