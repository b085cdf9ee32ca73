"""Which engines and modes are measured beside the baseline: those asked for, else the fastest that can be used here.

The fastest is found by a short run of each candidate, or, where that would take too long, by the usual order.
"""

from collections.abc import Callable, Sequence

from msgspec import Struct
from msgspec.structs import replace

from infertui.config.schema import Config
from infertui.config.sweep import Variant
from infertui.errors import EngineError
from infertui.metrics.registry import metric_of
from infertui.pipeline import machine
from infertui.pipeline.arms import parse_arm
from infertui.pipeline.host import Host, InterruptedPipelineError
from infertui.pipeline.plan import TENSORRT_LLM, candidates, trial_of
from infertui.pipeline.state import LeftOut, PipelineArm, PipelineFile, Trial
from infertui.results.result import Result
from infertui.runner.scheduling.device_slots import CPU
from infertui.telemetry.readings import GpuInfo
from infertui.units import format_number

LABEL, TRIAL_LABEL = "pipeline", "trial"
"""Labels of its runs: the pipeline's name, and of a trial the arm's."""


class ChosenArms(Struct, frozen=True):
    """What is measured, the baseline first, what is not, and how that was decided, in words."""

    arms: tuple[PipelineArm, ...]
    left_out: tuple[LeftOut, ...]
    how: str


class Choosing:
    """For one pipeline on a machine with these `gpus`. `keep` is called with all trials after each of them."""

    def __init__(
        self,
        pipeline: PipelineFile,
        host: Host,
        gpus: tuple[GpuInfo, ...],
        keep: Callable[[Sequence[Trial]], None],
    ) -> None:
        self._pipeline = pipeline
        self._host = host
        self._gpus = gpus
        self._keep = keep

    def choose(self) -> ChosenArms:
        """What to measure. Raises EngineError where there is nothing to compare, InterruptedPipelineError."""
        pipeline = self._pipeline
        base = replace(pipeline.base, labels={**pipeline.base.labels, LABEL: pipeline.name})
        first = machine.possible(base, [parse_arm(pipeline.baseline, "--baseline")], self._gpus, asked=False)
        others = self._asked(base) if pipeline.engines else self._fastest(base, first)
        arms = (*first.arms, *(arm for arm in others.arms if arm.name != pipeline.baseline))
        left_out = (*first.left_out, *others.left_out)
        if len(arms) < 2:
            raise EngineError(
                f"there is nothing to compare {arms[0].name if arms else pipeline.baseline} with: "
                + "; ".join(f"{one.name}: {one.reason}" for one in left_out),
                remedy="`infertui engines` says how to install others; --engines names others, --fallback lets"
                " Transformers stand in for what cannot be used, marked so.",
            )
        return ChosenArms(arms, left_out, others.how)

    def _asked(self, base: Config) -> ChosenArms:
        specs = [parse_arm(name, "--engines") for name in self._pipeline.engines]
        found = machine.possible(base, specs, self._gpus, asked=True)
        return ChosenArms(found.arms, found.left_out, "as asked for")

    def _fastest(self, base: Config, first: machine.Possible) -> ChosenArms:
        """TensorRT-LLM where it can be used, or may be stood in for, and the fastest of the others."""
        lane = machine.default_lane(base, parse_arm(self._pipeline.baseline, "--baseline"), self._gpus)
        names = [name for name in candidates(on_gpu=lane != CPU) if name != self._pipeline.baseline]
        specs = [parse_arm(name, "--engines") for name in names]
        found = machine.possible(base, specs, self._gpus, asked=False)
        lane = first.lanes[0] if first.lanes else next(iter(found.lanes), lane)
        beside = [arm for arm, where in zip(found.arms, found.lanes, strict=True) if where == lane]
        left_out = [*found.left_out]
        left_out += [LeftOut(arm.name, f"it would run on {where}, and the baseline on {lane}")
                     for arm, where in zip(found.arms, found.lanes, strict=True) if where != lane]  # fmt: skip
        always = [arm for arm in beside if arm.name == TENSORRT_LLM]
        if not always and base.engine.fallback:
            stood_in = machine.possible(base, [parse_arm(TENSORRT_LLM, "--engines")], self._gpus, asked=True)
            always = list(stood_in.arms)
        others = [arm for arm in beside if arm.name != TENSORRT_LLM]
        chosen, how = self._first_of(others, 1 if first.arms else 2)
        if always:
            how = f"{TENSORRT_LLM} as it is here, and {how}" if chosen else f"{TENSORRT_LLM} is here"
        return ChosenArms((*always, *chosen), tuple(left_out), how)

    def _first_of(self, arms: Sequence[PipelineArm], wanted: int) -> tuple[tuple[PipelineArm, ...], str]:
        """So many of the arms, the fastest last: where there is no baseline the first of two has to be one."""
        if len(arms) <= wanted:
            return tuple(reversed(arms)), "what else can be used here" if arms else "no other can be used here"
        if self._pipeline.quick:
            how = "the first that can be used" if wanted == 1 else f"the first {wanted} that can be used"
            return tuple(reversed(arms[:wanted])), f"{how}, in the usual order of speed; not measured (--quick)"
        trials = self._tried(arms)
        able = sorted((trial for trial in trials if trial.throughput), key=lambda trial: trial.throughput or 0.0)
        if not able:
            raise EngineError(
                "no engine could be chosen: every short run failed: "
                + "; ".join(f"{trial.name}: {trial.error}" for trial in trials),
                remedy="--engines names what to measure; the runs' worker.log has what the engines printed.",
            )
        by_name = {arm.name: arm for arm in arms}
        told = ", ".join(_trial_text(trial) for trial in trials)
        how = "the fastest" if wanted == 1 else f"the {wanted} fastest"
        return tuple(by_name[trial.name] for trial in able[-wanted:]), f"{how} in one short run each ({told})"

    def _tried(self, arms: Sequence[PipelineArm]) -> list[Trial]:
        """A short run of each, those that were cut off or not reached before."""
        known = {trial.name: trial for trial in self._pipeline.trials}
        for number, arm in enumerate(arms, 1):
            if arm.name in known:
                continue
            config = trial_of(arm.config)
            config = replace(config, labels={**config.labels, TRIAL_LABEL: arm.name})
            ran = self._host.measure(
                [Variant(f"{self._pipeline.name} trial {arm.name}", config, {})], first=number, total=len(arms)
            )
            if ran.interrupted:
                raise InterruptedPipelineError("interrupted in step choose")
            known[arm.name] = _trial(arm.name, ran.results)
            self._keep(tuple(known.values()))
        return [known[arm.name] for arm in arms]


def _trial(name: str, results: Sequence[Result]) -> Trial:
    for result in results:
        speed = metric_of("throughput").number(result)
        if result.state == "finished" and speed is not None:
            return Trial(name, result.id, speed, valid=result.verdict.valid)
        return Trial(name, result.id, error=str(metric_of("error").value(result) or result.state))
    return Trial(name, error="it was refused")


def _trial_text(trial: Trial) -> str:
    if not trial.throughput:
        return f"{trial.name} failed"
    return f"{trial.name} {format_number(trial.throughput)} tok/s" + ("" if trial.valid else ", disturbed")
