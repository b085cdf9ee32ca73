"""`infertui engines`: what each engine offers, whether it can be used here, and which Python runs it."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infertui.cli.help import CommandGroup
from infertui.cli.output import Painted, say, say_json

if TYPE_CHECKING:
    from infertui.cli.machine.engine_facts import EngineFacts

_SHOW = "show"


class _Group(CommandGroup):
    """`infertui engines NAME` is `infertui engines show NAME`; what is no subcommand is an engine's name."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        known = bool(args) and args[0] in (*self.commands, "--help", "-h")
        return super().parse_args(ctx, args if known else [_SHOW, *args])


app = typer.Typer(
    cls=_Group,
    help="What each engine offers, whether it can be used here, and which Python runs it.\n\n"
    "[bold]infertui engines[/bold] lists them, [bold]infertui engines NAME[/bold] says everything about one: its "
    "common options with the words that it takes, and its own options. Both take [bold]--json[/bold].",
    rich_markup_mode="rich",
)

Json = Annotated[bool, typer.Option("--json", help="One JSON document.")]


@app.command(_SHOW)
def show(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="An engine; all of them if left out.")] = None,
    as_json: Json = False,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="The table of docs/engines.md: what infertui's engines offer anywhere.")
    ] = False,
) -> None:
    """List the engines, or say everything about one. `show` can be left out."""
    from infertui.cli.machine import engine_facts

    if markdown:
        say(engine_facts.markdown_table())
        return
    found = engine_facts.facts(name)
    if as_json:
        document = found if name is None else found[0]
        say_json(document, indent=2)
    elif name is None:
        _list(found)
    else:
        _describe(found[0])


@app.command()
def use(
    name: Annotated[str, typer.Argument(metavar="NAME", help="An engine.")],
    python: Annotated[
        Path | None, typer.Option("--python", metavar="PATH", help="The interpreter of the engine's environment.")
    ] = None,
    forget: Annotated[bool, typer.Option("--forget", help="Run it in this interpreter again.")] = False,
) -> None:
    """Run an engine in another Python environment: one with other versions of PyTorch, for example.

    That environment needs infertui as well, of the same version. The interpreter is asked before it is kept.
    """
    from infertui.cli.machine.engine_facts import named
    from infertui.config.schema import EngineConfig
    from infertui.errors import EngineError, UsageError
    from infertui.targets.engine.environments import absolute, choose, chosen_file, is_this, probe_for
    from infertui.text import clean

    named(name)
    if (python is None) == (not forget):
        raise UsageError(
            "either --python PATH or --forget is needed",
            remedy=f"For example: infertui engines use {name} --python ~/{name}/bin/python",
        )
    if python is None:
        choose(name, None)
        say(f"{name} runs in this interpreter: {clean(sys.executable)}")
        return
    path = absolute(python)
    if is_this(path):
        choose(name, None)
        say(f"{name} runs in this interpreter, which that is")
        return
    found = probe_for(EngineConfig(name=name, python=str(path)), fresh=True)
    if not found.available:
        raise EngineError(f"not kept: {name} cannot be used there: {found.reason}", remedy=found.remedy)
    versions = ", ".join(f"{library} {number}" for library, number in found.versions.items())
    say(f"{name} can be used there: {versions or found.reason}")
    choose(name, path)
    say(f"kept in {clean(str(chosen_file()))}: {name} runs in {clean(str(path))}")


def _list(found: "list[EngineFacts]") -> None:
    from infertui.cli.table import print_table
    from infertui.text import clean

    rows = [
        (
            facts.name,
            "yes" if facts.available else "no",
            clean(facts.state),
            "this Python" if not facts.python else clean(facts.python),
            ", ".join(facts.devices),
            ", ".join(facts.common) or "none",
        )
        for facts in found
    ]
    print_table(("engine", "usable", "versions, or why not", "runs in", "devices", "common options"), rows)
    _tell_problems()


def _describe(facts: "EngineFacts") -> None:
    from infertui.text import clean

    def line(title: str, text: str) -> None:
        if text:
            say("  ", Painted(f"{title:<12}", dim=True), f" {clean(text)}")

    say(Painted(facts.name, bold=True), f": {clean(facts.summary)}")
    line("usable here", ("yes: " if facts.available else "no: ") + facts.state)
    line("remedy", "" if facts.available else facts.remedy)
    line("install", facts.install if facts.available else "")
    line("runs in", facts.python or f"this Python: {sys.executable}")
    line("devices", ", ".join(facts.devices))
    line("memory", "reserved for the workload while loading" if facts.sized_at_load else "")
    line("note", f"not run on hardware: {facts.not_run_on_hardware}" if facts.not_run_on_hardware else "")
    say(Painted("common options, keys of [engine]", bold=True) if facts.common else "no common options")
    for key, common in facts.common.items():
        words = ", ".join(common.words) or common.allowed
        meaning = (
            f"; {common.default} comes to {common.own_default}" if common.own_default != str(common.default) else ""
        )
        say(f"  {key} = {common.default}")
        say(f"      {common.description}\n      {words}{meaning}")
    say(Painted(f"options, keys of [engine.{facts.table}]", bold=True) if facts.options else "no options")
    for key, option in facts.options.items():
        say(f"  {key} = {option.shown_default}")
        say(f"      {clean(option.description)}\n      {clean(option.allowed)}")


def _tell_problems() -> None:
    from infertui.config.engines.registry import PROBLEMS

    for problem in PROBLEMS:
        say(f"left out: {problem}", err=True)
