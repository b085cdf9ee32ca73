"""The screen in a browser: `infertui serve --web`, through textual-serve, on a loopback address alone.

Each page that is opened gets a screen of its own, a process that ends with it. A page needs the token of this server,
which comes with the address that is told and is kept in a cookie from there on. Names of hosts are held against the
loopback's, so that no other site can reach it by a name of its own, whichever port it is forwarded to.
"""

import asyncio
import secrets
import shlex
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from infertui.api.remote import access
from infertui.errors import InfertuiError

if TYPE_CHECKING:
    from aiohttp import web

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

HOST = "127.0.0.1"
PORT = 8321
SESSIONS = 8
"""Screens at once: each is a process with the memory of a screen."""
_REFUSED_S = 0.5
"""Seconds that a wrong token waits for its answer."""
_POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "font-src 'self' data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)


class WebOptions(Struct, frozen=True):
    """How the screen is served. `full`: keys may change things, else it is read-only."""

    out: Path
    port: int = PORT
    full: bool = False
    token: str = ""
    """Empty: one is made."""
    socket: Path | None = None


def command_of(options: WebOptions) -> str:
    """What a page runs, for a shell."""
    words = [sys.executable, "-P", "-m", "infertui", "attach", "--start", "--out", str(options.out)]
    words += [] if options.full else ["--read-only"]
    words += ["--socket", str(options.socket)] if options.socket else []
    return shlex.join(words)


def serve(options: WebOptions, told: Callable[[str], None]) -> None:
    """Serve until Ctrl-C; `told` hears the address. Raises InfertuiError where it cannot."""
    try:
        from infertui.tui.browser.server import run
    except ImportError as error:
        raise InfertuiError(
            f"the screen in a browser needs textual-serve, which cannot be imported: {error}",
            remedy="pip install 'infertui[web]'",
        ) from error
    token = options.token or secrets.token_urlsafe(24)
    url = f"http://{HOST}:{options.port}/?token={token}"
    kind = "in full" if options.full else "read-only"

    def ready() -> None:
        told(f"The screen, {kind}, is at {url}")
        told(f"From elsewhere: ssh -L {options.port}:{HOST}:{options.port} THIS_HOST, and that address.")
        told("Ctrl-C ends it.")

    try:
        run(command_of(options), HOST, options.port, Guard(token, options.port), ready)
    except OSError as error:
        raise InfertuiError(
            f"cannot listen on {HOST}:{options.port}: {error.strerror}", remedy="Choose another one with --port."
        ) from None


class Guard:
    """Who may see a page: pure, but for the waiting of those who may not."""

    def __init__(self, token: str, port: int) -> None:
        self._token = token
        self.cookie = f"infertui-{port}"
        self.open_sessions = 0

    def knows(self, token: str | None) -> bool:
        """Whether this is the token, in a time that does not tell how much of it is right."""
        return token is not None and access.same_token(token, self._token)

    def is_loopback(self, host: str) -> bool:
        """Whether a Host names the loopback, with any port or none."""
        return access.is_loopback(host)

    def is_same_origin(self, origin: str | None, host: str) -> bool:
        """Whether a request was made by a page of this server, or by no page."""
        return access.is_same_origin(origin, host)

    async def refuse(self) -> None:
        """Wait, so that tokens cannot be tried quickly."""
        await asyncio.sleep(_REFUSED_S)

    def headers(self) -> Mapping[str, str]:
        """Of each answer: nothing is loaded from anywhere else, kept, or shown in a frame."""
        return {
            "Content-Security-Policy": _POLICY, "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff",
            "Cache-Control": "no-store",
        }  # fmt: skip
