"""`infertui serve`: host the runner, for as long as someone needs it."""

import contextlib
import os
from pathlib import Path
from typing import Annotated

import typer

from infertui.cli.output import say
from infertui.errors import InfertuiError

EPILOG = """[bold]Examples[/bold]

  infertui serve

  infertui serve --idle-exit 0      (stays until `infertui stop`)

  systemd-run --user infertui serve --idle-exit 0      (survives even where logging out ends all processes)

The runner keeps its queue in ~/.local/state/infertui (XDG_STATE_HOME); its socket is in XDG_RUNTIME_DIR,
or where INFERTUI_RUNTIME_DIR says, else in /tmp in a directory whose name nobody can guess; `infertui status`
tells it. GPUs and caches are those of its own environment, not of the screen's.
"""


def serve(
    path: Annotated[
        Path | None, typer.Option("--socket", metavar="PATH", help="Where to listen, instead of the usual place.")
    ] = None,
    idle_exit: Annotated[
        float,
        typer.Option(
            "--idle-exit", metavar="MIN", min=0, help="End after so many minutes without client or work; 0: never."
        ),
    ] = 30.0,
    keep_loaded: Annotated[
        float,
        typer.Option(
            "--keep-loaded", metavar="S", min=0, help="Keep a model loaded for so many seconds after its last run."
        ),
    ] = 60.0,
    beside_cpu: Annotated[
        bool,
        typer.Option(
            "--beside-cpu", help="Start runs on GPUs beside one on the CPU, which else has the machine alone."
        ),
    ] = False,
    ready_fd: Annotated[int | None, typer.Option("--ready-fd", hidden=True)] = None,
) -> None:
    """Host the runner: it owns queue and workers, and outlives the screens that attach to it.

    `infertui` starts one by itself. Ctrl-C ends it, keeping what was measured.
    """
    from infertui import __version__
    from infertui.api.daemon import serve as host
    from infertui.api.spawn import READY
    from infertui.text import clean

    def ready(place: Path) -> None:
        with contextlib.suppress(OSError):  # whoever waited for it has gone
            say(f"infertui {__version__}: the runner (process {os.getpid()}) is ready at {clean(str(place))}")
        if ready_fd is not None:
            with contextlib.suppress(OSError):
                os.write(ready_fd, READY)
            with contextlib.suppress(OSError):
                os.close(ready_fd)

    try:
        host(
            path=path,
            idle_exit_s=idle_exit * 60,
            keep_loaded_s=keep_loaded,
            cpu_exclusive=not beside_cpu,
            on_ready=ready,
        )
    except InfertuiError as error:
        if ready_fd is not None:
            with contextlib.suppress(OSError):  # it is closed once the runner was ready
                os.write(ready_fd, str(error).encode(errors="replace"))
        raise
