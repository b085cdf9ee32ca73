"""`infertui exporter`: the page over TCP, of the runner where there is one, else of the GPUs alone.

An application of two routes. Where it listens for others than this machine, the runner's own gate stands before it.
"""

import asyncio
import logging
import os
from collections.abc import Callable, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any

from infertui.api.client import exchange
from infertui.api.errors import RunnerUnavailableError, UntrustedSocketError
from infertui.api.exporter.access import Access
from infertui.api.exporter.own import OwnReadings
from infertui.api.exporter.page import PATH
from infertui.api.exporter.text import CONTENT_TYPE
from infertui.api.remote.access import is_loopback
from infertui.api.remote.gate import Gate
from infertui.api.remote.listening import bound
from infertui.api.runtime import socket_path
from infertui.api.server import server_of
from infertui.endings import heeded
from infertui.runner.blocking import call_with_timeout

ASK_S = 5.0
"""How long a runner, or the driver, may take for a page."""
MOST_BYTES = 16 << 20
"""Of a runner's page."""
_log = logging.getLogger(__name__)
_TEXT = "text/plain; charset=utf-8"
Answer = tuple[int, str, bytes]


class Source:
    """Where a page comes from, asked anew each time: a runner may come and go."""

    def __init__(self, path: Path | None, environ: Mapping[str, str], own: OwnReadings) -> None:
        self._path = path
        self._environ = environ
        self._own = own

    async def page(self) -> bytes | None:
        """The page; None where neither a runner nor the driver answers in time."""
        try:
            told = await self._of_runner()
        except RunnerUnavailableError:
            told = None
        except UntrustedSocketError as error:
            _log.warning("%s", error.message)
            told = None
        return told if told is not None else await call_with_timeout(self._own.text, ASK_S)

    async def _of_runner(self) -> bytes | None:
        """What a runner tells; None of one that has no such page."""
        path = self._path or socket_path(self._environ)
        try:
            async with asyncio.timeout(ASK_S), exchange(path, timeout_s=ASK_S) as connection:
                answer = await connection.ask("GET", PATH, None)
                if answer.status != 200:
                    return None
                content = bytearray()
                async with aclosing(answer.pieces()) as pieces:
                    async for piece in pieces:
                        content += piece
                        if len(content) > MOST_BYTES:
                            return None
                return bytes(content)
        except TimeoutError:
            return None


class Application:
    """The ASGI application: GET /metrics, and a line at / that says so. Where it is `open_to_all` it answers to names
    of the loopback alone, so that no page in a browser reaches it by a name of its site."""

    def __init__(self, source: Source, *, open_to_all: bool) -> None:
        self._source = source
        self._open_to_all = open_to_all

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        status, kind, body = await self._answer(scope)
        headers = [(b"content-type", kind.encode()), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    async def _answer(self, scope: Any) -> Answer:
        hosts = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
        if self._open_to_all and not all(map(is_loopback, hosts)):
            return 403, _TEXT, b"names of the loopback alone are answered to, such as 127.0.0.1 and localhost\n"
        if scope["method"] not in ("GET", "HEAD"):
            return 405, _TEXT, b"only GET is answered\n"
        if scope["path"] == "/":
            return 200, _TEXT, b"infertui exporter: see /metrics\n"
        if scope["path"] != PATH:
            return 404, _TEXT, b"there is /metrics alone\n"
        page = await self._source.page()
        if page is None:
            return 503, _TEXT, b"neither a runner nor the NVIDIA driver answers\n"
        return 200, CONTENT_TYPE, page


def run(
    access: Access, path: Path | None, ready: Callable[[str], None], environ: Mapping[str, str] = os.environ
) -> None:
    """Serve until a signal ends it; `ready` hears the URL. Raises InfertuiError where it cannot listen."""
    asyncio.run(_serve(access, path, ready, environ))


async def _serve(access: Access, path: Path | None, ready: Callable[[str], None], environ: Mapping[str, str]) -> None:
    ended = asyncio.Event()
    for number in heeded():
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    own = OwnReadings()
    app: Any = Application(Source(path, environ, own), open_to_all=not access.token)
    if access.token:
        app = Gate({"read-only": app}, {"read-only": access.token}, loopback=False)
    private = access.certificate is not None or (access.insecure and bool(access.token))
    sockets = bound(access.host, access.port, private=private)
    try:
        server = server_of(app, remote=True, certificate=access.certificate, key=access.key)
        await server.answer_at(*sockets)
        host, port = sockets[0].getsockname()[:2]
        scheme = "https" if access.certificate else "http"
        ready(f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}{PATH}")
        await ended.wait()
        server.turn_away()
        await server.stop()
    finally:
        for listening in sockets:
            listening.close()
    await call_with_timeout(own.close, ASK_S)
