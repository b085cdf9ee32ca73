"""The library's own `generate`, which is what people run: eager, with a static cache, or compiled.

It is watched rather than replaced by a loop of ours: methods of the model are wrapped for the time of one batch, which
adds nothing to the device's work.
"""

import contextlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from infertui.errors import EngineError
from infertui.targets.engine.base import Batch, EffectiveSettings, Generated, GenerationPlan, Getting, Sink
from infertui.targets.engine.executed import Compiled, Graphs
from infertui.targets.engine.transformers.asked import check_alone
from infertui.targets.engine.transformers.compilation import Compilation, compile_errors_in_words
from infertui.targets.engine.transformers.modes import Held
from infertui.targets.engine.transformers.speculation import Speculation

if TYPE_CHECKING:
    import torch

_TESTED = "Use a version of Transformers that infertui was tested with; constraints.txt names one."


@contextmanager
def replaced(model: Any, methods: dict[str, Callable[..., Any]]) -> Iterator[None]:
    """Within it, the instance's methods of these names are those given."""
    for name in methods:
        if not hasattr(model, name):
            raise EngineError(f"this version of Transformers has no {name}, which infertui watches", remedy=_TESTED)
    try:
        for name, method in methods.items():
            setattr(model, name, method)
        yield
    finally:
        for name in methods:
            model.__dict__.pop(name, None)


class StepWatch:
    """Tells the moment at which `generate` itself learns that the tokens of a step are there.

    `generate` waits for the device once a step, to see whether all sequences are finished, and then asks
    `_has_unfinished_sequences`; that call is watched. It adds nothing to the device's work. The documented hooks do: on
    an H200, in eager GPT-2, a stopping criterion cost 1 % of throughput, recording a CUDA event in it 2 %, and a
    streamer, which waits for the device a second time, about as much.
    """

    def __init__(self, model: Any, sink: Sink, gained: Callable[[], int] = lambda: 1) -> None:
        self._ask = model._has_unfinished_sequences
        self._sink, self._gained = sink, gained
        self.steps, self.tokens = -1, 0

    def asked(self, *arguments: Any, **options: Any) -> bool:
        """In place of `_has_unfinished_sequences`."""
        unfinished: bool = self._ask(*arguments, **options)
        self.steps += 1
        if self.steps:  # the first time it is asked before any step
            tokens = self._gained()
            self.tokens += tokens
            self._sink.step(tokens)
        return unfinished


def check_steps_can_be_timed(device: "torch.device") -> None:
    """Raise EngineError where `generate` would run ahead of the device and learn of tokens a step late.

    Transformers has a deferred check, for `mps` alone as of 5.17 to 5.23; with it the watched call says nothing about
    when tokens are there.
    """
    from transformers.generation import utils

    deferred = getattr(utils, "DeferredStopCheck", None)
    if deferred is None or device.type == "cpu":
        return
    try:
        in_use = deferred.is_supported(device, None, False, is_assistant=False)
    except (AttributeError, TypeError):
        in_use = True
    if in_use:
        raise EngineError(
            "generate of this version of Transformers does not wait for its tokens, so they cannot be timed",
            remedy=_TESTED,
        )


def check_count(watch: StepWatch, tokens: int) -> None:
    """Raise EngineError when the steps that were told are not the tokens that came."""
    if watch.tokens != tokens:
        raise EngineError(
            f"generate made {tokens} tokens but {watch.tokens} were seen in {watch.steps} steps: "
            "the loop of this version cannot be timed",
            remedy=_TESTED,
        )


GenerateMode = Literal["eager", "static", "compile"]

_COMPILING_STEPS = 4
"""Steps after which everything is compiled: prefill, the compiling step, and two more that inductor's CUDA graphs take
to warm up and to record."""


class LibraryLoop:
    """True static batching: prompts padded on the left, one decode step for all sequences."""

    def __init__(self, held: Held, mode: GenerateMode, tuning: str, speculation: Speculation | None = None) -> None:
        check_steps_can_be_timed(held.device)
        self._held, self._mode, self._speculation = held, mode, speculation
        self._compilation = Compilation(tuning, held.device) if mode == "compile" else None
        self._compiled_for: tuple[int, tuple[int, ...], int] | None = None
        self._cache = ""
        self._compilable = False

    def prepare(self, plan: GenerationPlan, enter: Callable[[Getting], None]) -> None:
        """Compile for the plan, the widest prompts first, by generating a few tokens at each width."""
        self._check_size(plan.batch_size)
        if self._mode == "eager":
            return
        # The library makes a static cache as long as the longest before, whatever run that was for.
        self._held.model._previous_max_cache_length = max(plan.widths) + plan.output_len
        shape = (plan.batch_size, plan.widths, plan.output_len)
        if self._compilation is None or shape == self._compiled_for:
            return
        self._compilation.forget()
        enter("compile")
        vocabulary = int(self._held.model.config.get_text_config().vocab_size)
        for width in sorted(plan.widths, reverse=True):
            prompt = tuple(index % vocabulary for index in range(width))
            batch = Batch(
                (prompt,) * plan.batch_size, plan.output_len, plan.temperature, plan.top_k, plan.top_p, seed=0
            )
            with contextlib.suppress(_Enough):
                self.generate(batch, _Few(min(_COMPILING_STEPS, plan.output_len)))
        self._compiled_for = shape

    def generate(self, batch: Batch, sink: Sink) -> Generated:
        import torch
        import transformers

        self._check_size(len(batch.prompts))
        model, device = self._held.model, self._held.device
        rows, mask, width = padded(batch.prompts, self._held.pad_id)
        settings: dict[str, Any] = {"do_sample": False}
        if batch.temperature > 0:
            torch.manual_seed(batch.seed)
            settings = {"do_sample": True, "temperature": batch.temperature, "top_k": batch.top_k, "top_p": batch.top_p}
        # No end-of-sequence id: nothing stops early, and no logits processor is needed to forbid it.
        generation = transformers.GenerationConfig(
            max_new_tokens=batch.output_len,
            # The library drops a mask of ones, and then has the draft model infer one from the pad's id: every token of
            # the text that has it, as `<|im_end|>` often has, would be masked there. A batch of one is not padded.
            pad_token_id=None if self._speculation else self._held.pad_id,
            eos_token_id=None,
            use_cache=True,
            **settings,
            **self._settings(),
        )
        watch, hooks = self._watch(sink, width)
        with replaced(model, hooks), compile_errors_in_words():
            output = model.generate(
                input_ids=torch.tensor(rows, device=device),
                attention_mask=torch.tensor(mask, device=device),
                generation_config=generation,
                **(self._speculation.arguments if self._speculation else {}),
            )
        tokens = int(output.shape[1]) - width
        check_count(watch, tokens)
        return Generated([tokens] * len(batch.prompts), lambda: output[:, width:].tolist())

    def effective(self) -> EffectiveSettings:
        """The mode is told by the cache that `generate` used and by whether compiled steps ran."""
        counters: dict[str, int] = {}
        facts = {"cache": self._cache}
        reasons: dict[str, str] = {}
        mode = "static" if "Static" in self._cache else "eager"
        compiled: Compiled = "no"
        graphs: Graphs = "no"
        compilation = self._compilation
        settings: dict[str, str] = {}
        if compilation:
            counters = {"compiled_graphs": compilation.graphs, "compiled_steps": compilation.calls}
            if self._held.device.type == "cuda":
                counters["graph_replays"] = compilation.replays
            facts |= compilation.facts()
            if compilation.in_force:
                mode, compiled, graphs = "compile", compilation.source, compilation.captured
                settings["transformers.tuning"] = compilation.tuning
            elif compilation.graphs and compilation.calls:
                reasons["mode"] = "the compiler of PyTorch was another than inductor"
            else:
                reasons["mode"] = (
                    "PyTorch compiled nothing of what it was given"
                    if self._compilable
                    else "the library does not compile this model on this device"
                )
        elif self._compilable:
            mode, compiled, reasons["mode"] = "compile", "fresh", "the library compiled although it was told not to"
        if not self._cache:
            return EffectiveSettings(
                counters=counters, facts=facts, unseen=("mode", "speculation", "transformers.tuning")
            )
        settings["mode"] = mode
        if self._speculation:
            drafts = self._speculation.effective()
            settings |= drafts.settings
            counters |= drafts.counters
            facts |= drafts.facts
        return EffectiveSettings(
            settings=settings, counters=counters, facts=facts, reasons=reasons, compiled=compiled, graphs=graphs
        )

    def release(self) -> None:
        """Nothing is held between batches but compiled code."""

    def _settings(self) -> dict[str, Any]:
        if self._speculation:
            return self._speculation.settings
        if self._mode == "eager":
            return {}
        if self._compilation:
            return {"cache_implementation": "static", "compile_config": self._compilation.config}
        return {"cache_implementation": "static", "disable_compile": True}

    def _watch(self, sink: Sink, width: int) -> tuple[StepWatch, dict[str, Callable[..., Any]]]:
        model = self._held.model
        if self._speculation:
            self._speculation.begin(width)
            watch = StepWatch(model, sink, self._speculation.gained)
            make = self._seeing_cache(model._get_candidate_generator)
            return watch, {
                "_has_unfinished_sequences": watch.asked,
                "_get_candidate_generator": self._speculation.watched(make),
            }
        watch = StepWatch(model, sink)
        hooks: dict[str, Callable[..., Any]] = {
            "_has_unfinished_sequences": watch.asked,
            "_valid_auto_compile_criteria": self._deciding(),
        }
        if self._compilation:
            hooks["get_compiled_call"] = self._compilation.watched(model.get_compiled_call)
        return watch, hooks

    def _deciding(self) -> Callable[..., bool]:
        """In place of `_valid_auto_compile_criteria`, which sees the cache and decides whether to compile."""
        decide = self._held.model._valid_auto_compile_criteria

        def decided(model_kwargs: dict[str, Any], generation_config: Any) -> bool:
            self._see(model_kwargs)
            self._compilable = bool(decide(model_kwargs, generation_config))
            return self._compilable

        return decided

    def _seeing_cache(self, make: Callable[..., Any]) -> Callable[..., Any]:
        def made(*arguments: Any, **options: Any) -> Any:
            self._see(options.get("model_kwargs", {}))
            return make(*arguments, **options)

        return made

    def _see(self, model_kwargs: dict[str, Any]) -> None:
        cache = model_kwargs.get("past_key_values", model_kwargs.get("cache_params"))
        if cache is None:
            self._cache = "none"
            return
        name = type(cache).__name__
        positions = max((getattr(layer, "max_cache_len", 0) or 0 for layer in getattr(cache, "layers", ())), default=0)
        self._cache = f"{name}, {positions} positions" if positions > 0 and "Static" in name else name

    def _check_size(self, batch_size: int) -> None:
        if self._speculation:
            check_alone(batch_size)


class _Enough(BaseException):
    """Ends a generation that was for compiling alone; no library swallows it."""


class _Few:
    """A sink that ends the batch after a few steps."""

    def __init__(self, steps: int) -> None:
        self._left = steps

    def step(self, tokens: int = 1) -> None:
        self._left -= 1
        if self._left <= 0:
            raise _Enough

    def gained(self, sequence: int, tokens: int = 1) -> None:
        self.step(tokens)


def padded(prompts: tuple[tuple[int, ...], ...], pad_id: int) -> tuple[list[list[int]], list[list[int]], int]:
    """Rows[sequences, width] of ids padded on the left, their mask, and the width."""
    width = max(map(len, prompts))
    padding = [width - len(prompt) for prompt in prompts]
    rows = [[pad_id] * pad + list(prompt) for pad, prompt in zip(padding, prompts, strict=True)]
    return rows, [[0] * pad + [1] * (width - pad) for pad in padding], width
