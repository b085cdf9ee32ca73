"""The vLLM engine: a request per sequence, all submitted at once, and a token's time taken when its step returns.

`LLMEngine` is driven, the class under `vllm.LLM`, in the way `LLM.generate` drives it: the same sizes, scheduler and
core, the same work on inputs and outputs. What differs is told: no prefix cache, no larger KV cache than is needed.
"""

import dataclasses
import multiprocessing.connection
import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from infertui.config.schema import EngineConfig
from infertui.errors import EngineError, ModelError
from infertui.measure.clock import Clock
from infertui.measure.records import EngineMemory
from infertui.models.memory.estimate import DeviceKind, dtype_in_use
from infertui.models.resolve import CONFIG_NAME, ModelSource, resolve
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
from infertui.targets.engine.contract import PROCESS_DIED
from infertui.targets.engine.resident import reset_resident_peak_of, resident_peak_of
from infertui.targets.engine.transformers.loading import load_tokenizer
from infertui.targets.engine.vllm import arguments, inspection
from infertui.targets.engine.vllm import arguments as surroundings
from infertui.targets.engine.vllm.arguments import probe
from infertui.targets.engine.vllm.asked import draft_of
from infertui.text import clean, one_line

LIBRARIES = ("vllm", "torch", "transformers")


class VllmEngine:
    """See `Engine`. Sequences advance by themselves: the scheduler decides what every step computes."""

    _engine: Any
    _sampling: Any
    _asked: EngineConfig
    _sizes = ""
    _makes_text = False

    def __init__(self) -> None:
        self._tokenizer: Any = None
        self._requests = 0
        self._cached_tokens = 0
        self._new: Sequence[Any] = ()
        self._facts: dict[str, str] = {}
        self._closing = False
        self._folders: list[tempfile.TemporaryDirectory[str]] = []

    def load(self, request: LoadRequest) -> Loaded:
        status = probe()
        if not status.available:
            raise EngineError(f"vLLM cannot be used: {status.reason}", remedy=status.remedy)
        self._asked = request.engine
        self._set_environment(request)
        source = resolve(request.model.id, request.model.revision)
        draft = draft_of(request, source)
        kind = _device_kind(request.device.name)
        dtype = dtype_in_use(source.shape, request.engine.dtype, kind)
        self._tokenizer = load_tokenizer(source, request.model)
        known = arguments.engine_arguments(
            request, source, self._folder(source), dtype, draft, self._folder(draft) if draft else Path()
        )
        self._engine = _start(
            known, source, request, lambda longest: arguments.kv_pool_bytes(request, source, draft, dtype, longest)
        )
        self._guard_core()
        self._engine.collective_rpc("infertui_count_replays")
        self._watch_tokens()
        self._keep_sampling(makes_text=arguments.makes_text(request, source))
        return self._loaded(request, source, draft)

    def _set_environment(self, request: LoadRequest) -> None:
        wanted = surroundings.variables(
            os.environ,
            core=request.engine.vllm.engine_core,
            threads=request.device.threads,
            processors=len(os.sched_getaffinity(0)),
            tensor_parallel=request.engine.tensor_parallel,
            device=request.device.name,
        )
        for name, value in wanted.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        if request.engine.vllm.engine_core == "process":
            # Its sockets, which outlive processes that are killed.
            folder = tempfile.TemporaryDirectory(prefix="infertui-vllm-")
            self._folders.append(folder)
            os.environ["VLLM_RPC_BASE_PATH"] = folder.name

    def _folder(self, source: ModelSource) -> Path:
        """The folder of a model, for a library that takes no file: config.json under that name, alone if need be."""
        if source.kind != "synthetic":
            return source.path
        if source.path.name == CONFIG_NAME:
            return source.path.parent
        folder = tempfile.TemporaryDirectory(prefix="infertui-vllm-")
        self._folders.append(folder)
        shutil.copyfile(source.path, Path(folder.name, CONFIG_NAME))
        return Path(folder.name)

    def _cores(self) -> Sequence[Any]:
        """The processes of the engine core; none where it is in this one."""
        resources = getattr(self._engine.engine_core, "resources", None)
        found: Sequence[Any] = getattr(getattr(resources, "engine_manager", None), "processes", ())
        return found

    def _guard_core(self) -> None:
        """A core in a process of its own: when that dies, `step` would wait for it for ever. End this one, too."""
        if processes := self._cores():
            threading.Thread(target=self._watch_core, args=(processes,), daemon=True, name="engine core").start()

    def _watch_core(self, processes: Sequence[Any]) -> None:
        multiprocessing.connection.wait([process.sentinel for process in processes])
        if not self._closing:
            print("vLLM's engine core has ended by itself", file=sys.stderr, flush=True)  # noqa: T201
            self._remove_folders()
            os._exit(PROCESS_DIED)

    def close(self) -> None:
        """End the process of the engine core, if it has one, and remove what was written for vLLM."""
        self._closing = True
        self._remove_folders()  # first: the worker may be killed before a core has ended
        if hasattr(self, "_engine"):
            self._engine.engine_core.shutdown()

    def _remove_folders(self) -> None:
        for folder in self._folders:
            folder.cleanup()

    def _watch_tokens(self) -> None:
        """Keep what the core gave in the latest step: its tokens, before the library makes outputs of them.

        As `LLM.generate` does it, outputs are made when a request is done, which costs less than one for every token.
        """
        core = self._engine.engine_core
        get_output = core.get_output

        def watched() -> Any:
            found = get_output()
            self._new = found.outputs
            return found

        core.get_output = watched

    def _news(self) -> Sequence[Any]:
        """What the core gave since this was asked last."""
        new, self._new = self._new, ()
        return new

    def _keep_sampling(self, *, makes_text: bool) -> None:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        # The library's own tokenizer decides: without one there is nothing to make text with.
        self._makes_text = makes_text = makes_text and self._engine.tokenizer is not None

        def sampling(batch: Batch, sequence: int) -> Any:
            # No minimum of tokens: it would forbid the end-of-sequence token, where it only has to be ignored.
            chosen: dict[str, Any] = {"temperature": 0.0}
            if batch.temperature > 0:
                chosen = {
                    "temperature": batch.temperature, "top_k": batch.top_k, "top_p": batch.top_p,
                    "seed": batch.seed + sequence,
                }  # fmt: skip
            return SamplingParams(
                max_tokens=batch.output_len,
                ignore_eos=True,
                detokenize=makes_text,
                output_kind=RequestOutputKind.FINAL_ONLY,
                **chosen,
            )

        self._sampling = sampling

    def _loaded(self, request: LoadRequest, source: ModelSource, draft: ModelSource | None) -> Loaded:
        looks = self._look()
        first = looks[0]
        config = self._engine.vllm_config
        random = source.kind == "synthetic"
        self._sizes = inspection.sizes(
            (config.scheduler_config.max_num_seqs, config.model_config.max_model_len), request.capacity
        )
        blocks, positions = config.cache_config.num_gpu_blocks, config.cache_config.block_size
        pool = inspection.described(looks)["kv_cache"]
        self._facts = {
            "engine_core": type(self._engine.engine_core).__name__,
            "prefix_cache": "on" if config.cache_config.enable_prefix_caching else "off",
            "scheduler": f"{config.scheduler_config.max_num_seqs} sequences of up to "
            f"{config.model_config.max_model_len} positions, {config.scheduler_config.max_num_batched_tokens} tokens a "
            f"step ({'as small as the workload' if self._sizes == 'workload' else 'as LLM has them'})",
            "output": "text is made of the tokens" if self._makes_text else "no text is made of the tokens",
            "kv_blocks": f"{blocks} of {positions} positions",
        }
        if random:
            self._facts["random_weights"] = "vLLM's dummy weights, uniform within 0.001 of 0, from a seed of its own"
        if draft or request.engine.speculation != "none":
            marked = random or (draft is not None and draft.kind == "synthetic")
            self._facts["speculation"] = f"{arguments.draft_tokens(request)} tokens at a time" + (
                "; acceptance means nothing on random weights" if marked else ""
            )
        return Loaded(
            engine="vllm",
            versions={name: clean(str(sys.modules[name].__version__)) for name in LIBRARIES},
            paths={name: clean(str(sys.modules[name].__file__)) for name in LIBRARIES},
            device=first["device"],
            device_name=clean(first["device_name"]),
            device_uuid=first["device_uuid"],
            dtype=inspection.weights_dtype(first),
            attention=", ".join(first["attention"]),
            # Ranks hold some weights twice: their sum is no count of the model's parameters.
            parameters=first["parameters"] if len(looks) == 1 else None,
            weight_bytes=sum(sum(look["formats"].values()) for look in looks),
            vocabulary=source.shape.vocab,
            special_ids=tuple(sorted(set(getattr(self._tokenizer, "all_special_ids", ())))),
            max_positions=source.shape.max_positions or None,
            random_weights=random,
            memory_policy=f"paged KV cache of {pool}, reserved at load ({blocks} blocks of {positions} positions)",
            threads=first["threads"],
            warms_by_shape=True,
            quantized_layers=sum(first["quantized"].values()),
            details={**self._facts, **inspection.described(looks)},
        )

    def encode(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text)
        return ids

    def prepare(self, plan: GenerationPlan, enter: Callable[[Getting], None]) -> None:
        """vLLM compiles and captures while it loads."""

    def generate(self, batch: Batch, sink: Sink) -> Generated:
        engine = self._engine
        outputs: list[list[int]] = [[] for _ in batch.prompts]
        names: dict[str, int] = {}
        inside: dict[str, int] = {}  # the library's own names for them, by which the core calls them
        for sequence, prompt in enumerate(batch.prompts):
            self._requests += 1
            name = str(self._requests)
            names[name] = sequence
            asked = {"prompt_token_ids": list(prompt)}
            inside[engine.add_request(name, asked, self._sampling(batch, sequence)) or name] = sequence
        gained = sink.gained
        try:
            while engine.has_unfinished_requests():
                finished = engine.step()
                for new in self._news():
                    if new.new_token_ids:
                        gained(inside[new.request_id], len(new.new_token_ids))
                for output in finished:
                    outputs[names[output.request_id]] = list(output.outputs[0].token_ids)
                    self._cached_tokens += output.num_cached_tokens or 0
        except BaseException:
            engine.abort_request(list(names))
            while engine.has_unfinished_requests():
                engine.step()
            raise
        return Generated([len(ids) for ids in outputs], lambda: outputs)

    def scoring(self) -> ScoringWay:
        """The engine takes as many positions as the workload needs, and generates one more."""
        if self._asked.speculation != "none":
            raise EngineError("vLLM gives no likelihoods of prompts while tokens are drafted ahead")
        positions = int(self._engine.vllm_config.model_config.max_model_len)
        return ScoringWay("vLLM's own prompt_logprobs, by the engine in force", positions=positions - 1)

    def score(self, ids: Sequence[int], going_on: Callable[[], None]) -> float:
        """A request of its own that asks for the likelihoods of its prompt."""
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        engine, likely = self._engine, None
        self._requests += 1
        name = str(self._requests)
        sampling = SamplingParams(
            max_tokens=1, temperature=0.0, ignore_eos=True, detokenize=False, prompt_logprobs=0,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )  # fmt: skip
        try:
            engine.add_request(name, {"prompt_token_ids": list(ids)}, sampling)
            while engine.has_unfinished_requests():
                going_on()
                for output in engine.step():
                    likely = output.prompt_logprobs if output.prompt_logprobs is not None else likely
        except BaseException:
            engine.abort_request([name])
            while engine.has_unfinished_requests():
                engine.step()
            raise
        if likely is None or len(likely) != len(ids):
            raise EngineError("vLLM gave no likelihood for each token of the prompt")
        return float(sum(entry[token].logprob for token, entry in zip(ids[1:], likely[1:], strict=True)))

    def effective(self) -> EffectiveSettings:
        inside = hasattr(self._engine.engine_core, "engine_core")
        return inspection.effective(
            self._look(),
            self._engine.get_metrics() if self._engine.log_stats else (),
            self._facts,
            asked=self._asked,
            cached_tokens=self._cached_tokens,
            own={
                "engine_core": "in-process" if inside else "process",
                "sizes": self._sizes,
                "detokenize": str(self._makes_text).lower(),
                "own_metrics": str(bool(self._engine.log_stats)).lower(),
            },
        )

    def _look(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._engine.collective_rpc("infertui_look")
        return found

    def synchronize(self) -> None:
        """A step returns when its tokens are on the host; what was begun ahead of them is finished here.

        With the core in a process of its own, that process finishes it by itself.
        """
        core = getattr(self._engine.engine_core, "engine_core", None)
        while getattr(core, "batch_queue", None):
            self._engine.step()

    def release_memory(self) -> None:
        """All memory is reserved at load, nothing grows with a batch."""

    def reset_peak_memory(self) -> None:
        self._engine.collective_rpc("infertui_reset_peak_memory")
        reset_resident_peak_of(core.pid for core in self._cores())

    def memory(self) -> EngineMemory:
        """Peaks of PyTorch's allocator, summed over the GPUs."""
        peaks = self._engine.collective_rpc("infertui_memory")
        on_host = resident_peak_of(core.pid for core in self._cores())
        if any(peak is None for peak in peaks):
            return EngineMemory(resident_peak=on_host)
        return EngineMemory(
            allocated_peak=sum(allocated for allocated, _ in peaks),
            reserved_peak=sum(held for _, held in peaks),
            resident_peak=on_host,
        )


def create(clock: Clock) -> VllmEngine:
    """A new engine; it needs no clock of its own."""
    return VllmEngine()


def _device_kind(name: str) -> DeviceKind:
    """What this build of vLLM runs on. Imports vLLM."""
    from vllm.platforms import current_platform

    kind = clean(str(current_platform.device_type))
    if kind not in ("cpu", "cuda"):
        raise EngineError(
            f"this vLLM finds no device that it was built for (it says {kind or 'nothing'!r})",
            remedy="The usual build needs an NVIDIA GPU and its driver; there are builds for CPUs.",
        )
    wanted = name.partition(":")[0]
    if wanted not in ("auto", kind):
        raise EngineError(
            f"device.name is {name}, but this vLLM runs on {kind}",
            remedy=f"Use --device {kind}, or install a build of vLLM for {wanted}.",
        )
    return "cuda" if kind == "cuda" else "cpu"


def _start(
    known: list[arguments.Argument], source: ModelSource, request: LoadRequest, pool: Callable[[int], int]
) -> Any:
    """The engine as `LLM` would make it, but for the size of the KV cache: `pool` is that for a longest sequence."""
    import torch
    import vllm
    from vllm.engine.arg_utils import EngineArgs
    from vllm.model_executor.layers.quantization import QUANTIZATION_METHODS
    from vllm.usage.usage_lib import UsageContext
    from vllm.v1.engine.llm_engine import LLMEngine

    version = clean(str(vllm.__version__))
    fields = {field.name for field in dataclasses.fields(EngineArgs)}
    accepted = arguments.accept(known, fields, version)
    if "quantization" in accepted:
        arguments.check_quantization(accepted["quantization"], QUANTIZATION_METHODS, version)
    if request.device.threads:
        torch.set_num_threads(request.device.threads)
    usage = UsageContext.LLM_CLASS  # it decides how many tokens a step may have
    try:
        config = EngineArgs(**accepted).create_engine_config(usage)
        sequences = request.capacity.sequences if request.capacity else 1
        if config.scheduler_config.max_num_seqs < sequences:  # else some of the batch would wait for the rest
            config = EngineArgs(**accepted, max_num_seqs=sequences).create_engine_config(usage)
        config.cache_config.kv_cache_memory_bytes = pool(int(config.model_config.max_model_len))
        return LLMEngine.from_vllm_config(
            config, usage_context=usage, disable_log_stats=accepted.get("disable_log_stats", False)
        )
    except Exception as error:
        if _is_memory(error):
            raise  # the worker tells it with its figures
        raise _load_error(source, error) from error


def _is_memory(error: Exception) -> bool:
    text = str(error).lower()
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and ("out of memory" in text or "allocate memory" in text)
    )


def _load_error(source: ModelSource, error: Exception) -> ModelError:
    """Whatever type the part at fault chose; from a process of its own comes a RuntimeError that names no cause."""
    return ModelError(
        f"vLLM cannot load {clean(source.id)}: {_said(error)}", remedy="worker.log has the cause in full."
    )


def _said(error: Exception) -> str:
    """What the library says, without the listing of all arguments that pydantic puts behind it."""
    listed = getattr(error, "errors", None)
    problems = listed(include_url=False) if callable(listed) else ()
    text = "; ".join(str(problem["msg"]).removeprefix("Value error, ") for problem in problems) or str(error)
    return one_line(text, 600) or type(error).__name__
