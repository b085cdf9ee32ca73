"""What is written to the terminal, by a thread of its own: a terminal that stops reading never blocks the screen.

Frames wait here only as long as they are worth showing. When too much waits, further text is dropped and `lost` is
set: whoever draws then has to draw everything anew once the terminal reads again.
"""

import contextlib
import os
import select
import subprocess
import sys
import threading
from collections import deque

BEHIND = 3
"""With more texts waiting than this, the terminal does not keep up."""
LIMIT = 512 * 1024
"""Bytes that may wait; a full first frame of a large terminal is below 150 kB."""
TEXTS = 60
"""Texts that may wait."""
_PATIENCE_S = 1.0


class Outlet(threading.Thread):
    """Writes to the file descriptor of a terminal in the order of `write`."""

    def __init__(self, fd: int) -> None:
        super().__init__(name="infertui-outlet", daemon=True)
        self._fd = fd
        self._texts: deque[bytes] = deque()
        self._bytes = 0
        self._ready = threading.Condition()
        self._stopping = False
        self.lost = False
        """Text was dropped since someone last reset this."""
        self.dead = False
        """The terminal is gone: writing failed."""
        self.written = 0
        """Bytes that the terminal took."""

    @property
    def waiting(self) -> int:
        """Texts that the terminal has not taken, the one being written included."""
        return len(self._texts)

    @property
    def behind(self) -> bool:
        """Whether the terminal does not keep up, so that drawing more is of no use."""
        return len(self._texts) > BEHIND

    def write(self, text: str) -> None:
        """Queue text. Never blocks; drops the text when too much waits or the terminal is gone."""
        if self.dead or not text:
            return
        content = text.encode("utf-8", "replace")
        with self._ready:
            if self._texts and (self._bytes + len(content) > LIMIT or len(self._texts) >= TEXTS):
                self.lost = True
                return
            self._texts.append(content)
            self._bytes += len(content)
            self._ready.notify()

    def run(self) -> None:
        """Write until stopped; on an error drop everything."""
        while True:
            with self._ready:
                while not self._texts and not self._stopping:
                    self._ready.wait()
                if not self._texts:
                    return
                content = self._texts[0]
            try:
                self._write_all(content)
            except OSError:
                with self._ready:
                    self.dead = True
                    self._texts.clear()
                    self._bytes = 0
                return
            with self._ready:
                self._texts.popleft()
                self._bytes -= len(content)
                self._ready.notify_all()

    def _write_all(self, content: bytes) -> None:
        view = memoryview(content)
        while view:
            try:
                count = os.write(self._fd, view)
            except BlockingIOError:  # a descriptor shared with a program that wants it so
                select.select([], [self._fd], [])
                continue
            self.written += count
            view = view[count:]

    def stop(self) -> None:
        """End after what waits has been written, or when the terminal takes nothing for a second."""
        with self._ready:
            self._stopping = True
            self._ready.notify()
        before = -1
        while self.is_alive() and before != self.written:
            before = self.written
            self.join(_PATIENCE_S)

    def discard(self) -> None:
        """Forget frames that wait, all but the one being written: they are of no use any more."""
        with self._ready, contextlib.suppress(IndexError):
            first = self._texts[0]
            if len(self._texts) > 1:
                self.lost = True
            self._texts.clear()
            self._texts.append(first)
            self._bytes = len(first)


LATER_S = 3600
"""How long a terminal that does not read is waited for, by a process that does nothing else."""
_LATER = """
import os, signal, sys
signal.alarm(int(sys.argv[2]))
rest = bytes.fromhex(sys.argv[1])
while rest:
    rest = rest[os.write(1, rest):]
"""


def write_later(fd: int, content: bytes) -> None:
    """Have `content` written to a terminal as soon as it takes it, or not at all once it is closed; returns at once.

    In a process and session of its own: who wrote to the terminal until now may end, and its shell may go on.
    """
    with contextlib.suppress(OSError):
        subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _LATER, content.hex(), str(LATER_S)],
            stdin=subprocess.DEVNULL, stdout=fd, stderr=subprocess.DEVNULL, start_new_session=True, cwd="/",
        )  # fmt: skip
