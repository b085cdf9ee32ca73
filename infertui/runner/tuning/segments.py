"""A run, or why there is none, as a segment of a tuning session; and how a config is measured as one."""

from msgspec.structs import replace

from infertui.analysis.tuning.knobs import changed_keys, effect_between
from infertui.analysis.tuning.segment import Segment, figures_of
from infertui.config.schema import Config, QualityConfig, SweepConfig
from infertui.config.sweep import short_name
from infertui.errors import InfertuiError
from infertui.measure.dependence import FEWEST
from infertui.results.result import Result
from infertui.runner.execution.finishing import error_of
from infertui.runner.tuning.course import SegmentPlan
from infertui.runner.tuning.gathering import Gathering

WITHOUT_END = 10_000_000
"""Batches of a segment whose length nobody said."""
WITHOUT_END_S = 30 * 86400.0
"""Seconds of one on a server."""


def as_measured(config: Config, plan: SegmentPlan) -> Config:
    """A segment's run: for so many seconds, or as long as nothing else is wanted; quality is not looked at."""
    if config.target.kind == "endpoint":
        measurement = replace(config.measurement, max_seconds=plan.most or WITHOUT_END_S)
    else:
        iterations = FEWEST if plan.seconds else WITHOUT_END
        seconds = plan.most
        measurement = replace(config.measurement, iterations=iterations, min_seconds=seconds, max_seconds=0.0)
    return replace(
        config,
        workload=replace(config.workload, num_prompts=0),
        measurement=measurement,
        quality=QualityConfig(reference="none", perplexity="off"),
        sweep=SweepConfig(),
    )


def refused_segment(number: int, plan: SegmentPlan, began: float, ended: float, error: InfertuiError) -> Segment:
    """One that could not be begun."""
    name = " ".join(f"{short_name(key)}={value}" for key, value in plan.changes.items())
    return Segment(
        number,
        "",
        name,
        dict(plan.changes),
        "live",
        "failed",
        began,
        ended - began,
        error=error_of(error),
        returned=plan.returned,
        step=plan.step,
    )


def ended_segment(
    gathering: Gathering, plan: SegmentPlan, before: Config, config: Config, result: Result, ended: float
) -> Segment:
    """One that was a run of `config`, after a segment of `before`. What has no batches is compared by its figures."""
    figures = figures_of(result, gathering.observed)
    once = plan.fixed or (result.load is not None and not gathering.looks)
    previous, best, baseline = gathering.compared(fixed=True, figures=figures) if once else gathering.looked()
    return Segment(
        gathering.number,
        result.id,
        gathering.name,
        changed_keys(before, config),
        effect_between(before, config),
        result.state,
        gathering.began,
        ended - gathering.began,
        figures=figures,
        phases=result.phases,
        previous=previous,
        best=best,
        baseline=baseline,
        error=result.error,
        invalid=result.verdict.invalid,
        returned=plan.returned,
        process=gathering.process,
        step=plan.step,
        rates=gathering.rates,
    )
