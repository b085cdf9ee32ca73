"""From the form to a study of how many layers to put on the GPU, as `infertui profile --queue` begins one."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from infertui.config.parse import FlatValue, build, flat_values
from infertui.config.schema import Config
from infertui.config.sources import DEFAULT
from infertui.config.sweep import rooted
from infertui.tui.config.form.form import Form
from infertui.tui.frame.actions import sign
from infertui.tui.frame.context import AppContext
from infertui.tui.notify import tell_refused
from infertui.tui.terminal.sanitize import safe

if TYPE_CHECKING:
    from textual.app import App

    from infertui.runner.control import RunnerApi


def profile(app: "App[Any]", app_context: AppContext, form: Form, seconds: float | None) -> None:
    """Ask which layers to measure, and queue a run for each; `seconds` is what one takes, where that is known.

    The form has no problem. Says why where its engine cannot be studied.
    """
    if form.axes():
        ends = sign(app_context.settings.keys, "config.sweep", "A")
        words = f"A study lets the number of layers vary, and nothing else: end the axes with {ends}."
        app_context.say(words, "error")
        return
    config, below = rooted(study_config(form)), app.screen

    async def ask(control: "RunnerApi") -> None:
        from infertui.tui.config.profile_dialog import ProfileScreen

        found = await control.study_outline(config)
        if app.screen is below:  # else somebody has gone on meanwhile
            app.push_screen(ProfileScreen(config.model.id, found, seconds), answered)

    def answered(layers: tuple[int, ...] | None) -> None:
        if layers:
            app_context.intend(lambda control: _begin(app_context, control, config, layers))

    app_context.intend(ask)


async def _begin(app_context: AppContext, control: "RunnerApi", config: Config, layers: tuple[int, ...]) -> None:
    begun = await control.begin_study(config, layers, str(app_context.out))
    runs = f"{len(begun.ids)} run{'' if len(begun.ids) == 1 else 's'}"
    app_context.say(f"Queued a profile of {runs}. Afterwards: {continuing(begun.study, app_context.out)}")
    await tell_refused(app_context, control, begun.ids)


def continuing(study: str, out: Path) -> str:
    """The command that measures what a study lacks, and prints its table."""
    where = "" if out == Path.cwd() / "reports" else f" --out {safe(str(out))}"
    return f"infertui profile --continue {safe(study)}{where}"


def study_config(form: Form) -> Config:
    """The config of the study's runs: that of the form, as the command has it where the form holds the defaults."""
    from infertui.analysis.offload.plan import USUAL

    flat: dict[str, FlatValue] = dict(flat_values(form.config()))
    return build(flat | {key: value for key, value in USUAL.items() if form.origin(key) in ("", DEFAULT)})
