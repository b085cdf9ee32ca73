"""The first start on a machine: the welcome, and the run that is one key away.

Shown at the first start on a machine: what was found, and the first run.
"""

import os
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.events import Click, Key
from textual.widgets import Static

from infertui.env_file import with_env_file
from infertui.errors import ConfigError, InfertuiError
from infertui.models.local import LocalModel
from infertui.runner.control import RunnerFacts, Submission
from infertui.telemetry.readings import GpuInfo
from infertui.telemetry.usable import hindrance
from infertui.telemetry.visible import visible_from_environment
from infertui.tui.frame.context import AppContext
from infertui.tui.frame.header import gpu_summary
from infertui.tui.state import ALL_TOPICS, Topic
from infertui.tui.terminal.capabilities import glyphs
from infertui.tui.terminal.sanitize import plain
from infertui.tui.themes import Palette, palette
from infertui.tui.widgets.dialogs import DIALOG_CSS, Dialog
from infertui.tui.widgets.gauges import GaugeColumn
from infertui.tui.widgets.lines import cut
from infertui.units import format_bytes

if TYPE_CHECKING:
    from infertui.tui.app import InfertuiApp

_MODELS = 4
_START = "r"
_WIDTH = 76
_NAMES = 9


class WelcomeScreen(Dialog[bool]):
    """Any key closes it; `r` starts the demo as well: returns whether it did."""

    CSS_PATH = DIALOG_CSS
    AUTO_FOCUS: ClassVar[str | None] = ""

    def __init__(self, app_context: AppContext) -> None:
        super().__init__(classes="dialog")
        self._app_context = app_context
        self._models: tuple[LocalModel, ...] | None = None
        self._asked = False

    def compose(self) -> ComposeResult:
        """Lines, filled in as answers come."""
        with Vertical(classes="box") as box:
            box.border_title = "Welcome to infertui"
            yield GaugeColumn(id="found")
            yield Static("r  start the demo run now      any other key  look around", classes="keys", markup=False)

    def on_mount(self) -> None:
        """What is known already."""
        self.show(ALL_TOPICS)

    def show(self, touched: AbstractSet[Topic]) -> None:
        """Draw what was found so far; the application calls this as it does for panes."""
        if "runner" not in touched:
            return
        client_state, colours = self._app_context.client_state, palette(self.app)
        lines = [plain("Which configuration is fastest here, by how much, and how sure is that?"), Text()]
        if client_state.runner is None:
            lines.append(plain("Looking at this machine...", colours.muted))
        else:
            if not self._asked:
                self._asked = True
                self.run_worker(self._ask_models())
            lines += self._found(client_state.runner, colours)
        column = self.query_one("#found", GaugeColumn)
        column.styles.height = len(lines)
        width = max(1, min(_WIDTH, self.app.size.width) - 4)
        column.set_cells([cut(line, width, glyphs(self.app).ellipsis) for line in lines])

    def _found(self, facts: RunnerFacts, colours: Palette) -> list[Text]:
        signs = glyphs(self.app)
        host = facts.host
        processor = host.cpu_model or "CPU"
        memory = f", {format_bytes(host.memory_total)}" if host.memory_total else ""
        lines = [_line("Machine", f"{host.hostname}: {processor}{memory}", colours)]
        if facts.gpus:
            lines.append(_line("GPUs", gpu_summary(self._app_context.client_state, signs), colours))
            if hidden := _hidden(facts.gpus):
                lines.append(_line("", hidden, colours, colours.warning))
        else:
            why = facts.gpus_unavailable.partition("\n")[0]
            lines.append(_line("GPUs", f"none: {why}" if why else "none", colours))
        for index, probe in enumerate(facts.engines):
            sign, style = (signs.ok, colours.ok) if probe.available else (signs.failed, colours.muted)
            text = probe.engine if probe.available else f"{probe.engine}: {probe.reason}"
            told = [f"{sign} {text}"]
            if hindered := hindrance(probe, facts.gpus):
                style, text = colours.warning, f"{signs.warning} {probe.engine}: {hindered.reason}"
                told = wrap(text, _WIDTH - 4 - _NAMES, subsequent_indent="  ")  # what is cut off would be its point
            for row, part in enumerate(told):
                lines.append(_line("Engines" if index == row == 0 else "", part, colours, style))
        if self._models is None:
            lines.append(_line("Models", "looking...", colours, colours.muted))
        else:
            own = [model.id for model in self._models if model.kind != "synthetic"]
            synthetic = len(self._models) - len(own)
            more = f" and {len(own) - _MODELS} more" if len(own) > _MODELS else ""
            text = f"{', '.join(own[:_MODELS])}{more}" if own else "none on this disk"
            lines.append(_line("Models", f"{text}; {synthetic} synthetic ones", colours))
        return lines

    async def _ask_models(self) -> None:
        try:
            self._models = await self._app_context.control.models()
        except (InfertuiError, OSError):
            self._models = ()
        self.show(ALL_TOPICS)

    def on_key(self, event: Key) -> None:
        """Any key closes; ctrl+c is the application's."""
        event.stop()
        event.prevent_default()
        if event.key != "ctrl+c":
            self.dismiss(event.key == _START)

    def on_click(self, _event: Click) -> None:
        """A click closes too."""
        self.dismiss(False)


def _hidden(gpus: Sequence[GpuInfo]) -> str:
    """What is wrong with which GPUs runs from here may see; nothing where they see one."""
    try:
        seen = visible_from_environment(os.environ, gpus)
    except ConfigError as error:
        return error.message
    return "" if seen else "CUDA_VISIBLE_DEVICES hides them all: runs use the CPU"


def _line(name: str, text: str, colours: Palette, style: str = "") -> Text:
    line = Text(no_wrap=True, end="")
    line.append(f"{name:<{_NAMES}}", style=colours.muted)
    return line.append_text(plain(text, style))


PRESET = "demo"


def welcome(app: "InfertuiApp", environ: Mapping[str, str]) -> None:
    """Show what was found here, and start the demo run where that is wanted."""

    def closed(start: bool | None) -> None:
        app.change_settings(app.settings)  # the file is what says that this was not the first start
        if start:
            app.run_worker(_demo(app, environ))

    app.push_screen(WelcomeScreen(app), closed)


async def _demo(app: "InfertuiApp", environ: Mapping[str, str]) -> None:
    """The demo run, as soon as there is a runner."""
    await app.linked.wait()
    app.main.go("live")
    app.intend(lambda control: control.submit(submission(app.out, environ)))


def submission(out: Path, environ: Mapping[str, str]) -> Submission:
    """The demo preset, to be queued. Raises ConfigError when the environment contradicts it."""
    from infertui.config.sources import load
    from infertui.config.sweep import variants_of

    config = load(PRESET, environ=with_env_file(environ)).config
    return Submission(title=PRESET, variants=tuple(variants_of(config, "")), out=str(out))
