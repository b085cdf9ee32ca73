"""pipeline.json: what a pipeline is to do, and how far it is. One file of its folder, replaced whole at each step."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, get_args

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from infertui import regular_files
from infertui.config.bench_plan import plan_bench
from infertui.config.schema import Config
from infertui.config.sweep import Variant
from infertui.errors import StoreError, UsageError
from infertui.integers import Whole
from infertui.results.jsonl import store_error
from infertui.results.runs import write_whole
from infertui.text import clean, one_line

FILE, LOCK, SUMMARY = "pipeline.json", "pipeline.lock", "summary.txt"
_MOST_BYTES = 16 << 20
Step = Literal["pull", "choose", "build", "measure", "compare", "report"]
STEPS: tuple[Step, ...] = get_args(Step)


class StepRecord(Struct, frozen=True):
    """A step that is done: what came of it, in words, and the seconds that it took in the process that ended it."""

    step: Step
    told: str
    seconds: float = 0.0


class PipelineArm(Struct, frozen=True):
    """One way to run the model: its config, whole, so that going on later measures what was begun."""

    name: str
    config: Config


class LeftOut(Struct, frozen=True):
    """An engine or mode that is not measured, and why; `asked` says that it was asked for by name."""

    name: str
    reason: str
    asked: bool = False


class Trial(Struct, frozen=True):
    """A short run by which an arm was chosen: output tokens per second, or why there are none."""

    name: str
    run: str = ""
    throughput: float | None = None
    error: str = ""
    valid: bool = True
    """Whether nothing disturbed it."""


class PipelineFile(Struct, frozen=True):
    """What pipeline.json holds. `base` is the config that all arms share; `engines` is empty where they are chosen."""

    name: str
    started: str
    """ISO 8601 with offset."""
    base: Config
    baseline: str
    rounds: Whole
    engines: tuple[str, ...] = ()
    quick: bool = False
    bench: str = ""
    """The bench that its runs belong to."""
    seed: Whole = 0
    """Of the order in which they are measured."""
    arms: tuple[PipelineArm, ...] = ()
    """The baseline first; empty until they are chosen."""
    left_out: tuple[LeftOut, ...] = ()
    trials: tuple[Trial, ...] = ()
    chosen_by: str = ""
    """How it was decided what is measured beside the baseline, in words."""
    steps: tuple[StepRecord, ...] = ()
    kind: Literal["infertui-pipeline"] = "infertui-pipeline"
    version: Literal[1] = 1

    def record(self, step: Step) -> StepRecord | None:
        """What is kept of a step; None where it is to be done."""
        return next((one for one in self.steps if one.step == step), None)

    def done(self, step: Step, told: str, seconds: float) -> "PipelineFile":
        """This with the step done, whatever was kept of it and of the steps behind it."""
        before = tuple(one for one in self.steps if STEPS.index(one.step) < STEPS.index(step))
        return replace(self, steps=(*before, StepRecord(step, told, round(seconds, 3))))

    def undone_from(self, step: Step) -> "PipelineFile":
        """This with the step, and those behind it, to be done."""
        return replace(self, steps=tuple(one for one in self.steps if STEPS.index(one.step) < STEPS.index(step)))

    def order(self) -> list[Variant]:
        """All its runs, in the order in which they are measured."""
        return plan_bench([(arm.name, arm.config) for arm in self.arms], self.rounds, self.seed, self.bench)

    @property
    def finished(self) -> bool:
        """Whether every step is done."""
        return all(self.record(step) for step in STEPS)


def is_of_others(folder: Path) -> bool:
    """Whether a folder holds something, and no pipeline: what is there must not be written over."""
    try:
        names = {entry.name for entry in os.scandir(folder)}
    except OSError:
        return False
    return FILE not in names and not names <= {LOCK, f"{FILE}.partial"}


def read(folder: Path) -> PipelineFile | None:
    """What a folder holds; None where nothing is. Raises StoreError for a file that cannot be read."""
    path = folder / FILE
    try:
        return msgspec.json.decode(regular_files.read(path, _MOST_BYTES), type=PipelineFile)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError(f"cannot read {clean(str(path))}: {error.strerror}") from error
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise StoreError(
            f"{clean(str(path))} is not the file of a pipeline, or not whole: {one_line(error)}",
            remedy="--anew begins again in its place; runs that were measured stay in the reports folder. "
            "Or --name another.",
        ) from None


def write(folder: Path, pipeline: PipelineFile) -> None:
    """Replace the file, so that it is whole whenever this process, or the machine, ends. Raises StoreError."""
    content = msgspec.json.format(msgspec.json.encode(pipeline), indent=2) + b"\n"
    write_whole(folder / FILE, content, durable=True)


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Make the folder, and keep it to this process; it is removed again where no pipeline began in it.

    Raises UsageError where another process works in it, and StoreError.
    """
    if regular_files.exists(folder) and not regular_files.is_dir(folder):
        raise UsageError(f"{clean(str(folder))} is a file", remedy="Name another folder with --name.")
    path = folder / LOCK
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o644)
    except OSError as error:
        raise store_error(path, error) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise UsageError(
            f"another process works on the pipeline in {clean(str(folder))}",
            remedy="Wait for its end, or begin another one with --name.",
        ) from None
    try:
        yield
    finally:
        if not regular_files.exists(folder / FILE):
            with contextlib.suppress(OSError):
                path.unlink()
                folder.rmdir()
        os.close(descriptor)
