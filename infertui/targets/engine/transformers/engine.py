"""Hugging Face Transformers on PyTorch: loads a model and hands the generating to one of the ways of doing it.

How likely a sequence is: the library's forward over it, chunk by chunk with a KV cache, logits in float32.
"""

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

import msgspec

from infertui.config.schema import ModelConfig
from infertui.errors import ConfigError, EngineError
from infertui.measure.clock import Clock
from infertui.measure.records import EngineMemory
from infertui.models.resolve import ModelSource, resolve
from infertui.models.shapes import kv_bytes_per_token
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
from infertui.targets.engine.resident import reset_resident_peak_of, resident_peak_of
from infertui.targets.engine.transformers import inspection, loading, parallel
from infertui.targets.engine.transformers.asked import check_options, meaningless
from infertui.targets.engine.transformers.continuous import ContinuousMode
from infertui.targets.engine.transformers.generate import GenerateMode, LibraryLoop
from infertui.targets.engine.transformers.loading import (
    clear_generation_config,
    load_model,
    load_tokenizer,
    pad_id,
    pick_device,
)
from infertui.targets.engine.transformers.modes import ExecutionMode, Held
from infertui.targets.engine.transformers.speculation import Speculation

if TYPE_CHECKING:
    import torch

CHUNK = 128
"""Tokens whose logits are held at once: 66 MB in float32 for a vocabulary of 128 thousand."""


def log_likelihood(model: Any, ids: Sequence[int], going_on: Callable[[], None]) -> float:
    """Sum of ln p(ids[n] | ids[:n]) over n from 1, in nats: log-softmax in float32, summed in float64."""
    import torch

    total, cache = 0.0, None
    tokens = torch.tensor([list(ids)], device=model.device)
    last = tokens.shape[1] - 1
    with torch.inference_mode():
        for begin in range(0, last, CHUNK):
            going_on()
            end = min(begin + CHUNK, last)
            answer = model(input_ids=tokens[:, begin:end], past_key_values=cache, use_cache=True)
            cache = getattr(answer, "past_key_values", None)
            if cache is None and end < last:
                raise EngineError("this model keeps no KV cache that can be handed back to it")
            logs = answer.logits[0].float().log_softmax(-1)
            total += float(logs.gather(1, tokens[0, begin + 1 : end + 1, None]).double().sum())
    return total


class TransformersEngine:
    """Transformers in a worker: one loaded model, and the way of generating that was asked for."""

    _model: Any
    _device: "torch.device"
    _way: ExecutionMode

    def __init__(self, rank: int = 0) -> None:
        """`rank` is this process's in a group of `engine.tensor_parallel`; those above 0 are started by the first."""
        self._rank = rank
        self._mode = "eager"
        self._ranks: parallel.Ranks | None = None
        self._tokenizer: Any = None
        self._pad_id = 0
        self._usual_threads = 1
        self._facts: dict[str, str] = {}

    def load(self, request: LoadRequest) -> Loaded:
        status = inspection.probe()
        if not status.available:
            raise EngineError(f"Transformers cannot be used: {status.reason}", remedy=status.remedy)
        os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
        import torch
        import transformers

        transformers.logging.disable_progress_bar()
        source = resolve(request.model.id, request.model.revision)
        engine = request.engine
        self._device = pick_device(request.device.name)
        mode = "eager" if engine.mode == "auto" else engine.mode
        check_options(engine, mode, source)
        self._usual_threads = torch.get_num_threads()
        if request.device.threads:
            torch.set_num_threads(request.device.threads)
        if engine.tensor_parallel > 1:
            parallel.check(request, self._device)
            if self._device.type == "cuda":
                self._device = torch.device("cuda", self._rank)
            if not self._rank:
                self._ranks = parallel.Ranks(request)
        if self._device.type == "cuda":
            # Captured graphs, Triton and libraries' handles go to the current device, wherever the weights are.
            torch.cuda.set_device(self._device)
        try:
            return self._load(request, source, mode)
        except BaseException:
            self.close()
            raise

    def _load(self, request: LoadRequest, source: ModelSource, mode: str) -> Loaded:
        import torch

        engine, self._mode = request.engine, mode
        self._model = load_model(source, request.model, engine, self._device)
        if engine.quantization != "auto":
            self._facts |= loading.quantize(self._model, engine.quantization, self._device)
        self._tokenizer = load_tokenizer(source, request.model)
        self._pad_id = pad_id(self._tokenizer, self._model.config)
        clear_generation_config(self._model)
        self._way = self._way_of(mode, request)
        if engine.tensor_parallel > 1:
            if self._device.type == "cuda":
                # Whole weights were here before they were divided; the allocator would keep their place.
                torch.cuda.empty_cache()
            self._facts["memory_of_allocator"] = "rank 0 alone; what the driver counts is of all ranks"
            self._facts["weight_bytes_per_rank"] = ", ".join(map(str, _gathered(inspection.weight_bytes(self._model))))
            if self._ranks:
                self._way = parallel.ParallelMode(self._way, self._ranks, self._model)
        return self._found(source)

    def adapt(self, request: LoadRequest) -> Loaded:
        """Threads, and how steps are executed: none of that is in the weights."""
        import torch

        engine = request.engine
        mode = "eager" if engine.mode == "auto" else engine.mode
        source = resolve(request.model.id, request.model.revision)
        check_options(engine, mode, source)
        torch.set_num_threads(request.device.threads or self._usual_threads)
        self._way.release()
        self._mode = mode
        self._way = self._way_of(mode, request)
        return self._found(source)

    def _found(self, source: ModelSource) -> Loaded:
        import torch

        text_config = self._model.config.get_text_config()
        dtype, mixed = inspection.dtype_in_force(self._model)
        word, quantized, classes = inspection.quantization_in_force(self._model)
        self._facts |= {"weight_dtypes": mixed} if mixed else {}
        self._facts |= {"quantized_modules": classes} if classes else {}
        versions, paths = inspection.libraries(self._device)
        return Loaded(
            engine="transformers",
            versions=versions,
            paths=paths,
            device=str(self._device),
            device_name=inspection.device_name(self._device),
            device_uuid=inspection.device_uuid(self._device),
            dtype=dtype,
            attention=inspection.attention_in_force(self._model),
            parameters=sum(tensor.numel() for tensor in self._model.parameters()),
            weight_bytes=inspection.weight_bytes(self._model),
            lookup_bytes=inspection.lookup_bytes(self._model),
            kv_token_bytes=kv_bytes_per_token(source.shape, dtype),
            quantized_layers=quantized if word != "none" else None,
            vocabulary=int(text_config.vocab_size),
            special_ids=tuple(sorted(set(getattr(self._tokenizer, "all_special_ids", ())))),
            max_positions=getattr(text_config, "max_position_embeddings", None),
            random_weights=source.kind == "synthetic",
            memory_policy=_memory_policy(self._mode, self._device),
            threads=torch.get_num_threads(),
            warms_by_shape=True,
            details={"model_class": type(self._model).__name__, **self._facts},
        )

    def _way_of(self, mode: str, request: LoadRequest) -> ExecutionMode:
        held = Held(self._model, self._device, self._pad_id)
        options = request.engine.transformers
        match mode:
            case "cudagraph":
                from infertui.targets.engine.transformers.graph import GraphMode

                return GraphMode(self._model, self._pad_id, options)
            case "continuous":
                return ContinuousMode(held)
            case _:
                return LibraryLoop(held, cast(GenerateMode, mode), options.tuning, self._speculation(request))

    def _speculation(self, request: LoadRequest) -> Speculation | None:
        engine = request.engine
        if engine.speculation == "none":
            return None
        draft = None
        if engine.speculation == "draft-model":
            draft = self._draft(request)
        return Speculation(draft, engine.draft_tokens)

    def _draft(self, request: LoadRequest) -> Any:
        """The draft model, loaded as the main one is, but never quantised."""
        model = ModelConfig(id=request.engine.draft_model, trust_remote_code=request.model.trust_remote_code)
        source = resolve(model.id)
        if source.kind == "synthetic":
            raise meaningless("engine.draft_model", source)
        draft = load_model(source, model, msgspec.structs.replace(request.engine, tensor_parallel=1), self._device)
        ours, theirs = (int(each.config.get_text_config().vocab_size) for each in (self._model, draft))
        if ours != theirs:
            raise ConfigError(
                "engine.draft_model",
                f"its vocabulary has {theirs:,} tokens, the model's {ours:,}",
                allowed="a model with the same tokenizer",
            )
        clear_generation_config(draft)
        return draft

    def encode(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text)
        return ids

    def prepare(self, plan: GenerationPlan, enter: Callable[[Getting], None]) -> None:
        self._way.prepare(plan, enter)

    def generate(self, batch: Batch, sink: Sink) -> Generated:
        return self._way.generate(batch, sink)

    def scoring(self) -> ScoringWay:
        """The weights are those in force, quantised ones included; the steps of a mode are not used."""
        if self._ranks:
            raise EngineError("a model that is divided over several devices is not scored")
        own = {
            "cudagraph": "the captured step",
            "compile": "the compiled step",
            "continuous": "the paged step",
        }.get(self._mode)
        beside = f"; {own} reads the same weights with other kernels" if own else ""
        return ScoringWay(f"the library's forward on the weights in force, {CHUNK} tokens at once{beside}")

    def score(self, ids: Sequence[int], going_on: Callable[[], None]) -> float:
        return log_likelihood(self._model, ids, going_on)

    def effective(self) -> EffectiveSettings:
        found = self._way.effective()
        attention = inspection.attention_in_force(self._model)
        settings = {
            "dtype": inspection.compute_in_force(inspection.dtype_in_force(self._model)[0], self._device),
            "attention": attention,
            "quantization": inspection.quantization_in_force(self._model)[0],
            "speculation": "none",
            "tensor_parallel": "1",
        }
        facts = dict(self._facts)
        if "sdpa" in attention:
            facts["sdpa_kernels"] = inspection.sdpa_kernels() if self._device.type == "cuda" else "CPU"
        reasons = dict(found.reasons)
        if settings["quantization"] == "int4" and self._device.type == "cpu":
            reasons["quantization"] = loading.UNPACKING
        return msgspec.structs.replace(
            found, settings=settings | found.settings, facts=facts | found.facts, reasons=reasons
        )

    def synchronize(self) -> None:
        if self._device.type == "cuda":
            import torch

            torch.cuda.synchronize(self._device)

    def release_memory(self) -> None:
        self._way.release()
        if self._device.type == "cuda":
            import torch

            torch.cuda.empty_cache()

    def reset_peak_memory(self) -> None:
        if self._ranks:
            reset_resident_peak_of(self._ranks.pids)
        if self._device.type == "cuda":
            import torch

            torch.cuda.reset_peak_memory_stats(self._device)

    def memory(self) -> EngineMemory:
        """PyTorch counts its own allocations on CUDA only, and those of this process."""
        on_host = resident_peak_of(self._ranks.pids) if self._ranks else None
        if self._device.type != "cuda":
            return EngineMemory(resident_peak=on_host)
        import torch

        return EngineMemory(
            allocated_peak=torch.cuda.max_memory_allocated(self._device),
            reserved_peak=torch.cuda.max_memory_reserved(self._device),
            resident_peak=on_host,
        )

    def close(self) -> None:
        """End threads and processes that it started. A worker need not ask: they end with it."""
        if hasattr(self, "_way"):
            self._way.release()
        if self._ranks:
            self._ranks.close()
            self._ranks = None


def create(clock: Clock) -> TransformersEngine:
    """A new engine; it needs no clock of its own."""
    return TransformersEngine()


def _memory_policy(mode: str, device: "torch.device") -> str:
    grows = "grows as needed (PyTorch caching allocator)" if device.type == "cuda" else "grows as needed"
    match mode:
        case "eager":
            return grows
        case "continuous":
            return "pages of the KV cache reserved for the workload"
        case _:
            return "KV cache of fixed length, made for the workload"


def _gathered(number: int) -> list[int]:
    import torch.distributed as dist

    numbers: list[int] = [0] * dist.get_world_size()
    dist.all_gather_object(numbers, number)
    return numbers
