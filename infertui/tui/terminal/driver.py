"""Textual's terminal driver, patient with slow, stalled and vanished terminals, and without mouse-motion reports.

What is written to the terminal, by a thread of its own: a terminal that stops reading never blocks the screen.

Frames wait here only as long as they are worth showing. When too much waits, further text is dropped and `lost` is
set: whoever draws then has to draw everything anew once the terminal reads again.
"""

import asyncio
import contextlib
import os
import select
import signal
import subprocess
import sys
import termios
import threading
from codecs import getincrementaldecoder
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any

from textual._parser import ParseError
from textual.drivers import linux_driver
from textual.drivers.linux_driver import LinuxDriver
from textual.events import Resize
from textual.geometry import Size

from infertui.tui.terminal import signals
from infertui.tui.terminal.stock import catch_signals

if TYPE_CHECKING:
    from textual.app import App

BEHIND = 3
"""With more texts waiting than this, the terminal does not keep up."""
LIMIT = 512 * 1024
"""Bytes that may wait; a full first frame of a large terminal is below 150 kB."""
TEXTS = 60
"""Texts that may wait."""
_PATIENCE_S = 1.0


class TerminalWriter(threading.Thread):
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


# A byte that is no UTF-8 would end the reader of keys, and with it the screen: pasted Latin-1, line noise, and the
# mouse beyond column 95 as old terminals report it.
linux_driver.getincrementaldecoder = lambda encoding: partial(  # type: ignore[attr-defined]
    getincrementaldecoder(encoding), errors="replace"
)

RESTORE = (
    b"\x18"  # what was begun and cut off within a sequence ends here
    b"\x1b[?2026l\x1b[?2004l\x1b[?7h\x1b[?2048l\x1b[?1000l\x1b[?1003l\x1b[?1006l\x1b[?1004l"
    b"\x1b[<u\x1b[0m\x1b[?1049l\x1b[?25h"
)
"""What `stop_application_mode` writes, in one piece."""


class TerminalDriver(LinuxDriver):
    """Writes through an Outlet, so that no call ever waits for the terminal.

    The stock driver queues 30 writes and then blocks the event loop; its own writer thread stays idle here.
    """

    def __init__(
        self, app: "App[Any]", *, debug: bool = False, mouse: bool = True, size: tuple[int, int] | None = None
    ) -> None:
        super().__init__(app, debug=debug, mouse=mouse, size=size)
        stream = sys.__stderr__
        self._descriptor = 2 if stream is None else stream.fileno()
        self.outlet = TerminalWriter(self._descriptor)
        self._mouse_on = False
        self._stopped = False
        self._titled = False

    def write(self, data: str) -> None:
        """Queue `data` for the terminal; returns at once."""
        self.outlet.write(data)

    def start_application_mode(self) -> None:
        """Hear signals, start the writer, then the application mode: from here on an end has something to restore."""
        with contextlib.suppress(RuntimeError, ValueError):  # not the main thread: nothing to be told there
            catch_signals(lambda code: self._app.exit(return_code=code))
        if self.outlet.ident is not None and not self.outlet.is_alive():  # back from a suspension
            self.outlet = TerminalWriter(self._descriptor)
        if self.outlet.ident is None:
            self.outlet.start()
        super().start_application_mode()  # type: ignore[no-untyped-call]
        # The stock handler runs between any two steps of the program, and sometimes the last of many changes is lost.
        with contextlib.suppress(RuntimeError, ValueError):  # not the main thread: nothing to be told there
            asyncio.get_running_loop().add_signal_handler(signal.SIGWINCH, self._size_changed)

    def _size_changed(self) -> None:
        if not self._in_band_window_resize:
            size = Size(*self._get_terminal_size())
            self._app.post_message(Resize(size, size))

    def stop_application_mode(self) -> None:
        """Leave the application mode; frames that nobody will see any more do not hold it up."""
        if self.outlet.behind:
            self.outlet.discard()
        if self._titled:
            self._titled = False
            self.write(signals.RESTORE_TITLE)
        super().stop_application_mode()

    def set_title(self, text: str) -> None:
        """Show a text in the title, and keep the one of before."""
        if not self._titled:
            self._titled = True
            self.write(signals.KEEP_TITLE)
        self.write(signals.title(text))

    def close(self) -> None:
        """End both writers. A terminal that does not read gets what restores it when it does."""
        super().close()
        self.outlet.stop()
        if self.outlet.waiting and not self.outlet.dead:
            write_later(self._descriptor, RESTORE)

    def _sigtstp_application(self, *_arguments: object) -> None:
        self._stopped = True
        super()._sigtstp_application()

    def _sigcont_application(self, *_arguments: object) -> None:
        # The system also continues a program whose terminal has gone. The stock driver would start a second reader of
        # keys then, and lose the first: it spins, and the process never ends.
        if self.terminal_gone:
            return
        if not self._stopped:  # by a signal that nobody can catch: the terminal's modes are the shell's now
            self.suspend_application_mode()
            self._must_signal_resume = True
        self._stopped = False
        super()._sigcont_application()

    @property
    def terminal_gone(self) -> bool:
        """Whether the terminal was closed under the program: with SIGHUP ignored nothing else tells."""
        if self.outlet.dead:
            return True
        if not self.input_tty:
            return False
        try:
            termios.tcgetattr(self.fileno)
        except (termios.error, OSError):
            return True
        return False

    def set_mouse(self, on: bool) -> None:
        """Report mouse buttons and the wheel, or leave the mouse to the terminal's own selection."""
        if on:
            self._mouse = True
            self._enable_mouse_support()
        else:
            self._disable_mouse_support()
            self._mouse = False

    def _enable_mouse_support(self) -> None:
        # Buttons and wheel alone: any-motion reports (1003) cost kilobytes a second for hover effects nobody needs.
        if self._mouse and not self._mouse_on:
            self._mouse_on = True
            self.write("\x1b[?1000h\x1b[?1006h")

    def _disable_mouse_support(self) -> None:
        if self._mouse_on:
            self._mouse_on = False
            self.write("\x1b[?1000l\x1b[?1006l")

    def _enable_mouse_pixels(self) -> None:
        """Cells are exact enough."""

    def run_input_thread(self) -> None:
        """Read keys; a standard input that is no terminal has none, and reading its end would spin."""
        while self.input_tty and not self.exit_event.is_set():
            # What is no key of any terminal, a mouse at column 10^5000 for example, is forgotten.
            with contextlib.suppress(ParseError, ValueError, ArithmeticError, LookupError):
                super().run_input_thread()
