"""The base of our own widgets: whole lines of text, of which only those that changed are painted again."""

from collections.abc import Sequence
from functools import lru_cache
from typing import ClassVar

from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from rich.text import Span, Text
from textual.events import Resize
from textual.geometry import Region
from textual.strip import Strip
from textual.theme import Theme
from textual.widget import Widget


class Lines(Widget):
    """Shows the lines given to `paint_lines`; a repaint costs what differs from the last one."""

    ALLOW_SELECT: ClassVar[bool] = False
    """Dragging a selection would repaint at every move of the mouse; the terminal's own needs none of that."""

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002 (Textual's name)
        super().__init__(id=id, classes=classes)
        self._texts: list[Text] = []
        self._drawn: list[Strip] = []

    def on_mount(self) -> None:
        """Follow the theme: styles are parts of the lines."""
        self.app.theme_changed_signal.subscribe(self, self._theme_changed)

    def _theme_changed(self, _theme: Theme) -> None:
        self._drawn = []
        self.compose_lines()
        self.refresh()

    def on_resize(self, _event: Resize) -> None:
        """Lay the lines out for the new size."""
        self._drawn = []
        self.compose_lines()
        self.refresh()

    def notify_style_update(self) -> None:
        """Textual calls this when the background or colour may have changed."""
        super().notify_style_update()
        if self.is_mounted and self._drawn:
            self._drawn = []
            self.compose_lines()

    def compose_lines(self) -> None:
        """Make the lines and give them to `paint_lines`; called whenever size or style changed."""

    def paint_lines(self, lines: Sequence[Text]) -> None:
        """Show `lines`, cut at the widget's width."""
        if not self.is_mounted:
            return
        width = self.size.width
        texts, strips = self._texts, self._drawn
        now = [
            strips[y] if y < len(strips) and _same(line, texts[y]) else self.to_strip(line, width)
            for y, line in enumerate(lines)
        ]
        self._texts = list(lines)
        self.paint_strips(now)

    def paint_strips(self, now: Sequence[Strip]) -> None:
        """Show these lines, made by `to_strip` and as wide as the widget."""
        before, self._drawn = self._drawn, list(now)
        changed = [
            y for y in range(max(len(now), len(before)))
            if y >= len(now) or y >= len(before) or (now[y] is not before[y] and now[y] != before[y])
        ]  # fmt: skip
        if changed:
            self.refresh(*(Region(0, y, self.size.width, 1) for y in changed))

    def to_strip(self, line: Text, width: int) -> Strip:
        """One line, exactly `width` cells."""
        base = self.visual_style.rich_style
        return _strip(line.plain, line.style, tuple(line.spans), width, base, self.app.console)

    def render_line(self, y: int) -> Strip:
        """What Textual asks for."""
        if y < len(self._drawn):
            return self._drawn[y]
        return Strip.blank(self.size.width, self.visual_style.rich_style)


@lru_cache(maxsize=1024)
def _strip(plain: str, style: str | Style, spans: tuple[Span, ...], width: int, base: Style, console: Console) -> Strip:
    """A line as it is painted. Bars and small figures come back again and again."""
    line = Text(plain, style=style, spans=list(spans), no_wrap=True, end="")
    segments = line.render(console, end="")
    if style and not spans:
        # rich leaves out the style of the whole when no part has one of its own.
        segments = Segment.apply_style(segments, console.get_style(style))
    return Strip(Segment.apply_style(segments, base)).adjust_cell_length(width, base)


def _same(one: Text, other: Text) -> bool:
    return one.plain == other.plain and one.style == other.style and one.spans == other.spans


def cut(line: Text, width: int, ellipsis: str) -> Text:
    """`line` in at most `width` cells, with `ellipsis` as the mark of a cut. The line itself stays as it is."""
    if line.cell_len <= width:
        return line
    shorter = line.copy()
    shorter.truncate(max(0, width - 1), overflow="crop")
    if width > 0:
        shorter.append(ellipsis)
    return shorter
