"""A study of offloading in a reports folder, from its plan to its profiles: prepared, asked what to measure next,
concluded, kept. Its runs are measured from the queue, or by a command in the foreground."""

import secrets
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from infertui.analysis.offload.card import CEILING, Card
from infertui.analysis.offload.kept import KeptProfiles, keep_profiles
from infertui.analysis.offload.memory import estimate_by_layers
from infertui.analysis.offload.plan import STUDY, OffloadPlan, most_layers
from infertui.analysis.offload.points import OffloadPoint, points_of
from infertui.analysis.offload.study import OffloadStudy, Subject, study_of
from infertui.config.engines.registry import SPECS
from infertui.config.schema import Config
from infertui.config.sweep import Variant, rooted
from infertui.config.toml import write
from infertui.errors import InfertuiError, ModelError, UsageError
from infertui.load.prompts import load_prompts
from infertui.metrics.registry import metric_of
from infertui.models.content import content_mark
from infertui.models.resolve import resolve
from infertui.results.jsonl import store_error
from infertui.results.result import Result
from infertui.results.runs import Store, write_whole
from infertui.runner.control import StudyOutline
from infertui.runner.events import RunRefused
from infertui.runner.execution.loading import check_lengths, choose, planned_gpus
from infertui.targets.engine.torch_build import NO_CUDA
from infertui.telemetry.cards import CardNow, cards_now
from infertui.telemetry.readings import GpuInfo
from infertui.telemetry.usable import hindrance, library_of
from infertui.text import clean

PROFILE, CONFIG = "profile.json", "study.toml"
"""What a study's folder holds beside the folders of its runs: what it found, and the config of its runs."""


_SLOW_BATCH_S = 2.0


TITLE = "profile"
"""What the runs of a study are called in the queue."""


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


def content_of(config: Config) -> str:
    """What marks the files of the model; empty where nobody can tell."""
    try:
        return content_mark(resolve(config.model.id, config.model.revision))
    except ModelError:
        return ""


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


def outline_of(config: Config) -> StudyOutline:
    """What a study of `config` could measure. Raises UsageError for an engine that cannot be studied, and as a run
    would."""
    config = claiming(config)
    most = most_layers(config)
    place = place_of(config, CEILING)
    return StudyOutline(most, clean(place.gpu.name) if place.gpu else "", place.why_none)


def begun(config: Config, wanted: Callable[[int], Sequence[int]], out: Path, ceiling: float = CEILING) -> "Offloading":
    """A study of the layers that `wanted` says of as many as there can be on the GPU; of none: from coarse to fine.

    Raises UsageError for an engine that cannot be studied.
    """
    config = claiming(config)
    layers = wanted(most_layers(config))
    place = place_of(config, ceiling)
    notes = [f"no layer was put on a GPU: {place.why_none}"] if place.why_none else []
    return Offloading(new_plan(config, place, layers), place, out, notes)


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
                content=content_of(self.plan.config),
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

    def for_queue(self) -> list[Variant]:
        """All its runs, to be queued together, once its folder is there to continue it from. Raises UsageError for a
        study from coarse to fine, and StoreError."""
        if not self.plan.layers:
            raise UsageError(
                "a study from coarse to fine decides by what it has measured, and cannot be queued whole",
                remedy="Queue --quick, --full or --layers LIST; or leave --queue away.",
            )
        self.keep()
        return self.next_variants()

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
