"""The steps of a pipeline, done in order. Each is kept when it is done, and begins again where it was cut off.

What is measured goes the ordinary way: runs of a bench in the reports folder, which are there whatever becomes of the
pipeline. Its own folder holds the plan, the state and the report.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from pathlib import Path

from msgspec.structs import replace

from infertui.analysis.bench import bench_report, headline
from infertui.config.bench_plan import bench_id
from infertui.config.schema import Config
from infertui.config.sweep import Variant
from infertui.errors import EngineError
from infertui.measure.dependence import FEWEST
from infertui.models.resolve import is_to_be_pulled
from infertui.pipeline import machine, outcome
from infertui.pipeline.choosing import Choosing
from infertui.pipeline.host import Host, InterruptedPipelineError
from infertui.pipeline.plan import TENSORRT_LLM, rounds_text
from infertui.pipeline.state import STEPS, SUMMARY, LeftOut, PipelineFile, Step, Trial, write
from infertui.report.produce import ReportOrder
from infertui.results.result import Result
from infertui.results.runs import Store, write_whole
from infertui.telemetry.cards import gpus_now
from infertui.telemetry.readings import GpuInfo
from infertui.text import clean, one_line
from infertui.units import format_count, format_seconds


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
            self._gpus = gpus_now()
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
        found = Choosing(self.pipeline, self._host, self._seen, self._keep_trials).choose()
        arms, missing = found.arms, next((one for one in found.left_out if one.name == self.pipeline.baseline), None)
        self._keep(replace(self.pipeline, arms=arms, left_out=found.left_out, chosen_by=found.how))
        lost = f"; {missing.name} cannot be measured, {arms[0].name} is the baseline" if missing else ""
        return f"{arms[0].name} against {', '.join(arm.name for arm in arms[1:])}: {found.how}{lost}"

    def _keep_trials(self, trials: Sequence[Trial]) -> None:
        self._keep(replace(self.pipeline, trials=tuple(trials)))

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
        while again := round_to_repeat(order, self.results()):
            number = _place(again[0])[1] + 1
            self._host.tell(f"  round {number} does not count, and too few do: it is measured again, once")
            if self._host.measure(again, first=1, total=len(again)).interrupted:
                raise InterruptedPipelineError("interrupted in step measure")
            if round_to_repeat(order, self.results()) == again:  # it did not even finish
                break
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
        return written.told


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


def round_to_repeat(order: Sequence[Variant], results: Iterable[Result]) -> list[Variant]:
    """The runs of the first round that has an invalid one and was not repeated, where fewer than `FEWEST` rounds count:
    without so many there is no interval. The latest of repeated runs counts.
    """
    finished: dict[tuple[str, int], list[Result]] = defaultdict(list)
    for result in results:
        if result.bench and result.state == "finished":
            finished[result.bench.arm, result.bench.round].append(result)
    arms = {arm for arm, _ in finished}
    rounds: dict[int, list[Variant]] = defaultdict(list)
    for variant in order:
        if _place(variant)[0] in arms:
            rounds[_place(variant)[1]].append(variant)
    ended = {number: [finished[_place(one)] for one in runs] for number, runs in rounds.items()}
    whole = {number: runs for number, runs in ended.items() if all(runs)}
    counting = [number for number, runs in whole.items() if all(run[-1].verdict.valid for run in runs)]
    if len(counting) >= min(FEWEST, len(rounds)):
        return []
    once = (number for number, runs in whole.items() if number not in counting and all(len(run) == 1 for run in runs))
    return rounds[number] if (number := next(once, None)) is not None else []


def _place(variant: Variant) -> tuple[str, int]:
    assert variant.place is not None  # noqa: S101
    return variant.place.arm, variant.place.round
