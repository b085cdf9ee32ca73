"""Commands of the screen itself: the actions of all panes, themes, settings, and what the help is about."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, cast

from textual.dom import DOMNode

from infertui.tui.frame.actions import GLOBAL_ACTIONS, PANE_ACTIONS, Action, signs
from infertui.tui.frame.layouts import PaneId
from infertui.tui.frame.reach import applies, reachable, reason
from infertui.tui.palette.command import PaletteCommand
from infertui.tui.widgets.pane import Pane

if TYPE_CHECKING:
    from infertui.tui.app import InfertuiApp

OTHER_WORDS = {
    "app.quit": "exit leave detach",
    "config.capacity": "saturation limit slo maximum",
    "config.profile": "offload layers vram",
    "config.pull": "pull fetch hub",
    "config.run": "start go submit measure benchmark",
    "config.sweep": "grid list several",
    "config.tune": "live knobs",
    "queue.cancel": "kill stop abort remove delete",
    "results.bench": "paired ab repeat",
    "results.compare": "diff versus",
    "results.curve": "chart plot sweep",
    "results.delete": "remove rm",
}
"""By action, what it is called in other programs, for who looks for it by that."""


def commands(app: "InfertuiApp") -> Iterator[PaletteCommand]:
    """Those of the focused pane first, then those of the others, what works everywhere, and what lists do."""
    near = list(reachable(app.screen.focused or app.screen))
    inside = [node for node, _ in near if not isinstance(node, Pane)]
    panes = [node for node, _ in near if isinstance(node, Pane)]
    for pane in (*panes, *(pane for pane in app.stage.panes() if pane not in panes)):
        yield from _of_actions(app, pane, pane.TITLE, here=pane in panes)
        yield from pane.commands()
    for action in GLOBAL_ACTIONS:
        title = action.help.capitalize() if action in PANE_ACTIONS else action.label
        yield _command(app, app, action, "", title, partial(_run, app, action, app))
    for node in inside:
        yield from _of_actions(app, node, "List", here=True)
    yield from _themes(app)
    yield from _settings(app)
    yield from _topics(app)


def _of_actions(app: "InfertuiApp", node: DOMNode, group: str, *, here: bool) -> Iterator[PaletteCommand]:
    for action in getattr(node, "ACTIONS", ()):
        if applies(node, action):
            run = partial(_run, app, action, node) if here else partial(_go_and_run, app, action, cast(Pane, node))
            yield _command(app, node, action, group, action.label, run)


def _command(
    app: "InfertuiApp", node: DOMNode, action: Action, group: str, title: str, run: Callable[[], object]
) -> PaletteCommand:
    return PaletteCommand(
        id=action.id,
        title=title,
        run=run,
        group=group,
        help=action.help if title != action.help.capitalize() else "",
        keys=" ".join(signs(action, app.keymap)[:1]),
        words=OTHER_WORDS.get(action.id, ""),
        reason=reason(node, action, read_only=app.read_only),
    )


def _run(app: "InfertuiApp", action: Action, node: DOMNode) -> None:
    """As if its key had been pressed."""
    app.run_worker(app.run_action(action.call or action.name, node), group="chosen")


def _go_and_run(app: "InfertuiApp", action: Action, pane: Pane) -> None:
    app.main.go(cast(PaneId, pane.id))
    _run(app, action, pane)


def _themes(app: "InfertuiApp") -> Iterator[PaletteCommand]:
    for name in app.appearance.theme_names:
        now = "the one that is shown" if name == app.theme else "show in these colours"
        yield PaletteCommand(f"theme:{name}", name, partial(app.choose_theme, name), "Theme", now)


def _settings(app: "InfertuiApp") -> Iterator[PaletteCommand]:
    from infertui.tui.settings.stored import fields

    for field in fields():
        title = field.name.replace("_", " ")
        run = partial(app.action_settings, field.name)
        yield PaletteCommand(f"setting:{field.name}", title, run, "Setting", field.description, words=field.name)


def _topics(app: "InfertuiApp") -> Iterator[PaletteCommand]:
    from infertui.tui.frame.help import open_help

    for pane in app.stage.panes():
        about = f"what the keys of {pane.TITLE} do"
        yield PaletteCommand(f"help:{pane.id}", f"Keys of {pane.TITLE}", partial(open_help, app, pane), "Help", about)
