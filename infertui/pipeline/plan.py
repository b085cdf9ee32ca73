"""What a pipeline will do, in which order, and how long that takes: before anything is done. Pure."""

import re
from collections.abc import Mapping, Sequence
from pathlib import PurePath

from msgspec import Struct
from msgspec.structs import replace

from infertui.config.engines.registry import BUILT_IN, SPECS
from infertui.config.fields import FIELDS
from infertui.config.parse import flat_values
from infertui.config.schema import Config
from infertui.pipeline.estimate import REPORT_S, UNDRAWN_REPORT_S, Estimate
from infertui.pipeline.state import STEPS, LeftOut, PipelineFile, Step

TENSORRT_LLM = "tensorrt-llm"
FUSED = "transformers:cudagraph:fused"
USUAL_ROUNDS, QUICK_ROUNDS = 5, 3
ORDER_ON_GPU = (
    TENSORRT_LLM, FUSED, "vllm", "llama-cpp", "onnxruntime-genai", "transformers:compile", "transformers:cudagraph",
)  # fmt: skip
ORDER_ON_CPU = ("llama-cpp", "openvino", "onnxruntime-genai", "vllm", "transformers:compile")
"""What is usually fastest first, as the results in the README show for one GPU, and runs of small models on CPUs."""

USUAL: Mapping[str, object] = {
    "workload.prompts": "medium", "workload.input_len": 128, "workload.output_len": 64,
    "measurement.iterations": 5, "measurement.min_seconds": 5.0, "measurement.max_seconds": 60.0,
}  # fmt: skip
"""Of a pipeline, where nobody says otherwise: energy is known within 2 % after 5 s."""
QUICK: Mapping[str, object] = {
    **USUAL,
    "workload.output_len": 32, "measurement.iterations": 3, "measurement.warmup": 1, "measurement.min_seconds": 0.0,
    "measurement.max_seconds": 20.0,
}  # fmt: skip


def candidates(*, on_gpu: bool) -> tuple[str, ...]:
    """The engines and modes that the fastest one is looked for among, in the order that is usual."""
    others = tuple(name for name, spec in SPECS.items() if spec not in BUILT_IN)
    return (*(ORDER_ON_GPU if on_gpu else ORDER_ON_CPU), *others)


def trial_of(config: Config) -> Config:
    """A short run of a config, to choose by: a few batches, and nothing scored."""
    measurement = replace(
        config.measurement, warmup=1, iterations=3, min_seconds=0.0, max_seconds=20.0, fresh_process=True
    )
    quality = replace(config.quality, perplexity="off", reference="none", bleu=False)
    return replace(config, measurement=measurement, quality=quality)


def name_of(base: Config, engines: Sequence[str] = (), *, quick: bool = False) -> str:
    """What a pipeline is called where nobody says: its model, what sets it apart from the usual one, its engines."""
    last = PurePath(base.model.id.removeprefix("synthetic:").rstrip("/")).name
    flat, usual = flat_values(base), QUICK if quick else USUAL
    parts = ["quick"] * quick
    for path, short in _NAMED.items():
        if flat[path] != usual.get(path, FIELDS[path].default):
            parts.append(short if isinstance(flat[path], bool) else f"{short}{flat[path]}")
    return "-".join(filter(None, (_slug(last) or "model", *map(_slug, (*parts, *engines)))))[:80].strip("-.")


_NAMED = {
    "workload.batch_size": "b", "workload.input_len": "isl", "workload.output_len": "osl", "engine.dtype": "",
    "engine.quantization": "", "device.name": "",
    "engine.fallback": "fallback",
}  # fmt: skip
"""Keys that a name tells where they are not as usual, and how."""


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9.]+", "-", text.lower()).strip("-.")


class PlannedStep(Struct, frozen=True):
    """A step, what it will do, and how long that takes; None is not known."""

    step: Step
    what: str
    estimate: Estimate | None
    done: bool = False


class PipelinePlan(Struct, frozen=True):
    """All steps of a pipeline."""

    steps: tuple[PlannedStep, ...]

    @property
    def estimate(self) -> Estimate | None:
        """Of all that is to be done yet and known; None where that of the measuring is not."""
        total = Estimate(0.0)
        for step in self.steps:
            if step.estimate is not None and not step.done:
                total += step.estimate
        return None if "measure" in self.unknown else total

    @property
    def unknown(self) -> tuple[Step, ...]:
        """The steps of which nobody can say how long they take."""
        return tuple(step.step for step in self.steps if step.estimate is None and not step.done)


class Outlook(Struct, frozen=True):
    """What is known before a pipeline begins. `runs` is how long one of each arm takes, by its name.

    `trials` are the short runs by which arms are chosen yet. `waiting` says that the model is not on this machine, so
    that nothing is known of it.
    """

    runs: Mapping[str, Estimate | None]
    trials: Mapping[str, Estimate | None] = {}
    waiting: bool = False
    measured: int = 0
    """Runs that are there already, of those that will be measured."""
    builds: tuple[str, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    """What cannot be measured here, as far as that is known."""


def plan(pipeline: PipelineFile, outlook: Outlook, *, charts: bool = True) -> PipelinePlan:
    """The steps of a pipeline, those that are done as they were told; `charts`: the report is to have some."""
    making = {
        "pull": _pull(pipeline, outlook), "choose": _choose(pipeline, outlook), "build": _build(outlook),
        "measure": _measure(pipeline, outlook),
        "compare": ("medians, intervals and verdicts over the rounds", Estimate(0.0)),
        "report": _report(charts=charts),
    }  # fmt: skip
    steps = []
    for step in STEPS:
        record = pipeline.record(step)
        if record is not None:
            steps.append(PlannedStep(step, record.told, Estimate(0.0), done=True))
        else:
            steps.append(PlannedStep(step, *making[step]))
    return PipelinePlan(tuple(steps))


_Planned = tuple[str, Estimate | None]


def _pull(pipeline: PipelineFile, outlook: Outlook) -> _Planned:
    model = pipeline.base.model.id
    if outlook.waiting:
        return f"{model} from the Hugging Face hub", None
    return f"{model} is on this machine", Estimate(0.0)


def _choose(pipeline: PipelineFile, outlook: Outlook) -> _Planned:
    if pipeline.engines:
        return f"{pipeline.baseline} against {', '.join(pipeline.engines)}, as asked for", Estimate(0.0)
    if pipeline.quick:
        others = ", ".join(_others(pipeline, outlook)) or "nothing: see below"
        return f"{_baseline(pipeline, outlook)} against the first that can be used of {others}", Estimate(0.0)
    if outlook.waiting:
        return f"{pipeline.baseline} against the fastest of what can be used here", None
    if len(outlook.trials) <= (1 if pipeline.baseline in outlook.runs else 2):
        others = ", ".join(outlook.trials) or "nothing: see below"
        return f"{_baseline(pipeline, outlook)} against {others}", Estimate(0.0)
    measured = "the fastest is" if pipeline.baseline in outlook.runs else "the two fastest are"
    return f"a short run each of {', '.join(outlook.trials)}: {measured} measured", total(outlook.trials)


def _build(outlook: Outlook) -> _Planned:
    if outlook.builds:
        return f"TensorRT engines for {', '.join(outlook.builds)}", None
    return "nothing: engines convert what they need while they load", Estimate(0.0)


def _report(*, charts: bool) -> _Planned:
    if charts:
        return "report.html, report.md, report.json and charts", Estimate(REPORT_S)
    return "report.html, report.md and report.json, without charts", Estimate(UNDRAWN_REPORT_S)


def _measure(pipeline: PipelineFile, outlook: Outlook) -> _Planned:
    if outlook.waiting:
        return f"{rounds_text(pipeline.rounds)} in turn", None
    if pipeline.arms or pipeline.engines:
        count = len(outlook.runs)
        one = total(outlook.runs)
        whole = one.times(pipeline.rounds) if one else None
        if whole and outlook.measured:
            whole = Estimate(whole.seconds * (1 - outlook.measured / (count * pipeline.rounds)), whole.rough)
        there = f", {outlook.measured} of {count * pipeline.rounds} runs are there" if outlook.measured else ""
        return f"{rounds_text(pipeline.rounds)} of {count} configs in turn{there}", whole
    base = outlook.runs.get(pipeline.baseline)
    sides = 1 if base else 2
    others = [one for one in _others(pipeline, outlook).values() if one is not None]
    taken = others[:sides] if pipeline.quick else sorted(others, key=lambda one: -one.seconds)[:sides]
    whole = sum(taken, base or Estimate(0.0)).times(pipeline.rounds) if len(taken) == sides else None
    return f"{rounds_text(pipeline.rounds)} of the baseline and the chosen one in turn", whole


def _baseline(pipeline: PipelineFile, outlook: Outlook) -> str:
    missing = pipeline.baseline not in outlook.runs and not outlook.waiting
    return f"one of the others, as {pipeline.baseline} cannot be measured," if missing else pipeline.baseline


def rounds_text(count: int) -> str:
    """`1 round`, `5 rounds`."""
    return f"{count} round" + ("" if count == 1 else "s")


def _others(pipeline: PipelineFile, outlook: Outlook) -> dict[str, Estimate | None]:
    return {name: one for name, one in outlook.runs.items() if name != pipeline.baseline}


def total(estimates: Mapping[str, Estimate | None]) -> Estimate | None:
    """Of all together; None where one is not known."""
    whole = Estimate(0.0)
    for one in estimates.values():
        if one is None:
            return None
        whole += one
    return whole
