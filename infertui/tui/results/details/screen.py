"""Everything about one run, over the whole screen, in six tabs."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.events import Click
from textual.message import Message
from textual.widgets import Static

from infertui.errors import InfertuiError
from infertui.tui.frame.actions import Action, bindings
from infertui.tui.terminal.capabilities import glyphs
from infertui.tui.terminal.sanitize import plain, safe
from infertui.tui.themes import palette
from infertui.tui.widgets.cells import RenderContext
from infertui.tui.widgets.lines import Lines, cut
from infertui.tui.widgets.page import KeyLine, PageScreen
from infertui.tui.widgets.pager import Pager

if TYPE_CHECKING:
    from infertui.results.details import RunDetails
    from infertui.tui.frame.context import AppContext

TABS = ("Summary", "Requests", "Telemetry", "Config", "Log", "Charts")
CHARTS = TABS.index("Charts")
_CHART_ROWS = 9
_KEYS = "esc back  1-6 tab  j k scroll  r read again  y copy  Y command  O folder  L load config"

ACTIONS = (
    Action("details.back", "escape,q", "Back", "back to where you came from"),
    *(Action(f"details.tab-{n}", str(n), name, f"the tab {name}", footer=False) for n, name in enumerate(TABS, 1)),
    Action("details.next", "right,l,tab", "Next tab", "the tab to the right"),
    Action("details.previous", "left,h,shift+tab", "Previous tab", "the tab to the left", footer=False),
    Action("details.reload", "r", "Read again", "read the run's folder again"),
    Action("details.copy", "y", "Copy", "copy what this tab shows"),
    Action("details.copy-command", "Y", "Copy command", "copy the command line that repeats the run", footer=False),
    Action("details.folder", "O", "Folder", "show and copy the path of the run's folder"),
    Action("details.load", "L", "Load", "load the run's config into the Config pane"),
)


class Tabs(Lines):
    """The tabs on one line; what does not fit is known by its number."""

    DEFAULT_CSS = "Tabs { height: 1; width: 1fr; }"

    class Picked(Message):
        """A tab was clicked."""

        def __init__(self, tab: int) -> None:
            super().__init__()
            self.tab = tab

    def __init__(self) -> None:
        super().__init__()
        self._tab = 0
        self._ends: list[int] = []

    def pick(self, tab: int) -> None:
        """Show this one as the one in front."""
        self._tab = tab
        self.compose_lines()

    def compose_lines(self) -> None:
        """`1 Summary [2 Requests]`: brackets, so that it shows without colour."""
        colours = palette(self.app)
        line = Text(no_wrap=True, end="")
        self._ends = []
        for number, name in enumerate(TABS):
            here = number == self._tab
            line.append(f"[{number + 1} {name}]" if here else f" {number + 1} {name} ",
                        style=colours.title if here else colours.muted)  # fmt: skip
            self._ends.append(line.cell_len)
        self.paint_lines([cut(line, self.size.width, glyphs(self.app).ellipsis)])

    def on_click(self, event: Click) -> None:
        """The tab under the mouse."""
        offset = event.get_content_offset(self)
        if offset is not None:
            event.stop()
            tab = next((number for number, end in enumerate(self._ends) if offset.x < end), None)
            if tab is not None:
                self.post_message(self.Picked(tab))


class DetailsScreen(PageScreen):
    """The details of the run `run` in the reports folder `out`. Works for runs without a result as well."""

    ACTIONS: ClassVar[tuple[Action, ...]] = ACTIONS
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(ACTIONS)]
    BINDING_GROUP_TITLE = "Details"
    DEFAULT_CSS = """
    DetailsScreen #details-charts { display: none; layout: grid; grid-size: 2; grid-gutter: 1; height: 1fr; }
    DetailsScreen.-narrow #details-charts { grid-size: 1; }
    DetailsScreen.-charts #details-charts { display: block; }
    DetailsScreen.-charts #details-text { display: none; }
    """
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-wide")]  # noqa: RUF012 (as Textual declares it)

    def __init__(self, app_context: "AppContext", run: str, *, out: str) -> None:
        super().__init__(app_context, Pager(id="details-text"))
        self._run = run
        self._out = out
        self._tab = 0
        self._details: RunDetails | None = None
        self._tabs = Tabs()

    def compose(self) -> ComposeResult:
        """A frame around tabs, text and keys."""
        self._frame.border_title = safe(self._run).replace("[", "\\[")
        with self._frame:
            yield self._tabs
            yield self._pager
            yield Vertical(id="details-charts")
            yield KeyLine(_KEYS)

    def action_reload(self) -> None:
        """Read the run's folder, now or again."""
        self.run_worker(self._read(), exclusive=True)

    async def _read(self) -> None:
        try:
            self._details = await self._app_context.control.details(self._out, self._run)
            self._problem = ""
        except InfertuiError as error:
            self._problem = str(error)
        self._lay_out()

    def lines(self, width: int, height: int, look: RenderContext) -> list[Text]:
        """The tab in front."""
        from infertui.tui.results.details.view import tab_lines  # with it come the statistics, and numpy

        if self._details is None:
            return [plain("reading", look.palette.muted)]
        return tab_lines(self._tab, self._details, width, height, look)

    def on_tabs_picked(self, event: Tabs.Picked) -> None:
        """Clicked."""
        event.stop()
        self._show(event.tab)

    def _show(self, tab: int) -> None:
        if tab != self._tab:
            self._tab = tab
            self._tabs.pick(tab)
            self.set_class(tab == CHARTS, "-charts")
            if tab == CHARTS:
                self._draw_charts()
            else:
                self._lay_out(top=0)
                self._pager.focus()

    def action_tab_1(self) -> None:
        """Summary."""
        self._show(0)

    def action_tab_2(self) -> None:
        """Requests."""
        self._show(1)

    def action_tab_3(self) -> None:
        """Telemetry."""
        self._show(2)

    def action_tab_4(self) -> None:
        """Config."""
        self._show(3)

    def action_tab_5(self) -> None:
        """Log."""
        self._show(4)

    def action_tab_6(self) -> None:
        """Charts."""
        self._show(CHARTS)

    def _draw_charts(self) -> None:
        """As many as the screen has room for; plotext is imported here, as nothing else needs it."""
        from infertui.tui.results.details.charts import charts
        from infertui.tui.widgets.staticplot import StaticPlot

        place = self.query_one("#details-charts")
        place.remove_children()
        drawn = charts(self._details) if self._details else []
        if not drawn:
            place.mount(Static(plain("Nothing was measured that could be drawn.", palette(self.app).muted)))
            return
        across = 2 if self.size.width >= 100 else 1
        room = across * max(1, (self.size.height - 4) // _CHART_ROWS)
        place.mount(*(StaticPlot(draw) for _, draw in drawn[:room]))

    def action_next(self) -> None:
        """The tab to the right."""
        self._show((self._tab + 1) % len(TABS))

    def action_previous(self) -> None:
        """The tab to the left."""
        self._show((self._tab - 1) % len(TABS))

    def action_copy(self) -> None:
        """What is shown, as text."""
        self._app_context.copy(self._pager.text, f"the tab {TABS[self._tab]}")

    def action_copy_command(self) -> None:
        """What repeats the run."""
        if self._details and self._details.result and self._details.result.imported:
            self._app_context.say("An imported run cannot be repeated: there is no command for it.", "warning")
            return
        self._app_context.copy(shlex.join(["infertui", "run", str(self._folder / "run.toml")]), "the command line")

    def action_folder(self) -> None:
        """Where its files are."""
        self._app_context.copy(str(self._folder), f"the folder {self._folder}")

    @property
    def _folder(self) -> Path:
        return Path(self._details.folder) if self._details else Path(self._out) / self._run

    def action_load(self) -> None:
        """Into the Config pane."""
        details = self._details
        if details is None or not details.toml:
            self._app_context.say("There is no run.toml to load.", "warning")
            return
        self.dismiss()
        label = details.result.name if details.result else details.id
        self._app_context.open_in_config(details.toml, label)
