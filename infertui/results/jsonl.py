"""JSON lines, appended as things happen and read whatever a crash left.

Each line is written to a descriptor in append mode under an advisory lock: lines of two processes never mix.
A torn last line is skipped by readers and sealed off by the next writer.
"""

import contextlib
import errno
import fcntl
import io
import os
import tempfile
from collections.abc import Callable, Collection, Iterator
from io import BufferedReader
from pathlib import Path
from typing import Self, TypeVar

import msgspec

from infertui import regular_files
from infertui.errors import StoreError
from infertui.text import clean

T = TypeVar("T")
_BLOCK = 1 << 20
LONGEST = 64 << 20
"""The longest line that is read: a prompt of a million tokens has a tenth of that."""


class JsonlWriter:
    """Appends values to a file, each flushed to the kernel when `append` returns. Raises StoreError."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise store_error(path, error) from error

    def append(self, *values: object) -> None:
        """Write a line for each value, all of them whole, or leave the file as it was."""
        lines = b"".join(msgspec.json.encode(value) + b"\n" for value in values)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
            try:
                self._append_locked(lines)
            finally:
                fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        except OSError as error:
            raise store_error(self.path, error) from error

    def _append_locked(self, lines: bytes) -> None:
        size = os.fstat(self._descriptor).st_size
        if size and os.pread(self._descriptor, 1, size - 1) != b"\n":
            lines = b"\n" + lines  # a writer died within its line: do not continue it
        rest = memoryview(lines)
        try:
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        except OSError:
            # Where the disk filled up within a line, its part would read as a torn one.
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, size)
            raise

    def close(self) -> None:
        """Release the file."""
        os.close(self._descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def read_lines(path: Path, kind: type[T], *, warn: Callable[[str], None]) -> Iterator[T]:
    """The values of a file, in order. Lines that cannot be read are skipped with a warning that names them.

    A missing file is empty. Raises StoreError when the file cannot be opened or read.
    """
    return decoded_lines(path, msgspec.json.Decoder(kind).decode, warn=warn)


def decoded_lines(path: Path, decode: Callable[[bytes], T], *, warn: Callable[[str], None]) -> Iterator[T]:
    """As `read_lines`, with what makes a value of a line, and raises as msgspec does for one that cannot be read."""
    try:
        stream = regular_files.opened(path, buffering=_BLOCK)
    except FileNotFoundError:
        return
    except OSError as error:
        raise store_error(path, error) from error
    with stream:
        for number, line in enumerate(_raw_lines(stream, path), start=1):
            if line is None:
                warn(clean(f"{path}, line {number} is longer than {LONGEST >> 20} MiB: nothing more is read"))
                return
            if line.isspace():
                continue
            try:
                yield decode(line)
            except (msgspec.DecodeError, ValueError, RecursionError) as error:
                torn = "is torn" if not line.endswith(b"\n") else f"cannot be read ({error})"
                warn(clean(f"{path}, line {number} {torn}: skipped"))


def lines_holding(path: Path, needles: Collection[bytes]) -> Iterator[bytes]:
    """The lines that hold one of the byte strings, which have no newline in them: a block is looked at as a whole.

    A missing file is empty. Raises StoreError when the file cannot be opened or read.
    """
    try:
        with regular_files.opened(path) as stream:
            while block := stream.read(_BLOCK):
                block += (rest := stream.readline(LONGEST))  # a block ends with a line
                if len(rest) == LONGEST and not rest.endswith(b"\n"):
                    return  # no file of lines, see `regular_files.lines`
                if any(needle in block for needle in needles):
                    for line in io.BytesIO(block):
                        if any(needle in line for needle in needles):
                            yield line
    except FileNotFoundError:
        return
    except OSError as error:
        raise store_error(path, error) from error


def _raw_lines(stream: BufferedReader, path: Path) -> Iterator[bytes | None]:
    try:
        yield from regular_files.lines(stream, LONGEST)
    except OSError as error:
        raise store_error(path, error) from error


NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def store_error(path: Path, error: OSError) -> StoreError:
    """The error of a file operation as one that a user can act on."""
    name = clean(str(path))
    if error.errno in NO_ROOM:
        return StoreError(
            f"{name}: {no_room(path, error)}",
            remedy="Free some room or choose another folder with --out; what was written before is kept.",
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return StoreError(
            f"{name}: {error.strerror}",
            remedy="Ask its owner for the right to it, or choose another folder with --out.",
        )
    return StoreError(f"{name}: {error.strerror or error}", remedy="Choose another folder with --out.")


_REFUSALS = {
    errno.EACCES: "Ask its owner for the right to it.",
    errno.EPERM: "Ask its owner for the right to it.",
    errno.EAGAIN: "Where no further process may start: `ulimit -u`, or the container's limit of processes.",
    errno.ENOMEM: "Free some memory.",
    errno.EMFILE: "Raise the number of files that a process may have open: `ulimit -n`.",
    errno.ENFILE: "The machine has too many files open.",
    errno.ENAMETOOLONG: "Use a shorter name.",
    errno.ELOOP: "A link leads back to itself.",
    errno.EROFS: "Choose a place that can be written.",
    errno.EIO: "The disk does not work: see the kernel's log.",
    errno.ESTALE: "The network disk is gone: mount it again.",
}


def refusal(error: OSError) -> StoreError | None:
    """An error that says what the system refuses, wherever it came from; None for one that may be a fault of ours."""
    place = Path(os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else tempfile.gettempdir())
    if error.errno in NO_ROOM:
        return store_error(place, error)
    if (remedy := _REFUSALS.get(error.errno or 0)) is None:
        return None
    where = f"{clean(str(place))}: " if error.filename else ""
    return StoreError(f"{where}{error.strerror or error}", remedy=remedy)


def no_room(path: Path, error: OSError) -> str:
    """What an error of `NO_ROOM` at a path means, in words."""
    if error.errno == errno.EDQUOT:
        return "the quota is used up"
    if error.errno == errno.EFBIG:
        return "the file may not grow further"
    return "the disk is full" + (
        ": it has room, but for no further file (no inodes are left)" if _no_inodes(path) else ""
    )


def _no_inodes(path: Path) -> bool:
    """Whether the file system of a path counts its files, and may have no more."""
    for place in (path, *path.parents):
        with contextlib.suppress(OSError, ValueError):
            found = os.statvfs(place)
            return found.f_files > 0 and found.f_favail == 0 and found.f_bavail > 0
    return False
