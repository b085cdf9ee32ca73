"""Standard output and error that may be full, closed, or a pipe that nobody reads any more.

None of that ends a command: what was measured is still kept, and the exit code is still its own. A reader that has seen
enough (`| head`) is no error and nothing is said of it; output that could not be written is told once, at the end.
"""

import contextlib
import errno
import io
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TextIO, TypeVar

T = TypeVar("T")


class TolerantOutput(io.FileIO):
    """A descriptor that takes every write. From the first one that fails on they go nowhere; `failure` is its error."""

    failure: OSError | None = None

    def write(self, piece: Any, /) -> int | None:  # type: ignore[override]
        """Write, or pretend to."""
        if self.failure is None:
            try:
                return super().write(piece)
            except OSError as error:
                self.failure = error
        return memoryview(piece).nbytes

    @property
    def lost(self) -> OSError | None:
        """Why something was not written that somebody may miss; not that its reader went away."""
        return None if self.failure is None or self.failure.errno == errno.EPIPE else self.failure


def guard() -> TolerantOutput | None:
    """Put such outlets in the place of `sys.stdout` and `sys.stderr`; that of standard output, where there is one.

    A parent may have closed them, and an ASCII-only locale must not turn a model's name into a crash.
    """
    sys.stdout, outlet = _guarded(sys.stdout)
    sys.stderr, _ = _guarded(sys.stderr)
    return outlet


def _guarded(stream: TextIO | None) -> tuple[TextIO, TolerantOutput | None]:
    if stream is None:
        return Path(os.devnull).open("w", encoding="utf-8"), None
    if not isinstance(stream, io.TextIOWrapper):
        return stream, None
    stream.reconfigure(errors="backslashreplace")
    if not isinstance(getattr(stream.buffer, "raw", stream.buffer), io.FileIO):  # of a test, or of whoever imports us
        return stream, None
    outlet = TolerantOutput(stream.fileno(), "wb", closefd=False)
    text = io.TextIOWrapper(
        io.BufferedWriter(outlet), encoding=stream.encoding, errors="backslashreplace",
        line_buffering=stream.line_buffering, write_through=stream.write_through,
    )  # fmt: skip
    return text, outlet


def reader_left() -> bool:
    """Whether nobody reads standard output any more: what prints for as long as it is read can end."""
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    return isinstance(raw, TolerantOutput) and raw.failure is not None


def while_read(items: Iterable[T]) -> Iterator[T]:
    """The items, as long as somebody reads standard output: what is printed of the others goes nowhere."""
    for item in items:
        if reader_left():
            return
        yield item


def flush() -> None:
    """Write what is still held back."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
