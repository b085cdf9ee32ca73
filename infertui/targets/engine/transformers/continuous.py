"""engine.mode = continuous: the library's own scheduler with a paged KV cache, every sequence a request of its own."""

import contextlib
from collections.abc import Callable, Container, Iterator
from typing import Any

from infertui.errors import EngineError
from infertui.targets.engine.base import Batch, EffectiveSettings, Generated, GenerationPlan, Getting, Sink
from infertui.targets.engine.executed import Graphs, Replays
from infertui.targets.engine.transformers.modes import Held
from infertui.text import one_line

PAGE_TOKENS = 256
"""Tokens of a page of the KV cache: the library's default."""
MOST_STEP_TOKENS = 8192
"""Most prompt tokens that one scheduler step computes; longer prefills are split."""
_LEAST_STEP_TOKENS = 256
_POLL_S = 1.0


class ContinuousMode:
    """All sequences of a batch are submitted at once; each tells its tokens by itself.

    The manager, with its thread and its cache, lives from `prepare` to `release`. Pages are as many as the plan can
    fill, none are shared between requests, and no end-of-sequence id stops anything.
    """

    def __init__(self, held: Held) -> None:
        self._held = held
        self._manager: Any = None
        self._plan: GenerationPlan | None = None
        self._steps = 0
        self._facts: dict[str, str] = {}
        self._cache = ""
        self._replays = Replays() if held.device.type == "cuda" else None

    def prepare(self, plan: GenerationPlan, enter: Callable[[Getting], None]) -> None:
        """Allocate the pages and start the scheduler's thread; capture CUDA graphs where the library uses them."""
        if self._manager is not None and self._plan == plan:
            return
        self.release()
        self._manager = manager = self._new_manager(plan)
        self._plan = plan
        if any(manager.continuous_batching_config.cuda_graph_booleans):
            enter("capture")
        with _refusals_in_words():
            manager.warmup()
        manager.start()

    def generate(self, batch: Batch, sink: Sink) -> Generated:
        import torch

        if not self._serves(batch):
            self.prepare(_plan_of(batch), lambda _getting: None)
        manager = self._manager
        if batch.temperature > 0:
            torch.manual_seed(batch.seed)
        before = getattr(manager, "current_batch", 0)
        try:
            outputs = self._collect(manager, batch, sink)
        except BaseException:
            # Whatever is still running would disturb the next batch: stop, and start anew for it.
            self.release()
            raise
        self._look(manager)
        self._steps += max(0, manager.current_batch - before)
        return Generated(list(map(len, outputs)), lambda: outputs)

    def _collect(self, manager: Any, batch: Batch, sink: Sink) -> list[list[int]]:
        outputs: list[list[int]] = [[] for _ in batch.prompts]
        index: dict[str, int] = {}
        # Where the scheduler can be made to wait, it finds all requests at once; else the first may go ahead alone.
        with manager.pause() if hasattr(manager, "pause") else contextlib.nullcontext():
            for number, prompt in enumerate(batch.prompts):
                request = manager.add_request(
                    list(prompt), max_new_tokens=batch.output_len, streaming=True, eos_token_id=-1
                )
                if request is None:
                    raise self._death(manager)
                index[request] = number
        running = len(index)
        while running:
            result = manager.get_result(timeout=_POLL_S)
            if result is None:
                if not manager.is_running():
                    raise self._death(manager)
                continue
            number = index[result.request_id]
            if result.error:
                raise _failure(manager, result.error)
            gained = len(result.generated_tokens) - len(outputs[number])
            outputs[number] = result.generated_tokens
            if gained > 0:
                sink.gained(number, gained)
            running -= result.is_finished()
        return outputs

    def effective(self) -> EffectiveSettings:
        """The mode is told by the cache that the scheduler made and by the steps that it ran."""
        if not self._steps:
            return EffectiveSettings(counters=self._counters(), facts=self._facts, unseen=("mode",))
        graphs: Graphs = "no" if self._facts["cuda_graphs"] == "no" else "captured"
        if graphs == "captured" and self._replays and self._replays.count:
            graphs = "replayed"
        settings = {"mode": "continuous"} if "Paged" in self._cache else {}
        return EffectiveSettings(
            settings=settings, counters=self._counters(), facts=self._facts, compiled="no", graphs=graphs
        )

    def _counters(self) -> dict[str, int]:
        replays = {"graph_replays": self._replays.count} if self._replays else {}
        return {"scheduler_steps": self._steps, **replays}

    def release(self) -> None:
        """Stop the scheduler's thread and give up the pages."""
        manager, self._manager, self._plan = self._manager, None, None
        if manager is None:
            return
        if manager.is_running():
            manager.stop(block=True, hard_stop=True)
        manager.batch_processor = None
        if self._held.device.type == "cuda":
            import torch

            # cuBLAS made a workspace for the thread, 32 MiB on Hopper, and would keep it when the thread is gone.
            torch._C._cuda_clearCublasWorkspaces()

    def _new_manager(self, plan: GenerationPlan) -> Any:
        import transformers

        try:
            known = transformers.ContinuousBatchingConfig.__dataclass_fields__
            options: dict[str, Any] = {
                _page_name(known): PAGE_TOKENS,
                "num_blocks": plan.batch_size * -(-(max(plan.widths) + plan.output_len) // PAGE_TOKENS),
                "max_batch_tokens": min(MOST_STEP_TOKENS, max(_LEAST_STEP_TOKENS, plan.batch_size * max(plan.widths))),
                "max_requests_per_batch": plan.batch_size,
                "allow_block_sharing": False,
                "safety_margin": 0.0,  # the pages suffice for all
                "seed": 0,
            }
            if "auto_switch_to_flash" in known:  # the attention is an option of its own
                options["auto_switch_to_flash"] = False
            config = transformers.ContinuousBatchingConfig(**options)
            start = self._held.model.init_continuous_batching
        except (AttributeError, TypeError) as error:
            raise EngineError(
                "this version of Transformers has no continuous batching that infertui knows",
                remedy="Use Transformers 5.17 or newer; constraints.txt names a tested version.",
            ) from error
        sampling: dict[str, Any] = {"do_sample": False}
        if plan.temperature > 0:
            sampling = {"do_sample": True, "temperature": plan.temperature, "top_k": plan.top_k, "top_p": plan.top_p}
        generation = transformers.GenerationConfig(
            max_new_tokens=plan.output_len, pad_token_id=self._held.pad_id, eos_token_id=-1, **sampling
        )
        with _refusals_in_words():
            return start(generation_config=generation, continuous_batching_config=config)

    def _serves(self, batch: Batch) -> bool:
        plan, manager = self._plan, self._manager
        return (
            plan is not None
            and manager.is_running()
            and len(batch.prompts) <= plan.batch_size
            and max(map(len, batch.prompts)) + batch.output_len <= max(plan.widths) + plan.output_len
            and (batch.temperature, batch.top_k, batch.top_p) == (plan.temperature, plan.top_k, plan.top_p)
        )

    def _look(self, manager: Any) -> None:
        config, cache = manager.continuous_batching_config, manager.batch_processor.cache
        varlen, decode = config.cuda_graph_booleans
        self._cache = type(cache).__name__
        self._facts = {
            "cache": self._cache,
            "page_tokens": str(getattr(config, _page_name(vars(config)))),
            "pages": str(cache.num_blocks),
            "prefix_sharing": "on" if cache.use_prefix_sharing else "off",
            "cuda_graphs": ", ".join(
                name for name, used in (("prefill", varlen), ("decode", decode)) if used
            ) or "no",
            "async_batching": "on" if config.use_async_batching else "off",
            "step_tokens": str(cache.max_batch_tokens),
        }  # fmt: skip

    def _death(self, manager: Any) -> BaseException:
        error = manager.background_thread_status.fatal_error
        if isinstance(error, RuntimeError | MemoryError):
            return error  # out of memory among them, which the worker tells with its figures
        return EngineError(f"continuous batching has stopped: {one_line(error, 300)}")


def _failure(manager: Any, text: str) -> BaseException:
    error = manager.background_thread_status.fatal_error
    if isinstance(error, RuntimeError | MemoryError):
        return error
    return EngineError(f"continuous batching failed: {one_line(text, 300)}")


def _page_name(known: Container[str]) -> str:
    """What the tokens of a page are called: Transformers 5.17 and older say block."""
    return "page_size" if "page_size" in known else "block_size"


@contextlib.contextmanager
def _refusals_in_words() -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise EngineError(f"engine.mode = continuous: {one_line(error, 300)}") from error


def _plan_of(batch: Batch) -> GenerationPlan:
    widths = (max(map(len, batch.prompts)),)
    return GenerationPlan(
        len(batch.prompts), widths, batch.output_len, temperature=batch.temperature, top_k=batch.top_k,
        top_p=batch.top_p,
    )  # fmt: skip
