"""A decode step of infertui's own for Llama-like models: fused weights, few kernels, attention over what is filled.

The prefill stays the library's. Rounding differs from the library's in the last bit here and there: sums are kept in
float32 for longer.
"""

from functools import partial
from typing import TYPE_CHECKING, Any

from infertui.errors import EngineError
from infertui.targets.engine.transformers.fused_weights import FusedWeights, Layer, Matrix
from infertui.targets.engine.transformers.graph_state import GraphState
from infertui.targets.engine.transformers.tiles import TILES, Tile, fastest

if TYPE_CHECKING:
    import torch

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
        """See `kernels.matvec`. Returns the number of programs."""
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

    def _gated_matvec(self, layer: Layer) -> None:
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
