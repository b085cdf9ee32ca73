"""textual-serve's server with a guard before it. Imported where textual-serve is installed alone."""

import asyncio
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from aiohttp import web
from textual_serve.server import Server

from infertui.tui.browser.access import SESSIONS, Guard

if TYPE_CHECKING:
    from infertui.tui.browser.access import Handler


class GuardedServer(Server):
    """Answers whom its guard lets in; addresses in its page are those that the browser used."""

    def __init__(self, command: str, host: str, port: int, guard: Guard) -> None:
        super().__init__(command, host=host, port=port, title="infertui")
        self._guard = guard

    async def _make_app(self) -> web.Application:
        app = await super()._make_app()
        app.middlewares.append(self._admit)
        return app

    @web.middleware
    async def _admit(self, request: web.Request, handler: "Handler") -> web.StreamResponse:
        answer = await self._answer(request, handler)
        if not answer.prepared:
            answer.headers.update(self._guard.headers())
        return answer

    async def _answer(self, request: web.Request, handler: "Handler") -> web.StreamResponse:
        guard = self._guard
        if not guard.is_loopback(request.host) or not guard.is_same_origin(request.headers.get("Origin"), request.host):
            return web.Response(status=403, text="This server answers to loopback names alone.\n")
        if request.path == "/" and guard.knows(request.query.get("token")):
            welcome = web.Response(status=303, headers={"Location": "/"})
            welcome.set_cookie(guard.cookie, request.query["token"], httponly=True, samesite="Strict", path="/")
            return welcome
        if not guard.knows(request.cookies.get(guard.cookie)):
            await guard.refuse()
            return web.Response(status=401, text="Open the address that `infertui serve --web` told: it has a token.\n")
        if request.path != "/ws":
            return await handler(request)
        if guard.open_sessions >= SESSIONS:
            return web.Response(status=503, text=f"{SESSIONS} screens are open: close one.\n")
        guard.open_sessions += 1
        try:
            return await handler(request)
        finally:
            guard.open_sessions -= 1

    async def handle_index(self, request: web.Request) -> Any:
        """The page, whose addresses begin as the browser's does: it may come through a forwarded port."""
        self.public_url = f"http://{request.host}"
        return await super().handle_index(request)

    async def on_startup(self, app: web.Application) -> None:
        """Say nothing: the address with the token is told elsewhere."""


def run(command: str, host: str, port: int, guard: Guard, ready: Callable[[], None]) -> None:
    """Serve until Ctrl-C or SIGTERM. Raises OSError where it cannot listen there."""
    asyncio.run(serve_until_told(GuardedServer(command, host, port, guard), ready))


async def serve_until_told(server: GuardedServer, ready: Callable[[], None]) -> None:
    """Serve until a signal or a cancellation; `ready` is called once it listens. Raises OSError where it cannot."""
    runner = web.AppRunner(await server._make_app(), shutdown_timeout=2.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, server.host, server.port).start()
        ready()
        ended = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, ended.set)
        await ended.wait()
    finally:
        await runner.cleanup()
