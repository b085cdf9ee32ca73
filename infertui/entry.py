"""Entry point: without a command it goes straight to the screen, past what only the command line needs to import."""

import contextlib
import gc
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from infertui.endings import Ended, raise_on_endings

if TYPE_CHECKING:
    from infertui.tui.start import Options

_FLAGS = ("--ascii", "--slow-link", "--no-mouse", "--no-env-file", "--insecure")
_INTERRUPTED = 130
_LARGEST = 1000
_CONNECT = {"--connect": "INFERTUI_CONNECT", "--token-file": "INFERTUI_TOKEN_FILE", "--ca-file": "INFERTUI_CA_FILE"}
"""Options of a runner on TCP, and the variables that say the same."""
_VALUES = ("--theme", "--out", "--screenshot", "--size", "--env-file", *_CONNECT)


def main() -> None:
    """Entry point of the console script. A signal that comes before a run or the screen hears it, or after that, ends
    this with a word and the exit code of what is interrupted."""
    raise_on_endings()
    try:
        _main()
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
    except Ended as ended:
        with contextlib.suppress(OSError, ValueError, AttributeError):  # nobody reads, or there is no standard error
            print(f"infertui: ended by {ended.name}", file=sys.stderr, flush=True)  # noqa: T201
        sys.exit(_INTERRUPTED)


def _main() -> None:
    given = screen_arguments(sys.argv[1:])
    completing = "_INFERTUI_COMPLETE" in os.environ
    # Collecting while modules are imported finds nothing and costs a tenth of the time to the first paint, and to the
    # first line of a command; the screen turns it on again after that.
    gc.disable()
    if given is None or completing or sys.__stderr__ is None or sys.__stdin__ is None:
        from infertui.cli.main import main as command_line

        gc.freeze()
        gc.enable()
        command_line()
        return
    sys.exit(show(given))


def screen_arguments(arguments: Sequence[str]) -> dict[str, str] | None:
    """The options of the screen by name, or None when the command line has to look at these arguments."""
    given: dict[str, str] = {}
    rest = list(arguments)
    while rest:
        name, equals, value = rest.pop(0).partition("=")
        if name in _FLAGS and not equals:
            given[name] = ""
        elif name in _VALUES and (equals or rest):
            given[name] = value if equals else rest.pop(0)
        else:
            return None
    return given


def show(given: dict[str, str]) -> int:
    """Show the screen; the exit code. Errors that a user can act on are printed."""
    from infertui.env_file import use_env_file
    from infertui.errors import InfertuiError

    try:
        for note in use_env_file(given.get("--env-file"), off="--no-env-file" in given):
            print(f"infertui: {note}", file=sys.stderr)  # noqa: T201
        connect(given)
        from infertui.tui.start import start

        return start(out=Path(given["--out"]) if "--out" in given else None, options=_options(given))
    except InfertuiError as error:
        from infertui.text import clean

        print(f"infertui: {clean(str(error), lines=True)}", file=sys.stderr)  # noqa: T201
        return error.exit_code


def connect(given: Mapping[str, str]) -> None:
    """Put what was given of a runner on TCP into the environment, where whoever asks a runner looks for it."""
    os.environ.update({variable: given[name] for name, variable in _CONNECT.items() if name in given})
    if "--insecure" in given:
        os.environ["INFERTUI_INSECURE"] = "1"


def _options(given: dict[str, str]) -> "Options":
    from infertui.errors import UsageError
    from infertui.text import shorten
    from infertui.tui.start import PICTURE_SIZE, Options

    size = PICTURE_SIZE
    if "--size" in given:
        sides = [_side(text) for text in given["--size"].split("x")]
        if len(sides) != 2 or not all(sides):
            raise UsageError(f"--size {shorten(given['--size'], 40)!r} is not a size", remedy="As in --size 120x40.")
        size = sides[0], sides[1]
    return Options(
        ascii_only="--ascii" in given,
        slow_link="--slow-link" in given,
        mouse=False if "--no-mouse" in given else None,
        theme=given.get("--theme", "auto"),
        screenshot=Path(given["--screenshot"]) if "--screenshot" in given else None,
        size=size,
    )


def _side(text: str) -> int:
    """Cells of a side of the screen; 0 for what is none."""
    fits = text.isdecimal() and len(text) <= len(str(_LARGEST)) and int(text) <= _LARGEST
    return int(text) if fits else 0
