"""Commands of the user's own on the row under the cursor, from `commands.toml` beside the settings.

    [[command]]
    key = "f6"
    label = "Notebook"
    scope = "results"
    command = ["jupyter", "execute", "{folder}/look.ipynb"]
    confirm = true

They are run without a shell, word by word, so nothing in a name is an operator; a value that would be taken for an
option is refused.
"""

import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from infertui import regular_files
from infertui.errors import UsageError
from infertui.paths import config_dir
from infertui.text import clean, one_line

MAX_BYTES = 1 << 18
MOST = 50
PLACES = ("id", "folder", "run_toml", "model", "out")
"""What `{...}` may name: the run's id (in the queue its number), its folder, its run.toml, its model, the reports."""
_PLACE = re.compile(r"\{([^{}]*)\}")
Scope = Literal["results", "queue"]
Words = Annotated[tuple[str, ...], Meta(min_length=1, max_length=200)]


class OwnCommand(Struct, frozen=True, forbid_unknown_fields=True):
    """One of them. With `confirm` it is asked for first."""

    key: Annotated[str, Meta(min_length=1, max_length=20)]
    label: Annotated[str, Meta(min_length=1, max_length=40)]
    scope: Scope
    command: Words
    confirm: bool = False


class _File(Struct, frozen=True, forbid_unknown_fields=True):
    command: Annotated[tuple[OwnCommand, ...], Meta(max_length=MOST)] = ()


def commands_path(environ: Mapping[str, str]) -> Path:
    """Where the file is."""
    return config_dir(environ) / "commands.toml"


def parse(text: str) -> tuple[OwnCommand, ...]:
    """The commands of such a file. Raises UsageError, which names what is wrong."""
    try:
        found = msgspec.convert(tomllib.loads(text), _File).command
    except (tomllib.TOMLDecodeError, msgspec.ValidationError, ValueError, RecursionError) as error:
        raise UsageError(f"commands.toml: {one_line(error, 200)}") from None
    for one in found:
        for place in (place for word in one.command for place in _PLACE.findall(word)):
            if place not in PLACES:
                named = f"{{{one_line(place, 40)}}}"
                allowed = ", ".join(f"{{{name}}}" for name in PLACES)
                label = one_line(one.label, 40)
                raise UsageError(f"commands.toml: {label}: {named} stands for nothing; allowed: {allowed}")
        if not one.command[0].strip() or "\0" in "".join(one.command):
            raise UsageError(f"commands.toml: {one_line(one.label, 40)}: command names no program")
    return found


def read(path: Path) -> tuple[OwnCommand, ...]:
    """Those of the file; none where there is no file. Raises UsageError."""
    try:
        text = regular_files.read(path, MAX_BYTES).decode("utf-8-sig")
    except FileNotFoundError:
        return ()
    except (OSError, ValueError) as error:
        raise UsageError(f"commands.toml cannot be read: {one_line(error, 200)}") from None
    return parse(text)


def words_of(command: Sequence[str], values: Mapping[str, str]) -> tuple[str, ...]:
    """The words to run, the row's values in their places. Raises UsageError where the row has no such value, or one
    that a program would take for an option."""

    def value(match: re.Match[str]) -> str:
        found = values.get(match.group(1), "")
        if not found:
            raise UsageError(f"this row has no {match.group(1)}")
        if "\0" in found or (match.start() == 0 and found.startswith("-")):
            raise UsageError(f"its {match.group(1)} would be taken for an option: {clean(found)[:80]}")
        return found

    return tuple(_PLACE.sub(value, word) for word in command)
