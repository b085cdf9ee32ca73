"""`infertui config`: look at, write and check configurations."""

import shutil
import sys
import textwrap
from pathlib import Path
from typing import Annotated

import typer

from infertui.cli.help import CommandGroup
from infertui.cli.output import Painted, say, say_data, say_json
from infertui.cli.table import print_table
from infertui.env_file import with_env_file
from infertui.errors import ConfigError, UsageError
from infertui.text import clean

app = typer.Typer(cls=CommandGroup, no_args_is_help=True, help="Look at, write and check configurations.")

Target = Annotated[
    str | None,
    typer.Argument(metavar="PRESET|FILE|MODEL", help="A preset, a TOML file or a model; the defaults if left out."),
]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Set one key, as in workload.batch_size=4. Can be repeated."),
]


@app.command()
def show(
    target: Target = None,
    sets: Sets = None,
    changed: Annotated[bool, typer.Option("--changed", help="Only what differs in origin from the defaults.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON: the config, its hash and all sources.")] = False,
) -> None:
    """Show the resolved configuration, and for each key where its value came from."""
    from infertui.config import sources, toml
    from infertui.config.fields import toml_path
    from infertui.config.parse import config_hash, flat_values

    resolved = sources.load(target, environ=with_env_file(), sets=sets or ())
    if as_json:
        _print_json({"config": resolved.config, "hash": config_hash(resolved.config), "sources": resolved.sources})
        return
    flat = flat_values(resolved.config)
    rows = [
        (toml_path(path), clean(toml.value_literal(flat[path])), clean(resolved.sources[path]))
        for path in (resolved.changed() if changed else resolved.sources)
    ]
    print_table(("key", "value", "from"), rows, faint=lambda row: row[2] == sources.DEFAULT)


@app.command()
def keys(
    tables: Annotated[
        list[str] | None, typer.Argument(metavar="TABLE", help="Only those of such tables, as in load or engine.vllm.")
    ] = None,
) -> None:
    """List every key with its type, default and meaning."""
    from infertui.config import toml
    from infertui.config.fields import FIELDS, SECTIONS
    from infertui.errors import UsageError
    from infertui.text import quoted

    for table in tables or ():
        if table not in SECTIONS and table not in FIELDS:
            raise UsageError(
                f"there is no table {quoted(table, 40)}",
                remedy=f"Tables: {', '.join(name for name in SECTIONS if name)}.",
            )
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 10_000
    for field in FIELDS.values():
        if tables and not any(f"{field.path}.".startswith(f"{table}.") for table in tables):
            continue
        shown = f"[{field.path}]" if field.is_table else f"{field.path} = {toml.value_literal(field.default)}"
        say(Painted(shown, bold=True))
        variable = field.environment + ("_<KEY>" if field.is_table else "")
        for line in (field.description, f"{field.limits}; {variable}"):
            say(textwrap.fill(line, width, initial_indent="    ", subsequent_indent="    "))


@app.command("presets")
def list_presets() -> None:
    """List the configurations that ship with infertui."""
    from infertui.config import sources as presets

    print_table(("preset", "what for"), [(name, presets.description(name)) for name in presets.names()])


@app.command()
def write(
    target: Target = None,
    sets: Sets = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write to FILE instead of the terminal.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace FILE if it exists.")] = False,
) -> None:
    """Write a complete TOML file with a comment on every key. The environment does not go into it."""
    from infertui.config import sources, toml

    text = toml.write(sources.load(target, environ={}, sets=sets or ()).config)
    if output is None:
        say_data(text)
    else:
        _save(output, text, force=force)


@app.command()
def schema() -> None:
    """Print the JSON Schema of config files, for editors."""
    from infertui.config import json_schema

    _print_json(json_schema.json_schema())


@app.command()
def check(files: Annotated[list[str], typer.Argument(metavar="FILE...", help="TOML files.")]) -> None:
    """Check config files by themselves, sweeps included. Exit status 2 if one is wrong."""
    from infertui.config import sweep, toml
    from infertui.config.parse import decode

    wrong = 0
    for file in files:
        name = clean(file)
        try:
            variants = sweep.expand(decode(toml.read(file), f"file {name}"))
        except ConfigError as error:
            wrong += 1
            say(f"{name}: wrong\n{textwrap.indent(str(error), '    ')}", err=True)
        else:
            count = len(variants)
            say(f"{name}: good, {count} configuration{'s' if count > 1 else ''}")
    if wrong:
        raise typer.Exit(UsageError.exit_code)


@app.command()
def expand(target: Target = None, sets: Sets = None) -> None:
    """List the configurations that a sweep stands for."""
    from infertui.config import sources, sweep
    from infertui.config.parse import config_hash

    resolved = sources.load(target, environ=with_env_file(), sets=sets or ())
    rows = [
        (str(number), config_hash(variant.config), variant.name or "(nothing varies)")
        for number, variant in enumerate(sweep.expand(resolved.config), start=1)
    ]
    print_table(("#", "hash", "configuration"), rows)


def _save(path: Path, text: str, *, force: bool) -> None:
    name = clean(str(path))
    try:
        with path.open("w" if force else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise UsageError(f"{name} exists already", remedy="Choose another name, or replace it with --force.") from None
    except OSError as error:
        remedy = "Choose a folder that you may write to."
        raise UsageError(f"cannot write {name}: {error.strerror}", remedy=remedy) from None
    say(f"wrote {name}", err=True)


def _print_json(value: object) -> None:

    say_json(value, indent=2)
