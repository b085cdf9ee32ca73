"""What is known of a pipeline before it begins: is its model here, what can be measured, how long does that take."""

from collections.abc import Sequence

from infertui.config.schema import Config
from infertui.errors import UsageError
from infertui.load.prompts import load_prompts
from infertui.models.resolve import ModelSource, is_to_be_pulled
from infertui.pipeline import machine
from infertui.pipeline.arms import config_of, parse_arm
from infertui.pipeline.estimate import Estimate, earlier_runs, estimate
from infertui.pipeline.plan import Outlook, candidates, trial_of
from infertui.pipeline.state import LeftOut, PipelineArm, PipelineFile
from infertui.pipeline.steps import left_of, needs_build
from infertui.results.result import Result
from infertui.results.runs import Store
from infertui.runner.scheduling.device_slots import CPU
from infertui.telemetry.cards import gpus_now
from infertui.telemetry.readings import GpuInfo


def outlook(pipeline: PipelineFile, store: Store) -> Outlook:
    """Look at the machine, the model and earlier runs. Raises ModelError for a model that is not here nor on a hub."""
    base = pipeline.base
    seen = gpus_now()
    waiting = is_to_be_pulled(base.model.id, base.model.revision)
    source = None if waiting else machine.found_model(base)
    arms, left_out = _arms(pipeline, seen, waiting=waiting)
    earlier = list(store.naming(base.model.id))
    runs = {arm.name: _estimated(arm.config, earlier, source, seen) for arm in arms}
    chosen = bool(pipeline.arms or pipeline.engines)
    trials = {} if chosen or pipeline.quick else {
        arm.name: _estimated(trial_of(arm.config), earlier, source, seen)
        for arm in arms
        if arm.name != pipeline.baseline and arm.name not in {trial.name for trial in pipeline.trials}
    }  # fmt: skip
    return Outlook(
        runs=runs,
        trials=trials,
        waiting=waiting,
        measured=_measured(pipeline, store),
        builds=tuple(arm.name for arm in arms if chosen and needs_build(arm.config)),
        left_out=tuple(left_out),
    )


def _arms(
    pipeline: PipelineFile, seen: tuple[GpuInfo, ...], *, waiting: bool
) -> tuple[Sequence[PipelineArm], Sequence[LeftOut]]:
    """What may be measured, the baseline first: what is kept, what was asked for, or what there is to choose from."""
    if pipeline.arms:
        return pipeline.arms, pipeline.left_out
    on_gpu = machine.default_lane(pipeline.base, parse_arm(pipeline.baseline, "--baseline"), seen) != CPU
    names = pipeline.engines or candidates(on_gpu=on_gpu)
    specs = [parse_arm(name, "--engines") for name in dict.fromkeys((pipeline.baseline, *names))]
    if waiting:
        found = []
        for spec in specs:
            try:
                found.append(PipelineArm(spec.name, config_of(pipeline.base, spec)))
            except UsageError:  # told when the model is here
                continue
        return found, ()
    known = machine.possible(pipeline.base, specs, seen, asked=bool(pipeline.engines))
    return known.arms, known.left_out


def _estimated(
    config: Config, results: Sequence[Result], source: ModelSource | None, seen: tuple[GpuInfo, ...]
) -> Estimate | None:
    lane = machine.lane_of(config, seen)
    pool = len(load_prompts(config.workload))
    return estimate(config, earlier_runs(results, config, lane), pool, source.shape if source else None, lane)


def _measured(pipeline: PipelineFile, store: Store) -> int:
    if not pipeline.bench or not pipeline.arms:
        return 0
    left = left_of(pipeline.order(), store.results_of_bench(pipeline.bench))
    return pipeline.rounds * len(pipeline.arms) - len(left)
