"""`infertui attach`: the screen of a runner that is running."""

from pathlib import Path
from typing import Annotated

import typer

EPILOG = """[bold]Examples[/bold]

  infertui attach

  infertui attach --read-only      (watches, and can change nothing by mistake)
"""


def attach(
    read_only: Annotated[bool, typer.Option("--read-only", help="Watch only: nothing can be changed.")] = False,
    path: Annotated[
        Path | None, typer.Option("--socket", metavar="PATH", help="The runner there, instead of the usual place.")
    ] = None,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="The reports folder to show.")] = Path("reports"),
) -> None:
    """Show the screen of a runner that is running; unlike plain `infertui` it starts none."""
    from infertui.tui.start import start

    raise typer.Exit(start(socket=path, out=out.absolute(), read_only=read_only, spawn=False))
