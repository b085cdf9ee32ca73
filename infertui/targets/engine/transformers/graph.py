"""engine.mode = cudagraph: a static KV cache and one captured decode step, replayed without waiting for the device.

The step chooses the token on the device and advances all positions there, so the host only launches replays, a few
ahead, and waits for the event behind each to learn when its token was there.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from infertui.config.engines.transformers import TransformersOptions
from infertui.errors import EngineError
from infertui.targets.engine.base import Batch, EffectiveSettings, Generated, GenerationPlan, Getting, Sink
from infertui.targets.engine.executed import Compiled
from infertui.targets.engine.transformers.compilation import compile_errors_in_words, compiled_source
from infertui.targets.engine.transformers.fused import GraphState
from infertui.targets.engine.transformers.tiles import tiles_in_words

if TYPE_CHECKING:
    import torch

    from infertui.targets.engine.transformers.fused import FusedWeights

AHEAD = 4
"""Replays launched before the token of the first of them is waited for: the device never idles between steps."""
MOST_PREFILLS = 8
"""Prompt lengths whose prefill is captured, too; further ones are launched kernel by kernel."""
_REHEARSALS = 3


class GraphMode:
    """Generates by replaying a captured step. For models on one CUDA device, without sliding windows."""

    def __init__(self, model: Any, pad_id: int, options: TransformersOptions) -> None:
        self._model, self._pad_id, self._options = model, pad_id, options
        self._plan: GenerationPlan | None = None
        self._state: GraphState
        self._step: Callable[[], None]
        self._begin: Callable[[], None] = lambda: None
        self._weights: FusedWeights | None = None
        self._graph: torch.cuda.CUDAGraph | None = None
        self._prefills: dict[int, tuple[torch.cuda.CUDAGraph, torch.Tensor]] = {}
        self._tuning, self._breaks = "", 0
        self._source: Compiled = "no"
        self._tiles = ""
        self._replays = self._steps = self._recaptures = 0
        if model.device.type != "cuda":
            raise EngineError(
                f"engine.mode = cudagraph needs a CUDA device, and the model is on {model.device.type}",
                remedy="Use engine.mode = eager or static there.",
            )
        if "flash" in model.config._attn_implementation:
            raise EngineError(
                f"engine.mode = cudagraph cannot use {model.config._attn_implementation}, which takes no mask",
                remedy="Set engine.attention = sdpa or auto.",
            )

    def prepare(self, plan: GenerationPlan, enter: Callable[[Getting], None]) -> None:
        """Allocate the cache and capture the step for this plan; nothing to do where that was done."""
        import torch

        if self._graph is not None and self._plan == plan:
            return
        self.release()
        positions = max(plan.widths) + plan.output_len
        self._state = GraphState(self._new_cache(positions), plan, positions, self._model.device)
        with torch.inference_mode():
            # The cache's tensors come with its first use.
            self._launch_prefill(self._ids([[self._pad_id] * min(plan.widths)] * plan.batch_size))
            self._make_step(enter)
            enter("capture")
            self._capture_step()
            for width in sorted(set(plan.widths))[-MOST_PREFILLS:]:
                self._capture_prefill(width)
        self._plan = plan

    def generate(self, batch: Batch, sink: Sink) -> Generated:
        import torch

        if self._graph is None or self._plan is None:
            raise EngineError("generate was called before a step was captured for this batch")
        width = max(map(len, batch.prompts))
        state, graph = self._state, self._graph
        if state.batch != len(batch.prompts):
            raise EngineError(f"a step was captured for {state.batch} sequences, not for {len(batch.prompts)}")
        if width + batch.output_len > state.positions:  # of very many prompt lengths not all are planned for
            self._recaptures += 1
            self.prepare(replace(self._plan, widths=(*self._plan.widths, width)), lambda _: None)
            return self.generate(batch, sink)
        if not state.greedy:
            torch.manual_seed(batch.seed)
        events = [torch.cuda.Event() for _ in range(AHEAD + 1)]
        with torch.inference_mode():
            self._prefill([list(prompt) for prompt in batch.prompts])
            events[0].record()
            launched = 0
            for step in range(batch.output_len):
                while launched < min(step + AHEAD, batch.output_len - 1):
                    graph.replay()
                    launched += 1
                    events[launched % len(events)].record()
                events[step % len(events)].synchronize()
                sink.step()
        self._replays += launched
        self._steps += batch.output_len - 1
        outputs = state.outputs

        def read() -> list[list[int]]:
            ids: list[list[int]] = outputs[:, width : width + batch.output_len].tolist()
            return ids

        return Generated([batch.output_len] * len(batch.prompts), read)

    def effective(self) -> EffectiveSettings:
        if self._graph is None:
            return EffectiveSettings(settings={"mode": "none"}, reasons={"mode": "no step was captured"})
        replayed = self._replays == self._steps  # none of either, where one token is all that was asked for
        step = self._step_in_force()
        return EffectiveSettings(
            settings={
                "mode": "cudagraph" if replayed else "none",
                "transformers.graph_step": step,
                "transformers.tuning": self._tuning or "none",
            },
            counters={"graph_replays": self._replays, "recaptures": self._recaptures},
            facts={
                "graph_step": step,
                "kv_positions": str(self._state.positions),
                "captured_prefills": str(len(self._prefills)),
                **({"graph_breaks": str(self._breaks)} if self._tuning else {}),
                **({"tiles": self._tiles} if self._tiles else {}),
            },
            reasons={"transformers.tuning": "only a compiled step is tuned"} if step != "compiled" else {},
            compiled=self._source if step == "compiled" else "no",
            graphs="replayed" if self._replays else "captured",
        )

    def _step_in_force(self) -> str:
        """What the captured step is made of, by looking at what was launched while it was captured."""
        if own := getattr(self._step, "made_of", ""):
            return str(own)
        return "compiled" if self._tuning else "model"

    def release(self) -> None:
        """Give the graph and the cache back."""
        self._graph = self._plan = None
        self._prefills.clear()
        self._begin = lambda: None
        for name in ("_state", "_step"):
            self.__dict__.pop(name, None)

    def _new_cache(self, positions: int) -> Any:
        import transformers

        cache = transformers.StaticCache(config=self._model.config, max_cache_len=positions)
        if any(layer.is_sliding for layer in cache.layers):
            raise EngineError(
                "engine.mode = cudagraph does not know sliding windows, which this model has",
                remedy="Use engine.mode = static or eager.",
            )
        return cache

    def _prefill(self, prompts: list[list[int]]) -> None:
        """Take up new prompts, padded on the left, and choose their first tokens."""
        width = max(map(len, prompts))
        self._state.begin([width - len(prompt) for prompt in prompts])
        ids = self._ids([[self._pad_id] * (width - len(prompt)) + prompt for prompt in prompts])
        if width in self._prefills:
            graph, captured_ids = self._prefills[width]
            captured_ids.copy_(ids)
            graph.replay()
        else:
            self._launch_prefill(ids)

    def _launch_prefill(self, ids: "torch.Tensor") -> None:
        """Run ids[batch, width] through the library's forward, into an empty cache, and choose the next tokens."""
        import torch

        state = self._state
        queries = torch.arange(ids.shape[1], device=ids.device)
        logits = self._model(
            input_ids=ids,
            position_ids=(queries[None] - state.padding[:, None]).clamp_(min=0),
            attention_mask=self._mask(queries),
            past_key_values=state.cache,
            logits_to_keep=1,
        ).logits[:, -1]
        state.filled.fill_(ids.shape[1] - 1)
        state.choose(logits)
        self._begin()

    def _ids(self, rows: list[list[int]]) -> "torch.Tensor":
        import torch

        return torch.tensor(rows, device=self._model.device)

    def _mask(self, queries: "torch.Tensor") -> "torch.Tensor":
        """mask[batch, 1, queries, positions]: what each query may look at; boolean, or added to eager scores."""
        import torch

        state = self._state
        seen = (state.every[None] <= queries[:, None])[None] & (state.every >= state.padding[:, None])[:, None]
        # A padded query sees nothing, which softmax turns into not-a-number; let it look at itself.
        seen = seen | (state.every[None] == queries[:, None])[None]
        if self._model.config._attn_implementation == "eager":
            least = torch.finfo(self._model.dtype).min
            return torch.where(seen, 0.0, least).to(self._model.dtype)[:, None]
        return seen[:, None]

    def _make_step(self, enter: Callable[[Getting], None]) -> None:
        if self._options.graph_step == "fused":
            from infertui.targets.engine.transformers.fused import FusedStep, FusedWeights

            enter("compile")
            if self._weights is None:
                self._weights = FusedWeights(self._model)
            fused = FusedStep(self._model, self._weights, self._state)
            self._step, self._begin, self._tiles = fused, fused.begin, tiles_in_words(fused.tiles)
            self._begin()
            self._rehearse()
            return
        forward: Any = self._model
        if self._options.graph_step == "compiled":
            enter("compile")
            forward = compiled(self._model, self._options.tuning)
        self._step = lambda: self._model_step(forward)
        with compile_errors_in_words():
            self._rehearse()
        self._tuning, self._breaks, self._source = tuning_in_force(forward), graph_breaks(), compiled_source()

    def _model_step(self, forward: Any) -> None:
        state = self._state
        logits = forward(
            input_ids=state.token,
            position_ids=(state.filled[None] - state.padding[:, None]),
            attention_mask=self._mask(state.filled),
            past_key_values=state.cache,
            logits_to_keep=1,
        ).logits[:, -1]
        state.choose(logits)

    def _rehearse(self) -> None:
        """Run the step outside a graph first: kernels are compiled and chosen, libraries get their workspaces."""
        import torch

        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(_REHEARSALS):
                self._rewind()
                self._step()
        torch.cuda.current_stream().wait_stream(stream)
        torch.cuda.synchronize()

    def _rewind(self) -> None:
        """Back to the first position after the shortest prompt, so that rehearsing never runs off the cache."""
        self._state.filled.fill_(1)
        for layer in self._state.cache.layers:
            layer.cumulative_length.fill_(1)

    def _capture_step(self) -> None:
        self._rewind()
        self._graph = self._captured(self._step)

    def _capture_prefill(self, width: int) -> None:
        ids = self._ids([[self._pad_id] * width] * self._state.batch)
        self._state.begin([0] * self._state.batch)
        self._launch_prefill(ids)
        self._state.begin([0] * self._state.batch)
        self._prefills[width] = (self._captured(lambda: self._launch_prefill(ids)), ids)

    def _captured(self, work: Callable[[], None]) -> "torch.cuda.CUDAGraph":
        import torch

        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._graph.pool() if self._graph is not None else None):
            work()
        return graph


def compiled(model: Any, tuning: str) -> Any:
    """The model's forward, compiled by inductor for one shape; its CUDA graphs are left to us."""
    import torch

    options: dict[str, Any] = {"triton.cudagraphs": False}
    if tuning != "none":
        options["coordinate_descent_tuning"] = True
    if tuning == "max-autotune":
        options["max_autotune"] = True
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    torch._dynamo.config.suppress_errors = False  # else it would quietly run uncompiled after a failure
    # Without `fullgraph`, with which PyTorch does not tell what the compiler was set to; breaks are counted instead.
    return torch.compile(model.forward, dynamic=False, options=options)


def tuning_in_force(forward: Any) -> str:
    """What inductor was set to; empty where nothing was compiled, or by another compiler."""
    import torch

    describe = getattr(forward, "get_compiler_config", None)
    settings: dict[str, Any] | None = describe() if describe else None
    if settings is None or not torch._dynamo.utils.counters["stats"]["unique_graphs"]:
        return ""
    if settings.get("max_autotune"):
        return "max-autotune"
    return "coordinate-descent" if settings.get("coordinate_descent_tuning") else "none"


def graph_breaks() -> int:
    """At how many places the compiler left pieces to be run as they are, since it was last reset."""
    import torch

    return sum(torch._dynamo.utils.counters["graph_break"].values())
