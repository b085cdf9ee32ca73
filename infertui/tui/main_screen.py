"""The main screen: header, panes in the layout that the terminal has room for, footer."""

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.events import Click
from textual.message import Message

from infertui.tui.footer import FooterLine
from infertui.tui.header import HeaderLine
from infertui.tui.layouts import MIDDLE, TABBED, TITLES, Kind, PaneId, number_of
from infertui.tui.terminal.base import ScreenBase
from infertui.tui.terminal.capabilities import glyphs
from infertui.tui.themes import palette
from infertui.tui.widgets.lines import Lines, cut
from infertui.tui.widgets.pane import Pane

if TYPE_CHECKING:
    from infertui.tui.context import Cockpit


class Unfurnished(Pane):
    """The frame that stands until its pane has been imported: the first paint does not wait for that."""

    def __init__(self, cockpit: "Cockpit", pane: PaneId) -> None:
        super().__init__(cockpit, id=f"{pane}-frame")
        self.border_title = f"{number_of(pane)} {TITLES[pane]}"


class TabLine(Lines):
    """Which pane the tabbed place shows: ` 2 Queue  3 Config [4 Live]`."""

    DEFAULT_CSS = "TabLine { height: 1; width: 1fr; }"

    class Picked(Message):
        """A tab was clicked."""

        def __init__(self, pane: PaneId) -> None:
            super().__init__()
            self.pane = pane

    def __init__(self) -> None:
        super().__init__(id="tabs")
        self._tab: PaneId = "live"
        self._ends: list[tuple[int, PaneId]] = []

    def pick(self, tab: PaneId) -> None:
        """Show `tab` as the one in front."""
        self._tab = tab
        self.compose_lines()

    def compose_lines(self) -> None:
        """All tabs on one line; titles go first when there is no room."""
        colours = palette(self.app)
        line = Text(no_wrap=True, end="")
        self._ends = []
        for pane in TABBED:
            name = f"{number_of(pane)} {TITLES[pane]}"
            if pane == self._tab:
                line.append(f" [{name}]", style=colours.title)
            else:
                line.append(f"  {name} ", style=colours.muted)
            self._ends.append((line.cell_len, pane))
        self.paint_lines([cut(line, self.size.width, glyphs(self.app).ellipsis)])

    def on_click(self, event: Click) -> None:
        """Go to the tab under the mouse."""
        offset = event.get_content_offset(self)
        if offset is not None:
            event.stop()
            for end, pane in self._ends:
                if offset.x < end:
                    self.post_message(self.Picked(pane))
                    return


class CompactView(Lines):
    """What matters most, in a few lines: for terminals with no room for panes."""

    DEFAULT_CSS = "CompactView { height: 1fr; width: 1fr; }"

    def __init__(self) -> None:
        super().__init__(id="compact")
        self._lines: list[Text] = []

    def tell(self, lines: list[Text]) -> None:
        """Show `lines`."""
        self._lines = lines
        self.compose_lines()

    def compose_lines(self) -> None:
        """Cut to what there is room for."""
        height, ellipsis = self.size.height, glyphs(self.app).ellipsis
        lines = self._lines[:height]
        if len(self._lines) > height > 0:
            more = f"{ellipsis} {len(self._lines) - height + 1} more lines  1-7 open a pane"
            lines[-1] = Text(more, style=palette(self.app).muted, end="")
        self.paint_lines([cut(line, self.size.width, ellipsis) for line in lines])


class MainScreen(ScreenBase, inherit_bindings=False):
    """Holds the panes; which of them are displayed is decided by the application."""

    AUTO_FOCUS: ClassVar[str | None] = ""
    BINDINGS: ClassVar[list[BindingType]] = []

    def __init__(self, cockpit: "Cockpit", *, composed: Callable[[], None], resumed: Callable[[], None]) -> None:
        super().__init__(id="main")
        self._cockpit = cockpit
        self._when_composed = composed
        self._when_resumed = resumed
        self.header = HeaderLine()

    def on_mount(self) -> None:
        """Everything is there to be arranged."""
        self._when_composed()

    def on_screen_resume(self) -> None:
        """No dialog is in front any more."""
        self._when_resumed()

    def compose(self) -> ComposeResult:
        """Frames at first; the panes follow."""
        yield self.header
        with Vertical(id="body"):
            yield Unfurnished(self._cockpit, "gpus")
            yield TabLine()
            with Horizontal(id="middle"):
                for pane in MIDDLE:
                    yield Unfurnished(self._cockpit, pane)
            yield Unfurnished(self._cockpit, "results")
            yield CompactView()
        yield FooterLine(id="footer")

    def arrange_panes(self, kind: Kind, shown: frozenset[PaneId], *, gpu_rows: int | None, tab: PaneId) -> list[Pane]:
        """Display `shown`; returns the panes that were not displayed before. `gpu_rows` None: all there is."""
        body = self.query_one("#body")
        for name in ("wide", "tabs", "compact"):
            body.set_class(name == kind, f"-{name}")
        appeared = []
        for pane in self.query(Pane):
            place = (pane.id or "").removesuffix("-frame")
            display = place in shown
            if display and not pane.display:
                appeared.append(pane)
            pane.display = display
            if place == "gpus":
                pane.styles.height = "1fr" if gpu_rows is None else gpu_rows
        self.query_one("#middle").display = bool(shown.intersection(MIDDLE))
        self.query_one(TabLine).display = kind == "tabs" and "gpus" in shown
        self.query_one(TabLine).pick(tab)
        self.query_one(CompactView).display = kind == "compact" and not shown
        return appeared
