"""The main screen: header, panes in the layout that the terminal has room for, footer."""

import time
from typing import TYPE_CHECKING, ClassVar, Protocol, cast

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.events import Click, DescendantFocus
from textual.message import Message
from textual.timer import Timer

from infertui.tui.frame.footer import FooterLine
from infertui.tui.frame.header import Condition, HeaderLine, header_text
from infertui.tui.frame.layout import PaneLayout
from infertui.tui.frame.layouts import MIDDLE, PANES, TABBED, TITLES, Arrangement, PaneId, number_of
from infertui.tui.frame.topics import Topic
from infertui.tui.terminal.base import ScreenBase
from infertui.tui.terminal.capabilities import glyphs
from infertui.tui.themes import palette
from infertui.tui.widgets.lines import Lines, cut
from infertui.tui.widgets.pane import Pane, Unfurnished

if TYPE_CHECKING:
    from infertui.tui.frame.context import AppContext
    from infertui.tui.state import ClientState

    class Shell(AppContext, Protocol):
        """The application as its main screen sees it."""

        @property
        def known_state(self) -> ClientState | None:
            """The mirror; None as long as nobody asked for it: the first paint does without its import."""
            ...

        @property
        def condition(self) -> Condition:
            """What the header says besides the mirror."""
            ...


_DOUBLE_CLICK_S = 0.6


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
        self._tabs: tuple[PaneId, ...] = TABBED
        self._ends: list[tuple[int, PaneId]] = []

    def pick(self, tab: PaneId, tabs: tuple[PaneId, ...]) -> None:
        """Show `tab` of `tabs` as the one in front."""
        self._tab, self._tabs = tab, tabs
        self.compose_lines()

    def compose_lines(self) -> None:
        """All tabs on one line; titles of the others go when there is no room."""
        colours, width = palette(self.app), self.size.width
        names = {pane: f"{number_of(pane)} {TITLES[pane]}" for pane in self._tabs}
        if sum(len(name) + 3 for name in names.values()) > width + 1:
            names |= {pane: number_of(pane) for pane in self._tabs if pane != self._tab}
        line = Text(no_wrap=True, end="")
        self._ends = []
        for pane, name in names.items():
            if pane == self._tab:
                line.append(f" [{name}]", style=colours.title)
            else:
                line.append(f"  {name} ", style=colours.muted)
            self._ends.append((line.cell_len, pane))
        line.rstrip()
        self.paint_lines([cut(line, width, glyphs(self.app).ellipsis)])

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
            more = f"{ellipsis} {len(self._lines) - height + 1} more lines  1-{len(PANES)} open a pane"
            lines[-1] = Text(more, style=palette(self.app).muted, end="")
        self.paint_lines([cut(line, self.size.width, ellipsis) for line in lines])


class MainScreen(ScreenBase, inherit_bindings=False):
    """Holds the panes, arranges them for the terminal's size, and draws what changed of them and of the header."""

    AUTO_FOCUS: ClassVar[str | None] = ""
    BINDINGS: ClassVar[list[BindingType]] = []

    class Composed(Message):
        """The first paint is under way: the panes may come."""

    def __init__(self, shell: "Shell") -> None:
        super().__init__(id="main")
        self._shell = shell
        self._minute = ""
        self._settling: Timer | None = None
        self.header = HeaderLine()
        self.footer = FooterLine(id="footer")
        self.stage = PaneLayout(self)
        """The panes."""
        self.is_composed = False
        """Whether there is something to arrange and to draw, from the first paint to the end."""

    def on_mount(self) -> None:
        """Everything is there to be arranged."""
        self.is_composed = True
        self.lay_out()
        self.draw_header()
        self.app.call_after_refresh(self.post_message, self.Composed())

    def on_screen_resume(self) -> None:
        """No dialog is in front any more: what happened behind it shows at once."""
        if self.is_composed and not self._shell.condition.frozen:
            self.lay_out()
            self.stage.draw_stale()
        self.footer.covered = False
        self.footer.compose_lines()

    def cover(self) -> None:
        """A dialog is about to open: it has the keys then, and tells its own."""
        if self.is_composed:
            self.footer.covered = True
            self.footer.compose_lines()

    def on_descendant_focus(self, event: DescendantFocus) -> None:
        """The pane that holds the focus is the active one."""
        if self.stage.focused(event.widget):  # by no key, which goes by `go`: the mouse, which may click once more
            if self._settling is not None:
                self._settling.stop()
            self._settling = self.set_timer(_DOUBLE_CLICK_S, self._settle)

    def _settle(self) -> None:
        """Give the active pane its room."""
        self.stage.large = self.stage.active
        self.lay_out()

    def on_tab_line_picked(self, event: TabLine.Picked) -> None:
        """A tab was clicked."""
        self.go(event.pane)

    def go(self, place: PaneId) -> None:
        """Bring a pane into view, and give it the focus."""
        self.stage.choose(place)
        self.lay_out()

    def lay_out(self, width: int = 0, height: int = 0) -> None:
        """Lay the panes out, for the size that the terminal has unless another is given."""
        if self.is_composed:
            size = self.app.size
            self.stage.arrange(width or size.width, height or size.height)
            self._draw_compact()

    def show(self, due: frozenset[Topic]) -> None:
        """Draw what changed."""
        if "runner" in due:
            self.lay_out()
        else:
            self._draw_compact()
        self.stage.draw(due)
        self.footer.compose_lines()

    def footer_due(self) -> None:
        """What has the keys may be able to do something else now."""
        if self.is_composed:
            self.call_after_refresh(self.footer.compose_lines)

    def keep_time(self, *, every: bool = False) -> None:
        """Called every second: the header's clock; `every` time it is drawn."""
        if every or time.strftime("%H:%M") != self._minute:
            self.draw_header()

    def draw_header(self) -> None:
        """Draw the header anew."""
        if not (self.is_composed and self.header.is_attached):  # or gone already: the program is ending
            return
        condition, client_state = self._shell.condition, self._shell.known_state
        self._minute = condition.clock
        width = self.app.size.width
        self.header.tell(header_text(client_state, condition, width, palette(self.app), glyphs(self.app)))

    def _draw_compact(self) -> None:
        if not self.stage.is_compact:
            return
        from infertui.tui.frame.compact import compact_lines

        fahrenheit = self._shell.settings.temperature_unit == "F"
        lines = compact_lines(self._shell.client_state, palette(self.app), fahrenheit=fahrenheit)
        for view in self.query(CompactView):
            view.tell(lines)

    def compose(self) -> ComposeResult:
        """Frames at first; the panes follow."""
        yield self.header
        with Vertical(id="body"):
            yield Unfurnished(self._shell, "gpus")
            yield TabLine()
            with Horizontal(id="middle"):
                for pane in MIDDLE:
                    yield Unfurnished(self._shell, pane)
            yield Unfurnished(self._shell, "results")
            yield CompactView()
        yield self.footer

    def arrange_panes(self, now: Arrangement, tab: PaneId) -> list[Pane]:
        """Display and size panes as `now` says; returns those that were not displayed before. `tab` is in front."""
        body = self.query_one("#body")
        for name in ("wide", "tabs", "compact"):
            body.set_class(name == now.kind, f"-{name}")
        body.set_class(now.low, "-low")
        appeared = []
        for pane in self.query(Pane):
            place = cast(PaneId, (pane.id or "").removesuffix("-frame"))
            display = place in now.shown
            if display and not pane.display:
                appeared.append(pane)
            pane.display = display
            if place == "gpus":
                pane.styles.height = "1fr" if now.gpu_rows is None else now.gpu_rows
                pane.set_class(now.gpu_rows == 1, "-line")
            pane.styles.width = now.widths.get(place, "1fr")
        middle = self.query_one("#middle")
        middle.display = bool(now.shown.intersection(MIDDLE))
        middle.styles.height = "1fr" if now.middle_rows is None else now.middle_rows
        tabs = self.query_one(TabLine)
        tabs.display = bool(now.tabs)
        tabs.pick(tab, now.tabs)
        self.query_one(CompactView).display = now.kind == "compact" and not now.shown
        return appeared
