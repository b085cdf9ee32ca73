"""What an earlier session of a folder left: its segments, also the one that it was cut off in."""

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from infertui.analysis.tuning.knobs import changed_keys, effect_between, text_of
from infertui.analysis.tuning.segment import Segment, figures_of
from infertui.config.schema import Config
from infertui.config.sweep import short_name
from infertui.measure.comparison import Totals
from infertui.results.result import Result
from infertui.runner.recovery import recover
from infertui.runner.tuning.folder import TuningFolder


class EarlierSegments(Struct, frozen=True):
    """All that were measured, what was observed of them by their numbers, and the config that worked last, or None.

    `ended` is how many seconds of the session they took, `process` the number of the next process.
    """

    segments: tuple[Segment, ...]
    observed: dict[int, Totals]
    good: Config | None
    ended: float
    process: int


def read_earlier(folder: TuningFolder, start: Config) -> EarlierSegments:
    """What is there, with runs that were cut off recovered and kept as segments. Raises StoreError."""
    recover(folder.store)
    segments = folder.segments()
    known = {segment.run for segment in segments}
    for result in sorted(folder.store.results(warn=lambda _: None), key=lambda result: result.started):
        if result.id not in known and result.config is not None:
            segments.append(_cut_off(folder, start, result, segments))
            folder.keep(segments[-1])
    last = next((segment for segment in reversed(segments) if segment.state == "finished"), None)
    return EarlierSegments(
        tuple(segments),
        {segment.number: folder.observed(segment) for segment in segments},
        restored(folder.result(last).own_config, start) if last else None,
        max((segment.began + segment.seconds for segment in segments), default=0.0),
        max((segment.process for segment in segments), default=0) + 1,
    )


def _cut_off(folder: TuningFolder, start: Config, result: Result, segments: Sequence[Segment]) -> Segment:
    """What was under way as a segment. One that had finished without its line was the next step of the script."""
    before = segments[-1] if segments else None
    scripted = result.state == "finished" and bool(folder.kept.steps)
    step = max((one.step for one in segments), default=0) + 1 if scripted else 0
    config = restored(result.own_config, start)
    earlier = restored(folder.result(before).own_config, start) if before and before.run else start
    found = Segment(
        (before.number if before else 0) + 1,
        result.id,
        name_of(start, config),
        changed_keys(earlier, config),
        effect_between(earlier, config),
        result.state,
        before.began + before.seconds if before else 0.0,
        result.summary.measured_s or 0.0,
        error=result.error,
        invalid=result.verdict.invalid,
        step=step,
    )
    return replace(found, figures=figures_of(result, folder.observed(found)))


def name_of(start: Config, config: Config) -> str:
    """What sets a config apart from the one that the session began with."""
    changed = changed_keys(start, config)
    return " ".join(f"{short_name(key)}={text_of(value)}" for key, value in changed.items()) or "start"


def restored(measured: Config, start: Config) -> Config:
    """The session's config behind one that was measured, see `as_measured`, without what was found of a server."""
    workload = replace(measured.workload, num_prompts=start.workload.num_prompts)
    config = replace(measured, workload=workload, measurement=start.measurement, quality=start.quality)
    if start.target.kind != "endpoint":
        return config
    return replace(
        config, target=replace(config.target, api=start.target.api, model=start.target.model), model=start.model
    )
