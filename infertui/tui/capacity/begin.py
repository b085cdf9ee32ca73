"""From a config to a search in the queue; from the queue and from results to what one found."""

from typing import TYPE_CHECKING, Any

from infertui.config.schema import Config, SweepConfig
from infertui.tui.notify import tell_refused

if TYPE_CHECKING:
    from textual.app import App

    from infertui.runner.control import RunnerApi
    from infertui.tui.frame.context import AppContext


def begin_search(app: "App[Any]", app_context: "AppContext", config: Config) -> None:
    """Ask for what is searched, and queue it; shown at once, while it waits as well."""
    if config.target.kind != "endpoint":
        app_context.say("A capacity is searched of a server: set target.kind = endpoint and its url.", "warning")
        return
    if config.sweep != SweepConfig():
        app_context.say("Queue a sweep of searches with r and capacity.by; here one is begun: end its axes.", "warning")
        return
    from infertui.tui.capacity.dialog import CapacityDialog

    def answered(asked: Config | None) -> None:
        if asked is not None:
            app_context.intend(lambda control: _queue(app_context, control, asked), done="Queued a search.")

    app.push_screen(CapacityDialog(config), answered)


async def _queue(app_context: "AppContext", control: "RunnerApi", config: Config) -> None:
    from infertui.config.sweep import Variant, rooted
    from infertui.runner.control import Submission

    variant = Variant(config.load.slo, rooted(config), {})
    ids = await control.submit(Submission("capacity", (variant,), str(app_context.out)))
    await tell_refused(app_context, control, ids)


def show_search(app: "App[Any]", app_context: "AppContext", search: str, out: str) -> None:
    """Open what is known of a search: as it is told of, or from its folder."""
    from infertui.tui.capacity.screen import CapacityScreen

    if search in app_context.client_state.capacities:
        app.push_screen(CapacityScreen(app_context, search))
        return
    below = app.screen

    async def read(control: "RunnerApi") -> None:
        view = await control.capacity(out, search)
        if app.screen is below:  # else somebody has gone on meanwhile
            app.push_screen(CapacityScreen(app_context, search, read=view))

    app_context.intend(read)


def choose_search(app: "App[Any]", app_context: "AppContext") -> None:
    """Open one of those of this screen's reports folder; of a single one at once."""
    below, out = app.screen, str(app_context.out)

    async def read(control: "RunnerApi") -> None:
        from infertui.tui.capacity.view import list_line
        from infertui.tui.config.dialogs import PickerScreen
        from infertui.tui.config.form.options import Option
        from infertui.tui.themes import palette
        from infertui.tui.widgets.cells import RenderContext

        found = await control.capacities(out)
        if app.screen is not below:
            return
        if not found:
            app_context.say("No capacity was searched here: C in Config begins one, for a server.")
        elif len(found) == 1:
            show_search(app, app_context, found[0].id, out)
        else:
            look = RenderContext(palette(app), app_context.ascii_only, app_context.settings)
            options = [Option(view.id, *list_line(view)) for view in found]

            def answered(search: str | None) -> None:
                if search:
                    show_search(app, app_context, search, out)

            app.push_screen(PickerScreen("Searches for a capacity", options, look=look), answered)

    app_context.intend(read)
