"""The steps of a pipeline, done in order. Each is kept when it is done, and begins again where it was cut off.

What is measured goes the ordinary way: runs of a bench in the reports folder, which are there whatever becomes of the
pipeline. Its own folder holds the plan, the state and the report.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Protocol

from msgspec import Struct
from msgspec.structs import replace

from infertui.analysis.bench import bench_report, headline
from infertui.config.bench_plan import bench_id
from infertui.config.schema import Config
from infertui.config.sweep import Variant
from infertui.errors import EngineError, InfertuiError
from infertui.metrics.registry import metric_of
from infertui.models.resolve import is_to_be_pulled
from infertui.pipeline import machine, outcome
from infertui.pipeline.arms import parse_arm
from infertui.pipeline.plan import TENSORRT_LLM, candidates, rounds_text, trial_of
from infertui.pipeline.state import STEPS, SUMMARY, LeftOut, PipelineArm, PipelineFile, Step, Trial, write
from infertui.report.produce import ReportOrder, WrittenReport
from infertui.results.result import Result
from infertui.results.runs import Store, write_whole
from infertui.runner.scheduling.device_slots import CPU
from infertui.telemetry.readings import GpuInfo
from infertui.text import clean, one_line
from infertui.units import format_count, format_number, format_seconds

LABEL, TRIAL_LABEL = "pipeline", "trial"
"""Labels of its runs: the pipeline's name, and of a trial the arm's."""


class Ran(Struct, frozen=True):
    """What came of runs: their results, and whether somebody ended them."""

    results: tuple[Result, ...]
    interrupted: bool = False


class Host(Protocol):
    """What whoever runs a pipeline does for it. Raises KeyboardInterrupt where a pull or build is interrupted."""

    def tell(self, text: str) -> None:
        """Show a line."""
        ...

    def pull(self, model: str, revision: str) -> None:
        """Bring a model here from the hub. Raises ModelError and UsageError."""
        ...

    def build(self, config: Config) -> None:
        """Build the engine that a config runs, unless it is there. Raises EngineError."""
        ...

    def measure(self, variants: Sequence[Variant], *, first: int, total: int) -> Ran:
        """Measure these in their order: number `first`, from 1, and further ones of `total`. Raises InfertuiError."""
        ...

    def report(self, order: ReportOrder, results: Sequence[Result], store: Store) -> WrittenReport:
        """Write a report; without charts where they cannot be drawn. Raises StoreError."""
        ...


class InterruptedPipelineError(InfertuiError):
    """Somebody ended it: what was measured and what is done is kept."""

    exit_code = 130
    kind = "interrupted"


class Steps:
    """Of one pipeline, whose `folder` this process holds; `store` is where its runs are kept."""

    def __init__(self, folder: Path, pipeline: PipelineFile, store: Store, host: Host) -> None:
        self.pipeline = pipeline
        self._folder = folder
        self._store = store
        self._host = host
        self._gpus: tuple[GpuInfo, ...] | None = None

    def run(self) -> PipelineFile:
        """Do what is to be done yet. Raises InfertuiError where a step cannot be done; what was done is kept."""
        doing: dict[Step, Callable[[], str]] = {
            "pull": self._pull, "choose": self._choose, "build": self._build,
            "measure": self._measure, "compare": self._compare, "report": self._report,
        }  # fmt: skip
        for number, step in enumerate(STEPS, 1):
            if self.pipeline.record(step):
                continue
            started = time.monotonic()
            self._host.tell(f"step {number}/{len(STEPS)} {step}")
            try:
                told = doing[step]()
            except KeyboardInterrupt:
                raise InterruptedPipelineError(f"interrupted in step {step}") from None
            self._keep(self.pipeline.done(step, told, time.monotonic() - started))
            self._host.tell(f"  {told}")
        return self.pipeline

    def _keep(self, pipeline: PipelineFile) -> None:
        write(self._folder, pipeline)
        self.pipeline = pipeline

    @property
    def _seen(self) -> tuple[GpuInfo, ...]:
        if self._gpus is None:
            self._gpus = machine.gpus()
        return self._gpus

    # The model

    def _pull(self) -> str:
        model = self.pipeline.base.model
        source = machine.model_here(self.pipeline.base)
        how = "is on this machine"
        if source is None and is_to_be_pulled(model.id, model.revision):
            self._host.pull(model.id, model.revision)
            how = "was downloaded"
        source = machine.found_model(self.pipeline.base)
        return clean(f"{source.label} {how}: {format_count(source.parameters)} parameters")

    # What is measured beside what

    def _choose(self) -> str:
        pipeline = self.pipeline
        base = _labelled(pipeline.base, pipeline.name)
        first = machine.possible(base, [parse_arm(pipeline.baseline, "--baseline")], self._seen, asked=True)
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
        self._keep(replace(self.pipeline, arms=arms, left_out=left_out, chosen_by=others.how))
        lost = "" if first.arms else f"; {pipeline.baseline} cannot be measured, {arms[0].name} is the baseline"
        return f"{arms[0].name} against {', '.join(arm.name for arm in arms[1:])}: {others.how}{lost}"

    def _asked(self, base: Config) -> "_Chosen":
        specs = [parse_arm(name, "--engines") for name in self.pipeline.engines]
        found = machine.possible(base, specs, self._seen, asked=True)
        return _Chosen(found.arms, found.left_out, "as asked for")

    def _fastest(self, base: Config, first: machine.Possible) -> "_Chosen":
        """TensorRT-LLM where it can be used, or may be stood in for, and the fastest of the others."""
        lane = machine.default_lane(base, parse_arm(self.pipeline.baseline, "--baseline"), self._seen)
        specs = [parse_arm(name, "--engines") for name in candidates(on_gpu=lane != CPU)]
        found = machine.possible(base, specs, self._seen, asked=False)
        lane = first.lanes[0] if first.lanes else next(iter(found.lanes), lane)
        beside = [arm for arm, where in zip(found.arms, found.lanes, strict=True) if where == lane]
        left_out = [*found.left_out]
        left_out += [LeftOut(arm.name, f"it would run on {where}, and the baseline on {lane}")
                     for arm, where in zip(found.arms, found.lanes, strict=True) if where != lane]  # fmt: skip
        always = [arm for arm in beside if arm.name == TENSORRT_LLM]
        if not always and base.engine.fallback:
            stood_in = machine.possible(base, [parse_arm(TENSORRT_LLM, "--engines")], self._seen, asked=True)
            always = list(stood_in.arms)
        others = [arm for arm in beside if arm.name != TENSORRT_LLM]
        chosen, how = self._first_of(others)
        if always:
            how = f"{TENSORRT_LLM} as it is here, and {how}" if chosen else f"{TENSORRT_LLM} is here"
        return _Chosen((*always, *chosen), tuple(left_out), how)

    def _first_of(self, arms: Sequence[PipelineArm]) -> tuple[tuple[PipelineArm, ...], str]:
        if len(arms) < 2:
            return tuple(arms), "the only other one that can be used here" if arms else "no other can be used here"
        if self.pipeline.quick:
            return (arms[0],), "the first that can be used, in the usual order of speed; not measured (--quick)"
        trials = self._tried(arms)
        able = [trial for trial in trials if trial.throughput is not None]
        if not able:
            raise EngineError(
                "no engine could be chosen: every short run failed: "
                + "; ".join(f"{trial.name}: {trial.error}" for trial in trials),
                remedy="--engines names what to measure; the runs' worker.log has what the engines printed.",
            )
        best = max(able, key=lambda trial: trial.throughput or 0.0)
        told = ", ".join(_trial_text(trial) for trial in trials)
        return tuple(arm for arm in arms if arm.name == best.name), f"the fastest in one short run each ({told})"

    def _tried(self, arms: Sequence[PipelineArm]) -> list[Trial]:
        """A short run of each, those that were cut off or not reached before."""
        known = {trial.name: trial for trial in self.pipeline.trials}
        for number, arm in enumerate(arms, 1):
            if arm.name in known:
                continue
            config = trial_of(arm.config)
            config = replace(config, labels={**config.labels, TRIAL_LABEL: arm.name})
            ran = self._host.measure(
                [Variant(f"{self.pipeline.name} trial {arm.name}", config, {})], first=number, total=len(arms)
            )
            if ran.interrupted:
                raise InterruptedPipelineError("interrupted in step choose")
            known[arm.name] = _trial(arm.name, ran.results)
            self._keep(replace(self.pipeline, trials=tuple(known.values())))
        return [known[arm.name] for arm in arms]

    # Engines that have to be built

    def _build(self) -> str:
        kept, lost = [], []
        for arm in self.pipeline.arms:
            if not needs_build(arm.config):
                kept.append(arm)
                continue
            self._host.tell(f"  {arm.name}: building its engine")
            try:
                self._host.build(arm.config)
            except EngineError as error:
                lost.append(LeftOut(arm.name, machine.reason(error), asked=True))
                continue
            kept.append(arm)
        if lost and len(kept) < 2:
            raise EngineError(f"nothing is left to compare: {lost[0].name}: {lost[0].reason}")
        built = [arm.name for arm in kept if needs_build(arm.config)]
        self._keep(replace(self.pipeline, arms=tuple(kept), left_out=(*self.pipeline.left_out, *lost)))
        told = f"built for {', '.join(built)}" if built else "nothing to build: engines convert while they load"
        return "; ".join((told, *(f"{one.name} could not be built: {one.reason}" for one in lost)))

    # Measuring, in turn

    def _measure(self) -> str:
        if not self.pipeline.bench:  # kept before the first run, so that whoever goes on finds them all
            bench = bench_id(datetime.now().astimezone())
            self._keep(replace(self.pipeline, bench=bench, seed=int(bench[-4:], 16) % 1000))
        self._leave_out_what_cannot_run_any_more()
        pipeline = self.pipeline
        order = pipeline.order()
        tried: set[tuple[str, int]] = set()
        took: list[float] = []
        while left := [one for one in left_of(order, self.results()) if _place(one) not in tried]:
            number = _place(left[0])[1]
            together = [one for one in left if _place(one)[1] == number]
            started = time.monotonic()
            ran = self._host.measure(together, first=len(order) - len(left) + 1, total=len(order))
            if ran.interrupted:
                raise InterruptedPipelineError("interrupted in step measure")
            tried |= {_place(one) for one in together}
            took.append((time.monotonic() - started) / len(together))
            self._tell_what_is_left([one for one in left_of(order, self.results()) if _place(one) not in tried], took)
        found = bench_report(results) if (results := self.results()) else None
        if found is None or not any(result.state == "finished" for result in results):
            errors = "; ".join(f"{arm.name}: {arm.error}" for arm in found.failed) if found else "nothing was measured"
            raise EngineError(f"no run finished: {errors}", remedy="The runs' worker.log has what the engines printed.")
        finished = sum(result.state == "finished" for result in results)
        lost = "".join(f"; {arm.name} failed: {one_line(arm.error)}" for arm in found.failed)
        return f"{finished} runs in {rounds_text(pipeline.rounds)} of {len(pipeline.arms)} configs{lost}"

    def _leave_out_what_cannot_run_any_more(self) -> None:
        """An engine may be gone since it was chosen: a bench with one that is known to fail would be refused."""
        errors = machine.look([arm.config for arm in self.pipeline.arms], self._seen)
        lost = [LeftOut(arm.name, machine.reason(error), asked=True)
                for arm, error in zip(self.pipeline.arms, errors, strict=True) if error is not None]  # fmt: skip
        if not lost:
            return
        gone = {one.name for one in lost}
        if begun := gone & {result.bench.arm for result in self.results() if result.bench}:
            known = next(one for one in lost if one.name in begun)
            raise EngineError(
                f"{known.name} was measured in some rounds, and cannot be any more: {known.reason}",
                remedy="Once that is mended, the same command goes on; --anew chooses again.",
            )
        arms = tuple(arm for arm in self.pipeline.arms if arm.name not in gone)
        if len(arms) < 2:
            raise EngineError(
                "nothing is left to compare: " + "; ".join(f"{one.name}: {one.reason}" for one in lost),
                remedy="Once that is mended, the same command goes on; --anew chooses again.",
            )
        self._keep(replace(self.pipeline, arms=arms, left_out=(*self.pipeline.left_out, *lost)))

    def _tell_what_is_left(self, left: Sequence[Variant], took: Sequence[float]) -> None:
        if left:
            seconds = sum(took) / len(took) * len(left)
            self._host.tell(f"  {len(left)} runs are left, about {format_seconds(seconds, 2)}")

    def results(self) -> list[Result]:
        """What was measured of it so far, oldest first; the trials are not among it."""
        return self._store.results_of_bench(self.pipeline.bench) if self.pipeline.bench else []

    # What came of it

    def _compare(self) -> str:
        found = outcome.found(self.results())
        text = "\n".join(outcome.lines(self.pipeline, found, self._folder)) + "\n"
        write_whole(self._folder / SUMMARY, text.encode())
        said = headline(found.bench)
        return "; ".join(said) if said else "there is no whole round to compare"

    def _report(self) -> str:
        found = outcome.found(self.results())
        names = " against ".join(arm.name for arm in self.pipeline.arms)
        order = ReportOrder(
            self._folder,
            title=f"{self.pipeline.base.model.id}: {names}",
            with_invalid=found.with_invalid,
            left_out=tuple(outcome.notes(self.pipeline)),
        )
        written = self._host.report(order, found.results, self._store)
        return f"{clean(str(written.paths[0]))}, report.md, report.json, {written.charts} charts"


class _Chosen(Struct, frozen=True):
    """What is measured beside the baseline, what is not, and how that was decided, in words."""

    arms: tuple[PipelineArm, ...]
    left_out: tuple[LeftOut, ...]
    how: str


def needs_build(config: Config) -> bool:
    """Whether a config runs an engine that `infertui build` makes, and names none of its own."""
    options = config.engine.tensorrt_llm
    return config.engine.name == TENSORRT_LLM and options.backend == "engine" and not options.engine_dir


def left_of(order: Sequence[Variant], results: Iterable[Result]) -> list[Variant]:
    """The runs that are to be measured yet: none that finished, none of an arm that failed and never finished."""
    seen = [(result.bench, result.state) for result in results if result.bench]
    finished = {(place.arm, place.round) for place, state in seen if state == "finished"}
    able = {arm for arm, _ in finished}
    failed = {place.arm for place, state in seen if state == "failed"} - able
    return [one for one in order if _place(one) not in finished and _place(one)[0] not in failed]


def _place(variant: Variant) -> tuple[str, int]:
    assert variant.place is not None  # noqa: S101
    return variant.place.arm, variant.place.round


def _labelled(base: Config, name: str) -> Config:
    return replace(base, labels={**base.labels, LABEL: name})


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
