"""A study of offloading from its plan to its profiles: prepared, measured run by run, continued, concluded, kept."""

import asyncio
import contextlib
import secrets
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from infertui.analysis.offload.card import Card
from infertui.analysis.offload.kept import KeptProfiles, keep_profiles
from infertui.analysis.offload.memory import estimate_by_layers
from infertui.analysis.offload.plan import STUDY, OffloadPlan, most_layers
from infertui.analysis.offload.points import OffloadPoint, layers_of, point_of, points_of
from infertui.analysis.offload.study import OffloadStudy, Subject, study_of
from infertui.api.spawn import find_running
from infertui.cli.flags import Ui
from infertui.cli.offload.text import progress_line
from infertui.cli.output import say
from infertui.cli.reading.lookup import opened
from infertui.cli.running.benchview import bench_view
from infertui.cli.running.foreground import FAILED, INTERRUPTED, INVALID, OK, USAGE, RunView, run_in_foreground
from infertui.config.engines.registry import SPECS
from infertui.config.schema import Config
from infertui.config.sources import load
from infertui.config.sweep import Variant, rooted
from infertui.config.toml import write
from infertui.errors import InfertuiError, StoreError, UsageError
from infertui.load.prompts import load_prompts
from infertui.metrics.registry import metric_of
from infertui.models.resolve import resolve
from infertui.results.jsonl import store_error
from infertui.results.result import Result
from infertui.results.runs import Store, write_whole
from infertui.runner.events import AnyRunEvent, RunRefused
from infertui.runner.execution.loading import check_lengths, choose, planned_gpus
from infertui.targets.engine.torch_build import NO_CUDA
from infertui.telemetry.cards import CardNow, cards_now
from infertui.telemetry.readings import GpuInfo
from infertui.telemetry.usable import hindrance, library_of
from infertui.text import clean

PROFILE, CONFIG = "profile.json", "study.toml"
"""What a study's folder holds beside the folders of its runs: what it found, and the config of its runs."""


_SLOW_BATCH_S = 2.0


class StudyPlace(Struct, frozen=True):
    """Where a study measures: its GPU and card, or why there is none."""

    gpu: GpuInfo | None
    card: Card
    why_none: str = ""


def study_id(now: datetime) -> str:
    """A name for a study, unlike that of any other, that sorts by time."""
    return f"profile-{now:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def place_of(config: Config, ceiling: float) -> StudyPlace:
    """The GPU that runs of `config` will use, with what is in use there now. Raises ConfigError, as a run would."""
    cards = cards_now()
    gpus = tuple(card.info for card in cards)
    choice = choose(config.engine)
    planned = planned_gpus(config, gpus, choice)
    if planned:
        found = next(card for card in cards if card.info is planned[0])
        return StudyPlace(planned[0], Card(planned[0].memory_total, found.used or 0, ceiling))
    return StudyPlace(None, Card(None, 0, ceiling), _why_no_gpu(config, cards, gpus))


def _why_no_gpu(config: Config, cards: Sequence[CardNow], gpus: tuple[GpuInfo, ...]) -> str:
    status = choose(config.engine).status
    if config.device.name == "cpu":
        return "device.name is cpu"
    if hindered := hindrance(status, gpus):
        return f"{hindered.reason}. {hindered.remedy}"
    if status.cuda == NO_CUDA:
        return f"{library_of(status)} is built without CUDA and cannot use a GPU. {SPECS[status.engine].install}"
    return "no NVIDIA GPU was found" if not cards else "the run would use no GPU"


def build_of(config: Config) -> str:
    """The engine's library as it is installed: its version, and of CUDA what it was built for."""
    status = choose(config.engine).status
    told = [f"{name} {version}" for name, version in status.versions.items()]
    return clean(" ".join([*told, *([f"(CUDA {status.cuda})"] if status.cuda else [])]))


def claiming(config: Config) -> Config:
    """`config`; the simulator claims the first GPU there is where it was not told one."""
    options = config.engine.simulator
    cards = cards_now() if config.engine.name == "simulator" and not options.gpu_uuid else ()
    if not cards:
        return config
    return replace(config, engine=replace(config.engine, simulator=replace(options, gpu_uuid=cards[0].info.uuid)))


def new_plan(config: Config, place: StudyPlace, layers: Sequence[int]) -> OffloadPlan:
    """A study to begin; without a GPU of no layer there alone."""
    study = study_id(datetime.now().astimezone())
    labelled = rooted(replace(config, labels=config.labels | {STUDY: study}))
    return OffloadPlan(study, labelled, most_layers(config), place.card, (0,) if place.gpu is None else tuple(layers))


class Offloading:
    """One study in a reports folder, to be measured or continued: what had failed before is tried anew, unless for want
    of memory."""

    def __init__(self, plan: OffloadPlan, place: StudyPlace, out: Path, notes: Sequence[str] = ()) -> None:
        self.plan, self.place = plan, place
        self._store, self.out = Store(out), out
        self.notes = tuple(notes)
        self._refused: dict[int, OffloadPoint] = {}
        self._again = frozenset(point.run for point in self._points() if point.failure and not point.no_room)
        self._estimate = estimate_by_layers(plan.config, plan.most, _prompt_tokens(plan.config))

    def points(self) -> list[OffloadPoint]:
        """All that is known so far, fewest layers first."""
        known = {point.layers: point for point in self._points() if point.run not in self._again}
        return [(self._refused | known)[layers] for layers in sorted(self._refused | known)]

    def missing(self) -> tuple[int, ...]:
        """The layers to measure next."""
        return self.plan.next(self.points(), self._estimate)

    def foreseen(self) -> int | None:
        """The most layers that fit under the ceiling by the memory estimate; None where there is none, or no GPU."""
        card, sizes = self.plan.card, {layers: self._estimate(layers) for layers in range(self.plan.most + 1)}
        fitting = [layers for layers, size in sizes.items() if size is not None and card.fits(size)]
        return max(fitting, default=None) if card.total else None

    def measure(self, ui: Ui, *, quiet: bool) -> int:
        """Measure what is missing, and return the exit code. Interrupted, it keeps what was measured."""
        self.keep()
        stream = sys.stderr if quiet else sys.stdout
        view = _Watching(bench_view(ui, stream, _Told(self), quiet=quiet), self)
        first = self.next_variants()[:1]
        if not first:
            return OK
        code = run_in_foreground(
            first,
            out=self.out,
            save_json=None,
            as_json=False,
            ui=ui,
            view=view,
            following=lambda _: self.next_variants()[:1],
        )
        self.keep()
        if code in (INTERRUPTED, USAGE):
            return code
        if not any(point.measured for point in self.points()):
            return FAILED
        return INVALID if any(point.doubts for point in self.points()) else OK

    def refused(self, event: RunRefused) -> None:
        """A run was refused before it began: that is a row, too."""
        layers = int(event.name.rpartition("=")[2])
        self._refused[layers] = OffloadPoint(layers, failure=event.error.kind, error=clean(event.error.message))

    def found(self) -> OffloadStudy:
        """What there is to say of it now."""
        plan = self.plan
        return study_of(
            plan.study,
            self._subject(),
            plan.card,
            self.points(),
            asked=plan.layers,
            notes=self.notes,
            estimate=self._estimate,
        )

    def keep(self) -> Path:
        """Write what it found into its folder, and the config of its runs. Returns the file. Raises StoreError."""
        folder = self.out / self.plan.study
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise store_error(folder, error) from error
        write_whole(folder / CONFIG, write(self.plan.config).encode())
        path = folder / PROFILE
        write_whole(path, msgspec.json.format(msgspec.json.encode(self.found()), indent=2) + b"\n")
        return path

    def keep_profiles(self) -> Path | None:
        """Keep the profiles for `infertui run --profile`; None where there are none."""
        found = self.found()
        subject, gpu = found.subject, self.place.gpu
        if not found.profiles:
            return None
        return keep_profiles(
            KeptProfiles(
                subject.model,
                subject.engine,
                found.profiles,
                revision=subject.revision,
                quantization=subject.quantization,
                dtype=subject.dtype,
                gpu=gpu.name if gpu else "",
                gpu_memory=gpu.memory_total if gpu else None,
                layers=subject.layers,
                ceiling=found.card.ceiling,
                study=found.study,
                measured=datetime.now().astimezone().isoformat(timespec="seconds"),
                build=build_of(self.plan.config),
            )
        )

    def results(self) -> list[Result]:
        """The runs of the study, oldest first."""
        study = self.plan.study
        return [result for result in self._store.naming(study) if result.setup.labels.get(STUDY) == study]

    def _points(self) -> list[OffloadPoint]:
        return points_of(self.results(), self.plan.most)

    def next_variants(self) -> list[Variant]:
        """The runs to measure next."""
        return [self._paced(layers) for layers in self.missing()]

    def _paced(self, layers: int) -> Variant:
        """The run with so many layers; with few warm-up batches where one takes seconds. Nobody knows yet how long it
        takes without a layer on the GPU, where it takes longest; more of them are as fast as the next fewer, or faster.
        """
        variant = self.plan.variant(layers)
        measurement, workload = variant.config.measurement, variant.config.workload
        if measurement.warmup != "auto":
            return variant
        slower = [point.throughput for point in self.points() if point.throughput and point.layers <= layers]
        batch_s = workload.batch_size * workload.output_len / slower[-1] if slower else 0.0
        batches = 1 if batch_s > _SLOW_BATCH_S else 2 if layers == 0 else "auto"
        paced = replace(measurement, warmup=batches)
        return replace(variant, config=replace(variant.config, measurement=paced))

    def _subject(self) -> Subject:
        config, gpu = self.plan.config, self.place.gpu
        results = [result for result in self.results() if result.loaded]
        sizes = [metric_of("weight_bytes").value(result) for result in results]
        table = config.engine.name.replace("-", "_")
        options = getattr(config.engine, table)
        positions = next(
            (found for result in results if (found := _in_force(result, f"{table}.n_ctx")) is not None), None
        )
        return Subject(
            config.model.id,
            config.engine.name,
            revision=config.model.revision,
            quantization=config.engine.quantization,
            dtype=config.engine.dtype,
            gpu=gpu.name if gpu else "",
            gpu_uuid=gpu.uuid if gpu else "",
            layers=self.plan.most,
            weight_bytes=next((size for size in sizes if isinstance(size, int)), None),
            n_ctx=getattr(options, "n_ctx", None),
            n_batch=getattr(options, "n_batch", None),
            positions=positions,
            batch_size=config.workload.batch_size,
            output_len=config.workload.output_len,
        )


class _Told:
    """A line for each run of a study that has ended."""

    def __init__(self, study: Offloading) -> None:
        self._study = study
        self._done = len(study.points())

    def take(self, result: Result) -> list[str]:
        self._done += 1
        plan = self._study.plan
        layers = layers_of(result, plan.most) or 0
        seconds = metric_of("seconds").number(result)
        most = max(plan.runs, self._done)
        return [progress_line(point_of(result, layers), self._done, most, seconds, exactly=bool(plan.layers))]


class _Watching:
    """Shows through another view, and notes runs that are refused."""

    def __init__(self, view: RunView, study: Offloading) -> None:
        self._view, self._study = view, study

    def take(self, event: AnyRunEvent) -> None:
        if isinstance(event, RunRefused):
            self._study.refused(event)
        self._view.take(event)

    def __enter__(self) -> "_Watching":
        self._view.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self._view.__exit__(*exception)


def continued(out: Path, name: str, ceiling: float | None = None) -> Offloading:
    """A study of before, by its name or a beginning of it that no other has, with its own ceiling or this one.

    Raises UsageError and StoreError.
    """
    folders = [folder for folder in opened(out).folders_with(PROFILE) if name and folder.name.startswith(name)]
    exact = [folder for folder in folders if folder.name == name]
    if len(exact or folders) != 1:
        problem = f"{len(folders)} studies begin with" if folders else "there is no study"
        raise UsageError(
            f"{problem} {clean(name)!r} in {clean(str(out))}",
            remedy="Write more of its name." if folders else "`infertui profile MODEL` begins one, and tells its name.",
        )
    folder = (exact or folders)[0]
    _must_not_wait(folder.name)
    kept = read_study(folder / PROFILE)
    config = load(str(folder / CONFIG), environ={}).config
    place = place_of(config, kept.card.ceiling if ceiling is None else ceiling)
    plan = OffloadPlan(kept.study, config, kept.subject.layers, place.card, kept.asked)
    return Offloading(plan, place, out, kept.notes)


def _must_not_wait(study: str) -> None:
    """Raise UsageError while runs of a study are in the runner's queue."""

    async def waiting() -> int:
        with contextlib.suppress(InfertuiError):
            entries = (await (await find_running()).snapshot()).entries
            return sum(
                entry.state in ("queued", "running") and entry.config.labels.get(STUDY) == study for entry in entries
            )
        return 0

    if count := asyncio.run(waiting()):
        raise UsageError(
            f"{count} run{'s' if count > 1 else ''} of {clean(study)} are in the queue still",
            remedy="Wait for them (`infertui status`), or cancel them on the screen.",
        )


def read_study(path: Path) -> OffloadStudy:
    """What a study's file holds. Raises StoreError."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=OffloadStudy)
    except OSError as error:
        raise store_error(path, error) from error
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise StoreError(f"{clean(str(path))} is no study of offloading: {clean(str(error))[:200]}") from error


def tell_interrupted(study: Offloading) -> None:
    """How an interrupted study goes on."""
    where = "" if str(study.out) == "reports" else f" --out {clean(str(study.out))}"
    say(f"infertui: it goes on with: infertui profile --continue {study.plan.study}{where}", err=True)


def _in_force(result: Result, option: str) -> int | None:
    found = result.effective.settings.get(option, "") if result.effective else ""
    return int(found) if found.isascii() and found.isdecimal() else None


def _prompt_tokens(config: Config) -> int:
    """Tokens of the longest prompt, as near as is known; 1 where that is not known."""
    if config.engine.name == "simulator":
        return 1
    try:
        return check_lengths(
            resolve(config.model.id, config.model.revision), config.workload, load_prompts(config.workload)
        )
    except InfertuiError:
        return 1
