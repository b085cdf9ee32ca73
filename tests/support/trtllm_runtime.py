"""The body of the fake `tensorrt_llm`: copied into a package by `support.trtllm`, never imported from here.

Its classes are generated from the recorded surface and refuse what they do not know in the words of the real ones. It
generates token ids that follow from the prompt, from a thread of its own, as the real executor's proxy does.
"""

import asyncio
import contextlib
import json
import os
import threading
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar, Self

HERE = Path(__file__).parent
SETUP: dict[str, Any] = json.loads((HERE / "_fake.json").read_text())
SURFACE: dict[str, Any] = SETUP["surface"]
LINE: dict[str, Any] = SURFACE["versions"][SETUP["line"]]
DOES: dict[str, Any] = SETUP["does"]
VERSION: str = SETUP["version"]
VOCABULARY = 4096


class ValidationError(ValueError):
    """Stands for pydantic's."""


class Model:
    """Stands for a pydantic model with extra = forbid."""

    model_fields: ClassVar[dict[str, SimpleNamespace]] = {}
    needs: tuple[str, ...] = ()

    def __init__(self, **given: Any) -> None:
        accepted = set(self.model_fields) | set(self.aliases())
        for name, value in given.items():
            if name not in accepted:
                raise ValidationError(
                    f"1 validation error for {type(self).__name__}\n{name}\n  Extra inputs are not permitted "
                    f"[type=extra_forbidden, input_value={value!r}, input_type={type(value).__name__}]\n"
                    "    For further information visit https://errors.pydantic.dev/2.11/v/extra_forbidden"
                )
        for name, field in self.model_fields.items():
            setattr(self, name, field.factory() if field.factory else field.default)
        for name, value in given.items():
            setattr(self, self.aliases().get(name, name), value)
        for name in self.needs:
            if not getattr(self, name):
                raise ValidationError(
                    f"1 validation error for {type(self).__name__}\n  Value error, {name} must be > 0"
                )

    @classmethod
    def aliases(cls) -> dict[str, str]:
        return {alias: name for name, field in cls.model_fields.items() for alias in field.aliases}


def _fields(entries: list[dict[str, Any]], without: list[str], aliases: dict[str, list[str]]) -> dict[str, Any]:
    found = {}
    for entry in entries:
        name = LINE["renamed"].get(entry["name"], entry["name"])
        if name in without:
            continue
        allowed = [] if LINE.get("no_aliases") else aliases.get(entry["name"], [])
        found[name] = SimpleNamespace(
            default=entry["default"],
            factory=None,
            aliases=allowed,
            validation_alias=SimpleNamespace(choices=allowed) if allowed else None,
        )
    return found


def _make() -> dict[str, type]:
    made: dict[str, type] = {}
    order = sorted(SURFACE["classes"], key=lambda name: name != "DecodingBaseConfig")
    for name in order:
        entry = SURFACE["classes"][name]
        fields = _fields(entry["init"], LINE["without"].get(name, []), entry.get("aliases", {}))
        base = made["DecodingBaseConfig"] if entry["bases"] else Model
        inherited = dict(getattr(base, "model_fields", {})) if entry["bases"] else {}
        needs = tuple(
            text.split()[0] for text in entry.get("requires", []) if text.split()[0] in {**inherited, **fields}
        )
        shown = LINE.get("renamed_classes", {}).get(name, name)
        made[name] = type(shown, (base,), {"model_fields": {**inherited, **fields}, "needs": needs})
    return {kind.__name__: kind for kind in made.values()} | {
        name: kind for name, kind in made.items() if name == kind.__name__
    }


CLASSES = _make()


class SamplingParams:
    """A dataclass in the library: what it does not know is a TypeError."""

    def __init__(
        self,
        end_id: int | None = None,
        pad_id: int | None = None,
        max_tokens: int = 32,
        seed: int | None = None,
        temperature: float | None = None,
        top_k: int | None = None,
        top_p: float | None = None,
        return_perf_metrics: bool = False,
        ignore_eos: bool = False,
        detokenize: bool = True,
        add_special_tokens: bool = True,
    ) -> None:
        if temperature is not None and temperature < 0:
            raise ValueError(f"require temperature >= 0, got temperature={temperature}")
        self.__dict__.update(locals())
        del self.__dict__["self"]


def _args(name: str, extra: list[dict[str, Any]], left_out: set[str]) -> type:
    entries = [entry for entry in SURFACE["LLM"] if entry["name"] not in left_out] + extra
    fields = _fields(entries, LINE["without"].get("LLM", []), {})
    for added in LINE["with"].get("LLM", []):
        fields[added] = SimpleNamespace(default=None, factory=None, aliases=[], validation_alias=None)
    for entry in entries:
        kind = CLASSES.get(entry.get("factory", "")) or CLASSES.get(
            LINE.get("renamed_classes", {}).get(entry.get("factory", ""), "")
        )
        if kind is not None and entry["name"] in fields:
            fields[entry["name"]].factory = kind
    return type(name, (Model,), {"model_fields": fields})


TorchLlmArgs = _args("TorchLlmArgs", [], set())
TrtLlmArgs = _args("TrtLlmArgs", SURFACE["TrtLlmArgs_only"], set(SURFACE["TorchLlmArgs_only"]) - {"load_format"})


def say(text: str) -> None:
    os.write(1, f"{text}\n".encode())


class BaseLLM:
    args_class: type = TorchLlmArgs
    backend = "pytorch"

    def __init__(
        self,
        model: str,
        tokenizer: Any = None,
        tokenizer_mode: str = "auto",
        skip_tokenizer_init: bool = False,
        trust_remote_code: bool = False,
        tensor_parallel_size: int = 1,
        dtype: str = "auto",
        revision: str | None = None,
        tokenizer_revision: str | None = None,
        **kwargs: Any,
    ) -> None:
        if kwargs.get("backend") == "tensorrt" and SETUP["line"] == "later":
            raise ValueError("backend='tensorrt' is no longer supported")
        if DOES.get("raise_at_load"):
            raise RuntimeError(DOES["raise_at_load"])
        for key in kwargs:
            if key not in {*self.args_class.model_fields, "_mpi_session", "backend"}:  # type: ignore[attr-defined]
                raise ValueError(f"{type(self).__name__} got invalid argument: {key}")
        say(f"[11/20/2026-12:00:00] [TRT-LLM] [I] Using LLM with {self.word()} backend")
        gpus = DOES.get("gpus", 1)
        if tensor_parallel_size > gpus:
            raise RuntimeError(f"Only {gpus} GPUs are available, but {tensor_parallel_size} are required.")
        if not (Path(model) / "config.json").is_file():
            raise ValueError(f"Failed to load model config from {model}")
        told = {
            "model": model, "tokenizer": tokenizer, "skip_tokenizer_init": skip_tokenizer_init,
            "trust_remote_code": trust_remote_code, "tensor_parallel_size": tensor_parallel_size, "dtype": dtype,
            **kwargs,
        }  # fmt: skip
        for name in DOES.get("ignore", []):
            told.pop(name, None)
        self.args: Any = self.args_class(**told)
        for name in DOES.get("drop", []):
            setattr(self.args, name, None)
        if "dtype" in DOES:
            self.args.dtype = DOES["dtype"]
        if DOES.get("reuse_on"):
            self.args.kv_cache_config.enable_block_reuse = True
        if "quant_algo" in DOES:
            self.args.quant_config = SimpleNamespace(quant_algo=DOES["quant_algo"])
        self.args.parallel_config = SimpleNamespace(tp_size=DOES.get("tp_size", self.args.tensor_parallel_size))
        self._loop: asyncio.AbstractEventLoop | None = None
        self._down = False
        self._requests = 0
        self._speak()
        (HERE / "_calls.jsonl").open("a").write(
            json.dumps({"model": model, **{key: _plain(value) for key, value in told.items()}}) + "\n"
        )

    def word(self) -> str:
        return "PyTorch" if self.backend == "pytorch" else "TensorRT"

    def _speak(self) -> None:
        if DOES.get("silent"):
            return
        kv, graphs = self.args.kv_cache_config, getattr(self.args, "cuda_graph_config", None)
        tokens = DOES.get("kv_tokens", kv.max_tokens or 500_000)
        say("[11/20/2026-12:00:01] [TRT-LLM] [I] ATTENTION RUNTIME FEATURES:  AttentionRuntimeFeatures("
            f"chunked_prefill={bool(getattr(self.args, 'enable_chunked_prefill', False))}, "
            f"cache_reuse={bool(kv.enable_block_reuse)}, has_speculative_draft_tokens=False)")  # fmt: skip
        if DOES.get("overlap_off"):
            say("[11/20/2026-12:00:01] [TRT-LLM] [W] Disable overlap scheduler for speculation mode NGRAM")
        say("[TensorRT-LLM][INFO] Number of tokens per block: 32.")
        say("[TensorRT-LLM][INFO] [MemUsageChange] Allocated 0.10 GiB for max tokens in paged KV cache (8224).")
        say("[11/20/2026-12:00:02] [TRT-LLM] [I] Run generation-only CUDA graph warmup for batch size=64, draft_len=0")
        gib = DOES.get("weights_gib", 0.01)
        say("[11/20/2026-12:00:02] [TRT-LLM] [I] Memory used after loading model weights (inside torch) in memory "
            f"usage profiling: {gib:.2f} GiB")  # fmt: skip
        say(f"[TensorRT-LLM][INFO] [MemUsageChange] Allocated 0.50 GiB for max tokens in paged KV cache ({tokens}).")
        say(f"[11/20/2026-12:00:03] [TRT-LLM] [I] max_seq_len={self.args.max_seq_len}, max_num_requests=1, "
            f"max_num_tokens={self.args.max_num_tokens}, max_batch_size={self.args.max_batch_size}")  # fmt: skip
        if graphs is not None and not DOES.get("no_capture"):
            for size in reversed(graphs.batch_sizes or [1, 2, 4]):
                say(f"[11/20/2026-12:00:03] [TRT-LLM] [I] Run generation-only CUDA graph warmup for batch size={size}, "
                    "draft_len=0")  # fmt: skip

    def generate_async(self, inputs: Any, sampling_params: Any = None, *, streaming: bool = False) -> "RequestOutput":
        if self._down:
            raise RuntimeError("LLM is shutting down")
        loop = asyncio.get_running_loop()
        if self._loop not in (None, loop):
            raise RuntimeError("Queue is bound to a different event loop")
        self._loop = loop
        if len(inputs) > self.args.max_num_tokens:
            raise ValueError(
                f"The sum of prompt length ({len(inputs)}), query length (0) should not exceed max_num_tokens "
                f"({self.args.max_num_tokens})"
            )
        if sampling_params.end_id is None:
            raise ValueError("tokenizer is required to reset end_id if it is None")
        assert streaming
        self._requests += 1
        return RequestOutput(self, list(inputs), sampling_params, loop, self._requests)

    def shutdown(self) -> None:
        self._down = True
        say("[fake] shut down")


class RequestOutput:
    """Responses are put on the loop by a thread; iterating takes one at a time."""

    def __init__(self, llm: BaseLLM, prompt: list[int], choice: Any, loop: Any, number: int) -> None:
        self._llm, self._prompt, self._choice, self._loop = llm, prompt, choice, loop
        self._queue: asyncio.Queue[tuple[list[int], bool]] = asyncio.Queue()
        self._aborted = threading.Event()
        self.finished = False
        self.decoding_iter = 0
        self.cached_tokens = DOES.get("cached_tokens", 0) if number > 1 else 0
        self._number = number
        self.outputs = [Completion()]
        threading.Thread(target=self._work, daemon=True).start()

    def _work(self) -> None:
        many = DOES.get("tokens_each", 1)
        limit = self._choice.max_tokens - DOES.get("short_by", 0)
        made = 0
        while made < limit and not self._aborted.is_set():
            if DOES.get("stall_after") == made:
                return  # never answers again, not even to an abort
            count = min(many, limit - made)
            ids = [(sum(self._prompt) + made + step) % VOCABULARY for step in range(count)]
            made += count
            self._put(ids, made >= limit)
            if DOES.get("pace_s"):
                self._aborted.wait(DOES["pace_s"])
        if made < limit:
            self._put([], True)

    def _put(self, ids: list[int], last: bool) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits for this any more
            self._loop.call_soon_threadsafe(self._queue.put_nowait, (ids, last))

    def abort(self) -> None:
        self._aborted.set()
        if not DOES.get("deaf"):
            (HERE / "_aborted").open("a").write("x")

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Self:
        if self.finished:
            raise StopAsyncIteration
        ids, last = await self._queue.get()
        if DOES.get("fail_after") and self.decoding_iter >= DOES["fail_after"]:
            raise RuntimeError(DOES.get("fail_with", "Executor worker returned error"))
        self.outputs[0].take(ids)
        self.decoding_iter += 1
        self.finished = last
        if last and not hasattr(Completion, "without_metrics"):
            count = len(self.outputs[0].all_ids)
            self.outputs[0].request_perf_metrics = SimpleNamespace(
                timing_metrics=SimpleNamespace(
                    arrival_time=timedelta(seconds=5),
                    first_token_time=timedelta(seconds=5, milliseconds=20),
                    last_token_time=timedelta(seconds=5, milliseconds=20 + 2 * (count - 1)),
                ),
                kv_cache_metrics=SimpleNamespace(num_reused_blocks=DOES.get("reused_blocks", 0)),
                speculative_decoding=SimpleNamespace(
                    total_draft_tokens=4 * self.decoding_iter if DOES.get("tokens_each", 1) > 1 else 0,
                    total_accepted_draft_tokens=count - self.decoding_iter,
                ),
            )
        if self.finished and self._aborted.is_set():
            self.outputs[0].finish_reason = "cancelled"
        self.decoding_iter -= 1 if last else 0  # counts from 0
        return self


class Completion:
    request_perf_metrics: Any = None
    finish_reason: str | None = None

    def __init__(self) -> None:
        self.all_ids: list[int] = []
        self._new: list[int] = []

    def take(self, ids: list[int]) -> None:
        self.all_ids += ids
        self._new = list(ids)

    @property
    def token_ids(self) -> list[int]:
        return self._new if DOES.get("chunks") else self.all_ids

    @property
    def token_ids_diff(self) -> list[int]:
        return self._new


if "request_perf_metrics" in LINE["without"].get("CompletionOutput", []):
    Completion.without_metrics = True  # type: ignore[attr-defined]


class LLM(BaseLLM):
    pass


class TrtLLM(BaseLLM):
    args_class = TrtLlmArgs
    backend = "tensorrt"


def _plain(value: Any) -> Any:
    if isinstance(value, Model):
        return {"class": type(value).__name__} | {name: _plain(getattr(value, name)) for name in value.model_fields}
    return value if isinstance(value, str | int | float | bool | list | None) else str(value)
