"""Every command with its arguments, options and examples, from what `--help` is made of."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from support.manual.markdown import code, codes, table
from typer.main import get_command

from infertui.cli.main import app

_HIDDEN = {"help", "install_completion", "show_completion"}
"""Options that every command has, or that Typer adds."""


def commands() -> str:
    """A heading a command."""
    return "\n\n".join(_section("infertui", get_command(app)))


def _section(name: str, command: Any) -> Iterator[str]:
    arguments = [one for one in command.params if one.param_type_name == "argument" and not one.hidden]
    options = [
        one for one in command.params if one.param_type_name == "option" and not one.hidden and one.name not in _HIDDEN
    ]
    inner = getattr(command, "commands", {})
    usage = [name, *(["[OPTIONS]"] if options else []), *(["COMMAND"] if inner else []), *map(_usage, arguments)]
    yield f"{'#' * (1 + len(name.split()))} {name}"
    yield _prose(command.help or "")
    yield f"```\n{' '.join(usage)}\n```"
    if arguments:
        named = [(code(_metavar(one)), _prose(one.help or "")) for one in arguments]
        yield table(("argument", "meaning"), named)
    if options:
        rows = [(f"{codes(one.opts)}{_value(one)}", _prose(one.help or ""), _default(one)) for one in options]
        yield table(("option", "meaning", "default"), rows)
    if examples := _examples(command.epilog or ""):
        yield f"```\n{examples}\n```"
    for word, other in inner.items():
        yield from _section(f"{name} {word}", other)


def _metavar(argument: Any) -> str:
    return re.sub(r"[\[\]]|\.\.\.", "", argument.metavar or argument.name.upper())


def _usage(argument: Any) -> str:
    shown = _metavar(argument) + ("..." if argument.nargs == -1 else "")
    return shown if argument.required else f"[{shown}]"


def _value(option: Any) -> str:
    if option.is_flag:
        return ""
    words = getattr(option.type_descriptor.annotation, "__args__", ())
    shown = option.metavar or "|".join(word for word in words if isinstance(word, str))
    return f" {code(shown or 'VALUE')}"


def _default(option: Any) -> str:
    plain = isinstance(option.default, str | int | float | Path) and not isinstance(option.default, bool)
    return code(str(option.default)) if plain and option.show_default else ""


def _prose(text: str) -> str:
    """Help as Markdown: bold words are commands there."""
    paragraphs = (" ".join(part.split()) for part in text.split("\n\n"))
    return "\n\n".join(re.sub(r"\[bold\](.*?)\[/bold\]", r"`\1`", part) for part in paragraphs)


def _examples(epilog: str) -> str:
    lines = [re.sub(r"\[/?bold\]", "", line).replace("\\[", "[").strip() for line in epilog.splitlines()]
    return "\n".join(line for line in lines if line and line != "Examples")
