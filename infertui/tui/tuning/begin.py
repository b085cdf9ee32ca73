"""`t`: the tuning session under way, or a new one from a config."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from infertui.config.schema import Config, SweepConfig

if TYPE_CHECKING:
    from textual.app import App

    from infertui.runner.control import RunnerApi
    from infertui.tui.frame.context import AppContext


def tune(
    app: "App[Any]",
    app_context: "AppContext",
    config: "Callable[[RunnerApi], Awaitable[Config]]",
    title: str,
) -> None:
    """Show the session that is under way; where there is none, begin one from what `config` gets, and show it."""
    under_way = [view.id for view in app_context.client_state.tunings.values() if view.status != "ended"]
    below = app.screen

    async def begin(control: "RunnerApi") -> None:
        from infertui.runner.tuning.state import TuningRequest

        found = await config(control)
        if found.sweep != SweepConfig():
            app_context.say("A sweep cannot be tuned: end its axes first.", "error")
            return
        name = await control.begin_tuning(TuningRequest(found, str(app_context.out), title))
        if app.screen is below:  # else somebody has gone on meanwhile
            _show(app, app_context, name)

    if under_way:
        _show(app, app_context, under_way[-1])
    else:
        app_context.intend(begin)


def _show(app: "App[Any]", app_context: "AppContext", name: str) -> None:
    from infertui.tui.tuning.screen import TuningScreen

    app.push_screen(TuningScreen(app_context, name))
