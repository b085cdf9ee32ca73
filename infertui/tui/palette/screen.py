"""The palette on the screen: a line to type in, what it means so far, and a word on the chosen line."""

import asyncio
from collections.abc import Hashable, Iterable
from typing import ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Input

from infertui.tui.frame.actions import Action, bindings
from infertui.tui.palette.command import PaletteCommand
from infertui.tui.palette.matching import Matcher, Matches, marked
from infertui.tui.terminal.capabilities import glyphs
from infertui.tui.terminal.sanitize import plain, safe
from infertui.tui.themes import palette
from infertui.tui.widgets.dialogs import DIALOG_CSS, Dialog
from infertui.tui.widgets.lines import Lines, cut
from infertui.tui.widgets.prompt import LineInput
from infertui.tui.widgets.rowlist import RowList
from infertui.tui.widgets.search import keys_beside_typing

_GROUP = 8
_TITLE, _LONGEST_TITLE = 16, 40
_LOOKED_AT = 40
_AT_ONCE = 2000
"""So many commands are looked through between two keys; more of them a part at a time."""


class _Note(Lines):
    """What the chosen line is about, or why it would do nothing."""

    DEFAULT_CSS = "_Note { height: 1; width: 1fr; }"

    def __init__(self) -> None:
        super().__init__()
        self._line = Text()

    def tell(self, line: Text) -> None:
        self._line = line
        self.compose_lines()

    def compose_lines(self) -> None:
        self.paint_lines([cut(self._line, self.size.width, glyphs(self.app).ellipsis)])


class PaletteScreen(Dialog[PaletteCommand | None]):
    """Returns the command that was chosen, one that works, or None. More commands may come while it is open."""

    ACTIONS: ClassVar[tuple[Action, ...]] = keys_beside_typing("palette")
    BINDINGS = bindings(ACTIONS)
    CSS_PATH = DIALOG_CSS

    def __init__(self, matcher: Matcher) -> None:
        super().__init__(classes="dialog")
        self._matcher = matcher
        self._text = ""
        self._matches = matcher.search("")
        self._pending = False
        """What is shown is not yet all that what was typed means."""
        self._looking = False
        self._asked = 0
        """How often something else was to be looked for."""
        self._titles = _LONGEST_TITLE
        """Columns for the titles of what was found."""
        self._anew = False
        """Something else was typed than what is shown: the best of it gets the cursor."""
        self._list = RowList(self, empty="nothing of that name")
        self._note = _Note()

    def compose(self) -> ComposeResult:
        """The line to type in above the list."""
        with Vertical(classes="box tall") as box:
            box.border_title = "Palette"
            yield LineInput(placeholder="what to do, or where to go: a few letters; enter does it, esc closes")
            yield self._list
            yield self._note

    def on_mount(self) -> None:
        """Type at once."""
        self.query_one(LineInput).focus()
        self._show(self._matches)

    # Rows.

    def row_count(self) -> int:
        """Commands that were found."""
        return len(self._matches.candidates)

    def row_key(self, index: int) -> Hashable:
        """The command's id."""
        return self._matches.candidates[index].command.id

    def row_text(self, index: int, width: int) -> Text:
        """Group, title with what was typed marked in it, what it does, and its key."""
        command, colours = self._matches.candidates[index].command, palette(self.app)
        works, ellipsis = not command.reason, glyphs(self.app).ellipsis
        keys = safe(command.keys)
        room = max(0, width - _GROUP - len(keys) - 2)
        line = cut(plain(f"{command.group:<{_GROUP - 1}} ", colours.muted), _GROUP, ellipsis)
        title = plain(command.title, "" if works else colours.muted)
        if title.plain == command.title:
            for start, end in marked(command.title, self._matches.typed):
                title.stylize(colours.accent if works else "", start, end)
        told = command.reason or command.help
        wide = min(room, self._titles if told else room)
        line.append_text(cut(title, max(0, wide - 1), ellipsis))
        line.pad_right(max(0, _GROUP + wide - line.cell_len))
        line.append_text(plain(told, colours.muted))
        line = cut(line, max(0, width - len(keys) - 1), ellipsis)
        line.pad_right(max(0, width - len(keys) - line.cell_len))
        return line.append(keys, style=colours.accent if works else colours.muted)

    @property
    def _current(self) -> PaletteCommand | None:
        candidates = self._matches.candidates
        return candidates[self._list.cursor].command if self._list.cursor < len(candidates) else None

    def _tell(self) -> None:
        command, colours = self._current, palette(self.app)
        if command is None:
            self._note.tell(Text())
        elif command.reason:
            self._note.tell(plain(f"not now: {command.reason}", colours.warning))
        else:
            self._note.tell(plain(command.help or command.title, colours.muted))
        # The settings give other keys to actions by their ids: here is where to find those.
        self.query_one(Vertical).border_subtitle = safe(command.id).replace("[", "\\[") if command else ""

    # What is typed.

    def add(self, commands: Iterable[PaletteCommand]) -> None:
        """More of them; what the cursor is on stays under it."""
        self._matcher.add(commands)
        self._look()

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        event.stop()
        if event.value != self._text:
            self._text, self._anew = event.value, True
            self._look()

    def _look(self) -> None:
        if len(self._matcher) <= _AT_ONCE:
            self._show(self._matcher.search(self._text))
        else:
            self._pending = True
            self._asked += 1
            if not self._looking:
                self._looking = True
                self.run_worker(self._look_in_parts(), group="palette")

    async def _look_in_parts(self) -> None:
        """Until what is shown is what was asked for last: more may be typed, or come, meanwhile."""
        try:
            while self._pending and self.is_attached:
                asked, steps = self._asked, self._matcher.steps(self._text)
                while asked == self._asked:
                    try:
                        next(steps)
                    except StopIteration as ended:
                        self._show(ended.value)
                        break
                    await asyncio.sleep(0)
        finally:
            self._looking = False

    def _show(self, matches: Matches) -> None:
        anew, self._pending, self._anew = self._anew, False, False
        self._matches = matches
        widest = max((len(one.command.title) for one in matches.candidates[:_LOOKED_AT]), default=0) + 2
        self._titles = max(_TITLE, min(_LONGEST_TITLE, widest))
        if not self.is_attached:
            return
        self._list.redraw()
        if anew:
            self._list.cursor = 0
        self._tell()

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        """What was typed counts, also where it was quicker than the search."""
        event.stop()
        if self._pending or event.value != self._text:
            self._text, self._anew = event.value, True
            self._show(self._matcher.search(self._text))
        self._choose()

    @on(RowList.Chosen)
    def _chosen(self, event: RowList.Chosen) -> None:
        event.stop()
        self._choose()

    @on(RowList.Moved)
    def _moved(self, event: RowList.Moved) -> None:
        event.stop()
        self._tell()

    @on(RowList.Positioned)
    def _positioned(self, event: RowList.Positioned) -> None:
        event.stop()

    def _choose(self) -> None:
        command = self._current
        if command is not None and not command.reason:
            self.dismiss(command)

    def action_back(self) -> None:
        """Close without choosing."""
        self.dismiss(None)

    def action_down(self) -> None:
        """Next line."""
        self._list.action_down()

    def action_up(self) -> None:
        """Previous line."""
        self._list.action_up()

    def action_page_down(self) -> None:
        """A page down."""
        self._list.action_page_down()

    def action_page_up(self) -> None:
        """A page up."""
        self._list.action_page_up()
