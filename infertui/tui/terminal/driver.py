"""Textual's terminal driver, patient with slow, stalled and vanished terminals, and without mouse-motion reports."""

import asyncio
import contextlib
import signal
import sys
import termios
from codecs import getincrementaldecoder
from functools import partial
from typing import TYPE_CHECKING, Any

from textual._parser import ParseError
from textual.drivers import linux_driver
from textual.drivers.linux_driver import LinuxDriver
from textual.events import Resize
from textual.geometry import Size

from infertui.tui.quit import catch_signals
from infertui.tui.terminal.outlet import Outlet, write_later

if TYPE_CHECKING:
    from textual.app import App

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
        self.outlet = Outlet(self._descriptor)
        self._mouse_on = False
        self._stopped = False

    def write(self, data: str) -> None:
        """Queue `data` for the terminal; returns at once."""
        self.outlet.write(data)

    def start_application_mode(self) -> None:
        """Hear signals, start the writer, then the application mode: from here on an end has something to restore."""
        with contextlib.suppress(RuntimeError, ValueError):  # not the main thread: nothing to be told there
            catch_signals(lambda code: self._app.exit(return_code=code))
        if self.outlet.ident is not None and not self.outlet.is_alive():  # back from a suspension
            self.outlet = Outlet(self._descriptor)
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
        super().stop_application_mode()

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
