"""The servers that infertui can start, and how each is told what a config says. Pure, but for looking at files.

Command lines are those of vLLM 0.26 to 0.33 (`vllm serve`, whose flags are the fields of EngineArgs), llama.cpp as
llama-cpp-python 0.3.36 carries it (tools/server/README.md), SGLang 0.5.23 (`srt/arg_groups`), TensorRT-LLM 1.0 to 1.2
(`trtllm-serve`, commands/serve.py) and Transformers 5.23 (`transformers serve --help`). Of these Transformers' and
llama.cpp's were run; those of vLLM, SGLang and TensorRT-LLM were read, and not run.

What an option would be without a flag is refused: what is passed on is what is measured.
"""

import json
import shlex
from collections.abc import Callable, Iterator, Mapping
from typing import Literal

from msgspec import Struct
from msgspec.structs import fields, replace

from infertui.config.engines.registry import SPECS
from infertui.config.schema import Config, EngineConfig
from infertui.config.section import Section
from infertui.errors import ConfigError, ModelError
from infertui.models.memory.of_engine import VLLM_DRAFT_TOKENS
from infertui.models.resolve import ModelSource, resolve

HOST = "127.0.0.1"
Serve = Literal["vllm", "llama-server", "sglang", "trtllm", "transformers"]


class ServerProgram(Struct, frozen=True):
    """A server: the engine whose options it takes (empty: the common ones of any), and how it is found.

    `module`, of `package`, is what a Python interpreter runs, which `needs` other packages for it; `script` is the
    program of that name; `words` come behind either. `ready` is the path that answers 200 once the model is loaded.
    """

    engine: str
    script: str
    install: str
    module: str = ""
    words: tuple[str, ...] = ()
    package: str = ""
    needs: tuple[str, ...] = ()
    ready: str = "/health"


PROGRAMS: Mapping[Serve, ServerProgram] = {
    "vllm": ServerProgram(
        "vllm", "vllm", SPECS["vllm"].install, module="vllm.entrypoints.cli.main", words=("serve",), package="vllm"
    ),
    "llama-server": ServerProgram(
        "llama-cpp", "llama-server", "build or take llama.cpp's llama-server, and put it on PATH"
    ),
    "sglang": ServerProgram(
        "", "", 'pip install sglang, in an environment of its own; then name its Python with engine.python',
        module="sglang.launch_server", package="sglang",
    ),
    "trtllm": ServerProgram(
        "tensorrt-llm", "trtllm-serve", SPECS["tensorrt-llm"].install, module="tensorrt_llm.commands.serve",
        words=("serve",), package="tensorrt_llm",
    ),
    "transformers": ServerProgram(
        "transformers", "", 'pip install "transformers[serving]"', module="transformers.cli.transformers",
        words=("serve",), package="transformers", needs=("fastapi", "openai", "pydantic", "uvicorn"),
    ),
}  # fmt: skip

_SERVED_BY: Mapping[str, Serve] = {program.engine: serve for serve, program in PROGRAMS.items() if program.engine}


class ServerArguments(Struct, frozen=True):
    """What a server is told. `settings`: what goes to it as a file of YAML; `variables` are set for it."""

    arguments: tuple[str, ...]
    settings: str = ""
    variables: Mapping[str, str] = {}


class _Flags:
    """Arguments in the making. `passed` are the keys of [engine] that they say."""

    def __init__(self) -> None:
        self.arguments: list[str] = []
        self.passed: set[str] = {"engine.name", "engine.python"}
        self.settings: dict[str, object] = {}
        self.variables: dict[str, str] = {}

    def add(self, flag: str, value: object = None) -> None:
        self.arguments += [flag] if value is None else [flag, str(value)]

    def say(self, key: str, flag: str, value: object, unless: object) -> None:
        """The flag for a key of the config, where it is not at the default that both share."""
        self.passed.add(key)
        if value != unless:
            self.add(flag, value)

    def switch(self, key: str, flag: str, *, on: bool) -> None:
        self.passed.add(key)
        if on:
            self.add(flag)


def check_server(config: Config) -> None:
    """Raise ConfigError for what the server that `target.serve` names cannot be told, or ModelError for its model."""
    server_arguments(config, port=0)


def server_arguments(config: Config, port: int) -> ServerArguments:
    """What the server of a config is told, on a port of this machine. Reads the model's files: not on an event loop.

    Raises ConfigError for an option that it has no argument for, and ModelError for a model that is not here.
    """
    serve = config.target.serve
    assert serve != "none"  # noqa: S101 (asked of configs with a server)
    program, engine = PROGRAMS[serve], config.engine
    if program.engine and engine.name != program.engine:
        raise ConfigError(
            "engine.name", f"is {engine.name}, and target.serve = {serve} takes the options of {program.engine}",
            remedy=f"Set engine.name = {program.engine}.",
        )  # fmt: skip
    source = _model(config, serve)
    flags = _Flags()
    _MAKERS[serve](flags, config, source, port)
    for key in _changed(engine):
        if key not in flags.passed:
            raise ConfigError(
                key, f"has no argument of {serve} that infertui knows",
                remedy="Leave it at its default, or say it in the server's own words with target.serve_args.",
            )  # fmt: skip
    return ServerArguments(
        (*flags.arguments, *own_arguments(config.target.serve_args)),
        json.dumps(flags.settings, sort_keys=True) if flags.settings else "",
        flags.variables,
    )


def serving_command(config: Config, *, port: int = 8000) -> str:
    """What one types to serve a config's model by its engine's own server, with as many sequences at once as its
    batches had; empty where there is none, it has no argument for an option, or the model is not here.

    Reads the model's files: not on an event loop.
    """
    own = config.target.serve
    serve = own if own != "none" else _SERVED_BY.get(config.engine.name)
    if serve is None:
        return ""
    asked = replace(
        config, target=replace(config.target, serve=serve),
        load=replace(config.load, concurrency=config.load.concurrency or config.workload.batch_size),
    )  # fmt: skip
    try:
        told = server_arguments(asked, port)
        source = resolve(config.model.id, config.model.revision)
    except (ConfigError, ModelError):
        return ""
    named = config.model.id if source.kind == "hub" else str(source.path)
    program = PROGRAMS[serve]
    start = (program.script, *program.words) if program.script else ("python", "-m", program.module, *program.words)
    words = [named if word == str(source.path) else word for word in told.arguments]
    text = shlex.join((*start, *words))
    return f"{text} --extra_llm_api_options <(echo {shlex.quote(told.settings)})" if told.settings else text


def own_arguments(text: str) -> tuple[str, ...]:
    """The words of `target.serve_args`. Raises ConfigError for an open quote, and for where the server listens."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise ConfigError("target.serve_args", f"cannot be split as a shell does: {error}") from error
    for word in words:
        if word.partition("=")[0] in ("--host", "--port") or "\0" in word:
            raise ConfigError(
                "target.serve_args", f"has {word!r}: infertui chooses where the server listens",
                allowed="other arguments",
            )  # fmt: skip
    return tuple(words)


def served_name(config: Config) -> str:
    """The name under which it serves the model, where it can be told one."""
    return config.target.model or config.model.id


def _changed(engine: EngineConfig) -> Iterator[str]:
    """Keys of [engine] that are not at their default."""
    plain = EngineConfig()
    for field in fields(engine):
        value, default = getattr(engine, field.name), getattr(plain, field.name)
        if not isinstance(value, Section):
            if value != default:
                yield f"engine.{field.name}"
            continue
        for inner in fields(value):
            if getattr(value, inner.name) != getattr(default, inner.name):
                yield f"engine.{field.name}.{inner.name}"


def _model(config: Config, serve: Serve) -> ModelSource:
    source = resolve(config.model.id, config.model.revision)
    if source.kind == "synthetic":
        raise ConfigError(
            "model.id", f"is {config.model.id}: it has no tokenizer, which {serve} needs",
            allowed="a directory, a GGUF file or a Hugging Face id",
        )  # fmt: skip
    if (source.kind == "gguf") != (serve == "llama-server"):
        raise ConfigError(
            "model.id", f"is {'a' if source.kind == 'gguf' else 'no'} GGUF file, and target.serve is {serve}",
            allowed="GGUF files with llama-server alone",
        )  # fmt: skip
    return source


def _vllm(flags: _Flags, config: Config, source: ModelSource, port: int) -> None:
    engine, options = config.engine, config.engine.vllm
    flags.add(str(source.path))
    flags.add("--host", HOST)
    flags.add("--port", port)
    flags.add("--served-model-name", served_name(config))
    flags.say("engine.dtype", "--dtype", engine.dtype, "auto")
    flags.passed.add("engine.mode")
    if engine.mode == "eager":
        flags.add("--enforce-eager")
    flags.say("engine.tensor_parallel", "--tensor-parallel-size", engine.tensor_parallel, 1)
    if engine.quantization == "fp8":  # its int8 depends on the model, and needs torchao
        flags.say("engine.quantization", "--quantization", "fp8", "auto")
    flags.say("engine.vllm.kv_cache_mib", "--kv-cache-memory-bytes", options.kv_cache_mib << 20, 0)
    flags.say("engine.vllm.kv_cache_dtype", "--kv-cache-dtype", options.kv_cache_dtype, "auto")
    flags.say("engine.vllm.max_num_batched_tokens", "--max-num-batched-tokens", options.max_num_batched_tokens, 0)
    flags.passed.add("engine.vllm.own_metrics")  # which a server has in any case
    if engine.speculation != "none":
        flags.add("--speculative-config", json.dumps(_vllm_drafts(engine)))
        flags.passed |= {"engine.speculation", "engine.draft_model", "engine.draft_tokens"}
    if config.model.trust_remote_code:
        flags.add("--trust-remote-code")
    flags.variables.update(VLLM_NO_USAGE_STATS="1", DO_NOT_TRACK="1")
    _threads(flags, config)


def _vllm_drafts(engine: EngineConfig) -> dict[str, object]:
    tokens = engine.draft_tokens or VLLM_DRAFT_TOKENS
    if engine.speculation == "prompt-lookup":
        return {
            "method": "ngram", "num_speculative_tokens": tokens, "prompt_lookup_max": 3, "prompt_lookup_min": 1,
        }  # fmt: skip
    draft = resolve(engine.draft_model)
    return {"method": "draft_model", "model": str(draft.path), "num_speculative_tokens": tokens}


def _llama_server(flags: _Flags, config: Config, source: ModelSource, port: int) -> None:
    options = config.engine.llama_cpp
    flags.add("--model", source.path)
    flags.add("--host", HOST)
    flags.add("--port", port)
    flags.add("--alias", served_name(config))
    flags.passed |= {f"engine.llama_cpp.{name}" for name in options.__struct_fields__}
    if config.device.name == "cpu":
        flags.add("--device", "none")
    layers = "all" if options.n_gpu_layers < 0 else options.n_gpu_layers
    flags.add("--n-gpu-layers", 0 if config.device.name == "cpu" else layers)
    if options.n_cpu_moe:
        flags.add("--n-cpu-moe", options.n_cpu_moe)
    slots = config.load.concurrency
    if slots:
        flags.add("--parallel", slots)
    if options.n_ctx:
        flags.add("--ctx-size", options.n_ctx)
    flags.add("--batch-size", options.n_batch)
    flags.add("--ubatch-size", options.n_ubatch)
    flags.add("--flash-attn", "on" if options.flash_attention else "off")
    flags.add("--cache-type-k", options.type_k)
    flags.add("--cache-type-v", options.type_v)
    flags.add("--metrics")
    if config.device.threads:
        flags.add("--threads", config.device.threads)


def _sglang(flags: _Flags, config: Config, source: ModelSource, port: int) -> None:
    engine = config.engine
    flags.add("--model-path", source.path)
    flags.add("--host", HOST)
    flags.add("--port", port)
    flags.add("--served-model-name", served_name(config))
    flags.say("engine.dtype", "--dtype", engine.dtype, "auto")
    flags.say("engine.tensor_parallel", "--tp-size", engine.tensor_parallel, 1)
    flags.switch("engine.mode", "--disable-cuda-graph", on=engine.mode == "eager")
    if engine.quantization == "fp8":
        flags.say("engine.quantization", "--quantization", "fp8", "auto")
    if config.model.trust_remote_code:
        flags.add("--trust-remote-code")
    if config.device.name != "auto":
        flags.add("--device", config.device.name.partition(":")[0])
    flags.add("--enable-metrics")
    _threads(flags, config)


def _trtllm(flags: _Flags, config: Config, source: ModelSource, port: int) -> None:
    engine, options = config.engine, config.engine.tensorrt_llm
    flags.add(str(source.path))
    flags.add("--host", HOST)
    flags.add("--port", port)
    flags.add("--backend", "pytorch")
    flags.say("engine.tensor_parallel", "--tp_size", engine.tensor_parallel, 1)
    flags.say("engine.tensorrt_llm.max_num_tokens", "--max_num_tokens", options.max_num_tokens, 0)
    flags.switch("engine.tensorrt_llm.chunked_prefill", "--enable_chunked_prefill", on=options.chunked_prefill)
    if config.model.trust_remote_code:
        flags.add("--trust_remote_code")
    # What has no flag is an argument of the LLM API, in the names of `targets.engine.tensorrt_llm`.
    if engine.dtype != "auto":
        flags.settings["dtype"] = engine.dtype
    if options.kv_cache_dtype != "auto":
        flags.settings["kv_cache_config"] = {"dtype": options.kv_cache_dtype}
    if engine.mode == "eager":
        flags.settings["cuda_graph_config"] = None
    if options.overlap_scheduler != "auto":
        flags.settings["disable_overlap_scheduler"] = options.overlap_scheduler == "off"
    flags.passed |= {
        "engine.dtype", "engine.mode", "engine.tensorrt_llm.kv_cache_dtype", "engine.tensorrt_llm.overlap_scheduler",
    }  # fmt: skip


def _transformers(flags: _Flags, config: Config, source: ModelSource, port: int) -> None:
    engine = config.engine
    flags.add(str(source.path))
    flags.add("--host", HOST)
    flags.add("--port", port)
    flags.say("engine.dtype", "--dtype", engine.dtype, "auto")
    flags.say("engine.attention", "--attn-implementation", engine.attention, "auto")
    if engine.mode in ("auto", "eager", "compile", "continuous"):
        flags.switch("engine.mode", "--compile", on=engine.mode == "compile")
        flags.switch("engine.mode", "--continuous-batching", on=engine.mode == "continuous")
    if config.model.trust_remote_code:
        flags.add("--trust-remote-code")
    if config.device.name != "auto":
        # A run's GPUs are all that it sees, and the first of them is its.
        flags.add("--device", "cpu" if config.device.name == "cpu" else "cuda:0")
    _threads(flags, config)


def _threads(flags: _Flags, config: Config) -> None:
    flags.variables["HF_HUB_OFFLINE"] = "1"  # the model is here
    if config.device.threads:
        flags.variables["OMP_NUM_THREADS"] = str(config.device.threads)


_MAKERS: Mapping[Serve, Callable[[_Flags, Config, ModelSource, int], None]] = {
    "vllm": _vllm,
    "llama-server": _llama_server,
    "sglang": _sglang,
    "trtllm": _trtllm,
    "transformers": _transformers,
}
