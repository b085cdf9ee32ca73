"""The config: what is measured, typed and documented in one place.

The descriptions here are the comments in generated TOML files, the text of `infertui config keys` and of the
exported JSON Schema.
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

Auto = Literal["auto"]
Dtype = Literal["auto", "float32", "float16", "bfloat16"]
EngineName = Literal["transformers", "simulator"]
Attention = Literal["auto", "eager", "sdpa", "flash_attention_2"]
PromptSet = Literal["short", "medium", "long", "random"]
SimulatorFault = Literal["none", "error", "crash", "hang", "exit", "out-of-memory", "oom-kill"]

# What people call the dtypes elsewhere; accepted wherever a dtype is, written back by its full name.
DTYPE_ALIASES: dict[str, Dtype] = {
    "fp32": "float32", "f32": "float32", "float": "float32",
    "fp16": "float16", "f16": "float16", "half": "float16",
    "bf16": "bfloat16",
}  # fmt: skip


_MAX_INT = 2**31 - 1
_YEAR_S = 31_536_000
_GPU = r"([0-9]{1,3}|(GPU|MIG)-[0-9A-Za-z/-]+)"

# `extra={"allowed": ...}` says in words what a pattern means; errors, `config keys` and generated files show it.


class Section(Struct, frozen=True):
    """Base of every table of the config: immutable.

    `config.decode` refuses unknown keys. Results of other versions, which may have more, are read all the same.
    """


class ModelConfig(Section, frozen=True):
    """Which model."""

    id: Annotated[
        str,
        Meta(
            min_length=1,
            pattern=r"\S",
            extra={"allowed": "text, not empty"},
            description="Hugging Face id, local directory, or synthetic:NAME for the real architecture with random "
            "weights (synthetic:nano, gpt2-124m, tinyllama-1.1b, llama-8b, or a config.json)",
        ),
    ] = "synthetic:nano"
    revision: Annotated[str, Meta(description="branch, tag or commit of a Hugging Face model; empty: main")] = ""
    seed: Annotated[int, Meta(ge=0, le=_MAX_INT, description="seed of synthetic weights")] = 0
    trust_remote_code: Annotated[
        bool, Meta(description="run Python code that comes with the model; off unless you trust its author")
    ] = False


class SimulatorConfig(Section, frozen=True):
    """The simulator engine: exactly known timings, to check the measuring itself. It loads no model."""

    ttft_ms: Annotated[float, Meta(ge=0, le=3.6e6, description="time to first token")] = 20.0
    step_ms: Annotated[float, Meta(ge=0, le=3.6e6, description="time of every further token step")] = 5.0
    jitter_ms: Annotated[
        float, Meta(ge=0, le=3.6e6, description="each step is longer by a seeded draw from 0 to this")
    ] = 0.0
    load_ms: Annotated[float, Meta(ge=0, le=3.6e6, description="time that loading takes")] = 0.0
    fail_every: Annotated[int, Meta(ge=0, le=_MAX_INT, description="every n-th batch fails; 0: none")] = 0
    short_by: Annotated[int, Meta(ge=0, le=_MAX_INT, description="tokens by which each output falls short")] = 0
    virtual_time: Annotated[
        bool, Meta(description="advance a virtual clock instead of sleeping: reported times are exact")
    ] = False
    gpu_uuid: Annotated[
        str, Meta(description="UUID of a GPU that it claims to use, so that its telemetry counts as the run's")
    ] = ""
    fault: Annotated[SimulatorFault, Meta(description="what goes wrong, once, in fault_batch")] = "none"
    fault_batch: Annotated[
        int,
        Meta(
            ge=0,
            le=_MAX_INT,
            description="the batch half-way through which it does, warm-up included; 0: while loading",
        ),
    ] = 1


class EngineConfig(Section, frozen=True):
    """Which engine runs the model, and its knobs."""

    name: Annotated[EngineName, Meta(description="the backend")] = "transformers"
    dtype: Annotated[
        Dtype,
        Meta(description="number format of weights and compute; auto: the checkpoint's, or float32 on a CPU"),
    ] = "auto"
    attention: Annotated[
        Attention, Meta(description="attention implementation; auto: the library's choice for the model")
    ] = "auto"
    simulator: SimulatorConfig = field(default_factory=SimulatorConfig)


class WorkloadConfig(Section, frozen=True):
    """What the engine is asked to generate."""

    batch_size: Annotated[int, Meta(ge=1, le=65536, description="sequences generated together in one batch")] = 1
    output_len: Annotated[
        int,
        Meta(ge=1, le=1 << 20, description="tokens generated per request, exactly: end-of-sequence is ignored"),
    ] = 64
    input_len: Annotated[
        int,
        Meta(
            ge=0,
            le=1 << 22,
            description="prompt tokens per request, exactly (cut or repeated); 0: as they come",
        ),
    ] = 0
    prompts: Annotated[
        PromptSet, Meta(description="bundled prompts by length, or random token ids (needs input_len)")
    ] = "short"
    prompts_file: Annotated[
        str,
        Meta(description="a text file, one prompt per line, or JSONL with a `prompt` field; replaces `prompts`"),
    ] = ""
    num_prompts: Annotated[
        int,
        Meta(
            ge=0,
            le=10_000_000,
            description="requests to measure in all, rounded up to whole batches; 0: iterations x batch_size",
        ),
    ] = 0
    temperature: Annotated[
        float, Meta(ge=0, le=100, description="0: greedy; above: sampling with this temperature")
    ] = 0.0
    top_k: Annotated[int, Meta(ge=0, le=_MAX_INT, description="sample among the k likeliest tokens; 0: all")] = 0
    top_p: Annotated[float, Meta(gt=0, le=1, description="sample within this probability mass; 1: all")] = 1.0
    seed: Annotated[int, Meta(ge=0, le=_MAX_INT, description="seed of random prompts and of sampling")] = 0


class MeasurementConfig(Section, frozen=True):
    """How it is measured."""

    warmup: Annotated[
        Annotated[int, Meta(ge=0, le=100_000)] | Auto,
        Meta(description="batches run before measuring starts; auto: until the step time is steady"),
    ] = "auto"
    iterations: Annotated[
        int,
        Meta(ge=0, le=10_000_000, description="batches measured; 0: once through the prompts, at least 5"),
    ] = 0
    max_seconds: Annotated[
        float,
        Meta(ge=0, le=_YEAR_S, description="start no further batch after this many seconds of measuring; 0: no limit"),
    ] = 0.0
    sample_hz: Annotated[
        float, Meta(ge=0, le=10, description="GPU and host samples per second while measuring; 0: none then")
    ] = 10.0
    load_timeout_s: Annotated[float, Meta(gt=0, le=_YEAR_S, description="give up when loading takes longer")] = 1800.0
    step_timeout_s: Annotated[float, Meta(gt=0, le=_YEAR_S, description="give up when one token step takes longer")] = (
        300.0
    )
    total_timeout_s: Annotated[
        float, Meta(ge=0, le=_YEAR_S, description="give up when the run takes longer; 0: no limit")
    ] = 0.0
    fresh_process: Annotated[
        bool, Meta(description="start a new worker even where the loaded model could be used again")
    ] = False


class DeviceConfig(Section, frozen=True):
    """Where it runs."""

    name: Annotated[
        str,
        Meta(
            pattern=r"^(auto|cpu|cuda(:[0-9]{1,3})?)$",
            extra={"allowed": "auto, cpu, cuda or cuda:N"},
            description="auto (a GPU if there is one), cpu, cuda, or cuda:N",
        ),
    ] = "auto"
    visible: Annotated[
        str,
        Meta(
            pattern=rf"^(|-1|{_GPU}(, *{_GPU})*)$",
            extra={"allowed": "GPU indices or UUIDs with commas between, as in 0,1; -1 for none; empty for all"},
            description="GPUs that the worker may see, as in CUDA_VISIBLE_DEVICES; -1: none; empty: all",
        ),
    ] = ""
    threads: Annotated[int, Meta(ge=0, le=4096, description="CPU threads for compute; 0: the library's choice")] = 0
    force: Annotated[bool, Meta(description="load even when the memory estimate says that it cannot fit")] = False


AxisValues = list[int | float | bool | str] | str
"""A list of values, or the range grammar: `0,10,20`, `0-40+10`, `1-64*2`."""


class SweepConfig(Section, frozen=True):
    """Axes over which a config expands to many. Keys are dotted paths such as "workload.batch_size"."""

    grid: Annotated[dict[str, AxisValues], Meta(description="every combination of these axes")] = {}
    zip: Annotated[dict[str, AxisValues], Meta(description="these axes advance together; equal lengths")] = {}


class Config(Section, frozen=True):
    """One configuration to measure, or several when it has a `[sweep]`."""

    model: ModelConfig = field(default_factory=ModelConfig)
    engine: EngineConfig = field(default_factory=EngineConfig)
    workload: WorkloadConfig = field(default_factory=WorkloadConfig)
    measurement: MeasurementConfig = field(default_factory=MeasurementConfig)
    device: DeviceConfig = field(default_factory=DeviceConfig)
    labels: Annotated[dict[str, str], Meta(description="your own key = value notes, kept with the results")] = {}
    sweep: SweepConfig = field(default_factory=SweepConfig)
