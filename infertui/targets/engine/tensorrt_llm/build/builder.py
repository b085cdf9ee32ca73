"""Building an engine: all checks first, then the steps in a folder that becomes the engine's only when it is whole."""

import contextlib
import datetime as dt
import os
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
from msgspec import Struct

from infertui.errors import EngineError, StoreError, UsageError
from infertui.models.resolve import ModelSource, resolve
from infertui.paths import expand
from infertui.targets.engine import gpus
from infertui.targets.engine.gpus import Gpu
from infertui.targets.engine.tensorrt_llm import builtengine
from infertui.targets.engine.tensorrt_llm.build import cache, process, recipe
from infertui.targets.engine.tensorrt_llm.build.cache import RECORD, Key, Record
from infertui.targets.engine.tensorrt_llm.build.progress import BuildProgress
from infertui.targets.engine.tensorrt_llm.build.recipe import BuildOptions, Step, Tools
from infertui.targets.engine.tensorrt_llm.installation import examine
from infertui.text import clean
from infertui.units import format_bytes

PARTIAL = ".partial"
LOG = "build.log"


class Order(Struct, frozen=True):
    """What is to be built. `out` is the engine's folder; None: one in the cache."""

    model: str
    options: BuildOptions
    revision: str = ""
    out: Path | None = None
    force: bool = False
    examples: str = ""
    calibration: str = ""


class Prepared(Struct, frozen=True):
    """An order that passed all checks. `kept` says that the engine is there already."""

    source: ModelSource
    key: Key
    target: Path
    partial: Path
    steps: tuple[Step, ...]
    needed_bytes: int
    kept: bool


class BuildOutcome(Struct, frozen=True):
    """What came of it. Seconds are of the steps; none where the engine was there."""

    engine_dir: str
    cached: bool
    key: Key
    seconds: dict[str, float]
    bytes: int
    log: str
    commands: list[list[str]]


def prepare(order: Order, environ: Mapping[str, str] = os.environ) -> Prepared:
    """Check an order without changing anything. Raises an error that says what to do instead."""
    installation = examine()
    version, package = installation.version, installation.root
    if version is not None and version.line == "later" and not installation.engine_path:
        raise EngineError(
            f"TensorRT-LLM {version.text} builds no engines: that backend was removed after 1.2",
            remedy="Nothing has to be built: engine.name = tensorrt-llm loads the model itself. For engines, "
            "install tensorrt-llm 1.2.1.",
        )
    if not installation.probe.available or version is None or package is None:
        raise EngineError(
            f"engines cannot be built here: {installation.probe.reason}", remedy=installation.probe.remedy
        )
    if not installation.engine_path:
        raise EngineError(f"this TensorRT-LLM {version.text} has no engine backend", remedy="Install it again.")
    trtllm_build = _tool("trtllm-build", environ)
    source = resolve(order.model, order.revision)
    gpu = _gpu()
    recipe.check(source, order.options, gpu.capability)
    key = cache.key(source, order.options, version=version, gpu=gpu)
    target = expand(order.out).absolute() if order.out else cache.root(environ) / key.folder
    partial = target.parent / f".{target.name}.{os.getpid()}{PARTIAL}"
    tools = Tools(sys.executable, trtllm_build, recipe.find_examples(order.examples, environ, package))
    steps = recipe.steps(
        source,
        order.options,
        tools,
        checkpoint=partial / "checkpoint",
        engine=partial / "engine",
        calibration=order.calibration,
    )
    return Prepared(
        source, key, target, partial, steps, recipe.space_needed(source, order.options), _is_kept(target, key, order)
    )


def build(prepared: Prepared, told: Callable[[BuildProgress], None]) -> BuildOutcome:
    """Build, unless the engine is there. Whatever is raised, Ctrl-C among it, no half of an engine is left.

    The log of a build that failed stays beside the folder that it would have become.
    """
    commands = [list(step.command) for step in prepared.steps]
    target = prepared.target
    if prepared.kept:
        record = cache.read_record(target)
        return BuildOutcome(
            str(target), True, prepared.key, {}, _size(target), str(target / LOG), record.commands if record else []
        )
    log = target.parent / f"{target.name}.{LOG}"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _sweep(target)
        _check_space(prepared)
        prepared.partial.mkdir()
        log.write_bytes(b"")
    except OSError as error:
        raise StoreError(f"{clean(str(error.filename or target))} cannot be written: {error.strerror}") from error
    started = dt.datetime.now().astimezone().isoformat(timespec="seconds")
    try:
        seconds: dict[str, float] = {
            step.name: round(process.run(step, log, ranks=prepared.key.options.tensor_parallel, told=told), 3)
            for step in prepared.steps
        }
        engine = prepared.partial / "engine"
        _verify(engine, prepared)
        (engine / RECORD).write_bytes(msgspec.json.encode(Record(prepared.key, started, seconds, commands)))
        _put(engine, target)
        shutil.move(log, target / LOG)
    except OSError as error:
        raise StoreError(f"{clean(str(error.filename or target))} cannot be written: {error.strerror}") from error
    finally:
        shutil.rmtree(prepared.partial, ignore_errors=True)
    return BuildOutcome(str(target), False, prepared.key, seconds, _size(target), str(target / LOG), commands)


def _tool(name: str, environ: Mapping[str, str]) -> str:
    """A tool of the library: beside this interpreter, where pip puts it, else on the PATH."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if os.access(beside, os.X_OK) else shutil.which(name, path=environ.get("PATH"))
    if found is None:
        raise EngineError(f"{name} is not found", remedy="It comes with tensorrt-llm 1.0 to 1.2; install it again.")
    return found


def _gpu() -> Gpu:
    driver = gpus.read()
    shown = gpus.visible(driver) if driver else ()
    if not shown:
        raise EngineError("no GPU is visible; an engine is built on the kind of GPU that it runs on")
    return shown[0]


def _is_kept(target: Path, key: Key, order: Order) -> bool:
    if not os.path.lexists(target):
        return False
    record = cache.read_record(target)
    if record is None:
        if order.out and (not target.is_dir() or any(target.iterdir())):
            raise UsageError(
                f"{clean(str(target))} is there and was not made by infertui build",
                remedy="Name another folder; this one is left alone.",
            )
        return False
    if order.force:
        return False
    if record.key == key:
        return True
    raise UsageError(
        f"{clean(str(target))} holds another engine, {clean(record.key.folder)}",
        remedy="--force replaces it; or name another folder.",
    )


def _verify(engine: Path, prepared: Prepared) -> None:
    """Look at what was built: the tools may end well and yet have made something else."""
    found, options = builtengine.read(engine), prepared.key.options
    asked = recipe.ALGORITHMS.get(options.precision)
    told = found.algorithm.lower()
    wrong = {
        "precision": (told or "none")
        if (not told.startswith(asked) if asked else told not in ("", "no_quant"))
        else "",
        "dtype": found.dtype if found.dtype != recipe.dtype_of(options.precision, prepared.source.shape) else "",
        "tensor parallel": str(found.tensor_parallel) if found.tensor_parallel != options.tensor_parallel else "",
        "batch size": str(found.max_batch_size) if found.max_batch_size < options.batch_size else "",
        "tokens": str(found.max_seq_len) if found.max_seq_len < options.max_seq_len else "",
    }
    for name, what in wrong.items():
        if what:
            raise EngineError(f"the engine that was built is not the one that was asked for: its {name} is {what}")
    if len(list(engine.glob("rank*.engine"))) != options.tensor_parallel:
        raise EngineError(f"the engine that was built lacks some of its {options.tensor_parallel} parts")


def _put(engine: Path, target: Path) -> None:
    """Move a whole engine to its place in one step; one that is replaced goes aside first."""
    aside = target.parent / f".{target.name}.{os.getpid()}.old{PARTIAL}"
    if os.path.lexists(target):
        target.rename(aside)
    try:
        engine.rename(target)
    except OSError:
        if aside.exists():
            aside.rename(target)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _sweep(target: Path) -> None:
    """Remove what builds of this engine left that were killed outright."""
    for left in target.parent.glob(f".{target.name}.*{PARTIAL}"):
        pid = left.name.removeprefix(f".{target.name}.").split(".")[0]
        if pid.isdecimal() and not _lives(int(pid)):
            shutil.rmtree(left, ignore_errors=True)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _check_space(prepared: Prepared) -> None:
    free = shutil.disk_usage(prepared.target.parent).free
    if free < prepared.needed_bytes:
        raise StoreError(
            f"building needs about {format_bytes(prepared.needed_bytes)} on disk, for the converted checkpoint and the "
            f"engine, and {clean(str(prepared.target.parent))} has {format_bytes(free)} free",
            remedy="Make room, or name another place with --out DIR or XDG_CACHE_HOME.",
        )


def _size(folder: Path) -> int:
    total = 0
    with contextlib.suppress(OSError):
        total = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return total
