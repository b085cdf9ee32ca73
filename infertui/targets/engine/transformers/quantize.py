"""Weights in fewer bits, by torchao, the same way for checkpoints and synthetic models: after loading, in place.

Linear layers are quantised; embeddings, norms and the output layer stay as they are, as is the custom.
"""

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from infertui.errors import EngineError, InfertuiError
from infertui.targets.engine.transformers.effective import weight_word
from infertui.text import clean, shorten

if TYPE_CHECKING:
    import torch

UNPACKING = "on a CPU a prototype of torchao's, which unpacks the weights in every step: its speed is not int4's"
"""What is said of int4 there: 0.8 tok/s where float32 made 41."""

_GROUPS = (128, 64, 32)
_REMEDY = "Use engine.quantization = int8, or auto for none."


def quantize(model: Any, word: str, device: "torch.device") -> dict[str, str]:
    """Quantise the linear layers of `model` in place and return facts on how.

    `word` is one of `engine.quantization`. Raises EngineError where torchao is missing or cannot do it here.
    """
    if find_spec("torchao") is None:
        raise EngineError(
            f"engine.quantization = {word} needs torchao, which is not installed",
            remedy="pip install torchao; or set engine.quantization = auto.",
        )
    if getattr(model.config, "quantization_config", None) is not None:
        raise EngineError(
            f"engine.quantization = {word}, but the checkpoint is quantised already",
            remedy="Set engine.quantization = auto to run it as it is.",
        )
    converted = _conv1d_to_linear(model)
    layers = dict(_linears(model))
    if not layers:
        raise EngineError(f"engine.quantization = {word}: this model has no linear layers that could be quantised")
    try:
        from torchao.quantization import quantize_

        config, facts = _config(word, list(layers.values()), device)
        quantize_(model, config, filter_fn=lambda _module, name: name in layers)
    except (RuntimeError, MemoryError, InfertuiError):
        raise  # want of memory among them
    except Exception as error:
        raise EngineError(
            f"engine.quantization = {word} cannot be used with {str(model.dtype).removeprefix('torch.')} "
            f"on {device.type}: {shorten(clean(str(error)), 300) or type(error).__name__}",
            remedy=_REMEDY,
        ) from error
    left = [name for name in layers if not weight_word(model.get_submodule(name).weight)]
    if left:
        raise EngineError(
            f"engine.quantization = {word}: torchao left {len(left)} of {len(layers)} linear layers as they were, "
            f"{clean(left[0])} among them",
            remedy=_REMEDY,
        )
    if converted:
        facts["converted_layers"] = f"{converted} Conv1D to Linear"
    return facts


def _linears(model: Any) -> list[tuple[str, Any]]:
    from torch import nn

    head = model.get_output_embeddings()
    return [
        (name, module) for name, module in model.named_modules() if type(module) is nn.Linear and module is not head
    ]


def _config(word: str, layers: list[Any], device: "torch.device") -> tuple[Any, dict[str, str]]:
    """torchao's config, and facts. It is kept from changing inductor's settings: they are levers of their own."""
    import torch
    from torchao import quantization as ao

    match word:
        case "int8":
            return ao.Int8WeightOnlyConfig(set_inductor_config=False), {"quantization": "weight-only, scale per row"}
        case "fp8":
            return ao.Float8WeightOnlyConfig(set_inductor_config=False), {"quantization": "weight-only, e4m3"}
        case "fp8-dynamic":
            rows = layers[0].weight.dtype is torch.bfloat16
            granularity = ao.PerRow() if rows else ao.PerTensor()
            config = ao.Float8DynamicActivationFloat8WeightConfig(granularity=granularity, set_inductor_config=False)
            per = "row" if rows else "tensor"
            return config, {"quantization": f"weights and activations, e4m3, activations at run time, scale per {per}"}
        case "int4":
            group = _group_size(layers)
            fact = {"quantization": f"weight-only, groups of {group}"}
            if device.type == "cpu":
                from torchao.prototype.quantization.int4 import PrototypeInt4WeightOnlyConfig

                return PrototypeInt4WeightOnlyConfig(group_size=group, set_inductor_config=False), fact
            if layers[0].weight.dtype is not torch.bfloat16:
                raise EngineError(
                    "engine.quantization = int4 needs bfloat16 on a GPU", remedy="Set engine.dtype = bfloat16."
                )
            config = ao.Int4WeightOnlyConfig(
                group_size=group, int4_packing_format="tile_packed_to_4d", set_inductor_config=False
            )
            return config, fact
        case _:
            raise EngineError(f"engine.quantization = {word} is not known here", remedy=_REMEDY)


def _group_size(layers: list[Any]) -> int:
    for size in _GROUPS:
        if all(layer.in_features % size == 0 for layer in layers):
            return size
    raise EngineError(
        f"engine.quantization = int4 needs layers whose inputs are a multiple of {_GROUPS[-1]}; this model's are not",
        remedy=_REMEDY,
    )


def _conv1d_to_linear(model: Any) -> int:
    """GPT-2's Conv1D is a linear layer with its weight turned round; torchao knows only the usual one."""
    from torch import nn
    from transformers.pytorch_utils import Conv1D

    found = [(name, module) for name, module in model.named_modules() if isinstance(module, Conv1D)]
    for name, old in found:
        inputs, outputs = old.weight.shape
        new = nn.Linear(inputs, outputs, device="meta")
        new.weight = nn.Parameter(old.weight.data.T.contiguous(), requires_grad=False)
        new.bias = nn.Parameter(old.bias.data, requires_grad=False)
        model.set_submodule(name, new)
    return len(found)
