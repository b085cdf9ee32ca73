"""ONNX Runtime GenAI: its Generator, which takes the prompts of a batch at once and then steps token by token.

A Generator lives for one batch, and with it the KV cache, which has room for the batch's prompt and output.
"""

from collections.abc import Callable, Sequence
from typing import Any

from infertui.errors import EngineError, ModelError
from infertui.measure.clock import Clock
from infertui.measure.records import EngineMemory
from infertui.models.resolve import ModelSource, resolve
from infertui.models.tokenizers import Tokenizer, tokenizer_if_any
from infertui.targets.engine.base import (
    Batch,
    EffectiveSettings,
    Generated,
    GenerationPlan,
    Getting,
    Loaded,
    LoadRequest,
    ScoringWay,
    Sink,
)
from infertui.targets.engine.onnxruntime_genai import loading
from infertui.targets.engine.onnxruntime_genai.asked import Recipe, check, recipe
from infertui.targets.engine.onnxruntime_genai.conversion import converted
from infertui.targets.engine.onnxruntime_genai.graph import OnnxContents, contents
from infertui.targets.engine.onnxruntime_genai.installed import probe, versions
from infertui.targets.engine.onnxruntime_genai.look import Executed, looked_at
from infertui.text import clean, error_text

_PAD = -1
"""What short prompts are filled up with: the id of no token, as the library takes each such id at a prompt's end for
filling. Looked up it is the last row, which nothing attends to."""


class OnnxruntimeGenaiEngine:
    """See `Engine`. All sequences of a batch step together."""

    _library: Any
    _model: Any
    _tokenizer: Tokenizer
    _recipe: Recipe
    _contents: OnnxContents

    def __init__(self) -> None:
        self._executed = Executed()
        self._never = 0
        self._shared_cache = ""

    def load(self, request: LoadRequest) -> Loaded:
        status = probe()
        if not status.available:
            raise EngineError(f"ONNX Runtime GenAI cannot be used: {status.reason}", remedy=status.remedy)
        self._library = onnxruntime_genai = loading.library()
        request = loading.with_device(request, onnxruntime_genai)
        source = resolve(request.model.id, request.model.revision)
        check(request, source)
        self._recipe = recipe(request, source)
        loading.must_reach_gpus(self._recipe)
        folder = converted(source, self._recipe, seed=request.model.seed, tell=loading.tell)
        self._contents = contents(folder, source.shape.head_dim)
        self._tokenizer = tokenizer_if_any(source)
        self._never = loading.never_generated(self._tokenizer, source.shape.vocab)
        config = loading.config(folder, self._recipe, request, onnxruntime_genai, never=self._never, pad=_PAD)
        self._model = self._loaded_model(config, source)
        self._executed = self._look()
        self._check_provider()
        return self._loaded(request, source)

    def _loaded_model(self, config: Any, source: ModelSource) -> Any:
        try:
            return self._library.Model(config)
        except Exception as error:
            if loading.wants_memory(error):
                raise
            raise ModelError(
                f"ONNX Runtime GenAI cannot load {clean(source.id)}: {error_text(error, 500)}",
                remedy="worker.log has more.",
            ) from error

    def _look(self) -> Executed:
        """How steps are executed, from a short batch that counts for nothing."""
        import numpy as np

        batch = Batch(((0, 0),), output_len=8)
        generator, params = self._generator(batch, width=2)
        self._shared_cache = str(bool(params.get_search_options().get("past_present_share_buffer"))).lower()
        return looked_at(generator, np.zeros((1, 2), np.int32), capturing="enable_cuda_graph" in self._recipe.options)

    def _check_provider(self) -> None:
        found = self._executed.provider
        if found != self._recipe.provider:
            raise EngineError(
                f"{self._recipe.provider} was to compute, but by the profile of ONNX Runtime {clean(found)} does",
                remedy="The package of another provider may be installed, or its libraries may be missing: worker.log "
                "has what ONNX Runtime says.",
            )

    def _loaded(self, request: LoadRequest, source: ModelSource) -> Loaded:
        import onnxruntime

        held = self._contents
        gpu = self._recipe.provider != "cpu"
        device = (request.device.name if ":" in request.device.name else "cuda:0") if gpu else "cpu"
        name, uuid = loading.gpu_name(device) if gpu else ("CPU", "")
        paths = {"onnxruntime_genai": self._library.__file__, "onnxruntime": onnxruntime.__file__}
        found = versions()
        return Loaded(
            engine="onnxruntime-genai",
            versions=found,
            paths={package: str(paths[_module(package)]) for package in found},
            device=device,
            device_name=name,
            device_uuid=uuid,
            dtype=held.dtype,
            attention=held.attention,
            parameters=source.shape.parameters,
            weight_bytes=held.weight_bytes,
            vocabulary=source.shape.vocab,
            special_ids=tuple(self._tokenizer.all_special_ids),
            max_positions=source.shape.max_positions or None,
            random_weights=source.kind == "synthetic",
            memory_policy="a KV cache for each batch, with room for its prompt and output",
            threads=None if gpu else self._executed.threads,
            warms_by_shape=True,
            quantized_layers=sum(held.quantized.values()),
            lookup_bytes=held.lookup_bytes,
            kv_token_bytes=held.kv_token_bytes,
            details={"weights": _types_told(held), "execution_provider": self._executed.provider},
        )

    def encode(self, text: str) -> list[int]:
        return self._tokenizer.encode(text)

    def prepare(self, plan: GenerationPlan, enter: Callable[[Getting], None]) -> None:
        """Nothing is compiled; the library captures graphs anew in the first step of every batch."""

    def effective(self) -> EffectiveSettings:
        held, found = self._contents, self._executed
        facts = {
            "weights": _types_told(held),
            "device_type": clean(str(self._model.device_type)),
            "nodes": ", ".join(f"{count} on {clean(word)}" for word, count in found.nodes.items()) or "unknown",
            "operators": ", ".join(map(clean, found.operators)) or "unknown",
            "attention": held.attention,
            "kv_cache_in_place": self._shared_cache,
            "never_generated": f"token {self._never}, which the library needs for an end",
        }
        if held.block_size:
            facts["quantized_in_groups_of"] = str(held.block_size)
        settings = {
            "dtype": held.dtype,
            "quantization": held.quantization,
            "mode": "cudagraph" if found.replayed else "eager",
            "onnxruntime_genai.execution_provider": found.provider,
            "onnxruntime_genai.prompt_logits": held.prompt_logits,
        }
        if held.activations:
            settings["onnxruntime_genai.activations"] = held.activations
        if found.replayed:
            facts["graph_evidence"] = "the profile tells operators of a prompt, and none of a later step"
        return EffectiveSettings(settings=settings, facts=facts, graphs="replayed" if found.replayed else "no")

    def generate(self, batch: Batch, sink: Sink) -> Generated:
        import numpy as np

        width = max(map(len, batch.prompts))
        generator, _ = self._generator(batch, width)
        prompts = np.full((len(batch.prompts), width), _PAD, np.int32)
        for row, prompt in zip(prompts, batch.prompts, strict=True):
            row[: len(prompt)] = prompt
        if self._contents.prompt_logits == "last" and (prompts == _PAD).any():
            raise EngineError(
                "engine.onnxruntime_genai.prompt_logits = last takes prompts of one length in a batch",
                remedy="Use prompt_logits = all, batch_size = 1, or workload.input_len.",
            )
        steps: list[Any] = []
        generate, read, told = generator.generate_next_token, generator.get_next_tokens, sink.step
        generator.append_tokens(prompts)
        for _ in range(batch.output_len):
            generate()
            steps.append(read().copy())
            told()
        if generator.token_count() != width + batch.output_len:
            raise EngineError(
                f"ONNX Runtime GenAI stands at {generator.token_count()} tokens where prompt and output are "
                f"{width + batch.output_len}"
            )
        counts = [batch.output_len] * len(batch.prompts)
        return Generated(counts, lambda: np.stack(steps, axis=1).tolist())

    def _generator(self, batch: Batch, width: int) -> tuple[Any, Any]:
        """A new generator, and its parameters. What a checkpoint asks for of sampling has no say.

        The library ends a sequence at one token at least: it is never drawn, as long as `min_length` is not reached.
        """
        params = self._library.GeneratorParams(self._model)
        length = width + batch.output_len
        sampling = batch.temperature > 0
        params.set_search_options(
            batch_size=len(batch.prompts), max_length=length, min_length=length, num_beams=1, num_return_sequences=1,
            repetition_penalty=1.0, no_repeat_ngram_size=0, do_sample=sampling,
        )  # fmt: skip
        if sampling:
            params.set_search_options(
                temperature=batch.temperature, top_k=batch.top_k, top_p=batch.top_p, random_seed=batch.seed
            )
        return self._library.Generator(self._model, params), params

    def scoring(self) -> ScoringWay:
        """By the logits of all tokens of a prompt. Raises EngineError where the last ones alone are computed."""
        if self._contents.prompt_logits == "last":
            raise EngineError(
                "engine.onnxruntime_genai.prompt_logits = last computes those of a prompt's last token alone"
            )
        return ScoringWay("ONNX Runtime GenAI's own logits of a prompt, the weights and settings in force")

    def score(self, ids: Sequence[int], going_on: Callable[[], None]) -> float:
        """One prompt, whose logits are turned into log-probabilities in float64, some hundred rows at a time."""
        import numpy as np

        going_on()
        generator, _ = self._generator(Batch((tuple(ids),), output_len=0), len(ids))
        generator.append_tokens(np.array([ids], np.int32))
        logits = generator.get_output("logits")[0]
        total = 0.0
        for first in range(0, len(ids) - 1, 128):
            going_on()
            rows = np.asarray(logits[first : min(first + 128, len(ids) - 1)], np.float64)
            rows -= rows.max(axis=1, keepdims=True)
            chosen = rows[np.arange(len(rows)), list(ids[first + 1 : first + 1 + len(rows)])]
            total += float((chosen - np.log(np.exp(rows).sum(axis=1))).sum())
        return total

    def synchronize(self) -> None:
        """A step's tokens are with the host when it returns."""

    def release_memory(self) -> None:
        """A batch's cache goes with its generator; the library's arenas keep what they have."""

    def reset_peak_memory(self) -> None:
        pass

    def memory(self) -> EngineMemory:
        """The library tells none of its own while it measures."""
        return EngineMemory()


def create(clock: Clock) -> OnnxruntimeGenaiEngine:
    """A new engine; it needs no clock of its own."""
    return OnnxruntimeGenaiEngine()


def _module(package: str) -> str:
    return "onnxruntime_genai" if "genai" in package else "onnxruntime"


def _types_told(held: OnnxContents) -> str:
    """Number formats of the weights, the one with most bytes first; what is under a hundredth is left out."""
    total = sum(held.types.values())
    listed = sorted(held.types, key=held.types.__getitem__, reverse=True)
    return ", ".join(name for name in listed if held.types[name] * 100 > total) + " (ONNX)"
