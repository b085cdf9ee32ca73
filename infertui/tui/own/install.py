"""The user's own commands as actions of panes, and running one."""

import asyncio
import shlex
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from infertui.errors import UsageError
from infertui.text import one_line
from infertui.tui.frame.actions import GLOBAL_ACTIONS, RESERVED, Action
from infertui.tui.own.commands_file import OwnCommand, commands_path, read, words_of
from infertui.tui.widgets.rowlist import RowList

if TYPE_CHECKING:
    from infertui.tui.app import InfertuiApp

_MOST_SHOWN = 300


async def install(app: "InfertuiApp") -> None:
    """Give panes what `commands.toml` has for them; say what is wrong with it."""
    try:
        commands = await asyncio.to_thread(read, commands_path(app.environ))
    except UsageError as error:
        app.say(error.message, "warning")
        return
    for scope in dict.fromkeys(one.scope for one in commands):
        pane = app.stage.pane(scope)
        taken = {
            key.strip(): action.help
            for action in (*GLOBAL_ACTIONS, *RowList.ACTIONS, *pane.ACTIONS)
            for key in (app.keymap.get(action.id) or action.keys).split(",")
        }
        kept = []
        for one in (one for one in commands if one.scope == scope):
            if one.key in RESERVED or (used := taken.get(one.key)) is not None:
                why = "belongs to terminals and multiplexers" if one.key in RESERVED else f"is there already: {used}"
                app.say(f"commands.toml: {one_line(one.label, 40)}: the key {one_line(one.key, 20)} {why}", "warning")
                continue
            taken[one.key] = one.label
            kept.append(one)
        pane.take_own([(_action(one, number), partial(begin, app, one)) for number, one in enumerate(kept)])


def _action(one: OwnCommand, number: int) -> Action:
    label = one_line(one.label, 40)
    shown = one_line(shlex.join(one.command), 60)
    return Action(
        f"{one.scope}.own-{number}", one.key, label, f"{label}: {shown}", footer=False, writes=True,
        call=f"own({number})",
    )  # fmt: skip


def begin(app: "InfertuiApp", one: OwnCommand, values: Mapping[str, str]) -> None:
    """Run it on the row that has these values, after asking where it wants that; what it says is shown."""
    from infertui.tui.jobs.screen import start

    label = one_line(one.label, 40)
    try:
        words = words_of(one.command, values)
    except UsageError as error:
        app.say(f"{label}: {error.message}", "error")
        return
    if one.confirm:
        question = f"Run {one_line(shlex.join(words), _MOST_SHOWN)}?"
        app.confirm(question, yes="Run it", then=lambda: start(app, label, words[1:], program=words[:1]))
    else:
        start(app, label, words[1:], program=words[:1])
