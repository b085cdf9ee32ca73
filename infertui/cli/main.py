"""The command `infertui`: puts the command groups together and turns errors into messages and exit codes.

Exit codes: 0 all is well, 1 failed, 2 the request was wrong, 3 measured but invalid, 4 a rule of
`--fail-if` holds for sure or cannot be checked, 5 whether it holds cannot be told, 130 interrupted. They are the same
where nobody reads the output to its end (`| head`); 1 where it could not be written, such as to a full disk.
"""

import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Annotated

import typer

from infertui import __version__
from infertui.cli.load.capacity import EPILOG as CAPACITY_EXAMPLES
from infertui.cli.load.capacity import capacity
from infertui.cli.load.load import EPILOG as LOAD_EXAMPLES
from infertui.cli.load.load import load
from infertui.cli.load.mock_server import EPILOG as MOCK_EXAMPLES
from infertui.cli.load.mock_server import mock_server
from infertui.cli.machine import config, engines, models
from infertui.cli.machine.build import EPILOG as BUILD_EXAMPLES
from infertui.cli.machine.build import build
from infertui.cli.machine.doctor import doctor
from infertui.cli.machine.exporter import EPILOG as EXPORTER_EXAMPLES
from infertui.cli.machine.exporter import exporter
from infertui.cli.machine.gpus import gpus
from infertui.cli.machine.runner import (
    ATTACH_EXAMPLES,
    STATUS_EXAMPLES,
    STOP_EXAMPLES,
    attach,
    status,
    stop,
)
from infertui.cli.machine.serve import SERVE_EXAMPLES, serve
from infertui.cli.offload.profile import EPILOG as PROFILE_EXAMPLES
from infertui.cli.offload.profile import profile
from infertui.cli.output import say, warn
from infertui.cli.reading.advise import EPILOG as ADVISE_EXAMPLES
from infertui.cli.reading.advise import advise
from infertui.cli.reading.audit import EPILOG as AUDIT_EXAMPLES
from infertui.cli.reading.audit import audit
from infertui.cli.reading.compare import EPILOG as COMPARE_EXAMPLES
from infertui.cli.reading.compare import compare
from infertui.cli.reading.cost import EPILOG as COST_EXAMPLES
from infertui.cli.reading.cost import cost
from infertui.cli.reading.export import EPILOG as EXPORT_EXAMPLES
from infertui.cli.reading.export import export
from infertui.cli.reading.imports import EPILOG as IMPORT_EXAMPLES
from infertui.cli.reading.imports import import_files
from infertui.cli.reading.recompute import EPILOG as RECOMPUTE_EXAMPLES
from infertui.cli.reading.recompute import recompute
from infertui.cli.reading.report import EPILOG as REPORT_EXAMPLES
from infertui.cli.reading.report import report
from infertui.cli.reading.results import EPILOG as RESULTS_EXAMPLES
from infertui.cli.reading.results import results
from infertui.cli.running import external
from infertui.cli.running.bench import EPILOG as BENCH_EXAMPLES
from infertui.cli.running.bench import bench
from infertui.cli.running.calibrate import EPILOG as CALIBRATE_EXAMPLES
from infertui.cli.running.calibrate import calibrate
from infertui.cli.running.pipeline.command import EPILOG as PIPELINE_EXAMPLES
from infertui.cli.running.pipeline.command import pipeline
from infertui.cli.running.run import EPILOG as RUN_EXAMPLES
from infertui.cli.running.run import run
from infertui.cli.running.tune import EPILOG as TUNE_EXAMPLES
from infertui.cli.running.tune import tune
from infertui.cli.streams import flush, guard
from infertui.cli.unknown import Commands
from infertui.env_file import use_env_file
from infertui.errors import InfertuiError, UsageError

app = typer.Typer(
    name="infertui",
    cls=Commands,
    invoke_without_command=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
    help="The cockpit for LLM inference on a GPU box: measure a configuration, truthfully.\n\n"
    "[bold]infertui[/bold] alone opens the screen, on which everything can be done by keyboard; the options below are "
    "the screen's. [bold]infertui run demo[/bold] measures something in half a minute on any machine; "
    "[bold]infertui doctor[/bold] says what can be used here.",
)
app.command(epilog=RUN_EXAMPLES)(run)
app.command(epilog=PIPELINE_EXAMPLES)(pipeline)
app.command(epilog=LOAD_EXAMPLES)(load)
app.command("auto", epilog=PIPELINE_EXAMPLES, hidden=True)(pipeline)
app.command(epilog=RESULTS_EXAMPLES)(results)
app.command(epilog=COMPARE_EXAMPLES)(compare)
app.command(epilog=ADVISE_EXAMPLES)(advise)
app.command(epilog=AUDIT_EXAMPLES)(audit)
app.command(epilog=BENCH_EXAMPLES)(bench)
app.command(epilog=TUNE_EXAMPLES)(tune)
app.command(epilog=PROFILE_EXAMPLES)(profile)
app.command(epilog=REPORT_EXAMPLES)(report)
app.command(epilog=COST_EXAMPLES)(cost)
app.command(epilog=CALIBRATE_EXAMPLES)(calibrate)
app.command(epilog=RECOMPUTE_EXAMPLES)(recompute)
app.command("import", epilog=IMPORT_EXAMPLES)(import_files)
app.command(epilog=EXPORT_EXAMPLES)(export)
app.command()(gpus)
app.command()(doctor)
app.command(epilog=ATTACH_EXAMPLES)(attach)
app.command(epilog=STATUS_EXAMPLES)(status)
app.command(epilog=STOP_EXAMPLES)(stop)
app.command(epilog=SERVE_EXAMPLES)(serve)
app.command(epilog=EXPORTER_EXAMPLES)(exporter)
app.add_typer(engines.app, name="engines")
app.command(epilog=BUILD_EXAMPLES)(build)
app.add_typer(models.app, name="models")
for _word in ("pull", "download"):
    app.command(_word, hidden=True)(models.pull)
app.command(epilog=CAPACITY_EXAMPLES)(capacity)
app.command("mock-server", epilog=MOCK_EXAMPLES)(mock_server)
app.add_typer(external.app, name="external")
app.add_typer(config.app, name="config")


_ASK_A_RUNNER = ("attach", "bench", "run", "status", "stop")


def _print_version(value: bool) -> None:
    if value:
        say(f"infertui {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    context: typer.Context,
    ascii_only: Annotated[bool, typer.Option("--ascii", help="Draw with ASCII characters alone.")] = False,
    slow_link: Annotated[bool, typer.Option("--slow-link", help="Redraw rarely: below 1 kB a second.")] = False,
    no_mouse: Annotated[bool, typer.Option("--no-mouse", help="Leave the mouse to the terminal.")] = False,
    theme: Annotated[str | None, typer.Option("--theme", metavar="NAME", help="Colour theme.")] = None,
    out: Annotated[str | None, typer.Option("--out", metavar="DIR", help="Where runs are kept: ./reports.")] = None,
    screenshot: Annotated[
        str | None, typer.Option("--screenshot", metavar="FILE.svg", help="Draw the screen into a file, and stop.")
    ] = None,
    size: Annotated[str | None, typer.Option("--size", metavar="WxH", help="Of the drawn screen: 120x40.")] = None,
    env_file: Annotated[
        str | None, typer.Option("--env-file", metavar="FILE", help="Read variables from FILE, not from .env.")
    ] = None,
    no_env_file: Annotated[
        bool, typer.Option("--no-env-file", help="Do not read the .env of this folder (INFERTUI_NO_ENV_FILE=1).")
    ] = False,
    connect: Annotated[
        str | None, typer.Option("--connect", metavar="URL", help="Of a runner on TCP (INFERTUI_CONNECT).")
    ] = None,
    token_file: Annotated[
        str | None, typer.Option("--token-file", metavar="FILE", help="Its token (INFERTUI_TOKEN_FILE).")
    ] = None,
    ca_file: Annotated[
        str | None, typer.Option("--ca-file", metavar="FILE", help="Believe these certificates (INFERTUI_CA_FILE).")
    ] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Send the token without TLS, too (INFERTUI_INSECURE=1).")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    given = {"--ascii": ascii_only, "--slow-link": slow_link, "--no-mouse": no_mouse}
    named = {"--theme": theme, "--out": out, "--screenshot": screenshot, "--size": size}
    screen = _given(given, named)
    there = _given({"--insecure": insecure}, {"--connect": connect, "--token-file": token_file, "--ca-file": ca_file})
    if context.invoked_subcommand is None:
        from infertui.entry import show

        given |= {"--no-env-file": no_env_file}
        named |= {"--env-file": env_file}
        raise typer.Exit(show(_given(given, named) | there))
    if screen:
        raise UsageError(
            f"{', '.join(screen)} belongs to the screen, not to `infertui {context.invoked_subcommand}`",
            remedy=f"Options of a command stand behind it: infertui {context.invoked_subcommand} --help.",
        )
    for note in use_env_file(env_file, off=no_env_file):
        warn(note)
    if there:
        if context.invoked_subcommand not in _ASK_A_RUNNER:
            raise UsageError(
                f"{', '.join(there)}: `infertui {context.invoked_subcommand}` asks no runner",
                remedy=f"Those that do: {', '.join(_ASK_A_RUNNER)}, and the screen.",
            )
        from infertui.entry import connect as connect_to

        connect_to(there)


def _given(flags: Mapping[str, bool], values: Mapping[str, str | None]) -> dict[str, str]:
    """The options that were given, by name."""
    return {name: "" for name, on in flags.items() if on} | {name: text for name, text in values.items() if text}


def main() -> None:
    """Entry point of the console script."""
    if not {"--help", "-h"}.isdisjoint(sys.argv[1:]):
        _help_without_markdown()
    outlet = guard()
    code = _command()
    flush()
    if outlet is not None and outlet.lost is not None:
        say(f"infertui: not everything could be written to standard output: {outlet.lost.strerror}", err=True)
        code = code or 1
    sys.exit(code)


def _help_without_markdown() -> None:
    """Keep typer from importing Rich's Markdown, a fifth of the time of `--help`: a help text here is Rich markup."""
    stand_in = ModuleType("rich.markdown")
    stand_in.Markdown = type("Markdown", (), {})  # type: ignore[attr-defined]
    sys.modules.setdefault(stand_in.__name__, stand_in)


def _command() -> int:
    try:
        app()
    except InfertuiError as error:
        say(f"infertui: {error}", err=True)
        return error.exit_code
    except OSError as error:
        from infertui.results.jsonl import refusal

        if (refused := refusal(error)) is None:
            raise
        say(f"infertui: {refused}", err=True)
        return refused.exit_code
    except SystemExit as ended:
        if isinstance(ended.code, str):
            say(ended.code, err=True)
        return ended.code if isinstance(ended.code, int) else 0 if ended.code is None else 1
    return 0
