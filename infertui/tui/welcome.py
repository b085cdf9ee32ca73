"""The first start on a machine: the welcome, and the run that is one key away."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from infertui.runner.control import Submission
from infertui.tui.welcome_part import WelcomeScreen

if TYPE_CHECKING:
    from infertui.tui.app import InfertuiApp

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
    app.go("live")
    app.intend(lambda control: control.submit(submission(app.out, environ)))


def submission(out: Path, environ: Mapping[str, str]) -> Submission:
    """The demo preset, to be queued. Raises ConfigError when the environment contradicts it."""
    from infertui.config.sources import load
    from infertui.config.submission import variants_of

    config = load(PRESET, environ=environ).config
    return Submission(title=PRESET, variants=tuple(variants_of(config, "")), out=str(out))
