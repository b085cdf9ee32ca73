"""`infertui serve`: the runner as a process of its own, and where it listens."""

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from infertui.cli.output import say
from infertui.errors import InfertuiError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from infertui.api.remote.listening import Listen

SERVE_EXAMPLES = """[bold]Examples[/bold]

  infertui serve

  infertui serve --idle-exit 0      (stays until `infertui stop`)

  infertui serve --web      (the screen in a browser, read-only; --full: with all keys)

  infertui serve --listen 127.0.0.1:8322 --token-file TOKEN      (for other programs, and other machines through ssh -L)

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
        float | None,
        typer.Option(
            "--idle-exit",
            metavar="MIN",
            min=0,
            help="End after so many minutes without client or work: 30, or with --listen 0, which is never.",
        ),
    ] = None,
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
    web: Annotated[
        bool, typer.Option("--web", help="Show the screen in a browser instead, on this machine's loopback address.")
    ] = False,
    port: Annotated[
        int, typer.Option("--port", metavar="N", min=1, max=65535, help="With --web: where to listen.")
    ] = 8321,
    full: Annotated[bool, typer.Option("--full", help="With --web: keys may change things, not only look.")] = False,
    token_file: Annotated[
        Path | None,
        typer.Option(
            "--token-file", metavar="FILE", help="The token to ask for, in a file of mode 600; with --web one is made."
        ),
    ] = None,
    listen: Annotated[
        str | None,
        typer.Option("--listen", metavar="HOST:PORT", help="Answer there as well, to those who have a token."),
    ] = None,
    read_only_token_file: Annotated[
        Path | None,
        typer.Option(
            "--read-only-token-file", metavar="FILE", help="With --listen: the token of those who only watch."
        ),
    ] = None,
    tls_cert: Annotated[
        Path | None, typer.Option("--tls-cert", metavar="FILE", help="With --listen: use TLS with this certificate.")
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option("--tls-key", metavar="FILE", help="The key of the certificate; else in its file.")
    ] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="With --listen: without TLS even where other machines hear it.")
    ] = False,
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Of --web and --listen: the reports folder.")
    ] = Path("reports"),
    ready_fd: Annotated[int | None, typer.Option("--ready-fd", hidden=True)] = None,
) -> None:
    """Host the runner: it owns queue and workers, and outlives the screens that attach to it.

    `infertui` starts one by itself. Ctrl-C ends it, keeping what was measured.
    """
    beyond = [tls_cert, tls_key, read_only_token_file, insecure or None]
    if full and not web:
        raise UsageError("--full is about the screen in a browser", remedy="Add --web.")
    if listen is None and any(one is not None for one in (*beyond, None if web else token_file)):
        raise UsageError("tokens and TLS are about listening on TCP", remedy="Add --listen HOST:PORT.")
    if web and listen is not None:
        raise UsageError("--web shows a screen, --listen is for a runner", remedy="Start both, each by itself.")
    if web:
        from infertui.api.remote.access import read_token
        from infertui.tui.browser.access import WebOptions
        from infertui.tui.browser.access import serve as show

        token = read_token(token_file) if token_file is not None else ""
        show(WebOptions(out.absolute(), port, full, token, path), say)
        return
    from infertui import __version__
    from infertui.api.daemon import serve as host

    to_listen = None
    if listen is not None:
        to_listen = _listen(listen, token_file, read_only_token_file, tls_cert, tls_key, insecure=insecure)
    from infertui.api.spawn import READY
    from infertui.text import clean

    def ready(place: Path, urls: "Sequence[str]") -> None:
        with contextlib.suppress(OSError):  # whoever waited for it has gone
            say(f"infertui {__version__}: the runner (process {os.getpid()}) is ready at {clean(str(place))}")
            for url in urls:
                say(f"It listens at {url}")
        if ready_fd is not None:
            with contextlib.suppress(OSError):
                os.write(ready_fd, READY)
            with contextlib.suppress(OSError):
                os.close(ready_fd)

    try:
        host(
            path=path,
            idle_exit_s=60 * (idle_exit if idle_exit is not None else 0.0 if listen else 30.0),
            keep_loaded_s=keep_loaded,
            cpu_exclusive=not beside_cpu,
            listen=to_listen,
            reports=str(out.absolute()) if listen else "",
            on_ready=ready,
        )
    except InfertuiError as error:
        if ready_fd is not None:
            with contextlib.suppress(OSError):  # it is closed once the runner was ready
                os.write(ready_fd, str(error).encode(errors="replace"))
        raise


def _listen(
    where: str, full: Path | None, watching: Path | None, certificate: Path | None, key: Path | None, *, insecure: bool
) -> "Listen":
    """What the options about TCP come to. Raises UsageError."""
    from infertui.api.remote.access import Role, read_token
    from infertui.api.remote.listening import Listen, parse_listen

    host, port = parse_listen(where)
    tokens: dict[Role, str] = {}
    if full is not None:
        tokens["full"] = read_token(full)
    if watching is not None:
        tokens["read-only"] = read_token(watching, "--read-only-token-file")
    listen = Listen(host, port, tokens, certificate, key, insecure)
    listen.check()
    return listen
