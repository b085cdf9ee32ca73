"""A bare application to put widgets on, with our themes and filters."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from textual.app import App, ComposeResult
from textual.filter import LineFilter
from textual.message import Message
from textual.pilot import Pilot
from textual.widget import Widget

from infertui.tui import themes

SHIPPED = themes.load({"HOME": "/nonexistent"})[0]


class Stage(App[None]):
    ENABLE_COMMAND_PALETTE = False

    def __init__(self, *make: Callable[[], Widget], theme: str = "dark", ascii_only: bool = False) -> None:
        super().__init__()
        self.ascii_only = ascii_only
        self.make = make
        for one in SHIPPED.values():
            self.register_theme(one)
        self.theme = theme

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return themes.variable_defaults()

    def get_line_filters(self) -> Sequence[LineFilter]:
        return themes.line_filters(self, super().get_line_filters())

    def compose(self) -> ComposeResult:
        for make in self.make:
            yield make()


def screen_of(app: App[Any]) -> list[str]:
    """What stands on the screen, line by line, without trailing spaces."""
    strips = app.screen._compositor.render_strips(app.size)
    return ["".join(segment.text for segment in strip).rstrip() for strip in strips]


async def play(
    app: App[None],
    act: Callable[[Pilot[None]], Awaitable[None]],
    *,
    size: tuple[int, int] = (60, 12),
    heard: list[Message] | None = None,
) -> None:
    """Run `act` against `app` without a terminal; messages that widgets post are added to `heard`."""
    async with app.run_test(size=size, message_hook=None if heard is None else heard.append) as pilot:
        await pilot.pause()
        await act(pilot)
