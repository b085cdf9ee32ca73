"""results.jsonl: appended to by any process, rewritten when runs are deleted or recomputed, without losing a line."""

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator, Mapping
from io import BufferedRandom
from pathlib import Path

import msgspec

from infertui import regular_files
from infertui.errors import StoreError
from infertui.results.jsonl import LONGEST, JsonlWriter, store_error
from infertui.text import clean


def append_line(path: Path, *values: object) -> None:
    """Add a line for each value, to the file that bears the name once nobody else writes. Raises StoreError."""
    while True:
        with _Writer(path) as writer, contextlib.suppress(_ReplacedError):
            writer.append(*values)
            return


def remove_lines(path: Path, ids: frozenset[str]) -> None:
    """Rewrite the file in one step without the lines of these `id`s; those that cannot be read stay as they are.

    Nobody can append meanwhile. Raises StoreError, and then the file is as it was.
    """
    _rewrite(path, dict.fromkeys(ids, b""))


def replace_line(path: Path, run: str, value: object) -> None:
    """The same with `value` as the one line of this `id`, in the place of the first."""
    _rewrite(path, {run: msgspec.json.encode(value) + b"\n"})


def _rewrite(path: Path, lines: Mapping[str, bytes]) -> None:
    """Put another line, or none, in the place of the first line of each `id`, and take out further ones."""
    partial = path.with_name(path.name + ".partial")
    try:
        with _locked(path) as stream:
            if stream is None:
                return
            written: set[str] = set()
            # A line that does not even hold the text of an id need not be decoded, which takes most of the time.
            names = [msgspec.json.encode(run)[1:-1] for run in lines] if len(lines) <= _FEW else [b""]
            with partial.open("wb", buffering=1 << 20) as kept:
                for line in regular_files.lines(stream, LONGEST):
                    if line is None:
                        raise StoreError(f"{clean(str(path))} has a line of more than {LONGEST >> 20} MiB")
                    run = _id_of(line) if any(name in line or b"\\" in line for name in names) else None
                    if run is None or run not in lines:
                        kept.write(line)
                        continue
                    kept.write(b"" if run in written else lines[run])
                    written.add(run)
                kept.flush()
                os.fsync(kept.fileno())
            if written:
                shutil.copymode(path, partial)
                partial.replace(path)
            else:
                partial.unlink()
    except (OSError, StoreError) as error:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        if isinstance(error, StoreError):
            raise
        raise store_error(path, error) from error


_FEW = 16


class _ReplacedError(Exception):
    """The file was rewritten between opening and locking it."""


class _Writer(JsonlWriter):
    """Refuses to append to a file that was replaced since it was opened: nobody would ever read it."""

    def _append_locked(self, lines: bytes) -> None:
        if not _bears(self.path, self._descriptor):
            raise _ReplacedError
        super()._append_locked(lines)


def _bears(path: Path, descriptor: int) -> bool:
    """Whether `path` still names the open file."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[BufferedRandom | None]:
    """The file of that name, open for reading, while nobody else may append to it; None where there is none."""
    while True:
        try:
            stream = regular_files.opened_to_change(path)  # NFS locks for writing only what is open for writing
        except FileNotFoundError:
            yield None
            return
        with stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            if _bears(path, stream.fileno()):
                yield stream
                return


class _Identity(msgspec.Struct, gc=False):
    id: str = ""


_identity = msgspec.json.Decoder(_Identity)


def _id_of(line: bytes) -> str | None:
    """The run that a line is about; None where it cannot be read."""
    try:
        return _identity.decode(line).id
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
