"""llama.cpp: loads GGUF files and generates static batches of them, layers on the GPU or not."""

import contextlib
import ctypes
import math
import os
import weakref
from collections.abc import Callable, Sequence
from typing import Any

from infertui.config.engines.llama_cpp import LlamaCppOptions
from infertui.config.schema import DeviceConfig
from infertui.errors import ConfigError, EngineError, ModelError
from infertui.measure.clock import Clock
from infertui.measure.records import EngineMemory
from infertui.models.resolve import ModelSource, resolve
from infertui.models.tokenizers import tokenizer_if_any
from infertui.targets.engine.base import (
    Batch,
    Capacity,
    EffectiveSettings,
    Generated,
    GenerationPlan,
    Getting,
    Loaded,
    LoadRequest,
    ScoringWay,
    Sink,
)
from infertui.targets.engine.llama_cpp.asked import check_context
from infertui.targets.engine.llama_cpp.decoder import Decoder
from infertui.targets.engine.llama_cpp.library import Account, GgmlDevice, Library, library, probe, read_log, unfitted
from infertui.targets.engine.llama_cpp.model import Weights, find_weights_file
from infertui.text import clean
from infertui.units import format_bytes

__all__ = ["LlamaCppEngine", "create", "probe"]

_INSTALL_CUDA = (
    'Reinstall it with CMAKE_ARGS="-DGGML_CUDA=on" pip install --no-cache-dir --force-reinstall llama-cpp-python, '
    "or use --device cpu."
)
# Numbers of ggml's tensor types, for the KV cache.
_KV_TYPES = {"f32": 0, "f16": 1, "q4_0": 2, "q8_0": 8, "bf16": 30}
_UNSIZED = Capacity(sequences=1, prompt_tokens=256, output_tokens=256)
_SPLIT_NONE = 0


class LlamaCppEngine:
    """See `Engine`. True static batching: each sequence has its own part of the KV cache, all advance together."""

    _library: Library
    _model: Any
    _context: Any
    _decoder: Decoder
    _account: Account
    _weights: Weights
    _encode: Callable[[str], list[int]]
    _params: Any

    def __init__(self) -> None:
        self._options = LlamaCppOptions()
        self._layers = 0
        self._on_gpu = False
        self._gpu: GgmlDevice | None = None

    def load(self, request: LoadRequest) -> Loaded:
        self._library = library()
        self._options = options = request.engine.llama_cpp
        self._gpu = _pick_gpu(self._library, request.device, options)
        source = resolve(request.model.id, request.model.revision)
        self._weights = find_weights_file(
            source, request.model, request.engine, "cuda" if self._gpu is not None else "cpu"
        )
        capacity = request.capacity or _UNSIZED
        with self._library.catching() as lines:
            try:
                self._load_model(source)
                self._make_context(capacity, request.device.threads)
            except _RefusedError as refused:
                problem: _RefusedError | None = refused
            else:
                problem = None
        self._account = read_log(lines)
        if problem is not None:
            raise _explained(problem, source, self._account)
        self._check_gpu()
        api = self._library.api
        vocabulary = int(api.llama_vocab_n_tokens(self._vocab()))
        self._decoder = Decoder(
            api, self._library.calls, self._context, vocabulary, int(api.llama_n_batch(self._context))
        )
        special = self._prepare_tokenizer(source, vocabulary)
        return self._loaded(request, source, vocabulary, special)

    def _load_model(self, source: ModelSource) -> None:
        api = self._library.api
        params = api.llama_model_default_params()
        # A list that ends at once: no GPU, not even for the large products of a prefill.
        devices = (ctypes.c_void_p * 2)(self._gpu.handle if self._gpu else None, None)
        params.devices = ctypes.cast(devices, ctypes.c_void_p)
        params.n_gpu_layers = self._options.n_gpu_layers if self._gpu else 0
        params.split_mode, params.main_gpu = _SPLIT_NONE, 0
        if self._options.n_cpu_moe:
            overrides = self._library.experts_on_cpu(self._options.n_cpu_moe)
            params.tensor_buft_overrides = ctypes.cast(overrides, ctypes.c_void_p)
        self._model = api.llama_model_load_from_file(os.fsencode(self._weights.path), params)
        if not self._model:
            raise _RefusedError("load")
        _when_gone(self, api.llama_model_free, self._model)
        self._layers = int(api.llama_model_n_layer(self._model)) + 1

    def _make_context(self, capacity: Capacity, threads: int) -> None:
        api, options = self._library.api, self._options
        if capacity.sequences > int(api.llama_max_parallel_sequences()):
            most = int(api.llama_max_parallel_sequences())
            raise ConfigError(
                "workload.batch_size",
                f"llama.cpp cannot run {capacity.sequences} sequences at once",
                allowed=f"1-{most}",
            )
        check_context(options, capacity)
        needed = capacity.sequences * capacity.positions
        params = api.llama_context_default_params()
        # llama.cpp divides the positions among the sequences and rounds each part up to 256.
        each = math.ceil(max(options.n_ctx, needed) / capacity.sequences / 256) * 256
        params.n_ctx = each * capacity.sequences
        params.n_seq_max = capacity.sequences
        params.n_batch, params.n_ubatch = options.n_batch, options.n_ubatch
        cores = len(os.sched_getaffinity(0))
        # As llama-cpp-python chooses: half of the logical processors for a step, all of them for a prefill.
        params.n_threads = threads or max(1, cores // 2)
        params.n_threads_batch = threads or cores
        params.flash_attn_type = (
            api.LLAMA_FLASH_ATTN_TYPE_AUTO if options.flash_attention else api.LLAMA_FLASH_ATTN_TYPE_DISABLED
        )
        params.type_k, params.type_v = _KV_TYPES[options.type_k], _KV_TYPES[options.type_v]
        params.no_perf = False
        self._params = params
        self._context = api.llama_init_from_model(self._model, params)
        if not self._context:
            raise _RefusedError("make a context for")
        _when_gone(self, api.llama_free, self._context)

    def _check_gpu(self) -> None:
        """A build or a driver that cannot use the GPU runs on the CPU, and says so nowhere but in its log."""
        wrong = unfitted(self._account, self._options.n_gpu_layers, self._layers) if self._gpu is not None else ""
        if wrong:
            remedy = "worker.log has llama.cpp's own account"
            raise EngineError(wrong, remedy=remedy + ("." if self._account.offloaded else f"; {_INSTALL_CUDA}"))

    def _vocab(self) -> Any:
        return self._library.api.llama_model_get_vocab(self._model)

    def _prepare_tokenizer(self, source: ModelSource, vocabulary: int) -> tuple[int, ...]:
        """Set the tokenizer and give the special ids. A GGUF file's is its own; else the one all engines use."""
        if source.kind == "gguf":
            vocab, is_control = self._vocab(), self._library.api.llama_vocab_is_control
            self._encode = self._encode_by_file
            return tuple(token for token in range(vocabulary) if is_control(vocab, token))
        tokenizer = tokenizer_if_any(source)
        self._encode = tokenizer.encode
        return tuple(tokenizer.all_special_ids)

    def _encode_by_file(self, text: str) -> list[int]:
        api = self._library.api
        data = text.encode("utf-8", errors="replace")
        room = len(data) + 16
        ids = (api.llama_token * room)()
        count = int(api.llama_tokenize(self._vocab(), data, len(data), ids, room, True, True))
        if count < 0:
            raise EngineError("the tokenizer of this GGUF file cannot encode the prompt")
        return list(ids[:count])

    def _loaded(self, request: LoadRequest, source: ModelSource, vocabulary: int, special: tuple[int, ...]) -> Loaded:
        api, account = self._library.api, self._account
        each, sequences = int(api.llama_n_ctx_seq(self._context)), int(api.llama_n_seq_max(self._context))
        return Loaded(
            engine="llama-cpp",
            versions=self._library.versions(),
            paths=self._library.paths(),
            device=_device_of(self._library, self._gpu),
            device_name=self._gpu.description if self._gpu else "CPU",
            device_uuid=_uuid_of(self._gpu),
            dtype=self._weights.dtype,
            attention="flash_attention" if account.flash else "soft_max" if account.flash is False else "not known",
            parameters=int(api.llama_model_n_params(self._model)),
            weight_bytes=int(api.llama_model_size(self._model)),
            vocabulary=vocabulary,
            special_ids=special,
            max_positions=int(api.llama_model_n_ctx_train(self._model)),
            random_weights=source.kind == "synthetic" or self._weights.file.random_weights,
            memory_policy=f"KV cache fixed when loading: {sequences} x {each} positions",
            threads=int(api.llama_n_threads(self._context)),
            quantized_layers=self._weights.file.quantized_tensors(),
            offloaded_layers=f"{account.offloaded or 0} of {self._layers}",
            details={
                "file": clean(self._weights.path.name),
                "weights": self._weights.file.types_told(),
                "mode": "static batch",
                "steps": "llama_decode, as llama-bench has them; Llama.generate of llama-cpp-python does more at each",
            },
        )

    def encode(self, text: str) -> list[int]:
        return self._encode(text)

    def prepare(self, plan: GenerationPlan, enter: Callable[[Getting], None]) -> None:
        """Nothing is compiled ahead. CUDA graphs are captured by llama.cpp itself, while it decodes."""

    def generate(self, batch: Batch, sink: Sink) -> Generated:
        """Raises EngineError for a batch that the KV cache was not made for."""
        api = self._library.api
        size, longest = len(batch.prompts), max(map(len, batch.prompts))
        each, most = int(api.llama_n_ctx_seq(self._context)), int(api.llama_n_seq_max(self._context))
        if size > most or longest + batch.output_len > each:
            raise EngineError(
                f"{size} sequences of up to {longest} and {batch.output_len} tokens do not fit into the KV cache, "
                f"which has {each} positions for each of {most}"
            )
        produced = self._decoder.generate(batch, sink)
        return Generated([batch.output_len] * size, lambda: produced.T.tolist())

    def scoring(self) -> ScoringWay:
        return ScoringWay(
            "llama.cpp, the weights and settings in force, up to 128 tokens at once in a context of its own"
        )

    def score(self, ids: Sequence[int], going_on: Callable[[], None]) -> float:
        """The run's context has room for its workload alone, so the text gets one, for as long."""
        api = self._library.api
        params = type(self._params).from_buffer_copy(self._params)
        params.n_ctx, params.n_seq_max = math.ceil(len(ids) / 256) * 256, 1
        context = api.llama_init_from_model(self._model, params)
        if not context:
            raise EngineError("llama.cpp cannot make a context to score with", remedy="worker.log has more.")
        try:
            vocabulary = int(api.llama_vocab_n_tokens(self._vocab()))
            decoder = Decoder(api, self._library.calls, context, vocabulary, int(api.llama_n_batch(context)))
            return decoder.log_likelihood(ids, going_on)
        finally:
            api.llama_free(context)

    def effective(self) -> EffectiveSettings:
        """By the file, by the context, and by llama.cpp's own account of loading."""
        api, account, options, context = self._library.api, self._account, self._options, self._context
        n_ctx, n_batch, n_ubatch = (
            int(ask(context)) for ask in (api.llama_n_ctx, api.llama_n_batch, api.llama_n_ubatch)
        )
        settings = {
            "dtype": self._weights.dtype,
            "quantization": self._weights.quantization,
            "llama_cpp.n_gpu_layers": str(account.offloaded or 0),
            "llama_cpp.n_cpu_moe": str(account.cpu_experts),
            "llama_cpp.flash_attention": "not known" if account.flash is None else str(account.flash).lower(),
            "llama_cpp.type_k": account.type_k.lower(),
            "llama_cpp.type_v": account.type_v.lower(),
            # The part of each sequence is rounded up.
            "llama_cpp.n_ctx": str(options.n_ctx if 0 < options.n_ctx <= n_ctx else n_ctx),
            # More than there are positions can never be handed over, and llama.cpp lowers it to that.
            "llama_cpp.n_batch": str(options.n_batch if n_batch == min(options.n_batch, n_ctx) else n_batch),
            "llama_cpp.n_ubatch": str(options.n_ubatch if n_ubatch == min(options.n_ubatch, n_batch) else n_ubatch),
        }
        perf = api.llama_perf_context(context)
        facts = {
            "n_ctx": str(n_ctx),
            "n_batch": str(n_batch),
            "n_ubatch": str(n_ubatch),
            "threads": f"{api.llama_n_threads(context)} for a step, {api.llama_n_threads_batch(context)} for a prefill",
            "system": clean(api.llama_print_system_info().decode("utf-8", errors="replace")).strip(" |"),
            "counters": "llama.cpp counts a step of several sequences as prompt tokens (n_p_eval)",
        }
        for (device, purpose), size in account.buffers.items():
            facts[f"{clean(device)} {purpose} buffer"] = format_bytes(size)
        return EffectiveSettings(settings=settings, counters=_counters(perf), facts=facts, reasons=self._reasons())

    def _reasons(self) -> dict[str, str]:
        reasons = {}
        if self._gpu is None:
            reasons["llama_cpp.n_gpu_layers"] = "the model runs on the CPU"
        elif self._options.n_gpu_layers > self._layers:
            reasons["llama_cpp.n_gpu_layers"] = f"the model has {self._layers} layers, the output layer counted"
        return reasons

    def synchronize(self) -> None:
        self._library.api.llama_synchronize(self._context)

    def release_memory(self) -> None:
        """The KV cache stays as it was made, emptied."""
        self._decoder.clear()

    def reset_peak_memory(self) -> None:
        """Nothing grows after loading."""

    def memory(self) -> EngineMemory:
        """Buffers on the GPU, as llama.cpp told of them; it allocates them once and for all."""
        return EngineMemory(reserved_peak=self._account.on_devices() or None)


class _RefusedError(Exception):
    """llama.cpp answered NULL; its log says why."""


def _when_gone(owner: object, free: Callable[[Any], None], pointer: Any) -> None:
    """Free what C holds when its owner is gone, last made first; at the end of the process its death does."""
    weakref.finalize(owner, free, pointer).atexit = False


def create(clock: Clock) -> LlamaCppEngine:
    """A new engine; it needs no clock of its own."""
    return LlamaCppEngine()


def _pick_gpu(found: Library, device: DeviceConfig, options: LlamaCppOptions) -> GgmlDevice | None:
    """The GPU to use, None for the CPU. Raises EngineError where one is asked for that this build cannot use."""
    if device.name == "cpu":
        return None
    gpus = [entry for entry in found.devices() if entry.gpu]
    asked = "" if device.name == "auto" else f"device.name is {device.name}"
    if not asked and options.n_gpu_layers > 0:
        asked = f"engine.llama_cpp.n_gpu_layers is {options.n_gpu_layers}"
    # A CUDA build that finds no usable driver says of itself that it supports no GPU, too.
    if asked and not gpus and "cuda" not in probe().versions.get("backends", "cuda"):
        raise EngineError(f"{asked}, but this build of llama-cpp-python runs on the CPU only", remedy=_INSTALL_CUDA)
    index = int(device.name.partition(":")[2] or 0) if device.name.startswith("cuda") else 0
    if index < len(gpus):
        return gpus[index]
    if asked:
        raise EngineError(
            f"{asked}, but llama.cpp sees {len(gpus)} GPU(s)",
            remedy="`infertui doctor` says which GPUs and drivers there are; worker.log has llama.cpp's own account.",
        )
    return None


def _device_of(found: Library, gpu: GgmlDevice | None) -> str:
    if gpu is None:
        return "cpu"
    gpus = [entry.handle for entry in found.devices() if entry.gpu]
    return f"cuda:{gpus.index(gpu.handle)}"


def _uuid_of(gpu: GgmlDevice | None) -> str:
    """The driver's name for the GPU, found by its place on the bus; empty where the driver does not say."""
    if gpu is None or not gpu.pci:
        return ""
    import pynvml

    with contextlib.suppress(pynvml.NVMLError):
        pynvml.nvmlInit()
        try:
            uuid = pynvml.nvmlDeviceGetUUID(pynvml.nvmlDeviceGetHandleByPciBusId(gpu.pci))
            return clean(uuid if isinstance(uuid, str) else uuid.decode())
        finally:
            pynvml.nvmlShutdown()
    return ""


def _counters(perf: Any) -> dict[str, int]:
    """llama.cpp's own counts and times. It never answers less than one, which without any time means none."""
    eval_us, prompt_us = round(perf.t_eval_ms * 1000), round(perf.t_p_eval_ms * 1000)
    return {
        "llama_n_eval": int(perf.n_eval) if eval_us else 0,
        "llama_t_eval_us": eval_us,
        "llama_n_p_eval": int(perf.n_p_eval) if prompt_us else 0,
        "llama_t_p_eval_us": prompt_us,
        "llama_graphs_reused": int(perf.n_reused),
    }


def _explained(refused: _RefusedError, source: ModelSource, account: Account) -> Exception:
    """Why llama.cpp answered NULL, by its log."""
    text = account.out_of_memory
    if text:
        if "cuda" in text.lower():
            return RuntimeError(f"CUDA out of memory: {text}")
        return MemoryError(text)
    said = "; ".join(account.errors[-2:]) or "it does not say why"
    return ModelError(f"llama.cpp cannot {refused} {source.label}: {said}", remedy="worker.log has more.")
