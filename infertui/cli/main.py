"""The command `infertui`: puts the command groups together and turns errors into messages and exit codes.

Exit codes: 0 all is well, 1 failed, 2 the request was wrong, 3 measured but invalid, 130 interrupted.
"""

import io
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from infertui import __version__
from infertui.cli import config, models
from infertui.cli.doctor import doctor
from infertui.cli.gpus import gpus
from infertui.cli.results import EPILOG as RESULTS_EXAMPLES
from infertui.cli.results import results
from infertui.cli.run import EPILOG as RUN_EXAMPLES
from infertui.cli.run import run
from infertui.errors import InfertuiError
from infertui.terminal_text import clean

app = typer.Typer(
    name="infertui",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
    help="The cockpit for LLM inference on a GPU box: measure a configuration, truthfully.\n\n"
    "[bold]infertui run demo[/bold] measures something in seconds on any machine; "
    "[bold]infertui doctor[/bold] says what can be used here.",
)
app.command(epilog=RUN_EXAMPLES)(run)
app.command(epilog=RESULTS_EXAMPLES)(results)
app.command()(gpus)
app.command()(doctor)
app.add_typer(models.app, name="models")
app.add_typer(config.app, name="config")


def _print_version(value: bool) -> None:
    if value:
        typer.echo(f"infertui {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Entry point of the console script."""
    # A parent may have closed them, and an ASCII-only locale must not turn a model's name into a crash.
    sys.stdout = sys.stdout or Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 (for as long as we live)
    sys.stderr = sys.stderr or Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 (for as long as we live)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        app()
    except InfertuiError as error:
        typer.echo(f"infertui: {clean(str(error), lines=True)}", err=True)
        sys.exit(error.exit_code)
