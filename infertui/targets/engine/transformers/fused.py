"""A decode step of infertui's own for Llama-like models: fused weights, few kernels, attention over what is filled.

Weights that are read together lie side by side, and a captured step works on tensors at fixed addresses. The prefill
stays the library's. Rounding differs from the library's in the last bit here and there: sums are kept in float32 for
longer.
"""

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from infertui.errors import EngineError
from infertui.targets.engine.base import GenerationPlan
from infertui.targets.engine.transformers.tiles import TILES, Tile, fastest

if TYPE_CHECKING:
    import torch

_PLAIN = ("Parameter", "Tensor")
_SCALED = ("Int8Tensor", "Float8Tensor")
"""torchao's weight-only formats, with a scale for each row."""


class Matrix(NamedTuple):
    """data[rows, columns] in the model's dtype, or in int8 or float8 with scale[rows] to multiply each row by."""

    data: "torch.Tensor"
    scale: "torch.Tensor | None" = None


class DecoderLayer(NamedTuple):
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


def _fused(layer: Any) -> DecoderLayer:
    attention, mlp = layer.self_attn, layer.mlp
    return DecoderLayer(
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


class GraphState:
    """The state of a batch on the device, advanced by each step without the host.

    token[batch, 1] is the last token of each sequence; `filled` ([1]) counts the cache positions that hold earlier
    ones, of which the first padding[batch] are none; outputs[batch, positions + 1] holds every token at its position.
    """

    def __init__(self, cache: Any, plan: GenerationPlan, positions: int, device: "torch.device") -> None:
        import torch

        self.cache, self.batch, self.positions = cache, plan.batch_size, positions
        self.greedy = plan.temperature == 0
        self._plan = plan
        whole = {"dtype": torch.int64, "device": device}
        self.token = torch.zeros((plan.batch_size, 1), **whole)
        self.filled = torch.zeros(1, **whole)
        self.padding = torch.zeros(plan.batch_size, **whole)
        self.outputs = torch.zeros((plan.batch_size, positions + 1), **whole)
        self.every = torch.arange(positions, device=device)

    def begin(self, padding: list[int]) -> None:
        """Forget the batch before; nothing is allocated."""
        import torch

        self.filled.zero_()
        self.padding.copy_(torch.tensor(padding))
        for layer in self.cache.layers:
            layer.cumulative_length.zero_()

    def choose(self, logits: "torch.Tensor") -> None:
        """Take the next token of each sequence from logits[batch, vocabulary]; all on the device."""
        chosen = logits.argmax(-1) if self.greedy else self._sampled(logits)
        self.token.copy_(chosen[:, None])
        self.filled.add_(1)
        self.outputs.index_copy_(1, self.filled, self.token)

    def _sampled(self, logits: "torch.Tensor") -> "torch.Tensor":
        import torch

        plan = self._plan
        logits = logits.float() / plan.temperature
        if plan.top_k:
            least = logits.topk(min(plan.top_k, logits.shape[-1])).values[:, -1:]
            logits = logits.masked_fill(logits < least, float("-inf"))
        if plan.top_p < 1:
            ordered, order = logits.sort(descending=True)
            before = ordered.softmax(-1).cumsum(-1) - ordered.softmax(-1)
            ordered = ordered.masked_fill(before >= plan.top_p, float("-inf"))
            logits = torch.full_like(logits, float("-inf")).scatter(1, order, ordered)
        # The largest of probability / exponential noise is a draw from the distribution, without asking the host.
        return (logits.softmax(-1) / torch.empty_like(logits).exponential_()).argmax(-1)


# How many programs share a head's cache: measured on an H200 for heads of 64 and 128 at 300 and 2,000 positions.
_FEW_POSITIONS, _MANY_POSITIONS = 128, 1024
_SPLITS = (1, 4, 16)
_ATTEND_BLOCK = 64


class FusedStep:
    """One decode step for all sequences: from `state.token` to the next one, with the cache advanced by a position."""

    made_of = "fused"
    """The word of `transformers.graph_step` for it, by which it is known again."""

    def __init__(self, model: Any, weights: FusedWeights, state: GraphState) -> None:
        import torch

        self._alone_at_a_time = state.batch == 1 and state.greedy
        if weights.quantized and not self._alone_at_a_time:
            raise EngineError(
                "the fused kernels read quantised weights only for one sequence at a time, chosen greedily",
                remedy="Use engine.transformers.graph_step = compiled for batches and for sampling.",
            )
        self._state, self._weights, self._layers = state, weights, weights.layers
        self._inner = model.model
        config, attention = model.config, model.model.layers[0].self_attn
        self._heads, self._kv_heads = int(config.num_attention_heads), int(config.num_key_value_heads)
        self._head_size = int(attention.head_dim)
        self._scale = float(attention.scaling)
        self._eps = float(config.rms_norm_eps)
        self._batch = state.batch
        device, dtype = state.token.device, model.dtype
        hidden, width = int(config.hidden_size), self._heads * self._head_size

        def empty(*shape: int, kind: "torch.dtype" = dtype) -> "torch.Tensor":
            return torch.empty(shape, device=device, dtype=kind)

        self._x = empty(self._batch, hidden)
        self._qkv = empty(self._batch, width + 2 * self._kv_heads * self._head_size)
        self._context = empty(self._batch, width)
        self._inner_size = int(config.intermediate_size)
        self._gated = empty(self._batch, self._inner_size)
        self._splits = _SPLITS[(state.positions > _FEW_POSITIONS) + (state.positions > _MANY_POSITIONS)]
        parts = self._batch * self._heads * self._splits
        self._part_max, self._part_sum = empty(parts, kind=torch.float32), empty(parts, kind=torch.float32)
        self._part_out = empty(parts, self._head_size, kind=torch.float32)
        vocabulary = int(weights.head.data.shape[0])
        self._best_value = empty(vocabulary, kind=torch.float32)
        self._best_index = empty(vocabulary, kind=torch.int32)
        early = device.type == "cuda" and torch.cuda.get_device_capability(device) >= (9, 0)
        self._early = {"EARLY": early, **({"launch_pdl": True} if early else {})}
        self._normed = empty(self._batch, hidden)
        positions = torch.arange(state.positions, device=device)[None]
        cosines, sines = self._inner.rotary_emb(self._x, positions)
        self._cosines, self._sines = cosines[0].contiguous(), sines[0].contiguous()
        self._tiles: dict[torch.Size, Tile] = {}
        if self._alone_at_a_time:
            for tensor in (self._x, self._context, self._gated):
                tensor.zero_()
            self._tune()

    @property
    def tiles(self) -> dict[str, Tile]:
        """By the name of the product; of a step that takes several sequences together, none."""
        return {
            name: self._tiles[weight.data.shape]
            for name, weight in self._weights.matrices().items()
            if weight.data.shape in self._tiles
        }

    def begin(self) -> None:
        """Take up the token that the prefill chose."""
        self._x.copy_(self._inner.embed_tokens(self._state.token[:, 0]))

    def __call__(self) -> None:
        """Launch the step."""
        if self._alone_at_a_time:
            self._alone()
        else:
            self._together()

    def _alone(self) -> None:
        """Batch 1: matrix-vector products."""
        from infertui.targets.engine.transformers import kernels

        x, state = self._x, self._state
        count = self._products()
        kernels.advance[(1,)](
            self._best_value, self._best_index, count, self._weights.head.data.shape[0],
            self._inner.embed_tokens.weight, x,
            state.token, state.filled, state.outputs, x.shape[1],
            COUNT=_power_of_two(count), COLUMNS=_power_of_two(x.shape[1]), num_warps=16,
            **self._early,
        )  # fmt: skip

    def _products(self) -> int:
        """All of a step but its end. Returns how many candidates there are for the next token."""
        x = self._x
        for layer, cache in zip(self._layers, self._state.cache.layers, strict=True):
            self._matvec(x, layer.qkv, self._qkv, norm=layer.before)
            self._attend(cache)
            self._matvec(self._context, layer.out, x, residual=True)
            self._gated_matvec(layer)
            self._matvec(self._gated, layer.down, x, residual=True)
        # The largest logits, program by program.
        return self._matvec(x, self._weights.head, x, norm=self._weights.norm, pick=True)

    def _together(self) -> None:
        """Several sequences, or sampling: matrix products by the library."""
        import torch
        from torch.nn import functional

        from infertui.targets.engine.transformers import kernels

        x, state = self._x, self._state
        for layer, cache in zip(self._layers, state.cache.layers, strict=True):
            torch.mm(self._norm(x, layer.before), layer.qkv.data.t(), out=self._qkv)
            self._attend(cache)
            x.addmm_(self._context, layer.out.data.t())
            both = functional.linear(self._norm(x, layer.between), layer.gate_up.data)
            kernels.silu_multiply[(self._batch, _blocks(self._inner_size, 1024))](
                both, self._gated, self._inner_size, BLOCK=1024
            )
            x.addmm_(self._gated, layer.down.data.t())
        logits = functional.linear(self._norm(x, self._weights.norm), self._weights.head.data)
        state.choose(logits)
        self.begin()

    def _norm(self, x: "torch.Tensor", weight: "torch.Tensor") -> "torch.Tensor":
        from infertui.targets.engine.transformers import kernels

        columns = x.shape[1]
        kernels.rms_norm[(self._batch,)](
            x, weight, self._normed, self._eps, columns, COLUMNS=_power_of_two(columns), num_warps=8
        )
        return self._normed

    def _matvec(
        self,
        x: "torch.Tensor",
        weight: Matrix,
        out: "torch.Tensor",
        *,
        norm: "torch.Tensor | None" = None,
        residual: bool = False,
        pick: bool = False,
    ) -> int:
        """Returns the number of programs."""
        from infertui.targets.engine.transformers import kernels

        rows, columns = weight.data.shape
        tile = self._tiles[weight.data.shape]
        programs = _blocks(rows, tile.rows)
        kernels.matvec[(programs,)](
            x, *_operands(weight), x if norm is None else norm, out,
            self._best_value, self._best_index, self._eps, columns,
            rows=rows, SCALED=weight.scale is not None, NORM=norm is not None, RESIDUAL=residual, PICK=pick,
            ROWS=tile.rows, BLOCK=tile.columns, num_warps=tile.warps, **self._early,
        )  # fmt: skip
        return programs

    def _gated_matvec(self, layer: DecoderLayer) -> None:
        from infertui.targets.engine.transformers import kernels

        rows, columns = self._inner_size, self._x.shape[1]
        tile = self._tiles[layer.gate_up.data.shape]
        kernels.gated_matvec[(_blocks(rows, tile.rows),)](
            self._x, *_operands(layer.gate_up), layer.between, self._gated, self._eps, columns,
            rows=rows, SCALED=layer.gate_up.scale is not None, ROWS=tile.rows, BLOCK=tile.columns,
            num_warps=tile.warps, **self._early,
        )  # fmt: skip

    def _tune(self) -> None:
        """Choose how each matrix-vector product is divided, by timing whole steps, halfway through the cache.

        A product by itself tells little: it takes microseconds, and begins while the kernel before it ends. The
        results go nowhere, as the step begins with the next prefill.
        """
        self._state.filled.fill_(self._state.positions // 2)
        shapes = [weight.data.shape for weight in self._weights.matrices().values()]
        self._tiles = dict.fromkeys(shapes, TILES[0])
        for shape in sorted(shapes, key=lambda shape: -shape.numel()):
            self._tiles[shape] = fastest(TILES, partial(self._with_tile, shape))
        self._state.filled.zero_()

    def _with_tile(self, shape: "torch.Size", tile: Tile) -> None:
        self._tiles[shape] = tile
        self._products()

    def _attend(self, cache: Any) -> None:
        from infertui.targets.engine.transformers import kernels

        state = self._state
        kernels.attend[(self._batch, self._heads, self._splits)](
            self._qkv, self._cosines, self._sines, cache.keys, cache.values, state.filled, state.padding,
            self._context, self._part_max, self._part_sum, self._part_out, state.positions, self._scale,
            HEADS=self._heads, GROUP=self._heads // self._kv_heads, HEAD=self._head_size, SPLITS=self._splits,
            BLOCK=_ATTEND_BLOCK, num_warps=max(1, self._head_size // 32), **self._early,
        )  # fmt: skip
        if self._splits > 1:
            kernels.merge[(self._batch * self._heads,)](
                self._part_max, self._part_sum, self._part_out, self._context, HEAD=self._head_size,
                SPLITS=self._splits, **self._early,
            )  # fmt: skip


def _operands(weight: Matrix) -> "tuple[torch.Tensor, torch.Tensor]":
    """Weight and scale for a kernel; one that does not look at the scale gets the weight twice."""
    return weight.data, weight.data if weight.scale is None else weight.scale


def _blocks(length: int, size: int) -> int:
    return -(-length // size)


def _power_of_two(number: int) -> int:
    return 1 << max(0, number - 1).bit_length()
