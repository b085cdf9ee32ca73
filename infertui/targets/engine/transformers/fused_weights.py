"""The weights of a Llama-like model as the fused kernels read them: side by side where they are read together."""

from typing import TYPE_CHECKING, Any, NamedTuple

from infertui.errors import EngineError

if TYPE_CHECKING:
    import torch

_PLAIN = ("Parameter", "Tensor")
_SCALED = ("Int8Tensor", "Float8Tensor")
"""torchao's weight-only formats, with a scale for each row."""


class Matrix(NamedTuple):
    """data[rows, columns] in the model's dtype, or in int8 or float8 with scale[rows] to multiply each row by."""

    data: "torch.Tensor"
    scale: "torch.Tensor | None" = None


class Layer(NamedTuple):
    """One decoder layer. `qkv` and `gate_up` are several projections, one below the other."""

    before: "torch.Tensor"
    qkv: Matrix
    out: Matrix
    between: "torch.Tensor"
    gate_up: Matrix
    down: Matrix


def why_not(model: Any) -> str:
    """Why the fused kernels cannot run a model; empty when they can."""
    layers = getattr(getattr(model, "model", None), "layers", None)
    if not layers:
        return "it is not Llama-like: it has no model.layers"
    for layer in layers:
        attention, mlp = getattr(layer, "self_attn", None), getattr(layer, "mlp", None)
        parts = [getattr(attention, name, None) for name in ("q_proj", "k_proj", "v_proj", "o_proj")]
        parts += [getattr(mlp, name, None) for name in ("gate_proj", "up_proj", "down_proj")]
        if any(type(part).__name__ != "Linear" for part in parts):
            return "its projections are not the plain linear layers of Llama"
        if any(part.bias is not None for part in parts if part is not None):
            return "its projections have biases"
        if odd := [name for part in parts if part is not None and (name := _format_problem(part.weight))]:
            return odd[0]
        if any(hasattr(attention, name) for name in ("q_norm", "k_norm")):
            return "its attention norms queries and keys"
        if not hasattr(layer, "post_attention_layernorm") or hasattr(layer, "pre_feedforward_layernorm"):
            return "its norms stand elsewhere than Llama's"
    if model.config.hidden_act != "silu":
        return f"its activation is {model.config.hidden_act}, not silu"
    head = int(layers[0].self_attn.head_dim)
    return "" if head >= 16 and not head & (head - 1) else f"its head size, {head}, is no power of two from 16 on"


def _format_problem(weight: Any) -> str:
    kind = type(weight).__name__
    if kind in _SCALED:
        per_row = weight.scale.numel() == weight.shape[0]
        dynamic = getattr(weight, "act_quant_kwargs", None) is not None
        return "" if per_row and not dynamic else "its quantised weights have other scales than one a row"
    return "" if kind in _PLAIN else f"its weights are held as {kind}"


class FusedWeights:
    """The layers of a model, taken over once: plain projections become views of the fused tensors, no copy is kept.

    Quantised ones are copied, since torchao's tensors stay with the modules for the prefill.
    """

    def __init__(self, model: Any) -> None:
        if reason := why_not(model):
            raise EngineError(
                f"the fused kernels cannot run this model: {reason}",
                remedy="Use engine.transformers.graph_step = model or compiled.",
            )
        self.layers = [_fused(layer) for layer in model.model.layers]
        self.norm, self.head = model.model.norm.weight, Matrix(model.lm_head.weight)
        self.quantized = self.layers[0].qkv.scale is not None

    def matrices(self) -> dict[str, Matrix]:
        """One of each kind, by name: all layers have the same shapes."""
        first = self.layers[0]
        return {"qkv": first.qkv, "out": first.out, "gate_up": first.gate_up, "down": first.down, "head": self.head}


def _fused(layer: Any) -> Layer:
    attention, mlp = layer.self_attn, layer.mlp
    return Layer(
        before=layer.input_layernorm.weight,
        qkv=_joined(attention.q_proj, attention.k_proj, attention.v_proj),
        out=_joined(attention.o_proj),
        between=layer.post_attention_layernorm.weight,
        gate_up=_joined(mlp.gate_proj, mlp.up_proj),
        down=_joined(mlp.down_proj),
    )


def _joined(*modules: Any) -> Matrix:
    import torch

    weights = [module.weight for module in modules]
    if type(weights[0]).__name__ in _SCALED:
        data = torch.cat([weight.qdata for weight in weights]).contiguous()
        return Matrix(data, torch.cat([weight.scale.reshape(-1) for weight in weights]))
    if len(modules) == 1:
        return Matrix(weights[0].data.contiguous())
    joined = torch.cat([weight.data for weight in weights])
    for module, part in zip(modules, joined.split([len(weight) for weight in weights]), strict=True):
        module.weight.data = part
    return Matrix(joined)
