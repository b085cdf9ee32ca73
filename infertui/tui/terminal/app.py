"""The application over our driver: it writes cells that differ alone, and knows how the terminal fares.

Beside the driver and the compositor, the one place that overrides private names of Textual.
"""

import sys
from typing import Any

from rich.text import Text
from textual import constants
from textual.driver import Driver
from textual.screen import Screen
from textual.worker import WorkerFailed

from infertui.tui.terminal.diff import ScreenDiff
from infertui.tui.terminal.stock import StockApp


class TerminalApp(StockApp):
    """Asks the driver that it has at the moment, which without a terminal is one that knows of no trouble."""

    def __init__(self) -> None:
        super().__init__()
        self._saver = ScreenDiff()

    def get_driver_class(self) -> type[Driver]:
        """Our own; what draws for a browser has the one of textual-serve."""
        if constants.DRIVER is not None:
            return super().get_driver_class()
        from infertui.tui.terminal.driver import TerminalDriver

        return TerminalDriver

    @property
    def terminal_gone(self) -> bool:
        """Whether writing failed, or the terminal has no modes any more."""
        return bool(getattr(self._driver, "terminal_gone", False))

    @property
    def terminal_behind(self) -> bool:
        """Whether several texts wait to be written."""
        outlet = getattr(self._driver, "outlet", None)
        return outlet is not None and bool(outlet.behind)

    def take_loss(self) -> bool:
        """Whether the driver dropped text since the last call, and all that came after was written."""
        outlet = getattr(self._driver, "outlet", None)
        if outlet is None or not outlet.lost or outlet.waiting:
            return False
        outlet.lost = False
        return True

    def report_mouse(self, on: bool) -> None:
        """Switch the terminal's reports."""
        set_mouse = getattr(self._driver, "set_mouse", None)
        if set_mouse is not None:
            set_mouse(on)

    def tell_terminal(self, sequence: str) -> None:
        """Behind what waits to be written."""
        if sequence and self._driver is not None and not self.is_headless:
            self._driver.write(sequence)

    def set_terminal_title(self, text: str) -> None:
        """By the driver, which knows when the terminal is left."""
        set_title = getattr(self._driver, "set_title", None)
        if set_title is not None:
            set_title(text)

    def forget_drawn(self) -> None:
        """The next update writes all that it covers."""
        self._saver.forget()

    def hear_signals(self) -> None:
        """The driver has done so already, before the terminal was changed in any way."""

    def _display(self, screen: Screen[Any], renderable: Any) -> None:
        """Only cells that differ are written: a third of what Textual would write."""
        super()._display(screen, self._saver.wrap(renderable, self.size))

    def _handle_exception(self, error: Exception) -> None:
        """What fails while widgets are taken away, such as mounting a pane, is of no account: the exit code stands."""
        if not self._exit:
            super()._handle_exception(error)

    def _fatal_error(self) -> None:
        """Textual would print the values of variables."""
        self.stop_drawing()
        error: BaseException = self._exception or sys.exc_info()[1] or RuntimeError("unknown")
        if isinstance(error, WorkerFailed):
            error = error.error
        if not self._exit_renderables:
            self._exit_renderables.append(Text(self.last_words(error)))
        self._close_messages_no_wait()

    async def _shutdown(self) -> None:
        self.stop_drawing()
        await super()._shutdown()
