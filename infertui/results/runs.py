"""Run folders, and the index over them.

reports/results.jsonl            one line a run
reports/<run id>/run.toml        the resolved config: `infertui run` on it repeats the run
reports/<run id>/requests.jsonl  a line a request
reports/<run id>/outputs.jsonl   the token ids that were generated, of each prompt once
reports/<run id>/telemetry.jsonl device and host samples
reports/<run id>/result.json     the run's line of the index
reports/<run id>/superseded.jsonl  what the line was before it was recomputed, a line each time
reports/<run id>/worker.log      what the backend printed
reports/<run id>/begun.json      while it runs: what a run that is cut off would otherwise take with it

The tokens that a run generated, kept to compare engines and settings by what they say: outputs.jsonl.
"""

import contextlib
import fcntl
import os
import re
import secrets
import shutil
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from datetime import datetime
from pathlib import Path
from typing import IO

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from infertui import regular_files
from infertui.config.schema import Config
from infertui.errors import StoreError
from infertui.measure.records import BatchRecord
from infertui.results.jsonl import JsonlWriter, decoded_lines, lines_holding, read_lines, store_error
from infertui.results.result import Fingerprint, Result
from infertui.results.results_file import append_line, remove_lines, replace_line
from infertui.results.upgrade import NewerSchemaError, decode_result, id_of
from infertui.targets.engine.contract import Loaded
from infertui.text import clean, one_line

OUTPUTS = "outputs.jsonl"


class Output(Struct, frozen=True):
    """A line of outputs.jsonl: the ids generated for a prompt, in the measured batch of that index.

    `prompt_sha256` is that of the prompt's token ids in decimal with commas between. Of each prompt the first output
    is kept, of 64 prompts and 4096 tokens at most.
    """

    prompt_sha256: str
    prompt_tokens: int
    output: tuple[int, ...]
    batch: int


def outputs_of(batch: BatchRecord) -> Iterator[Output]:
    """The outputs that came with a batch."""
    for part in batch.requests:
        if part.output:
            yield Output(part.prompt_sha256, part.prompt_tokens, part.output, batch.index)


def read_outputs(folder: Path) -> dict[str, tuple[int, ...]]:
    """What a run's folder holds, by prompt, for `measure.agreement`; empty where nothing is. Raises StoreError."""
    lines = read_lines(folder / OUTPUTS, Output, warn=lambda _: None)
    return {line.prompt_sha256: line.output for line in lines}


BEGUN = "begun.json"
_ROOM = 512
"""Bytes of begun.json that are left free, so that why a result could not be kept finds room on a full disk."""
_BOOT = Path("/proc/sys/kernel/random/boot_id")
RESULT_BYTES = 16 << 20
"""The largest result.json that is read."""
RESULT = "result.json"
SUPERSEDED = "superseded.jsonl"
# What tells a run's folder from any other.
_MARKS = ("run.toml", RESULT, "requests.jsonl")


class Begun(Struct, frozen=True):
    """What is known when a run begins, kept until its result is: where and with what it is measured."""

    name: str
    started: str
    config: Config
    fingerprint: Fingerprint
    boot: str = ""
    """The life of the machine in which it began, as Linux names them; empty where that is not known."""
    ended_by: str = ""
    """Why its result could not be kept, where somebody lived to say so."""
    loaded: Loaded | None = None
    """What answers, of a server that was looked at."""


class RunFolder:
    """The folder of one run, created by `Store.create_run`. Every write raises StoreError when it fails."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._claim: IO[bytes] | None = None
        self._earlier: list[IO[bytes]] = []
        self._begun: Begun | None = None
        self._room = 0
        self.requests = JsonlWriter(path / "requests.jsonl")
        opened = [self.requests]
        try:
            self.telemetry = JsonlWriter(path / "telemetry.jsonl")
            opened.append(self.telemetry)
            self.outputs = JsonlWriter(path / OUTPUTS)
        except StoreError:
            for writer in opened:
                writer.close()
            raise

    @property
    def id(self) -> str:
        """The run's id is the folder's name."""
        return self.path.name

    @property
    def log(self) -> Path:
        """Where the worker's output goes."""
        return self.path / "worker.log"

    def write_config(self, toml: str) -> None:
        """Keep the resolved config as run.toml."""
        write_whole(self.path / "run.toml", toml.encode())

    def write_begun(self, begun: Begun) -> None:
        """Keep what a result will need, until there is one; once more where more is known.

        The file is locked until `close`, or until this process is no more: whoever can lock it knows that nobody
        measures any longer. Numbers of processes would not tell that to another container or host, nor after the
        clock was set.
        """
        path = self.path / BEGUN
        partial = path.with_name(path.name + ".partial")
        if self._claim:  # held on: somebody may just be trying to lock what is replaced
            self._earlier.append(self._claim)
        try:
            self._begun = replace(begun, boot=boot_id())
            # Without a buffer: what found no room would be tried again, and fail, when the file is closed.
            self._claim = partial.open("wb", buffering=0)
            fcntl.flock(self._claim, fcntl.LOCK_EX)
            content = msgspec.json.encode(self._begun)
            self._room = len(content) + _ROOM
            rest = memoryview(content.ljust(self._room))
            while rest:
                rest = rest[self._claim.write(rest) or 0 :]
            partial.replace(path)
        except OSError as error:
            partial.unlink(missing_ok=True)
            raise store_error(path, error) from error

    def note_end(self, why: str) -> None:
        """Note why no result will be kept, in the room that there is: a full disk has no other."""
        if self._claim is None or self._begun is None:
            return
        content = msgspec.json.encode(replace(self._begun, ended_by=one_line(why, _ROOM // 4)))
        if len(content) <= self._room:
            with contextlib.suppress(OSError):
                os.pwrite(self._claim.fileno(), content.ljust(self._room), 0)

    def write_result(self, result: Result) -> None:
        """Keep the result beside what it summarises."""
        write_whole(self.path / RESULT, encode_result(result))

    def settled(self) -> None:
        """The result is kept: forget what only a cut-off run would need."""
        (self.path / BEGUN).unlink(missing_ok=True)

    def close(self) -> None:
        """Release the files."""
        self.requests.close()
        self.telemetry.close()
        self.outputs.close()
        for claim in (*self._earlier, self._claim):
            if claim:
                claim.close()


def _ids(lines: Iterator[bytes]) -> Iterator[str]:
    for line in lines:
        with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            yield id_of(line)


def _twice(ids: Iterator[str]) -> set[str]:
    """Those that come more than once."""
    return {run for run, lines in Counter(ids).items() if lines > 1}


def _once(results: Iterator[Result], twice: Collection[str]) -> Iterator[Result]:
    """Each run once: one that is there `twice` as it was last, behind the others."""
    last: dict[str, Result] = {}
    for result in results:
        if result.id in twice:
            last.pop(result.id, None)
            last[result.id] = result
        else:
            yield result
    yield from last.values()


def _nobody(_: str) -> None: ...


class Store:
    """A reports folder: run folders and results.jsonl. Several processes may use one at once."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def index(self) -> Path:
        """The file of all results."""
        return self.root / "results.jsonl"

    def create_run(self, name: str, started: datetime) -> RunFolder:
        """A new folder with an id of its own, readable and sorting by time. Raises StoreError."""
        slug = re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-.")[:48] or "run"
        for _ in range(16):
            path = self.root / f"{started:%Y%m%d-%H%M%S}-{slug}-{secrets.token_hex(2)}"
            try:
                path.mkdir(parents=True)
            except FileExistsError:
                continue
            except OSError as error:
                raise store_error(path, error) from error
            return RunFolder(path)
        raise StoreError(f"{self.root}: no free name for a run folder")

    def append(self, *results: Result) -> None:
        """Add finished runs to the index, all of them or none."""
        append_line(self.index, *results)

    def supersede(self, old: Result, new: Result) -> None:
        """Put `new` in the place of a run's result, after keeping `old` in the run's folder. Raises StoreError.

        In this order, so that being killed between two steps loses nothing: the next time the rest is done.
        """
        folder = self.folder_of(old.id)
        append_line(folder / SUPERSEDED, self._line_of(old.id) or old)
        write_whole(folder / RESULT, encode_result(new))
        replace_line(self.index, old.id, new)

    def _line_of(self, run: str) -> msgspec.Raw | None:
        """The last line of the index about a run, byte for byte: it may say what this infertui does not know."""
        found = None
        for line in lines_holding(self.index, [msgspec.json.encode(run)]):
            with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                found = line if decode_result(line).id == run else found
        return None if found is None else msgspec.Raw(found.rstrip(b"\n"))

    def without_result(self) -> list[str]:
        """Ids of runs that have begun and have no result: they are under way, or were cut off. Oldest first."""
        done = set(self._named_with(RESULT))
        return [name for name in self._named_with("run.toml") if name not in done]

    def folders_with(self, name: str) -> list[Path]:
        """The folders that hold a file of that name, in order. There may be very many: this is quicker than a glob."""
        return [self.root / folder for folder in self._named_with(name)]

    def _named_with(self, name: str) -> list[str]:
        try:
            with os.scandir(self.root) as entries:
                return sorted(entry.name for entry in entries if os.path.exists(f"{entry.path}/{name}"))  # noqa: PTH110
        except OSError:
            return []

    def results(self, *, warn: Callable[[str], None]) -> list[Result]:
        """All results, oldest first. They are 20 kB each in memory: see `each_result` where there may be many."""
        return list(self.each_result(warn=warn))

    def each_result(self, *, warn: Callable[[str], None]) -> Iterator[Result]:
        """All results, oldest first, one at a time as they are read: of a run that is there twice its last line."""
        twice = _twice(decoded_lines(self.index, id_of, warn=_nobody))
        yield from _once(decoded_lines(self.index, decode_result, warn=warn), twice)

    def results_of(self, runs: Collection[str]) -> list[Result]:
        """The results of these runs, oldest first, of a run that is there twice its last line; those that cannot be
        read are left out. Only their lines are decoded whole."""

        def wanted(line: bytes) -> Result | None:
            return decode_result(line) if id_of(line) in runs else None

        found = {result.id: result for result in decoded_lines(self.index, wanted, warn=_nobody) if result}
        return list(found.values())

    def result_of(self, run: str) -> Result | None:
        """The last line of the index about a run. Only lines that may be about it are decoded whole.

        Raises StoreError where a newer infertui has written that line.
        """
        found: Result | NewerSchemaError | None = None
        for line in lines_holding(self.index, [msgspec.json.encode(run)]):
            try:
                result = decode_result(line)
            except NewerSchemaError as error:
                found = error if error.run == run else found
                continue
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                continue
            found = result if result.id == run else found
        if isinstance(found, NewerSchemaError):
            raise StoreError(f"{clean(run)} cannot be read: {found}")
        return found

    def naming(self, *texts: str) -> Iterator[Result]:
        """The results whose lines hold one of the texts, oldest first; only these are decoded. Each run once, as above.

        Raises StoreError, also where a run is so named that a newer infertui has written, and no other.
        """
        needles = [msgspec.json.encode(text)[1:-1] for text in texts]
        newer: list[NewerSchemaError] = []
        missing = set(texts)

        def found() -> Iterator[Result]:
            for line in lines_holding(self.index, needles):
                try:
                    result = decode_result(line)
                except NewerSchemaError as error:
                    newer.append(error)
                except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                    continue
                else:
                    missing.difference_update({text for text in missing if result.id.startswith(text)})
                    yield result

        yield from _once(found(), _twice(_ids(lines_holding(self.index, needles))))
        for one in newer:
            if one.run.startswith(tuple(missing)):
                raise StoreError(f"{clean(one.run)} cannot be read: {one}")

    def results_of_bench(self, bench: str) -> list[Result]:
        """The results of a bench, oldest first. Only lines that may be about it are decoded whole."""
        return [result for result in self.naming(bench) if result.bench is not None and result.bench.bench == bench]

    def folder_of(self, run: str) -> Path:
        """The folder of a run, whether it exists or not. Raises StoreError for what cannot be a run of this store."""
        if run in ("", ".", "..") or "/" in run or "\0" in run:
            raise StoreError(f"{clean(run)!r} is no run of {clean(str(self.root))}")
        path = self.root / run
        try:
            if path.is_symlink():
                raise StoreError(f"{clean(str(path))} is a link, not a run folder")
            if path.exists() and not any((path / name).exists() for name in _MARKS):
                raise StoreError(f"{clean(str(path))} is not a run folder: it holds none of {', '.join(_MARKS)}")
        except OSError as error:
            raise store_error(path, error) from error
        return path

    def outputs(self, run: str) -> dict[str, tuple[int, ...]]:
        """The token ids that a run generated, by the name of the prompt. Raises StoreError."""
        return read_outputs(self.folder_of(run))

    def delete(self, runs: Collection[str]) -> None:
        """Take runs out of the index, then remove their folders. All or, where one cannot be a run, none.

        Lines that cannot be read stay as they are, and what other processes append meanwhile is kept. A run that is
        still under way must not be among them. Raises StoreError.
        """
        folders = [self.folder_of(run) for run in runs]
        remove_lines(self.index, frozenset(runs))
        for folder in folders:
            try:
                if folder.exists():
                    shutil.rmtree(folder)
            except OSError as error:
                raise store_error(folder, error) from error


def is_run_folder(folder: Path) -> bool:
    """Whether a run, or the results of several, are kept in it."""
    return any(regular_files.exists(folder / name) for name in (*_MARKS, "results.jsonl"))


def is_under_way(folder: Path) -> bool:
    """Whether a living process measures the run of this folder."""
    try:
        with regular_files.opened_to_change(folder / BEGUN) as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def boot_id() -> str:
    """What sets this life of the machine apart from the one before it went down; empty where that is not known."""
    try:
        return _BOOT.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""


def encode_result(result: Result) -> bytes:
    """The content of result.json."""
    return msgspec.json.format(msgspec.json.encode(result), indent=2) + b"\n"


def write_whole(path: Path, content: bytes, *, durable: bool = False) -> None:
    """Write a file whole or not at all; `durable`: also if the machine ends. Raises StoreError."""
    partial = path.with_name(path.name + ".partial")
    try:
        with partial.open("wb") as stream:
            stream.write(content)
            if durable:
                stream.flush()
                os.fsync(stream.fileno())
        partial.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise store_error(path, error) from error
