"""A search's folder: capacity.json says what is searched and what was found, levels.jsonl has a line for each stay."""

import contextlib
import fcntl
import secrets
from collections.abc import Callable
from datetime import datetime
from io import BufferedRandom
from pathlib import Path
from typing import Self

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from infertui.analysis.capacity.outcome import CapacityOutcome, Stay
from infertui.analysis.capacity.search import SearchPlan
from infertui.config.schema import Config
from infertui.config.sources import load
from infertui.config.toml import write
from infertui.errors import InfertuiError, UsageError
from infertui.results.jsonl import read_lines, store_error
from infertui.results.results_file import append_line
from infertui.results.runs import write_whole
from infertui.text import clean, quoted

RECORD, CONFIG, LEVELS = "capacity.json", "capacity.toml", "levels.jsonl"
LOG, SERVER_LOG, TELEMETRY = "worker.log", "server.log", "telemetry.jsonl"
PREFIX = "capacity-"
SCHEMA = 1
_MOST_BYTES = 16 << 20


class CapacityRecord(Struct, frozen=True):
    """capacity.json. `schema` is the version of this file, `stay_s` how long a stay has to be settled, in seconds.

    `api`, `model` and `server` are what was found of the endpoint. `outcome` is what is known by now.
    """

    search: str
    begun: str
    url: str
    slo: str
    attainment: float
    plan: SearchPlan
    stay_s: float
    schema: int = SCHEMA
    api: str = ""
    model: str = ""
    server: str = ""
    outcome: CapacityOutcome | None = None


class CapacityFolder:
    """Of one search. All of its methods raise StoreError where a file cannot be read or written."""

    def __init__(self, path: Path, record: CapacityRecord, config: Config) -> None:
        self.path = path
        self.record = record
        self.config = config
        self._claim: BufferedRandom | None = None

    @classmethod
    def begin(cls, out: Path, config: Config, record: CapacityRecord) -> Self:
        """A new one below `out`."""
        folder = cls(out / record.search, record, config)
        folder.make()
        return folder

    @classmethod
    def open(cls, out: Path, search: str) -> Self:
        """One that there is, by its name below `out`, or by its path. Raises UsageError where there is none."""
        path = out / search if (out / search / RECORD).exists() else Path(search)
        try:
            with (path / RECORD).open("rb") as stream:
                content = stream.read(_MOST_BYTES)
            record = msgspec.json.decode(content, type=CapacityRecord)
        except FileNotFoundError:
            raise UsageError(
                f"{quoted(search)} is no search for a capacity: there is no {RECORD} in it",
                remedy="--continue wants the name that `infertui capacity` printed, or its folder.",
            ) from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise UsageError(f"{clean(str(path / RECORD))} cannot be read: {clean(str(error))}") from None
        except OSError as error:
            raise store_error(path / RECORD, error) from error
        if record.schema > SCHEMA:
            raise UsageError(f"{clean(str(path / RECORD))} was written by a newer infertui")
        return cls(path, record, load(str(path / CONFIG), environ={}).config)

    def make(self) -> None:
        """Where it is not there yet."""
        if self.path.exists():
            return
        try:
            self.path.mkdir(parents=True)
        except OSError as error:
            raise store_error(self.path, error) from error
        write_whole(self.path / CONFIG, write(self.config).encode())
        self.keep(self.record)

    def claim(self) -> None:
        """Keep others from measuring here, until `release` or the end of this process. Raises UsageError where another
        one does."""
        if self._claim:
            return
        try:
            stream = (self.path / CONFIG).open("rb+")
        except OSError as error:
            raise store_error(self.path / CONFIG, error) from error
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            stream.close()
            raise UsageError(f"{self.path.name} is under way", remedy="It goes on once that has ended.") from None
        except OSError as error:
            stream.close()
            raise store_error(self.path / CONFIG, error) from error
        self._claim = stream

    def release(self) -> None:
        """Let others go on with it."""
        if self._claim:
            self._claim.close()
            self._claim = None

    @property
    def log(self) -> Path:
        """What the clients print."""
        return self.path / LOG

    def stays(self, warn: Callable[[str], None]) -> list[Stay]:
        """All there were, in their order; lines that cannot be read are told of and left out."""
        return list(read_lines(self.path / LEVELS, Stay, warn=warn))

    def add(self, stay: Stay) -> None:
        """One that is over."""
        append_line(self.path / LEVELS, stay)

    def keep(self, record: CapacityRecord) -> None:
        """What is known by now, in place of what was."""
        self.record = record
        write_whole(self.path / RECORD, msgspec.json.format(msgspec.json.encode(record), indent=2))

    def conclude(self, outcome: CapacityOutcome) -> None:
        """The same with what was found."""
        self.keep(self.with_outcome(outcome))

    def with_outcome(self, outcome: CapacityOutcome) -> CapacityRecord:
        """The record as it would be with that."""
        return replace(self.record, outcome=outcome)


def search_id(now: datetime) -> str:
    """A name for a search, unlike that of any other, that sorts by time."""
    return f"{PREFIX}{now:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def folders_in(out: Path) -> list[CapacityFolder]:
    """The searches below `out`, the newest first; what cannot be read is left out."""
    found = []
    for path in sorted(out.glob(f"{PREFIX}*/{RECORD}"), reverse=True):
        with contextlib.suppress(InfertuiError):
            found.append(CapacityFolder.open(out, path.parent.name))
    return found
