"""Where the palette's commands come from, and opening it.

A source is a module with a function `commands(app)`, whose commands are there at once, or `later(app)`, an asynchronous
iterator of lots of them, for what has to be asked of the runner or read from disk; or with both. A pane offers some by
its method `commands`, and all its ACTIONS by themselves.
"""

import asyncio
from collections.abc import Iterator
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

from infertui.errors import InfertuiError
from infertui.tui.notify import of_error
from infertui.tui.palette import recent
from infertui.tui.palette.command import PaletteCommand
from infertui.tui.palette.matching import Matcher
from infertui.tui.palette.screen import PaletteScreen

if TYPE_CHECKING:
    from infertui.tui.app import InfertuiApp

SOURCES: tuple[str, ...] = (
    "infertui.tui.palette.of_screen", "infertui.tui.palette.of_commands", "infertui.tui.palette.of_config",
    "infertui.tui.palette.of_runs",
)  # fmt: skip
"""Modules; those that are first come first while nothing is typed."""


def open_palette(app: "InfertuiApp") -> None:
    """Show everything that can be done or gone to, and do what is chosen."""
    if isinstance(app.screen, PaletteScreen):
        return
    modules = [import_module(name) for name in SOURCES]
    screen = PaletteScreen(Matcher(_commands(app, modules), recent=app.recent))

    def chosen(command: PaletteCommand | None) -> None:
        if command is not None:
            app.recent = recent.with_newest(app.recent, command.id)
            app.run_worker(_keep(app, command.id), group="recent")
            command.run()

    app.push_screen(screen, chosen)
    for module in modules:
        if hasattr(module, "later"):
            screen.run_worker(_add_later(app, screen, module), group=module.__name__, exit_on_error=True)


def _commands(app: "InfertuiApp", modules: list[ModuleType]) -> Iterator[PaletteCommand]:
    for module in modules:
        if hasattr(module, "commands"):
            yield from module.commands(app)


async def _add_later(app: "InfertuiApp", screen: PaletteScreen, module: ModuleType) -> None:
    try:
        async for commands in module.later(app):
            screen.add(commands)
    except (InfertuiError, OSError):
        return  # no connection, or an answer that came too late: the rest of the palette is there all the same


async def _keep(app: "InfertuiApp", chosen: str) -> None:
    """Another screen may have kept some of its own meanwhile."""
    path = recent.recent_path(app.environ)
    try:
        await asyncio.to_thread(lambda: recent.keep(path, recent.with_newest(recent.read(path), chosen)))
    except InfertuiError as error:
        app.say(of_error(error), "warning")
