"""The config: what is measured, typed and documented in one place.

The descriptions here are the comments in generated TOML files, the text of `infertui config keys` and of the
exported JSON Schema.
"""

from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

from msgspec import Meta, defstruct, field

from infertui.config.endpoint import YEAR_S, CapacityConfig, LoadConfig, TargetConfig
from infertui.config.engines.llama_cpp import LlamaCppOptions
from infertui.config.engines.onnxruntime_genai import OnnxruntimeGenaiOptions
from infertui.config.engines.openvino import OpenvinoOptions
from infertui.config.engines.registry import BUILT_IN, SPECS
from infertui.config.engines.simulator import SimulatorOptions
from infertui.config.engines.tensorrt_llm import TensorrtLlmOptions
from infertui.config.engines.transformers import TransformersOptions
from infertui.config.engines.vllm import VllmOptions
from infertui.config.section import MAX_INT, Section

Options = TypeVar("Options", bound=Section)

Auto = Literal["auto"]
Dtype = Literal["auto", "float32", "float16", "bfloat16"]
PromptSet = Literal["short", "medium", "long", "random"]

# What people call the dtypes elsewhere; accepted wherever a dtype is, written back by its full name.
DTYPE_ALIASES: dict[str, Dtype] = {
    "fp32": "float32", "f32": "float32", "float": "float32",
    "fp16": "float16", "f16": "float16", "half": "float16",
    "bf16": "bfloat16",
}  # fmt: skip

_GPU = r"([0-9]{1,3}|(GPU|MIG)-[0-9A-Za-z/-]+)"

# `extra={"allowed": ...}` says in words what a pattern means; errors, `config keys` and generated files show it.


class ModelConfig(Section, frozen=True):
    """Which model."""

    id: Annotated[
        str,
        Meta(
            min_length=1,
            pattern=r"\S",
            extra={"allowed": "text, not empty"},
            description="Hugging Face id, local directory, or synthetic:NAME for the real architecture with random "
            "weights (nano, tinyllama-1.1b, llama-3-8b, ... as `infertui models` lists them, or a config.json)",
        ),
    ] = "synthetic:nano"
    revision: Annotated[str, Meta(description="branch, tag or commit of a Hugging Face model; empty: main")] = ""
    seed: Annotated[int, Meta(ge=0, le=MAX_INT, description="seed of synthetic weights")] = 0
    trust_remote_code: Annotated[
        bool, Meta(description="run Python code that comes with the model; off unless you trust its author")
    ] = False


class CommonEngineOptions(Section, frozen=True):
    """Which engine runs the model, and the options that engines share; an engine says which of them it takes."""

    name: Annotated[str, Meta(description="the backend")] = "transformers"
    python: Annotated[
        str,
        Meta(
            description="Python interpreter of another environment, in which the engine is installed; empty: as "
            "`infertui engines use` set it, else this one"
        ),
    ] = ""
    fallback: Annotated[
        bool, Meta(description="where the engine cannot be used, measure Transformers instead, marked as a fallback")
    ] = False
    dtype: Annotated[
        Dtype,
        Meta(description="number format of weights and compute; auto: the checkpoint's, or float32 on a CPU"),
    ] = "auto"
    mode: Annotated[str, Meta(description="how steps are executed; auto: the engine's own default")] = "auto"
    attention: Annotated[
        str, Meta(description="attention implementation; auto: the library's choice for the model")
    ] = "auto"
    quantization: Annotated[
        str, Meta(description="number format of the weights where it is not dtype; auto: as the checkpoint has it")
    ] = "auto"
    speculation: Annotated[str, Meta(description="how tokens are drafted ahead, to be checked several at a time")] = (
        "none"
    )
    draft_model: Annotated[str, Meta(description="the model that drafts, as model.id; needs speculation")] = ""
    draft_tokens: Annotated[
        int, Meta(ge=0, le=1000, description="tokens drafted at a time; 0: the engine's choice")
    ] = 0
    tensor_parallel: Annotated[int, Meta(ge=1, le=64, description="GPUs over which every layer is divided")] = 1

    def options(self, table: str, kind: type[Options]) -> Options:
        """The options of the engine whose table that is, as it described them."""
        found = getattr(self, table)
        assert isinstance(found, kind)  # noqa: S101
        return found


class _BuiltInEngines(CommonEngineOptions, frozen=True):
    """Which engine runs the model, the options that engines share, and a table of own options for each."""

    transformers: TransformersOptions = field(default_factory=TransformersOptions)
    tensorrt_llm: TensorrtLlmOptions = field(default_factory=TensorrtLlmOptions)
    vllm: VllmOptions = field(default_factory=VllmOptions)
    llama_cpp: LlamaCppOptions = field(default_factory=LlamaCppOptions)
    openvino: OpenvinoOptions = field(default_factory=OpenvinoOptions)
    onnxruntime_genai: OnnxruntimeGenaiOptions = field(default_factory=OnnxruntimeGenaiOptions)
    simulator: SimulatorOptions = field(default_factory=SimulatorOptions)


if TYPE_CHECKING:
    EngineConfig = _BuiltInEngines
else:  # engines of other packages have tables, too
    EngineConfig = defstruct(
        "EngineConfig",
        [
            (spec.table, spec.options, field(default_factory=spec.options))
            for spec in SPECS.values()
            if spec not in BUILT_IN
        ],
        bases=(_BuiltInEngines,),
        frozen=True,
        module=__name__,
        namespace={"__doc__": _BuiltInEngines.__doc__},
    )


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
            description="prompt tokens per request, exactly (truncated or repeated); 0: from the prompts, each as it "
            "is tokenized",
        ),
    ] = 0
    prompts: Annotated[
        PromptSet, Meta(description="bundled prompts by length, or random token ids (needs input_len)")
    ] = "short"
    prompts_file: Annotated[
        str,
        Meta(
            description="file of prompts: one per line, or JSON (also ShareGPT), JSONL or CSV with a `prompt` field; "
            "replaces `prompts`; empty: none"
        ),
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
    top_k: Annotated[int, Meta(ge=0, le=MAX_INT, description="sample among the k likeliest tokens; 0: all")] = 0
    top_p: Annotated[float, Meta(gt=0, le=1, description="sample within this probability mass; 1: all")] = 1.0
    seed: Annotated[int, Meta(ge=0, le=MAX_INT, description="seed of random prompts and of sampling")] = 0


class MeasurementConfig(Section, frozen=True):
    """How it is measured."""

    warmup: Annotated[
        Annotated[int, Meta(ge=0, le=100_000)] | Auto,
        Meta(description="batches run before measuring; auto: until the step time has converged"),
    ] = "auto"
    iterations: Annotated[
        int,
        Meta(ge=0, le=10_000_000, description="batches measured; 0: once through the prompts, at least 5"),
    ] = 0
    min_seconds: Annotated[
        float,
        Meta(
            ge=0,
            le=YEAR_S,
            description="keep measuring batches for at least this long in total (5 s bound the error of energy to 2 "
            "%); 0: no minimum, `iterations` are enough",
        ),
    ] = 0.0
    max_seconds: Annotated[
        float,
        Meta(ge=0, le=YEAR_S, description="start no new batch once measuring has taken this long; 0: no limit"),
    ] = 0.0
    sample_hz: Annotated[
        float,
        Meta(
            ge=0,
            le=10,
            description="samples of GPU and host per second while measuring; 0: no sampling while measuring",
        ),
    ] = 10.0
    load_timeout_s: Annotated[float, Meta(gt=0, le=YEAR_S, description="give up when loading takes longer")] = 1800.0
    step_timeout_s: Annotated[float, Meta(gt=0, le=YEAR_S, description="give up when one token step takes longer")] = (
        300.0
    )
    total_timeout_s: Annotated[
        float, Meta(ge=0, le=YEAR_S, description="give up when the run takes longer; 0: no limit")
    ] = 0.0
    fresh_process: Annotated[
        bool, Meta(description="start a new worker even where the loaded model could be used again")
    ] = False


class ValidityConfig(Section, frozen=True):
    """When a run counts as invalid, and `infertui run` ends with exit code 3. 0 disables a threshold."""

    max_drift: Annotated[
        float,
        Meta(
            ge=0,
            le=10,
            description="largest relative change of throughput while measuring, between the first and second half or "
            "as a linear trend; counts only if noise alone would cause it in under 1 % of runs",
        ),
    ] = 0.15
    max_variation: Annotated[
        float,
        Meta(ge=0, le=10, description="largest coefficient of variation (std / mean) of throughput over iterations"),
    ] = 0.15
    min_iterations: Annotated[
        int, Meta(ge=0, le=100_000, description="iterations below which there is no confidence interval")
    ] = 3
    max_others_cpu: Annotated[
        float,
        Meta(
            ge=0,
            le=100,
            description="largest CPU use of other processes, in percent; counts only while the CPUs are nearly "
            "saturated",
        ),
    ] = 20.0
    max_swap_mib: Annotated[
        float, Meta(ge=0, le=MAX_INT, description="most memory swapped in and out while measuring, in MiB")
    ] = 16.0
    max_clock_fall: Annotated[
        float,
        Meta(
            ge=0,
            le=1,
            description="largest relative drop of the SM clock while measuring; at the power limit it is only noted",
        ),
    ] = 0.15
    max_client_share: Annotated[
        float,
        Meta(ge=0, le=1, description="largest harness overhead: share of the measured time in infertui's own code"),
    ] = 0.05
    throttling: Annotated[
        bool, Meta(description="thermal, power-brake and slowdown throttling make the run invalid")
    ] = True
    foreign_processes: Annotated[
        bool, Meta(description="another process that computes on the run's GPU makes the run invalid")
    ] = True
    steady_warmup: Annotated[
        bool,
        Meta(
            description="a run is invalid whose warm-up did not converge and whose throughput went on changing, by "
            "over 5 % and more than noise explains"
        ),
    ] = True


class QualityConfig(Section, frozen=True):
    """Whether a run still says the same: its tokens beside a reference's, and how well it predicts a text."""

    reference: Annotated[
        str,
        Meta(
            description="id of the run whose greedy outputs this run's are compared with, in the same folder; auto: "
            "the earliest run of highest precision with the same model and prompts; none: no comparison",
        ),
    ] = "auto"
    min_agreement: Annotated[
        Annotated[float, Meta(ge=0, le=1)] | Auto,
        Meta(
            description="smallest share of output tokens equal to the reference's; below it the run is marked as "
            "diverged; 0: never; auto: 0.9 in float32, not counting ties of logits; never in 16 bits, where rounding "
            "alone changes outputs"
        ),
    ] = "auto"
    perplexity: Annotated[
        Literal["auto", "on", "off"],
        Meta(
            description="perplexity on a text, after measuring; auto: where the weights are real and the engine can "
            "tell; on: refuse random weights"
        ),
    ] = "auto"
    text_file: Annotated[
        str,
        Meta(
            description="text to score for perplexity, UTF-8; empty: a bundled one, in the public domain",
            extra={"path": True},
        ),
    ] = ""
    text_tokens: Annotated[int, Meta(ge=16, le=1 << 20, description="most tokens of the text to score")] = 1024
    score_timeout_s: Annotated[
        float, Meta(gt=0, le=YEAR_S, description="give up perplexity when scoring takes longer")
    ] = 120.0
    max_perplexity_rise: Annotated[
        float,
        Meta(
            ge=0,
            le=1000,
            description="largest relative rise of perplexity over the reference's before the run is marked; 0: never",
        ),
    ] = 0.05
    bleu: Annotated[bool, Meta(description="BLEU between the outputs and the reference's (needs sacrebleu)")] = False


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

    grid: Annotated[dict[str, AxisValues], Meta(description="every combination of these axes")] = field(
        default_factory=dict
    )
    zip: Annotated[dict[str, AxisValues], Meta(description="these axes advance together; equal lengths")] = field(
        default_factory=dict
    )


class Config(Section, frozen=True):
    """One configuration to measure, or several when it has a `[sweep]`."""

    model: ModelConfig = field(default_factory=ModelConfig)
    engine: EngineConfig = field(default_factory=EngineConfig)
    workload: WorkloadConfig = field(default_factory=WorkloadConfig)
    measurement: MeasurementConfig = field(default_factory=MeasurementConfig)
    validity: ValidityConfig = field(default_factory=ValidityConfig)
    quality: QualityConfig = field(default_factory=QualityConfig)
    device: DeviceConfig = field(default_factory=DeviceConfig)
    target: TargetConfig = field(default_factory=TargetConfig)
    load: LoadConfig = field(default_factory=LoadConfig)
    capacity: CapacityConfig = field(default_factory=CapacityConfig)
    labels: Annotated[dict[str, str], Meta(description="your own key = value notes, kept with the results")] = field(
        default_factory=dict
    )
    sweep: SweepConfig = field(default_factory=SweepConfig)
