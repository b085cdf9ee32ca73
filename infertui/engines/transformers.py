"""Hugging Face Transformers on PyTorch, eager: the library's own `generate`, timed from outside.

`model.generate` is measured rather than a loop of ours, because that is what people run; its steps are watched from
the inside without adding to the device's work (`_StepWatch`).
"""

import importlib.metadata
import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from infertui.config.schema import ModelConfig
from infertui.engines.base import Batch, Loaded, LoadRequest, OnStep, Probe
from infertui.errors import EngineError, ModelError
from infertui.measure.clock import Clock
from infertui.measure.records import EngineMemory
from infertui.models.byte_tokenizer import ByteTokenizer
from infertui.models.fit import DeviceKind, dtype_in_use
from infertui.models.resolve import ModelSource, resolve
from infertui.terminal_text import clean, shorten

if TYPE_CHECKING:
    import torch

NEEDS = ("torch", "transformers")
REMEDY = 'pip install "infertui[transformers]"'


def probe() -> Probe:
    """Usable when torch and transformers are installed. Neither is imported."""
    missing = [name for name in NEEDS if find_spec(name) is None]
    if missing:
        return Probe("transformers", available=False, reason=f"{' and '.join(missing)} not installed", remedy=REMEDY)
    try:
        versions = {name: importlib.metadata.version(name) for name in NEEDS}
    except importlib.metadata.PackageNotFoundError as error:
        reason = f"there is a folder or module named {error.name}, but not the package"
        return Probe("transformers", available=False, reason=reason, remedy=REMEDY)
    return Probe("transformers", available=True, reason="installed", versions=versions)


class TransformersEngine:
    """See `Engine`. True static batching: prompts padded on the left, one decode step for all sequences."""

    _model: Any
    _device: "torch.device"

    _steps: "_StepWatch"

    def __init__(self) -> None:
        self._tokenizer: Any = None
        self._pad_id = 0

    def load(self, request: LoadRequest) -> Loaded:
        """See `Engine`."""
        status = probe()
        if not status.available:
            raise EngineError(f"Transformers cannot be used: {status.reason}", remedy=status.remedy)
        os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
        import torch
        import transformers

        transformers.logging.disable_progress_bar()
        source = resolve(request.model.id, request.model.revision)
        self._device = _pick_device(request.device.name)
        if request.device.threads:
            torch.set_num_threads(request.device.threads)
        kind: DeviceKind = "cuda" if self._device.type == "cuda" else "cpu"
        dtype: torch.dtype = getattr(torch, dtype_in_use(source.shape, request.engine.dtype, kind))
        attention = None if request.engine.attention == "auto" else request.engine.attention
        self._model = self._build(source, request.model, dtype, attention)
        self._model.eval()
        self._steps = _StepWatch(self._model)
        self._model.requires_grad_(requires_grad=False)
        self._tokenizer = _tokenizer_of(source, request.model)
        special = tuple(sorted(set(getattr(self._tokenizer, "all_special_ids", ()))))
        self._pad_id = _pad_id(self._tokenizer, self._model.config)
        # Whatever a checkpoint asks for (sampling, penalties, stop tokens) would be merged into ours: start clean.
        self._model.generation_config = transformers.GenerationConfig(pad_token_id=self._pad_id)
        text_config = self._model.config.get_text_config()
        return Loaded(
            engine="transformers",
            engine_requested=request.engine.name,
            versions=self._versions(),
            device=str(self._device),
            device_name=_device_name(self._device),
            device_uuid=_device_uuid(self._device),
            dtype=str(self._model.dtype).removeprefix("torch."),
            attention=str(self._model.config._attn_implementation),
            parameters=sum(tensor.numel() for tensor in self._model.parameters()),
            weight_bytes=sum(tensor.nbytes for tensor in self._model.parameters()),
            vocabulary=int(text_config.vocab_size),
            special_ids=special,
            max_positions=getattr(text_config, "max_position_embeddings", None),
            random_weights=source.kind == "synthetic",
            memory_policy="grows as needed (PyTorch caching allocator)"
            if self._device.type == "cuda"
            else "grows as needed",
            threads=torch.get_num_threads(),
            warms_by_shape=True,
            details={"model_class": type(self._model).__name__, "mode": "eager"},
        )

    def _build(self, source: ModelSource, model: ModelConfig, dtype: "torch.dtype", attention: str | None) -> Any:
        import torch
        import transformers

        options: dict[str, Any] = {"dtype": dtype, "trust_remote_code": model.trust_remote_code}
        if attention:
            options["attn_implementation"] = attention
        try:
            if source.kind == "synthetic":
                config = transformers.AutoConfig.from_pretrained(source.path, local_files_only=True)
                torch.manual_seed(model.seed)
                with self._device:
                    return transformers.AutoModelForCausalLM.from_config(config, **options)
            loaded = transformers.AutoModelForCausalLM.from_pretrained(
                source.path, local_files_only=True, use_safetensors=_has_safetensors(source.path), **options
            )
            return loaded.to(self._device)
        except (RuntimeError, MemoryError):
            raise  # out of memory among them, which the worker tells with its figures
        except Exception as error:
            raise _load_error(source, error) from error

    def _versions(self) -> dict[str, str]:
        import torch

        versions = {name: importlib.metadata.version(name) for name in NEEDS}
        if torch.version.cuda:
            versions["cuda"] = torch.version.cuda
        if self._device.type == "cuda":
            versions["cudnn"] = str(torch.backends.cudnn.version())
        return versions

    def encode(self, text: str) -> list[int]:
        """See `Engine`."""
        ids: list[int] = self._tokenizer.encode(text)
        return ids

    def generate(self, batch: Batch, on_step: OnStep) -> Sequence[int]:
        """See `Engine`."""
        import torch
        import transformers

        width = max(map(len, batch.prompts))
        padding = [width - len(prompt) for prompt in batch.prompts]
        rows = [[self._pad_id] * pad + list(prompt) for pad, prompt in zip(padding, batch.prompts, strict=True)]
        mask = [[0] * pad + [1] * (width - pad) for pad in padding]
        sampling: dict[str, Any] = {"do_sample": False}
        if batch.temperature > 0:
            torch.manual_seed(batch.seed)
            sampling = {"do_sample": True, "temperature": batch.temperature, "top_k": batch.top_k, "top_p": batch.top_p}
        # No end-of-sequence id: nothing stops early, and no logits processor is needed to forbid it.
        generation = transformers.GenerationConfig(
            max_new_tokens=batch.output_len, pad_token_id=self._pad_id, eos_token_id=None, use_cache=True, **sampling
        )
        steps = self._steps.watch(on_step)
        output = self._model.generate(
            input_ids=torch.tensor(rows, device=self._device),
            attention_mask=torch.tensor(mask, device=self._device),
            generation_config=generation,
        )
        tokens = int(output.shape[1]) - width
        if steps.seen != tokens:
            raise EngineError(
                f"generate made {tokens} tokens in {steps.seen} steps: the loop of this version cannot be timed",
                remedy="Use a version of Transformers that infertui was tested with; constraints.txt names one.",
            )
        return [tokens] * len(batch.prompts)

    def synchronize(self) -> None:
        """See `Engine`."""
        if self._device.type == "cuda":
            import torch

            torch.cuda.synchronize(self._device)

    def release_memory(self) -> None:
        """See `Engine`."""
        if self._device.type == "cuda":
            import torch

            torch.cuda.empty_cache()

    def reset_peak_memory(self) -> None:
        """See `Engine`."""
        if self._device.type == "cuda":
            import torch

            torch.cuda.reset_peak_memory_stats(self._device)

    def memory(self) -> EngineMemory:
        """See `Engine`. PyTorch counts its own allocations on CUDA only."""
        if self._device.type != "cuda":
            return EngineMemory()
        import torch

        return EngineMemory(
            allocated_peak=torch.cuda.max_memory_allocated(self._device),
            reserved_peak=torch.cuda.max_memory_reserved(self._device),
        )


class _StepWatch:
    """Tells the moment at which `generate` itself learns that the tokens of a step are there.

    `generate` waits for the device once a step, to see whether all sequences are finished, and then asks
    `_has_unfinished_sequences`; that call is watched. It adds nothing to the device's work. The documented hooks do: on
    an H200, in eager GPT-2, a stopping criterion cost 1 % of throughput, recording a CUDA event in it 2 %, and a
    streamer, which waits for the device a second time, about as much.
    """

    def __init__(self, model: Any) -> None:
        self._ask = model._has_unfinished_sequences
        self._on_step: OnStep = lambda _: None
        self.seen = 0
        model._has_unfinished_sequences = self._watched

    def watch(self, on_step: OnStep) -> Self:
        """Begin a batch."""
        self._on_step, self.seen = on_step, -1
        return self

    def _watched(self, *arguments: Any, **options: Any) -> bool:
        unfinished: bool = self._ask(*arguments, **options)
        self.seen += 1
        if self.seen:  # the first time it is asked before any step
            self._on_step(1)
        return unfinished


def create(clock: Clock) -> TransformersEngine:
    """A new engine; it needs no clock of its own."""
    return TransformersEngine()


def _pick_device(name: str) -> "torch.device":
    import torch

    if name == "auto":
        return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")
    device = torch.device(name)
    if device.type == "cpu":
        return device
    if not torch.cuda.is_available():
        built = "this PyTorch is built without CUDA" if torch.version.cuda is None else "PyTorch sees no usable GPU"
        raise EngineError(
            f"device.name is {name}, but {built}",
            remedy="Use --device cpu, or install a CUDA build of torch; `infertui doctor` says what is there.",
        )
    index = device.index or 0
    if index >= torch.cuda.device_count():
        raise EngineError(f"device.name is {name}, but only {torch.cuda.device_count()} GPU(s) are visible")
    return torch.device("cuda", index)


def _tokenizer_of(source: ModelSource, model: ModelConfig) -> Any:
    if source.kind == "synthetic":
        return ByteTokenizer()
    import transformers

    try:
        return transformers.AutoTokenizer.from_pretrained(
            source.path, local_files_only=True, trust_remote_code=model.trust_remote_code
        )
    except Exception as error:
        raise _load_error(source, error, "the tokenizer of ") from error


def _load_error(source: ModelSource, error: Exception, part: str = "") -> ModelError:
    """Checkpoints fail to load with whatever type the library at fault chose."""
    text = shorten(clean(str(error)), 600) or type(error).__name__
    return ModelError(
        f"Transformers cannot load {part}{clean(source.id)}: {text}",
        remedy="worker.log has more; `infertui models` lists what is here.",
    )


def _pad_id(tokenizer: Any, config: Any) -> int:
    """Any id serves: padded positions are masked."""
    vocabulary = int(config.get_text_config().vocab_size)
    candidates = (getattr(tokenizer, "pad_token_id", None), getattr(tokenizer, "eos_token_id", None), 0)
    return next(token for token in candidates if token is not None and 0 <= token < vocabulary)


def _has_safetensors(path: Path) -> bool:
    return any(Path(path).glob("*.safetensors"))


def _device_name(device: "torch.device") -> str:
    import torch

    return str(torch.cuda.get_device_name(device)) if device.type == "cuda" else "CPU"


def _device_uuid(device: "torch.device") -> str:
    import torch

    return f"GPU-{torch.cuda.get_device_properties(device).uuid}" if device.type == "cuda" else ""
