"""Starts the screen on this terminal, or renders it to a file, and gives its exit code."""

import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from infertui.errors import InfertuiError, StoreError
from infertui.paths import expand
from infertui.text import clean
from infertui.tui.terminal import capabilities, early

if TYPE_CHECKING:
    from infertui.api.remote.place import Remote
    from infertui.runner.control import RunnerApi
    from infertui.tui.app import InfertuiApp
    from infertui.tui.connection import Connect

PICTURE_SIZE = (120, 40)
_REPORTS = Path("reports")
_HELLO_S = 20.0
_PATIENCE_S = 60.0
"""For a runner to start, which may take half of that, and the panes to be there, all on a busy machine."""


class Options(Struct, frozen=True):
    """What the command line says about the screen."""

    ascii_only: bool = False
    slow_link: bool = False
    mouse: bool | None = None
    """None: as the settings have it."""
    theme: str = "auto"
    """auto: as the settings have it."""
    screenshot: Path | None = None
    """Write the screen to this SVG file instead of showing it."""
    size: tuple[int, int] = PICTURE_SIZE
    """Columns and lines of the picture."""


def start(
    *,
    socket: Path | None = None,
    out: Path | None = None,
    read_only: bool = False,
    spawn: bool = True,
    options: Options | None = None,
    environ: Mapping[str, str] = os.environ,
) -> int:
    """Show the screen until it is left; the exit code. `spawn`: start a runner where there is none.

    Where the environment names a runner on TCP it is asked first who it is: what is wrong is told at once, and its
    reports folder is the one that is shown unless another one is named.

    Raises UsageError when this is no terminal to draw on, InfertuiError for what else a user can mend.
    """
    options = options or Options()
    here = capabilities.look(
        environ, stdin=sys.__stdin__ or sys.stdin, stdout=sys.__stdout__ or sys.stdout,
        stderr=sys.__stderr__ or sys.stderr, charmap=capabilities.locale_charmap(), ascii_flag=options.ascii_only,
    )  # fmt: skip
    if capabilities.in_browser(environ):
        here = replace(here, ascii_only=options.ascii_only, colours="truecolour", over_ssh=False, multiplexer="")
    else:
        if options.screenshot is None:
            here.check()
        capabilities.prepare()
    remote = _remote(environ) if socket is None else None
    shown, watching = _there(remote, out) if remote else (expand(out or _REPORTS).absolute(), False)
    read_only = read_only or watching
    path = early.settings_path(environ)
    peek = early.read(path)
    from infertui.tui.app import InfertuiApp

    app = InfertuiApp(
        connector(remote or socket, read_only=read_only, spawn=spawn, environ=environ),
        out=shown,
        terminal=here,
        settings_path=path,
        theme=options.theme,
        kept_theme=peek.theme,
        mouse=peek.mouse if options.mouse is None else "on" if options.mouse else "off",
        slow_link=options.slow_link,
        read_only=read_only,
        welcome=not peek.existed and options.screenshot is None,
        environ=environ,
        stop_other=None if remote else stopper(socket, environ=environ),
    )
    if options.screenshot is not None:
        return _picture(app, options.screenshot, options.size)
    app.run(mouse=app.appearance.mouse.wanted)
    return app.return_code or 0


def _remote(environ: Mapping[str, str]) -> "Remote | None":
    """The runner on TCP that the environment names. Nothing is imported where it names none."""
    if not environ.get("INFERTUI_CONNECT"):
        return None
    from infertui.api.remote.place import given

    return given(environ)


def _there(remote: "Remote", out: Path | None) -> tuple[Path, bool]:
    """The reports folder on the machine of a runner, which has to answer, and whether its token only watches."""
    import asyncio

    from infertui.api.client import Client
    from infertui.api.remote.place import reports_there

    told = asyncio.run(Client(remote, timeout_s=_HELLO_S).hello())
    return Path(reports_there(str(out) if out else "", told.reports)), told.read_only


def connector(socket: "Path | Remote | None", *, read_only: bool, spawn: bool, environ: Mapping[str, str]) -> "Connect":
    """How the screen reaches its runner: through the socket, starting a runner where there is none."""

    @asynccontextmanager
    async def connect() -> "AsyncIterator[RunnerApi]":
        # Imported here: the first paint does without.
        from infertui.api.readonly import ReadOnly
        from infertui.api.spawn import ensure_running, find_running

        client = await (
            ensure_running(socket, environ)
            if spawn and (socket is None or isinstance(socket, Path))
            else find_running(socket, environ)
        )
        yield ReadOnly(client) if read_only else client

    return connect


def stopper(socket: Path | None, *, environ: Mapping[str, str]) -> "Callable[[], Awaitable[None]]":
    """How a runner of another version is asked to end; it refuses while it is busy."""

    async def stop() -> None:
        from infertui.api.client import Client
        from infertui.api.runtime import socket_path

        await Client(socket or socket_path(environ)).stop()

    return stop


def _picture(app: "InfertuiApp", path: Path, size: tuple[int, int]) -> int:
    """Render the screen without a terminal once it knows the runner, and write it as SVG."""
    import asyncio

    svg: list[str] = []

    async def take() -> None:
        async with app.run_test(size=size) as pilot:
            try:
                async with asyncio.timeout(_PATIENCE_S):
                    await app.furnished.wait()
                    waits = [asyncio.ensure_future(one.wait()) for one in (app.linked, app.connection.gave_up)]
                    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
                    for wait in waits:
                        wait.cancel()
                if not app.linked.is_set():
                    raise app.connection.problem or InfertuiError("there is no connection to a runner")
            except TimeoutError:
                missing = app.connection.missing or "the panes are not there"
                raise InfertuiError(
                    f"no runner answered within {_PATIENCE_S:g} s, so there is nothing to draw ({missing})",
                    remedy="`infertui status` tells whether one runs.",
                ) from None
            await pilot.pause()
            app.draw_all()
            await pilot.pause()
            svg.append(app.export_screenshot(title="infertui"))

    asyncio.run(take())
    try:
        path.write_text(svg[0], encoding="utf-8")
    except OSError as error:
        raise StoreError(f"cannot write {clean(str(path))}: {error.strerror}") from None
    return 0
