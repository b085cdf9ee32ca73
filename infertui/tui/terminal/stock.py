"""The application as Textual has it, and what it asks of the terminal: a stock one knows of no trouble there.

Nothing here touches private names of Textual: it has to work with any of them.
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

from textual.app import App

from infertui.endings import exit_code, heeded


def catch_signals(leave: Callable[[int], None]) -> None:
    """Call `leave` with the exit code; a default handler would leave the terminal as it is, raw."""
    loop = asyncio.get_running_loop()
    for number in heeded():  # with SIGHUP ignored (nohup) the terminal is watched instead
        loop.add_signal_handler(number, leave, exit_code(number))


class StockApp(App[None]):
    """Runs on Textual's own driver and compositor. `TerminalApp` overrides what it does not know."""

    @property
    def terminal_gone(self) -> bool:
        """Whether the terminal was closed under the program."""
        return False

    @property
    def terminal_behind(self) -> bool:
        """Whether the terminal does not keep up, so that drawing more is of no use."""
        return False

    def take_loss(self) -> bool:
        """Whether text was dropped and the terminal reads again: everything has to be drawn anew. Said once."""
        return False

    def report_mouse(self, on: bool) -> None:
        """Have the mouse reported, or leave it to the terminal."""

    def tell_terminal(self, sequence: str) -> None:
        """Write a sequence that changes nothing of the picture."""

    def set_terminal_title(self, text: str) -> None:
        """Show a text, which may be foreign, in the terminal's title; the one of before comes back at the end."""

    def forget_drawn(self) -> None:
        """Whatever stands on the terminal now is unknown: something else may have written to it."""

    def stop_drawing(self) -> None:
        """The application ends, however it came to that: nothing may be drawn from here on."""

    def last_words(self, error: BaseException) -> str:
        """What is left on the terminal after an error of the program itself."""
        return f"{type(error).__name__}: {error}"

    def hear_signals(self) -> None:
        """Called once the application runs on a terminal."""
        with contextlib.suppress(RuntimeError, ValueError):  # not the main thread: nothing to be told there
            catch_signals(lambda code: self.exit(return_code=code))

    def exit(self, result: None = None, return_code: int = 0, message: Any = None) -> None:
        """Leave; nothing is drawn from here on."""
        self.stop_drawing()
        super().exit(result, return_code, message)

    def on_unmount(self) -> None:
        """Not every end goes through `exit`."""
        self.stop_drawing()
