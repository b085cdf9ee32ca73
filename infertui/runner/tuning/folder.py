"""The folder of a tuning session, inside a reports folder; its segments are run folders in it.

OUT/tuning-.../tuning.json    what was asked for
OUT/tuning-.../start.toml     the config that it began with
OUT/tuning-.../segments.jsonl a line for each segment that ended, and another one when it is pinned
OUT/tuning-.../RUN/           each segment as a run, see `results/runs.py`; results.jsonl is over these alone
"""

import fcntl
import secrets
import shutil
from datetime import datetime
from pathlib import Path
from typing import IO

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from infertui import regular_files
from infertui.analysis.tuning.segment import Segment
from infertui.config.parse import config_hash
from infertui.config.schema import Config
from infertui.config.sources import load
from infertui.config.toml import write
from infertui.errors import StoreError, UsageError
from infertui.measure.comparison import Totals
from infertui.metrics.observed import throughput
from infertui.results.jsonl import JsonlWriter, read_lines, store_error
from infertui.results.observations import read_observations
from infertui.results.result import Result
from infertui.results.runs import BEGUN, RESULT, RESULT_BYTES, Begun, Store, encode_result, write_whole
from infertui.results.upgrade import decode_result
from infertui.runner.tuning.state import TuningStep
from infertui.text import clean

PREFIX = "tuning-"
HEAD, START, SEGMENTS = "tuning.json", "start.toml", "segments.jsonl"
MOST_BYTES = 4 << 20
TUNING, SEGMENT = "tuning", "segment"
"""Labels of a pinned segment's run: the session, and the segment's number."""


class KeptTuning(Struct, frozen=True):
    """What was asked for, as tuning.json keeps it."""

    id: str
    started: str
    """ISO 8601 with offset."""
    title: str = ""
    seconds: float = 0.0
    until_clear: bool = False
    steps: tuple[TuningStep, ...] = ()
    gpu_settings: bool = False
    most_seconds: float = 0.0


class TuningFolder:
    """One session's folder, and the segments in it. Every write raises StoreError when it fails."""

    def __init__(self, path: Path, kept: KeptTuning) -> None:
        self.path, self.kept = path, kept
        self._claim: IO[bytes] | None = None

    @classmethod
    def begin(cls, out: Path, config: Config, kept: KeptTuning) -> "TuningFolder":
        """A new one, of the id in `kept`."""
        path = out / kept.id
        try:
            path.mkdir(parents=True)
        except OSError as error:
            raise store_error(path, error) from error
        write_whole(path / START, write(config).encode())
        write_whole(path / HEAD, msgspec.json.format(msgspec.json.encode(kept), indent=2) + b"\n")
        return cls(path, kept)

    @classmethod
    def found(cls, out: Path, name: str) -> "TuningFolder":
        """The one whose name that is, or begins so as no other does. Raises UsageError and StoreError."""
        folders = [folder for folder in Store(out).folders_with(HEAD) if name and folder.name.startswith(name)]
        exact = [folder for folder in folders if folder.name == name]
        if len(exact or folders) != 1:
            problem = f"{len(folders)} tuning sessions begin with" if folders else "there is no tuning session"
            raise UsageError(
                f"{problem} {clean(name)!r} in {clean(str(out))}",
                remedy="Write more of its name." if folders else "`infertui tune` begins one, and tells its name.",
            )
        path = (exact or folders)[0]
        try:
            kept = msgspec.json.decode(regular_files.read(path / HEAD, MOST_BYTES), type=KeptTuning)
        except OSError as error:
            raise store_error(path / HEAD, error) from error
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise StoreError(f"{clean(str(path / HEAD))} is no tuning session: {clean(str(error))[:200]}") from error
        return cls(path, replace(kept, id=path.name))

    @property
    def config(self) -> Config:
        """What it began with. Raises ConfigError."""
        return load(str(self.path / START), environ={}).config

    @property
    def store(self) -> Store:
        """Its segments as runs."""
        return Store(self.path)

    def keep(self, segment: Segment) -> None:
        """Add a segment, or say anew what is known of one."""
        with JsonlWriter(self.path / SEGMENTS) as lines:
            lines.append(segment)

    def segments(self) -> list[Segment]:
        """Those that are kept, in order; of several lines about one the last counts."""
        lines = read_lines(self.path / SEGMENTS, Segment, warn=lambda _: None)
        found = {segment.number: segment for segment in lines}
        return [found[number] for number in sorted(found)]

    def observed(self, segment: Segment) -> Totals:
        """Tokens over seconds of the batches of a segment, or of parts of a load, read back. Raises StoreError."""
        if segment.rates:
            return Totals.mean_of(segment.rates)
        return throughput(read_observations(self.path / segment.run)) if segment.run else Totals((), ())

    def result(self, segment: Segment) -> Result:
        """The run of a segment. Raises UsageError for one that is none, and StoreError."""
        if not segment.run:
            raise UsageError(f"segment {segment.number} was refused before it was a run")
        path = self.store.folder_of(segment.run) / RESULT
        try:
            return decode_result(regular_files.read(path, RESULT_BYTES))
        except OSError as error:
            raise store_error(path, error) from error
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise StoreError(f"{clean(str(path))} cannot be read: {clean(str(error))[:200]}") from error

    def pin(self, segment: Segment, start: Config) -> Result:
        """Make a segment an ordinary run of the reports folder, once; its run.toml repeats it, batch by batch.

        The folder is put in place whole, with what a recovery needs to finish it. Raises UsageError for a segment
        without measured batches, and StoreError.
        """
        result = as_ordinary(self.result(segment), start, self.kept.id, segment.number)
        outer = Store(self.path.parent)
        folder = outer.folder_of(result.id)
        if folder.exists():
            return result
        partial = self.path / f"{result.id}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        try:
            shutil.copytree(self.path / segment.run, partial)
            write_whole(partial / "run.toml", write(result.own_config).encode())
            write_whole(partial / RESULT, encode_result(result))
            begun = Begun(result.name, result.started, result.own_config, result.fingerprint)
            write_whole(partial / BEGUN, msgspec.json.encode(begun))
            partial.rename(folder)
        except OSError as error:
            raise store_error(folder, error) from error
        outer.append(result)
        (folder / BEGUN).unlink(missing_ok=True)
        return result

    def claim(self) -> None:
        """Keep others from measuring here, until `release` or the end of this process. Raises UsageError where another
        one does, and StoreError."""
        try:
            self._claim = (self.path / HEAD).open("rb+")
            fcntl.flock(self._claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(f"{self.kept.id} is under way", remedy="End it before it is continued.") from None
        except OSError as error:
            raise store_error(self.path / HEAD, error) from error

    def release(self) -> None:
        """Let others continue it."""
        if self._claim:
            self._claim.close()


def new_id(now: datetime) -> str:
    """A name for a session, unlike that of any other, that sorts by time."""
    return f"{PREFIX}{now:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def as_ordinary(result: Result, start: Config, session: str, number: int) -> Result:
    """A segment's result as one whose config repeats it: as many batches as were measured, from the first prompt on; of
    a load on a server as many seconds.

    Raises UsageError where nothing was measured.
    """
    batches, config = result.summary.iterations, result.own_config
    if not result.has_throughput:
        raise UsageError(f"segment {number} has nothing measured, so there is nothing to pin")
    if config.target.kind == "endpoint":
        sent_s = sum(result.phases.get(phase, 0.0) for phase in ("warmup", "measure"))
        measurement = replace(start.measurement, max_seconds=round(sent_s, 3))
    else:
        measurement = replace(start.measurement, iterations=batches or 0, min_seconds=0.0, max_seconds=0.0)
    labels = config.labels | {TUNING: session, SEGMENT: str(number)}
    config = replace(config, measurement=measurement, labels=labels)
    return replace(result, config=config, fingerprint=replace(result.fingerprint, config_hash=config_hash(config)))
