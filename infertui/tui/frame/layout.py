"""The main screen's panes: which are in view, which has the focus, and which have yet to draw what changed."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, cast

from textual.css.query import NoMatches
from textual.dom import DOMNode

from infertui.tui.frame import layouts
from infertui.tui.frame.layouts import PANES, Arrangement, Kind, PaneId
from infertui.tui.frame.topics import ALL_TOPICS, Topic
from infertui.tui.widgets.pane import Pane, Unfurnished

if TYPE_CHECKING:
    from infertui.tui.frame.context import AppContext
    from infertui.tui.frame.main_screen import MainScreen


class PaneLayout:
    """Arranges and draws the panes of `main`."""

    def __init__(self, main: "MainScreen") -> None:
        self._main = main
        self._stale: set[Pane] = set()
        self._panes: list[Pane] = []
        self._third: PaneId = "live"
        self._arrangement = Arrangement("wide", frozenset())
        self.kind: Kind = "wide"
        self.active: PaneId = "config"
        """The pane that has or had the focus."""
        self.tab: PaneId = "config"
        """The one in the tabbed place of small screens."""
        self.zoomed = False
        self.large: PaneId = self.active
        """The active one, or the one before until the mouse rests."""
        self.chosen = False
        """Somebody pressed a key: panes stay where they are from then on."""
        self.opened = False
        """A pane is in view where there is room for one alone."""
        self.grown: PaneId | None = None
        """A pane that is large though another is active: what happens just now, until somebody goes to a pane."""
        self.still = False
        """No pane is larger than others: over a slow link moving them all is too much for a key."""

    def furnish(self, classes: dict[PaneId, type[Pane]], app_context: "AppContext") -> list[tuple[Pane, Unfurnished]]:
        """New panes, each with the frame whose place it takes."""
        found = []
        for frame in self._main.query(Unfurnished):
            place = cast(PaneId, (frame.id or "").removesuffix("-frame"))
            pane = classes[place](app_context, id=place)
            pane.display = frame.display
            pane.styles.height = frame.styles.height
            found.append((pane, frame))
        return found

    def panes(self) -> Iterator[Pane]:
        """All panes; their frames do not count."""
        if len(self._panes) < len(PANES):  # a query costs as much as drawing a pane: once all are there, no more
            self._panes = [pane for pane in self._main.query(Pane) if not isinstance(pane, Unfurnished)]
        return (pane for pane in self._panes if pane.is_attached)

    def pane(self, place: PaneId) -> Pane:
        """The pane of that name. Raises NoMatches before the panes are there."""
        return self._main.query_one(f"#{place}", Pane)

    @property
    def is_compact(self) -> bool:
        """Whether the few lines for very small terminals are in view, and no pane."""
        return self.kind == "compact" and not (self.zoomed or self.opened)

    def zoom(self) -> None:
        """All the room for the active pane, or no more."""
        if self.kind == "compact":
            self.zoomed, self.opened = False, self.is_compact
        else:
            self.zoomed = not self.zoomed

    @property
    def is_zoomed(self) -> bool:
        """Whether a pane has all the room, and would give it back."""
        return self.zoomed or self.opened

    def happens(self, *, running: bool, typing: bool) -> bool:
        """Runs began, or the last has ended: Live is large from then on, as its result is what is looked at next, until
        somebody goes to a pane. Whether that is another arrangement.

        Nothing moves while somebody types, and nothing that somebody made room for.
        """
        before = self.grown
        if running and not typing and self._third == "live":
            self.grown = "live"
        return self.kind == "wide" and before != self.grown

    def shown(self) -> frozenset[PaneId]:
        """The panes in view."""
        return self._arrangement.shown

    def arrange(self, width: int, height: int) -> None:
        """Lay the panes out for a terminal of this size."""
        was_compact, before, self.kind = self.is_compact, self.kind, layouts.kind_of(width, height)
        if before != self.kind:
            self.opened = self.kind == "compact" and self.chosen  # who works in a pane keeps it
        if self.kind == "wide" and not self.zoomed and self.active in layouts.THIRD:
            self._third = self.active
        if self.kind == "tabs" and self.active in layouts.TABBED:
            self.tab = self.active
        now = layouts.arrange(
            width, height, self.active, zoomed=self.zoomed or self.opened, third=self._third, tab=self.tab,
            large=None if self.still else self.grown or self.large, gpu_lines=self._gpu_lines_wanted(width),
        )  # fmt: skip
        self._arrangement = now
        appeared = self._main.arrange_panes(now, self.active if now.low else self.tab)
        if self.is_compact:
            self._main.set_focus(None)
        elif was_compact:
            self._main.app.call_after_refresh(self.focus)
        if appeared:
            self._stale.update(pane for pane in appeared if not isinstance(pane, Unfurnished))
            self._main.app.call_after_refresh(self.draw_stale)

    def _gpu_lines_wanted(self, width: int) -> int:
        try:
            return max(1, self.pane("gpus").wanted_lines(max(1, width - 2)))
        except NoMatches:
            return 2

    def choose(self, place: PaneId) -> None:
        """Bring a pane into view with the next `arrange`, and give it the focus after that."""
        self.active = self.large = place
        self.grown = None
        if place in layouts.TABBED:
            self.tab = place
        if place in layouts.THIRD:
            self._third = place
        self.opened = self.kind == "compact"
        self._main.app.call_after_refresh(self.focus)

    def neighbour(self, by: int) -> PaneId:
        """The pane after or before the active one; small screens count those that are not in view as well."""
        shown = self.shown() | frozenset(self._arrangement.tabs)
        if self.zoomed or self.kind == "compact":
            shown = frozenset(PANES)
        return layouts.neighbour(shown, self.active, by)

    def focus(self) -> None:
        """Give the active pane the focus, unless something in it has it already."""
        if self.is_compact:
            return
        try:
            pane = self.pane(self.active)
        except NoMatches:
            return
        focused = self._main.focused
        if focused is None or pane not in focused.ancestors_with_self:
            pane.focus_inside()

    def step_back(self) -> bool:
        """Let the active pane end a view of its own; whether it did."""
        try:
            return not self.is_compact and self.pane(self.active).step_back()
        except NoMatches:
            return False

    def focused(self, widget: DOMNode) -> bool:
        """A widget got the focus: the pane that holds it is the active one. Whether another one was."""
        before = self.active
        for node in widget.ancestors_with_self:
            if isinstance(node, Pane) and node.id in PANES:
                self.active = node.id
                if self.active in layouts.TABBED:
                    self.tab = self.active
        if self.active == before:
            return False
        self.grown = None
        return True

    def draw(self, due: frozenset[Topic]) -> None:
        """Let the panes in view draw what changed; the others do so when they come back."""
        for pane in self.panes():
            if not pane.display:
                self._stale.add(pane)
            else:
                pane.show(ALL_TOPICS if pane in self._stale else due)
                self._stale.discard(pane)

    def all_stale(self) -> None:
        """All panes have to draw everything the next time."""
        self._stale.update(self.panes())

    def draw_stale(self) -> None:
        """Panes that came into view draw themselves now."""
        if self._main.is_current:
            for pane in [pane for pane in self._stale if pane.display]:
                self._stale.discard(pane)
                pane.show(ALL_TOPICS)
