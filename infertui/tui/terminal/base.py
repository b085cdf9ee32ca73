"""What the screen is built on: Textual with our parts beneath it, or Textual as it comes where those were not tested.

With another Textual nothing that touches its private names is even imported: the screen then writes more, draws slower,
and does not notice a terminal that stalls or goes away.
"""

from typing import TYPE_CHECKING

from infertui.tui.terminal.textual_version import installed, is_tested

__all__ = ["ScreenApp", "ScreenBase"]

if TYPE_CHECKING or is_tested(installed()):
    from infertui.tui.terminal.app import TerminalApp as ScreenApp
    from infertui.tui.terminal.compositor import SparingScreen as ScreenBase
else:
    from textual.screen import Screen as ScreenBase

    from infertui.tui.terminal.stock import StockApp as ScreenApp
