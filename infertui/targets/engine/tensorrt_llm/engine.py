"""The engine itself: loads a model with TensorRT-LLM, streams its tokens, and says what was in force."""

import atexit
import contextlib
import importlib.metadata
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from infertui.config.engines.tensorrt_llm import SPEC
from infertui.config.schema import EngineConfig
from infertui.errors import ConfigError, EngineError, ModelError
from infertui.measure.records import EngineMemory
from infertui.models.memory.estimate import dtype_in_use
from infertui.models.resolve import CONFIG_NAME, ModelSource, resolve
from infertui.models.tokenizers import Tokenizer, tokenizer_if_any
from infertui.paths import expand
from infertui.targets.engine import gpus
from infertui.targets.engine.base import (
    Batch,
    Capacity,
    EffectiveSettings,
    Generated,
    GenerationPlan,
    Getting,
    Loaded,
    LoadRequest,
    Sink,
)
from infertui.targets.engine.tensorrt_llm import builtengine, inspection, options, stream
from infertui.targets.engine.tensorrt_llm import installation as trial
from infertui.targets.engine.tensorrt_llm.build import cache
from infertui.targets.engine.tensorrt_llm.builtengine import BuiltEngine
from infertui.targets.engine.tensorrt_llm.checkpoint import algorithm, word_of
from infertui.targets.engine.tensorrt_llm.installation import NOT_RUN, PACKAGE, Installation, examine
from infertui.targets.engine.tensorrt_llm.options import Sizes, Surface
from infertui.targets.engine.tensorrt_llm.stream import BatchStream, OwnOutput, StartupLog, parse
from infertui.text import clean, one_line

_ENVIRONMENT = {
    # What it did is read from its log; this is the level at which it tells, and its workers inherit it.
    "TLLM_LOG_LEVEL": "INFO",
    "TRTLLM_NO_USAGE_STATS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}


class TensorrtLlmEngine:
    """See `Engine`. Its sequences are scheduled by the library, each for itself."""

    _llm: Any
    _surface: Surface
    _stream: BatchStream
    _source: ModelSource
    _tokenizer: Tokenizer
    _engine_config: EngineConfig
    _expected: inspection.Expected
    _built: BuiltEngine | None = None

    def __init__(self) -> None:
        self._version = ""
        self._own = stream.Own()
        self._output: OwnOutput | None = None
        self._log: StartupLog | None = None
        self._scratch: Path | None = None
        self._closed = True

    def load(self, request: LoadRequest) -> Loaded:
        installation = examine()
        if not installation.probe.available:
            raise EngineError(
                f"TensorRT-LLM cannot be used: {installation.probe.reason}", remedy=installation.probe.remedy
            )
        _check_device(request.device.name)
        self._engine_config = engine = request.engine
        capacity = request.capacity
        if capacity is None:
            raise EngineError("TensorRT-LLM reserves its KV pool when it loads, and was not told the workload")
        options.check(engine, capacity)
        self._source = resolve(request.model.id, request.model.revision)
        if self._source.path.is_file() and self._source.kind != "synthetic":
            raise ModelError(
                f"{self._source.label} is a single file, and TensorRT-LLM loads Hugging Face checkpoints",
                remedy="engine.name = llama-cpp reads GGUF files.",
            )
        self._tokenizer = tokenizer_if_any(self._source)
        if engine.tensorrt_llm.backend == "engine":
            self._built = self._find_built(installation, engine, capacity)
        else:
            options.refuse_quantization(engine.quantization, word_of(algorithm(self._source)))
        library = self._import()
        self._surface = Surface(library, self._version)
        need = options.sizes(capacity, engine.tensorrt_llm, options.draft_tokens(engine))
        self._expected = self._expect(capacity, engine)
        self._output = OwnOutput()
        self._llm = self._start(library, request, need)
        self._closed = False
        atexit.register(self.close)
        self._stream = BatchStream(
            lambda prompt, choice: self._llm.generate_async(list(prompt), choice, streaming=True)
        )
        try:
            self._check_pool(capacity)
            return self._loaded(request, library)
        except BaseException:
            self.close()
            raise

    def encode(self, text: str) -> list[int]:
        return self._tokenizer.encode(text)

    def prepare(self, plan: GenerationPlan, enter: Callable[[Getting], None]) -> None:
        """It captures its graphs and tunes its kernels while it loads. Raises ConfigError."""
        if plan.temperature and self._engine_config.speculation in ("eagle", "mtp"):
            raise ConfigError(
                "workload.temperature",
                f"TensorRT-LLM decodes greedily with engine.speculation = {self._engine_config.speculation}, and it is "
                f"{plan.temperature:g}",
                allowed="0",
            )

    def generate(self, batch: Batch, sink: Sink) -> Generated:
        """Raises EngineError when prompts were served from the cache: that measures something else."""
        choices = [options.sampling(self._surface, batch, index) for index in range(len(batch.prompts))]
        answers = self._stream.run(batch.prompts, choices, sink)
        counts = [answer.count for answer in answers]
        own = stream.of_batch([answer.output for answer in answers], counts, options.draft_tokens(self._engine_config))
        self._own = self._own.plus(own)
        if own.cached_tokens or own.reused_blocks:
            what = f"{own.cached_tokens} prompt tokens" if own.cached_tokens else f"{own.reused_blocks} blocks"
            raise EngineError(
                f"TensorRT-LLM took {what} from its KV cache of earlier prompts, although block reuse was turned off",
                remedy="The time to first token would be that of a cache hit; use another version.",
            )
        return Generated(counts, lambda: [answer.ids() for answer in answers])

    def effective(self) -> EffectiveSettings:
        found = self._look_at_built() if self._built else self._look()
        own = self._own
        counters = {
            "own_requests": own.requests,
            "own_timed_requests": own.timed,
            "own_ttft_us": own.ttft_us,
            "own_decode_us": own.decode_us,
            "cached_prompt_tokens": own.cached_tokens,
            "reused_kv_blocks": own.reused_blocks,
            "decoding_iterations": own.iterations,
        }
        facts = dict(found.facts)
        if self._engine_config.speculation != "none":
            counters |= {"drafted_tokens": own.drafted, "accepted_tokens": own.accepted}
            if self._source.kind == "synthetic":
                facts["acceptance"] = "says nothing: the weights are random"
        if own.timed:
            facts["own_ttft"] = f"{own.ttft_us / own.timed / 1000:.3f} ms, mean by the library's own clock"
        return EffectiveSettings(found.settings, counters, facts, found.reasons)

    def synchronize(self) -> None:
        """A batch has ended when its last token was received; other processes drive the device."""

    def release_memory(self) -> None:
        """Its pools are fixed."""

    def reset_peak_memory(self) -> None:
        """Its allocators live in other processes."""

    def memory(self) -> EngineMemory:
        """Nothing can be asked of the allocators of other processes."""
        return EngineMemory()

    def close(self) -> None:
        """End the library's processes. Its own shutdown may fail when they are gone already."""
        if self._closed:
            return
        self._closed = True
        atexit.unregister(self.close)
        self._stream.close()
        with contextlib.suppress(Exception):
            self._llm.shutdown()
        if self._scratch:
            shutil.rmtree(self._scratch, ignore_errors=True)

    def _import(self) -> Any:
        """Import the library, after a trial elsewhere: here a hang could not be told from work."""
        for name, value in _ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        if PACKAGE not in sys.modules:
            trial.try_import()
        try:
            library = import_module(PACKAGE)
        except Exception as error:
            raise trial.explain(f"{type(error).__name__}: {error}", 1) from error
        self._version = clean(str(library.__version__))
        return library

    def _start(self, library: Any, request: LoadRequest, need: Sizes) -> Any:
        engine = request.engine
        if self._built:
            engine_class = _engine_class(library, self._version)
            args_class = self._surface.find("TrtLlmArgs", why="backend = engine")
            return self._construct(
                engine_class, self._built.path, options.for_engine(self._surface, args_class, engine, need)
            )
        args_class = self._surface.find("TorchLlmArgs", why="the PyTorch backend")
        dtype = dtype_in_use(self._source.shape, engine.dtype, "cuda")
        chosen = options.for_pytorch(
            self._surface,
            args_class,
            engine,
            need=need,
            dtype=dtype,
            dummy=self._source.kind == "synthetic",
            trust_remote_code=request.model.trust_remote_code,
            draft=self._draft(engine),
        )
        return self._construct(library.LLM, self._folder(self._source), chosen)

    def _construct(self, kind: Any, model: Path, chosen: dict[str, Any]) -> Any:
        try:
            return kind(model=str(model), **chosen)
        except MemoryError:
            raise
        except Exception as error:
            text = str(error)
            if "out of memory" in text.lower():
                raise  # the worker tells it with its figures
            shown = one_line(text, 800) or type(error).__name__
            if isinstance(error, ValueError | TypeError):
                raise EngineError(f"TensorRT-LLM {self._version} refuses its arguments: {shown}") from error
            raise ModelError(
                f"TensorRT-LLM {self._version} cannot load {clean(self._source.id)}: {shown}",
                remedy="worker.log has more, from the processes in which it loads.",
            ) from error

    def _draft(self, engine: EngineConfig) -> Path | None:
        if engine.speculation == "mtp" and not self._source.config.get("num_nextn_predict_layers"):
            raise ModelError(
                f"{clean(self._source.id)} has no layers for multi-token prediction (num_nextn_predict_layers)",
                remedy="engine.speculation = mtp is for models that ship them, such as DeepSeek-V3.",
            )
        if not engine.draft_model or engine.speculation not in ("draft-model", "eagle"):
            return None
        draft = resolve(engine.draft_model)
        if draft.kind == "synthetic" and self._source.kind != "synthetic":
            raise ModelError(f"{draft.label} cannot draft for a model with weights of its own")
        return self._folder(draft)

    def _folder(self, source: ModelSource) -> Path:
        """A folder whose config.json is the model's: a synthetic model is no more than that file."""
        if source.kind != "synthetic":
            return source.path
        if source.path.name == CONFIG_NAME:
            return source.path.parent
        self._scratch = self._scratch or Path(tempfile.mkdtemp(prefix="infertui-tensorrt-llm-"))
        folder = self._scratch / source.path.stem
        folder.mkdir(exist_ok=True)
        shutil.copyfile(source.path, folder / CONFIG_NAME)
        return folder

    def _find_built(self, installation: Installation, engine: EngineConfig, capacity: Capacity) -> BuiltEngine:
        if not installation.engine_path:
            version = installation.version.text if installation.version else ""
            raise EngineError(
                f"TensorRT-LLM {version} runs no built engines: the engine backend was removed after 1.2",
                remedy="Set engine.tensorrt_llm.backend = pytorch, or install tensorrt-llm 1.2.1.",
            )
        if self._source.kind == "synthetic":
            raise ModelError(
                f"{self._source.label} has no weights to build an engine from",
                remedy="Set engine.tensorrt_llm.backend = pytorch: it takes random weights.",
            )
        folder = engine.tensorrt_llm.engine_dir
        if folder:
            found = builtengine.read(expand(folder))
        else:
            found = cache.find(self._source, capacity, engine, version=installation.version, gpu=_first_gpu())
        builtengine.check(
            found,
            sequences=capacity.sequences,
            prompt_tokens=capacity.prompt_tokens,
            positions=capacity.positions,
            tensor_parallel=engine.tensor_parallel,
        )
        return found

    def _expect(self, capacity: Capacity, engine: EngineConfig) -> inspection.Expected:
        shape = self._source.shape
        return inspection.Expected(
            parameters=shape.parameters if shape.exact else None,
            sequences=capacity.sequences,
            tensor_parallel=engine.tensor_parallel,
            on_disk=word_of(algorithm(self._source)),
        )

    def _check_pool(self, capacity: Capacity) -> None:
        """Refuse a KV pool that would make the run measure something else."""
        log = self._startup()
        if why := inspection.reuse(self._llm.args, log):
            raise EngineError(
                f"TensorRT-LLM {self._version} reuses KV blocks of earlier prompts although that was turned off: {why}",
                remedy="Repeated prompts would be measured as cache hits; use another version.",
            )
        needed = capacity.sequences * capacity.positions
        if log.kv_tokens is not None and log.kv_tokens < needed:
            raise EngineError(
                f"TensorRT-LLM's KV pool holds {log.kv_tokens} tokens, and the workload has {needed}: sequences would "
                "wait for each other",
                remedy="The GPU's memory is too small for it, or in use: a smaller batch, or shorter sequences.",
            )

    def _startup(self) -> StartupLog:
        """The log so far. Once the KV pool and what follows it have been read, it is not read again."""
        if self._log is None:
            found = parse(self._output.text() if self._output else "")
            if not self._own.requests:
                return found
            self._log = found
        return self._log

    def _look(self) -> EffectiveSettings:
        return inspection.look(self._llm.args, self._startup(), self._expected, self._version)

    def _look_at_built(self) -> EffectiveSettings:
        built = self._built
        assert built is not None  # noqa: S101
        log = self._startup()
        return EffectiveSettings(
            settings={
                "dtype": built.dtype,
                "mode": "engine",
                "quantization": built.quantization,
                "speculation": "none",
                "tensor_parallel": str(built.tensor_parallel),
                "tensorrt_llm.backend": "engine",
                "tensorrt_llm.engine_dir": self._engine_config.tensorrt_llm.engine_dir and self._same_folder(built),
                "tensorrt_llm.kv_cache_dtype": built.kv_cache_dtype,
                "tensorrt_llm.chunked_prefill": str(bool(getattr(self._llm.args, "enable_chunked_prefill", 0))).lower(),
            },
            facts={
                "kv_pool": inspection.kv_pool(self._llm.args, log),
                "engine_dir": clean(str(built.path)),
                "engine_built_by": built.version or "unknown",
                "engine_max_batch_size": str(built.max_batch_size),
                "engine_max_seq_len": str(built.max_seq_len),
            },
        )

    def _same_folder(self, built: BuiltEngine) -> str:
        """The folder as the config writes it where it is the one that the library was given, else that one."""
        written = self._engine_config.tensorrt_llm.engine_dir
        given = Path(str(getattr(self._llm.args, "model", built.path)))
        return written if given == expand(written) else clean(str(given))

    def _loaded(self, request: LoadRequest, library: Any) -> Loaded:
        found = (self._look_at_built() if self._built else self._look()).settings
        shape = self._source.shape
        log = self._startup()
        versions, paths = _origin(library, self._version)
        name, uuid = _gpu_names()
        details = {"backend": found["tensorrt_llm.backend"], "mode": found["mode"], "run": NOT_RUN}
        if log.weight_bytes:
            details["weights_by_its_log"] = str(log.weight_bytes)
        if self._built:
            details["engine_dir"] = clean(str(self._built.path))
        positions = (self._built.max_positions if self._built else shape.max_positions) or None
        return Loaded(
            engine=SPEC.name,
            versions=versions,
            device="cuda",
            device_name=name,
            device_uuid=uuid,
            dtype=found["dtype"],
            attention="TensorRT engine" if self._built else clean(str(getattr(self._llm.args, "attn_backend", "?"))),
            parameters=shape.parameters if shape.exact else None,
            weight_bytes=log.weight_bytes,
            vocabulary=self._built.vocabulary if self._built else shape.vocab,
            special_ids=self._tokenizer.all_special_ids,
            max_positions=positions,
            random_weights=self._source.kind == "synthetic",
            memory_policy=inspection.kv_pool(self._llm.args, log),
            warms_by_shape=True,
            paths=paths,
            details=details,
        )


def _engine_class(library: Any, version: str) -> Any:
    try:
        return import_module(f"{PACKAGE}._tensorrt_engine").LLM
    except (ImportError, AttributeError) as error:
        raise EngineError(
            f"TensorRT-LLM {version} runs no built engines: {clean(str(error))}",
            remedy="Set engine.tensorrt_llm.backend = pytorch, or install tensorrt-llm 1.2.1.",
        ) from error


def _origin(library: Any, version: str) -> tuple[dict[str, str], dict[str, str]]:
    versions, paths = {PACKAGE: version}, {PACKAGE: clean(str(library.__file__))}
    for name in ("torch", "tensorrt"):
        module = sys.modules.get(name)
        if module is None:
            continue
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = clean(importlib.metadata.version(name))
            paths[name] = clean(str(getattr(module, "__file__", "")))
    return versions, paths


def _check_device(name: str) -> None:
    if name == "cpu":
        raise EngineError("device.name is cpu, and TensorRT-LLM runs on NVIDIA GPUs alone")
    index = name.partition(":")[2]
    if index and int(index):
        raise EngineError(
            f"device.name is {name}, and TensorRT-LLM takes the first GPU that it sees",
            remedy=f'Use device.visible = "{index}" with device.name = "cuda".',
        )


def _first_gpu() -> gpus.Gpu | None:
    driver = gpus.read()
    shown: Sequence[gpus.Gpu] = gpus.visible(driver) if driver else ()
    return shown[0] if shown else None


def _gpu_names() -> tuple[str, str]:
    gpu = _first_gpu()
    return (clean(gpu.name), gpu.uuid) if gpu else ("unknown GPU", "")
