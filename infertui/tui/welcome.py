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
from textual.events import Click, Key, Resize

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
from infertui.tui.terminal.capabilities import Glyphs, glyphs
from infertui.tui.terminal.sanitize import plain
from infertui.tui.themes import Palette, palette
from infertui.tui.widgets.dialogs import DIALOG_CSS, Dialog
from infertui.tui.widgets.gauges import GaugeColumn
from infertui.tui.widgets.lines import cut
from infertui.units import format_bytes

if TYPE_CHECKING:
    from infertui.tui.app import InfertuiApp

_START = "r"
DEMO_ENGINE = "transformers"
"""Of the demo preset."""
_WIDTH = 76
_NAMES = 9
_LEAST = (30, 10)
"""Columns and lines that it takes to say all of it; with less the screen itself is the better welcome."""
_ROOMY = 20
_QUESTION = "Which configuration is fastest here, by how much, and how sure is that?"
_DO = ("measure the demo now: a small model, half a minute", "measure the demo now: half a minute",
       "measure the demo now", "start the demo")  # fmt: skip
_ELSE = "any other key does what it does on the screen behind"


class WelcomeScreen(Dialog[bool]):
    """`r` starts the demo: returns whether it did. Every other key closes it, and is for the screen behind."""

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

    def on_mount(self) -> None:
        """What is known already."""
        self.show(ALL_TOPICS)

    def on_resize(self, _event: Resize) -> None:
        """Lines are made for the width that there is."""
        self.show(ALL_TOPICS)

    def show(self, touched: AbstractSet[Topic]) -> None:
        """Draw what was found so far; the application calls this as it does for panes."""
        if "runner" not in touched:
            return
        facts, colours = self._app_context.client_state.runner, palette(self.app)
        columns, height = self.app.size
        width = max(1, min(_WIDTH, int(columns * 0.98)) - 4)
        if facts is not None and not self._asked:
            self._asked = True
            self.run_worker(self._ask_models())
        # What there is to do stands above what was found: it is never what has no room.
        lines = self._to_do(width, colours)
        if height >= _ROOMY:
            lines = [*map(plain, wrap(_QUESTION, width)), Text(), *lines, Text()]
        if facts is None:
            lines.append(plain("Looking at this machine...", colours.muted))
        else:
            lines += self._found(facts, width, colours)
        lines += [Text()] * (height >= _ROOMY) + [plain(_ELSE, colours.muted)]
        lines = lines[: max(1, int(height * 0.96) - 2)]
        column = self.query_one("#found", GaugeColumn)
        column.styles.height = len(lines)
        column.set_cells([cut(line, width, glyphs(self.app).ellipsis) for line in lines])

    def _to_do(self, width: int, colours: Palette) -> list[Text]:
        line = Text(f" {glyphs(self.app).cursor} ", style=colours.selection, no_wrap=True, end="")
        line.append(_START, style=f"bold {colours.accent}")
        told = next((words for words in _DO if len(words) + 6 <= width), _DO[-1])
        line.append(f"  {told}", style="bold")
        line.pad_right(max(0, width - line.cell_len))
        return [line]

    def _found(self, facts: RunnerFacts, width: int, colours: Palette) -> list[Text]:
        signs = glyphs(self.app)
        host = facts.host
        processor = host.cpu_model or "CPU"
        memory = f", {format_bytes(host.memory_total)}" if host.memory_total else ""
        lines, warned = [_line("Machine", f"{host.hostname}: {processor}{memory}", colours)], []
        if facts.gpus:
            lines.append(_line("GPUs", gpu_summary(self._app_context.client_state, signs), colours))
            if hidden := _hidden(facts.gpus):
                warned += _wrapped(hidden, width, colours)
        else:
            why = facts.gpus_unavailable.partition("\n")[0]
            lines.append(_line("GPUs", f"none: {why}" if why else "none", colours))
        lines.append(_engines(facts, width - _NAMES, colours, signs))
        for probe in facts.engines:
            if probe.engine == DEMO_ENGINE and (hindered := hindrance(probe, facts.gpus)):
                warned += _wrapped(f"{probe.engine}: {hindered.reason}", width, colours)
        if self._models is None:
            lines.append(_line("Models", "looking...", colours, colours.muted))
        else:
            own = [model.id for model in self._models if model.kind != "synthetic"]
            synthetic = len(self._models) - len(own)
            here = f"{len(own)} here" if own else "none on this disk"
            named = f": {', '.join(own)}" if own else ""
            lines.append(_line("Models", f"{here}, {synthetic} synthetic ones{named}", colours))
        return lines + warned

    async def _ask_models(self) -> None:
        try:
            self._models = await self._app_context.control.models()
        except (InfertuiError, OSError):
            self._models = ()
        self.show(ALL_TOPICS)

    def gives_way(self, key: str) -> bool:
        """Whether a key is for the screen behind; Esc has closed something, and means nothing more."""
        return key not in (_START, "escape")

    def on_key(self, event: Key) -> None:
        """`r` starts the demo."""
        event.stop()
        event.prevent_default()
        self.dismiss(event.key == _START)

    def on_click(self, _event: Click) -> None:
        """A click closes too."""
        self.dismiss(False)


def _engines(facts: RunnerFacts, width: int, colours: Palette, signs: Glyphs) -> Text:
    """All engines on one line: which work, which do without the GPUs, which are not installed; counted if need be."""
    able = [probe.engine for probe in facts.engines if probe.available and hindrance(probe, facts.gpus) is None]
    slow = [probe.engine for probe in facts.engines if probe.available and hindrance(probe, facts.gpus) is not None]
    lacking = [probe.engine for probe in facts.engines if not probe.available]
    groups = ((signs.ok, able, colours.ok, ""), (signs.warning, slow, colours.warning, "on the CPU"),
              (signs.failed, lacking, colours.muted, "not here"))  # fmt: skip
    line = _line("Engines", "", colours)
    counted = {sign for sign, names, _, _ in groups if len(names) > 2 and sign == signs.failed}
    for attempt in (counted, {signs.failed}, {signs.failed, signs.warning}, {sign for sign, *_ in groups}):
        line = _line("Engines", "", colours)
        for sign, names, style, note in groups:
            if names:
                told = str(len(names)) if sign in attempt else ", ".join(names)
                line.append_text(plain(f"{sign} {told}{' ' + note if note else ''}  ", style))
        line.rstrip()
        if line.cell_len <= width + _NAMES:
            break
    return line


def _wrapped(text: str, width: int, colours: Palette) -> list[Text]:
    """Whole: what would be cut off is its point."""
    return [_line("", part, colours, colours.warning) for part in wrap(text, max(10, width - _NAMES))]


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

    columns, height = app.size
    if app.stage.chosen or app.ahead.some or columns < _LEAST[0] or height < _LEAST[1]:
        return  # who types already knows what for

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
