"""Files are read here: regular ones alone, never more of them than is said, and nothing that would wait for ever.

A name may belong to a pipe without a writer, a device without an end, a folder, a loop of links, or a file that
somebody made as large as the disk. Whoever reads a file by a name that it was given takes one of these functions; what
they raise is an OSError with words in `strerror`, whatever is wrong.
"""

import errno
import os
import stat
from collections.abc import Iterator
from io import BufferedRandom, BufferedReader
from pathlib import Path

from infertui.units import format_bytes

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
)
_PIECE = 1 << 20


class NotRegularError(OSError):
    """A name that belongs to something else than a file: `kind` says what, `a pipe` for example."""

    def __init__(self, kind: str, path: str | Path) -> None:
        super().__init__(errno.EINVAL, f"it is {kind}, not a regular file", os.fspath(path))
        self.kind = kind


class TooLargeError(OSError):
    """A file of more bytes than its reader takes."""

    def __init__(self, limit: int, path: str | Path) -> None:
        super().__init__(errno.EINVAL, f"it is larger than {whole(limit)}", os.fspath(path))


class NoNameError(OSError):
    """A text that no file can be called by."""

    def __init__(self, path: str | Path) -> None:
        super().__init__(errno.EINVAL, "that is no file name", os.fspath(path))


def kind_of(mode: int) -> str:
    """What a file that is no regular one is, by the mode that `stat` tells; empty for a regular one."""
    return "" if stat.S_ISREG(mode) else next((kind for holds, kind in _KINDS if holds(mode)), "no regular file")


def exists(path: Path) -> bool:
    """Whether something is there that can be looked at; no for a name that is too long, or in a closed folder."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def is_file(path: Path) -> bool:
    """The same for a regular file; links are followed."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def is_dir(path: Path) -> bool:
    """The same for a directory; links are followed."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def is_same_file(path: Path, other: Path) -> bool:
    """Whether both names belong to one file, also by links; no where one is not there."""
    try:
        return path.samefile(other)
    except (OSError, ValueError):
        return False


def opened(path: str | Path, *, buffering: int = -1) -> BufferedReader:
    """The regular file `path`, open for reading. A device is refused unopened, since opening one may do things."""
    return os.fdopen(_descriptor(path, os.O_RDONLY), "rb", buffering)  # type: ignore[return-value]


def opened_to_change(path: Path) -> BufferedRandom:
    """The same for reading and writing, where it exists."""
    return os.fdopen(_descriptor(path, os.O_RDWR), "rb+")


def _descriptor(path: str | Path, flags: int) -> int:
    try:
        if kind := kind_of(os.stat(path).st_mode):  # noqa: PTH116 (a text may be no path)
            raise NotRegularError(kind, path)
        descriptor = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)
    except ValueError:
        raise NoNameError(path) from None
    if kind := kind_of(os.fstat(descriptor).st_mode):  # it was exchanged meanwhile
        os.close(descriptor)
        raise NotRegularError(kind, path)
    return descriptor


def read(path: str | Path, limit: int) -> bytes:
    """All of the regular file `path`, of at most `limit` bytes."""
    parts, left = [], limit
    with opened(path) as file:
        if os.fstat(file.fileno()).st_size > limit:
            raise TooLargeError(limit, path)
        while part := file.read(min(left + 1, _PIECE)):  # to read takes the room that is asked for
            parts.append(part)
            left -= len(part)
            if left < 0:
                raise TooLargeError(limit, path)
    return b"".join(parts)


def read_part(path: str | Path, limit: int, *, end: bool = False) -> bytes:
    """At most `limit` bytes of a regular file, from its beginning or its end."""
    with opened(path) as file:
        if end:
            file.seek(max(0, os.fstat(file.fileno()).st_size - limit))
        return file.read(limit)


def lines(file: BufferedReader | BufferedRandom, longest: int) -> Iterator[bytes | None]:
    """The lines of an open file, with their newlines, up to one that is longer: None stands for it, and is the last.

    What has no newline for so long is no file of lines, and may go on for as long as the disk is large.
    """
    while line := file.readline(longest):
        if len(line) == longest and not line.endswith(b"\n"):
            yield None
            return
        yield line


def whole(size: int) -> str:
    """A limit in words: `2 MiB`."""
    number, unit = format_bytes(size).split(" ")
    return f"{float(number.replace(',', '')):g} {unit}"
