"""Streamed bodies cut into their events: server-sent events, and JSON by the line.

Server-sent events are read as https://html.spec.whatwg.org/multipage/server-sent-events.html says, but for two things:
a body that ended in order ends its last event too, which some servers leave without its blank line, and a field named
`error`, which older versions of llama-server send, is an event of that name.

What came in is stamped when it arrived, in pieces that may be cut anywhere. An event has the stamp of the piece that
brought the last byte of its last data: the line end and the blank line after that may come later.
"""

from collections.abc import Iterable, Iterator

LARGEST_EVENT = 16 << 20
"""Bytes; one beyond that is no answer of a model."""

_BOM = b"\xef\xbb\xbf"
_ENDS = (b"\n", b"\r")

Pieces = Iterable[tuple[int, bytes]]


class EventTooLongError(Exception):
    """An event, or a line, is larger than what is accepted."""


def events(pieces: Pieces, *, whole: bool = True, largest: int = LARGEST_EVENT) -> Iterator[tuple[int, str, bytes]]:
    """Stamp, name and data of each event; no name is that of a plain message.

    `whole`: the body ended in order, and so did its last event.

    Raises:
        EventTooLongError: there is one of more than `largest` bytes; those before it were told.
    """
    lines = _LineCutter(largest)
    event = _Event(largest)
    for stamp, piece in pieces:
        # Nearly all pieces are one event of one line, whole.
        if (
            lines.between
            and event.unbegun
            and piece.startswith(b"data: ")
            and piece.find(b"\n") == len(piece) - 2
            and piece.endswith(b"\n\n")
            and b"\r" not in piece
        ):
            if len(piece) > largest:
                raise EventTooLongError
            lines.begun = True
            yield stamp, "", piece[6:-2]
            continue
        for arrived, line in lines.cut(stamp, piece):
            if line:
                event.take(arrived, line)
            elif (done := event.end()) is not None:
                yield done
    if whole:
        for arrived, line in lines.rest():
            event.take(arrived, line)
        if (done := event.end()) is not None:
            yield done


def json_lines(pieces: Pieces, *, whole: bool = True, largest: int = LARGEST_EVENT) -> Iterator[tuple[int, bytes]]:
    """Stamp and content of each line that has some; `whole`: the body ended in order, and so did its last line.

    Raises:
        EventTooLongError: there is one of more than `largest` bytes; those before it were told.
    """
    lines = _LineCutter(largest)
    for stamp, piece in pieces:
        for arrived, line in lines.cut(stamp, piece):
            if line.strip():
                yield arrived, line
    if whole:
        for arrived, line in lines.rest():
            if line.strip():
                yield arrived, line


class _LineCutter:
    """Lines ended by LF, CR or both, without the ends, each with the stamp of its last byte.

    `begun`: the body has, so that a byte order mark can no longer come.
    """

    def __init__(self, largest: int) -> None:
        self._largest = largest
        self._parts: list[bytes] = []
        self._size = 0
        self._stamp = 0
        self._after_cr = False
        self.begun = False

    @property
    def between(self) -> bool:
        """Whether the next byte begins a line."""
        return not self._size and not self._after_cr

    def cut(self, stamp: int, piece: bytes) -> Iterator[tuple[int, bytes]]:
        if self._after_cr and piece:
            self._after_cr = False
            if piece.startswith(b"\n"):
                piece = piece[1:]
        if not piece:
            return
        lines = piece.splitlines()
        open_line = b"" if piece.endswith(_ENDS) else lines.pop()
        self._after_cr = piece.endswith(b"\r")
        for line in lines:
            self._keep(stamp, line)
            yield self._line()
        self._keep(stamp, open_line)

    def rest(self) -> Iterator[tuple[int, bytes]]:
        """The line that nothing ended."""
        if self._size:
            yield self._line()

    def _keep(self, stamp: int, part: bytes) -> None:
        if not part:
            return
        self._parts.append(part)
        self._size += len(part)
        self._stamp = stamp
        if self._size > self._largest:
            raise EventTooLongError

    def _line(self) -> tuple[int, bytes]:
        line = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        self._parts.clear()
        self._size = 0
        if not self.begun:
            self.begun = True
            line = line.removeprefix(_BOM)
        return self._stamp, line


class _Event:
    """The event that is being read: its lines up to the blank one."""

    def __init__(self, largest: int) -> None:
        self._largest = largest
        self._data: list[bytes] = []
        self._size = 0
        self._name = ""
        self._stamp = 0

    @property
    def unbegun(self) -> bool:
        return not self._data and not self._name

    def take(self, stamp: int, line: bytes) -> None:
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"event":
            self._name = value.decode("utf-8", "replace")
            return
        if field == b"error":
            self._name = "error"
        elif field != b"data":
            return
        self._data.append(value)
        self._stamp = stamp
        self._size += len(value) + 1
        if self._size > self._largest:
            raise EventTooLongError

    def end(self) -> tuple[int, str, bytes] | None:
        """What a blank line makes of it; None: nothing, it has no data."""
        done = (self._stamp, self._name, b"\n".join(self._data)) if self._data else None
        self._data.clear()
        self._size = 0
        self._name = ""
        return done
