"""OpenVINO GenAI: its pipeline with paged attention and continuous batching, step by step.

The pipeline is driven by its own `step`, which returns when the tokens of a step are with the host; a streamer would be
called from another thread, and some tokens late.
"""

import importlib.metadata
import tempfile
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil

from infertui.config.engines.openvino import SPEC
from infertui.errors import EngineError, ModelError
from infertui.measure.clock import Clock
from infertui.measure.quality import WINDOW
from infertui.measure.records import EngineMemory
from infertui.models.memory.estimate import dtype_in_use
from infertui.models.resolve import ModelSource, resolve
from infertui.models.tokenizers import ByteTokenizer, Tokenizer, tokenizer_if_any
from infertui.targets.engine.base import (
    Batch,
    Capacity,
    EffectiveSettings,
    Generated,
    GenerationPlan,
    Getting,
    Loaded,
    LoadRequest,
    Probe,
    ScoringWay,
    Sink,
)
from infertui.targets.engine.openvino.inspection import PRECISIONS, Told, listening
from infertui.targets.engine.openvino.source import OpenvinoSource, prepared, shown
from infertui.text import clean
from infertui.units import format_bytes

NEEDS = {"openvino_genai": "openvino-genai", "openvino": "openvino", "gguf": "gguf"}
"""Modules and the packages that hold them."""

BLOCK = 32
"""Positions of one block of the KV cache, fixed by the CPU plugin."""

_HINTS = {name: word for word, name in PRECISIONS.items()}
_SCORER_SHARE = 1.5
"""Bytes that loading takes for one byte of weights: the file, mapped, beside what the plugin makes of it."""
_NO_MEMORY = ("bad_alloc", "out of memory", "annot allocate", "Failed to allocate")


def probe() -> Probe:
    """Usable when OpenVINO GenAI and gguf are installed. Neither is imported."""
    missing = [package for module, package in NEEDS.items() if find_spec(module) is None]
    if missing:
        reason = f"{' and '.join(missing)} not installed"
        return Probe("openvino", available=False, reason=reason, remedy=SPEC.install)
    try:
        versions = {package: importlib.metadata.version(package) for package in NEEDS.values()}
    except importlib.metadata.PackageNotFoundError as error:
        reason = f"there is a folder or module named {error.name}, but not the package"
        return Probe("openvino", available=False, reason=reason, remedy=SPEC.install)
    return Probe("openvino", available=True, reason="installed", versions=versions)


class OpenvinoEngine:
    """See `Engine`. Sequences are scheduled by the library, all prompts in the first step where they fit."""

    _pipeline: Any
    _tokenizer: Tokenizer
    _request: LoadRequest
    _source: ModelSource

    def __init__(self) -> None:
        self._compiled: Mapping[str, str] = {}
        self._scheduled: Mapping[str, str] = {}
        self._last: dict[str, str] = {}
        self._requests = 0
        self._quantization = "none"
        self._types = ""
        self._blocks = 0
        self._vocabulary = 0
        self._weight_bytes = 0
        self._scorer: Any = None

    def load(self, request: LoadRequest) -> Loaded:
        status = probe()
        if not status.available:
            raise EngineError(f"OpenVINO cannot be used: {status.reason}", remedy=status.remedy)
        if request.device.name not in ("auto", "cpu"):
            raise EngineError(
                f"device.name is {request.device.name}, but the OpenVINO engine runs on CPUs",
                remedy="Use --device cpu, or another engine.",
            )
        capacity = request.capacity or Capacity(sequences=1, prompt_tokens=1024, output_tokens=1024)
        source = resolve(request.model.id, request.model.revision)
        dtype = dtype_in_use(source.shape, request.engine.dtype, "cpu")
        with tempfile.TemporaryDirectory(prefix="infertui-openvino-") as folder:
            model = prepared(source, request, dtype, Path(folder))
            properties = _properties(request, dtype)
            schedule = _schedule(capacity)
            self._pipeline, told = _compiled(model, request, properties, schedule)
        self._blocks = schedule.num_kv_blocks
        self._compiled, self._scheduled = told.properties, told.scheduler
        _check_settings(properties, self._compiled, self._scheduled)
        self._tokenizer = _tokenizer(source, random_weights=model.random)
        self._quantization = model.kind if model.quantized else "none"
        self._types = model.types
        self._vocabulary = source.shape.vocab
        self._request, self._source, self._weight_bytes = request, source, model.weight_bytes
        return self._loaded(request, source, model)

    def _loaded(self, request: LoadRequest, source: ModelSource, model: OpenvinoSource) -> Loaded:
        import openvino
        import openvino_genai

        threads = self._compiled.get("INFERENCE_NUM_THREADS", "")
        return Loaded(
            engine="openvino",
            versions={package: importlib.metadata.version(package) for package in NEEDS.values()},
            paths={
                "openvino-genai": str(openvino_genai.__file__),
                "openvino": str(openvino.__file__),
            },
            device="cpu",
            device_name=clean(self._compiled.get("DEVICE", "CPU")),
            dtype=self._dtype,
            attention="paged",
            parameters=source.shape.parameters,
            weight_bytes=model.weight_bytes,
            vocabulary=source.shape.vocab,
            special_ids=tuple(self._tokenizer.all_special_ids),
            max_positions=source.shape.max_positions or None,
            random_weights=source.kind == "synthetic" or model.random,
            memory_policy=f"KV cache for {self._blocks * BLOCK} positions, reserved in the first step",
            threads=int(threads) if threads.isdecimal() else None,
            warms_by_shape=True,
            quantized_layers=model.quantized,
            details={"weights": model.types, "kv_cache": self._compiled.get("KV_CACHE_PRECISION", "unknown")},
        )

    @property
    def _dtype(self) -> str:
        """What is computed in, by the compiled model's own word."""
        word = self._compiled.get("INFERENCE_PRECISION_HINT", "unknown")
        return PRECISIONS.get(word, clean(word))

    def encode(self, text: str) -> list[int]:
        return self._tokenizer.encode(text)

    def prepare(self, plan: GenerationPlan, enter: Callable[[Getting], None]) -> None:
        """What there is to compile is compiled while loading."""

    def effective(self) -> EffectiveSettings:
        compiled = {key: clean(value) for key, value in self._compiled.items()}
        group = compiled.get("DYNAMIC_QUANTIZATION_GROUP_SIZE", "unknown")
        kv_cache = compiled.get("KV_CACHE_PRECISION", "unknown")
        facts = {
            "weights": self._types,
            "kv_cache": kv_cache,
            "kv_blocks": str(self._blocks),
            "kv_bytes": str(self._pipeline.get_metrics().kv_cache_size_in_bytes),
            "activations": f"8 bits in groups of {group}"
            if self._quantization != "none" and group not in ("0", "unknown")
            else self._dtype,
            "prefix_caching": {"false": "off", "true": "on"}[self._scheduled["enable_prefix_caching"]],
            **{key.lower(): compiled[key] for key in _TOLD if key in compiled},
            **self._last,
        }
        settings = {"dtype": self._dtype, "quantization": self._quantization, "openvino.kv_cache": kv_cache}
        if self._quantization != "none" or group == "0":  # where nothing is quantized, it changes nothing
            settings["openvino.dynamic_quantization"] = "unknown" if group == "unknown" else str(group != "0").lower()
        return EffectiveSettings(settings=settings, facts=facts)

    def generate(self, batch: Batch, sink: Sink) -> Generated:
        import numpy as np
        import openvino

        needed = sum(-(-(len(prompt) + batch.output_len) // BLOCK) for prompt in batch.prompts)
        if needed > self._blocks:  # the library would let sequences wait, and compute some again
            raise EngineError(f"the batch takes {needed} blocks of the KV cache, and {self._blocks} are reserved")
        tensors = [openvino.Tensor(np.array([prompt], dtype=np.int64)) for prompt in batch.prompts]
        configs = [_generation(batch, index, self._vocabulary) for index in range(len(batch.prompts))]
        outputs: list[list[int]] = [[] for _ in batch.prompts]
        handles: list[Any] = []
        gained, step, unfinished = sink.gained, self._pipeline.step, self._pipeline.has_non_finished_requests
        try:
            for tensor, config in zip(tensors, configs, strict=True):
                self._requests += 1
                handles.append(self._pipeline.add_request(self._requests, tensor, config))
            while unfinished():
                step()
                for index, handle in enumerate(handles):
                    if handle.can_read():
                        for new in handle.read().values():
                            outputs[index] += new.generated_ids
                            gained(index, len(new.generated_ids))
        except BaseException:
            self._abandon(handles)
            raise
        if any(len(output) != batch.output_len for output in outputs):
            raise EngineError(
                f"OpenVINO generated {min(map(len, outputs))} to {max(map(len, outputs))} tokens a sequence "
                f"where {batch.output_len} were asked for"
            )
        self._last = _own_times(handles[0])
        return Generated([len(output) for output in outputs], lambda: outputs)

    def scoring(self) -> ScoringWay:
        """The run's KV cache has room for its workload alone, so the text gets a pipeline of its own.

        Raises EngineError where there is no memory for the weights a second time.
        """
        free = psutil.virtual_memory().available
        if free < self._weight_bytes * _SCORER_SHARE:
            raise EngineError(
                f"a text is scored by a second pipeline with room for it, and {format_bytes(free)} of memory are free "
                f"for {format_bytes(self._weight_bytes)} of weights"
            )
        return ScoringWay(
            "OpenVINO's own log-probabilities of an echoed prompt, the weights and settings in force in a pipeline of "
            "its own"
        )

    def score(self, ids: Sequence[int], going_on: Callable[[], None]) -> float:
        """A request that has its prompt echoed with log-probabilities, the first of which is none."""
        import numpy as np
        import openvino

        going_on()
        pipeline = self._scoring_pipeline(len(ids))
        config = _generation(Batch((tuple(ids),), output_len=1), 0, self._vocabulary)
        config.echo, config.logprobs = True, 1
        self._requests += 1
        handle = pipeline.add_request(self._requests, openvino.Tensor(np.array([list(ids)], np.int64)), config)
        echoed: list[int] = []
        likely: list[float] = []
        try:
            while pipeline.has_non_finished_requests():
                going_on()
                pipeline.step()
                while handle.can_read():
                    for new in handle.read().values():
                        echoed += new.generated_ids
                        likely += new.generated_log_probs
        except BaseException:
            self._scorer = None
            raise
        if echoed[: len(ids)] != list(ids) or len(likely) != len(echoed):
            raise EngineError("OpenVINO did not echo the text with a log-probability for each token")
        return float(sum(likely[1 : len(ids)]))

    def _scoring_pipeline(self, tokens: int) -> Any:
        """One that takes so many tokens in one step; kept until the engine is asked for something else."""
        held = self._scorer
        if held is not None and held[0] >= tokens:
            return held[1]
        self._scorer = None
        tokens = max(tokens, WINDOW)
        request = self._request
        dtype = dtype_in_use(self._source.shape, request.engine.dtype, "cpu")
        with tempfile.TemporaryDirectory(prefix="infertui-openvino-") as folder:
            model = prepared(self._source, request, dtype, Path(folder))
            capacity = Capacity(sequences=1, prompt_tokens=tokens, output_tokens=1)
            pipeline, told = _compiled(model, request, _properties(request, dtype), _schedule(capacity))
        if told.properties != self._compiled:
            pairs = told.properties.items() ^ self._compiled.items()
            raise EngineError(
                "OpenVINO compiled the model in another way to score with than to generate with: "
                f"{', '.join(sorted({key for key, _ in pairs}))} differ"
            )
        self._scorer = tokens, pipeline
        return pipeline

    def _abandon(self, handles: list[Any]) -> None:
        """Let go of requests in the middle: the scheduler frees the blocks of cancelled ones in its next step."""
        for handle in handles:
            handle.cancel()
        while self._pipeline.has_non_finished_requests():
            self._pipeline.step()

    def synchronize(self) -> None:
        """A step returns when it is done."""

    def release_memory(self) -> None:
        """Blocks are given back with the request that held them; what scored is let go."""
        self._scorer = None

    def reset_peak_memory(self) -> None:
        pass

    def memory(self) -> EngineMemory:
        """The library counts none but the KV cache, which `effective` tells."""
        return EngineMemory()


_TOLD = ("EXECUTION_DEVICES", "INFERENCE_NUM_THREADS", "NUM_STREAMS", "ENABLE_CPU_PINNING", "RUNTIME_REQUIREMENTS")


def create(clock: Clock) -> OpenvinoEngine:
    """A new engine; it needs no clock of its own."""
    return OpenvinoEngine()


def _properties(request: LoadRequest, dtype: str) -> dict[str, Any]:
    options = request.engine.openvino
    properties: dict[str, Any] = {
        "INFERENCE_PRECISION_HINT": _HINTS[dtype],
        "KV_CACHE_PRECISION": _HINTS[dtype] if options.kv_cache == "auto" else options.kv_cache,
    }
    if request.device.threads:
        properties["INFERENCE_NUM_THREADS"] = request.device.threads
    if not options.dynamic_quantization:
        properties["DYNAMIC_QUANTIZATION_GROUP_SIZE"] = 0
    return properties


def _schedule(capacity: Capacity) -> Any:
    """Room for so many sequences and no more, and for all of their prompts in one step."""
    import openvino_genai

    schedule = openvino_genai.SchedulerConfig()
    schedule.enable_prefix_caching = False
    schedule.dynamic_split_fuse = False
    schedule.max_num_seqs = capacity.sequences
    schedule.max_num_batched_tokens = max(256, capacity.sequences * capacity.prompt_tokens)
    schedule.num_kv_blocks = capacity.sequences * -(-capacity.positions // BLOCK)
    return schedule


def _compiled(
    model: OpenvinoSource, request: LoadRequest, properties: Mapping[str, Any], schedule: Any
) -> tuple[Any, Told]:
    """The pipeline, and what the library said of it. Raises ModelError; memory errors are let through."""
    import openvino_genai

    try:
        with listening() as told:
            pipeline = openvino_genai.ContinuousBatchingPipeline(str(model.path), schedule, "CPU", dict(properties))
    except MemoryError:
        raise
    except Exception as error:
        if isinstance(error, RuntimeError) and any(sign in str(error) for sign in _NO_MEMORY):
            raise
        raise ModelError(
            f"OpenVINO cannot load {clean(request.model.id)}: {shown(error)}", remedy="worker.log has more."
        ) from error
    return pipeline, told


def _check_settings(asked: Mapping[str, Any], compiled: Mapping[str, str], scheduled: Mapping[str, str]) -> None:
    """Raise EngineError where what no option speaks of is not as it was asked for, by what the library says of itself.

    Where it says nothing of the compiled model, there are no options to show, which fails a run that asked for some.
    """
    held = scheduled.get("enable_prefix_caching", "unknown")
    if held != "false":
        raise EngineError(
            f"OpenVINO was told to cache no prefixes, but says enable_prefix_caching: {clean(held)}",
            remedy="Use a version of openvino-genai that infertui was tested with: docs/engines.md names it.",
        )
    wanted, found = asked["KV_CACHE_PRECISION"], compiled.get("KV_CACHE_PRECISION", "unknown")
    if wanted != found:
        raise EngineError(
            f"engine.openvino.kv_cache = {wanted} was asked of openvino, but {clean(found)} is in force",
            remedy=f"Set engine.openvino.kv_cache = {clean(found)}, or another engine.dtype.",
        )


class _GgufTokenizer:
    """The tokenizer that a GGUF file holds, as OpenVINO reads it."""

    def __init__(self, path: Path) -> None:
        import gguf
        import openvino_genai

        try:
            self._tokenizer = openvino_genai.Tokenizer(str(path))
        except Exception as error:
            raise ModelError(f"OpenVINO cannot use the tokenizer of {clean(str(path))}: {shown(error)}") from error
        types = gguf.GGUFReader(path).fields["tokenizer.ggml.token_type"].contents()
        self.vocab_size = len(types)
        self.all_special_ids = tuple(id_ for id_, kind in enumerate(types) if kind == gguf.TokenType.CONTROL)

    def encode(self, text: str) -> list[int]:
        text = text.encode("utf-8", errors="replace").decode()
        ids: list[int] = self._tokenizer.encode(text).input_ids.data[0].tolist()
        return ids


def _tokenizer(source: ModelSource, *, random_weights: bool) -> Tokenizer:
    if source.kind != "gguf":
        return tokenizer_if_any(source)
    return ByteTokenizer() if random_weights else _GgufTokenizer(source.path)


def _generation(batch: Batch, index: int, vocabulary: int) -> Any:
    """How to continue one prompt. A new config each time: what a checkpoint asks for has no say."""
    import openvino_genai

    config = openvino_genai.GenerationConfig()
    config.max_new_tokens = batch.output_len
    config.ignore_eos = True
    # Without an end the library takes -1 for one, and refuses that: name an id that no model gives.
    config.set_eos_token_id(vocabulary)
    config.apply_chat_template = False
    config.do_sample = batch.temperature > 0
    if config.do_sample:
        config.temperature = batch.temperature
        config.top_p = batch.top_p
        config.rng_seed = batch.seed + index
        if batch.top_k:
            config.top_k = batch.top_k
    return config


def _own_times(handle: Any) -> dict[str, str]:
    """What the library measured of the first sequence of the last batch, beside what is measured from outside."""
    times = list(handle.get_perf_metrics().raw_metrics.m_new_token_times)
    if len(times) < 2:
        return {}
    return {"own_tpot_ms": f"{(times[-1] - times[0]) / (len(times) - 1):.4f}"}  # they are in milliseconds
