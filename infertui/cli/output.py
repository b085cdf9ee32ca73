"""What commands print: the one place of the command line from which text reaches a terminal.

Results, configs, paths, server replies and device names are hostile text. Whatever goes out passes here and is made
harmless here, however a command came by it; colours are added after that. Nothing else in the package may print
(`tests/cli/test_output.py`).
"""

import re
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TextIO

import msgspec
import typer

from infertui.text import CONTROLS, clean

if TYPE_CHECKING:
    from rich.console import Console
    from rich.theme import Theme

_IN_JSON = re.compile(f"[{re.escape(''.join(sorted(CONTROLS - {chr(10)})))}]")


class Painted(msgspec.Struct, frozen=True):
    """Text in a colour; `say` cleans the text before it adds the colour."""

    text: str
    colour: str | None = None
    bold: bool | None = None
    dim: bool | None = None

    def __str__(self) -> str:
        return typer.style(clean(self.text), fg=self.colour, bold=self.bold, dim=self.dim)


def say(*parts: str | Painted, err: bool = False, end: str = "\n", stream: TextIO | None = None) -> None:
    """Print `parts` side by side on standard output, standard error or `stream`. Newlines in them stay."""
    text = "".join(clean(part, lines=True) if isinstance(part, str) else str(part) for part in parts)
    typer.echo(text + end, file=stream, err=err and stream is None, nl=False)
    if stream is not None:
        stream.flush()


def warn(text: str) -> None:
    """A warning on standard error."""
    say(f"warning: {text}", err=True)


def say_json(document: Any, *, indent: int = 0) -> None:
    """A document as JSON on standard output, a line or indented: the same data, harmless on a terminal too."""
    encoded = document if isinstance(document, bytes) else msgspec.json.encode(document)
    encoded = msgspec.json.format(encoded, indent=indent) if indent else encoded
    say_data(harmless_json(encoded.decode()) + "\n", harmless=True)


def harmless_json(text: str) -> str:
    """JSON with the control characters and direction overrides in its strings written as escapes."""
    return (
        text if text.isascii() and "\x7f" not in text else _IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
    )


def say_data(text: str, *, harmless: bool = False) -> None:
    """Text that a program may read: exact in a pipe or a file, cleaned on a terminal."""
    if not harmless and sys.stdout.isatty():
        text = clean(text, lines=True)
    typer.echo(text, nl=False)


class DataOut:
    """Standard output for whoever writes pieces of data, such as the `csv` module: see `say_data`."""

    def write(self, piece: str | bytes) -> None:
        """Print a piece."""
        say_data(piece if isinstance(piece, str) else piece.decode())


def progress(text: str, *, after: str = "") -> None:
    """A line on standard error that the next one overwrites; nothing where that is no terminal."""
    if sys.stderr.isatty():
        typer.echo(f"\r\x1b[K{clean(text)}{after}", err=True, nl=False)


def console(*, stream: TextIO | None = None, err: bool = False, theme: "Theme | None" = None) -> "Console":
    """A rich console whose every piece of text is cleaned as it is drawn."""
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.segment import Segment

    class Guarded(Console):
        def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
            for segment in super().render(renderable, options):
                if segment.control:
                    yield segment
                else:
                    yield segment._replace(text=clean(segment.text, lines=True))

    return Guarded(file=stream, stderr=err, highlight=False, markup=False, theme=theme)
