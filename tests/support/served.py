"""A Control behind a socket, and the client of it, in one process."""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from infertui.api.client import Client
from infertui.api.daemon import Listener
from infertui.api.http import create_app
from infertui.api.readonly import ReadOnly
from infertui.api.remote.access import Role
from infertui.api.remote.listening import Listen, RemoteListener
from infertui.api.runtime import Holder
from infertui.api.stream import Presence
from infertui.runner.control import RunnerApi
from infertui.tui.state import ClientState

TOKENS: dict[Role, str] = {"full": "a-token-for-all-the-keys", "read-only": "a-token-that-only-looks"}


@asynccontextmanager
async def listening(
    control: RunnerApi, *, host: str = "127.0.0.1", certificate: Path | None = None, key: Path | None = None
) -> AsyncIterator[tuple[str, Presence]]:
    """A Control on TCP, at a port of its own: its URL."""
    presence = Presence()
    async with RemoteListener(Listen(host, 0, TOKENS, certificate, key), presence) as listener:
        watched = ReadOnly(control, watcher="this token only watches")
        await listener.serve(
            {
                "full": create_app(control, presence, identity="one"),
                "read-only": create_app(watched, presence, identity="one"),
            }
        )
        yield listener.urls[0], presence


@asynccontextmanager
async def served(control: RunnerApi, folder: Path, *, identity: str = "one") -> AsyncIterator[tuple[Client, Presence]]:
    """A client of `control` through a socket in `folder`."""
    path = folder / "runner.sock"
    presence = Presence()
    async with Listener(path, presence=presence, holder=Holder(os.getpid()), environ={}) as listener:
        await listener.serve(create_app(control, presence, identity=identity))
        yield Client(path, timeout_s=30), presence


async def mirrored(control: RunnerApi, enough: Callable[[ClientState], object]) -> ClientState:
    """What a screen knows, once it is enough."""
    client_state = ClientState()
    client_state.take(await control.snapshot())
    if enough(client_state):
        return client_state
    async for told in control.events(client_state.number):
        client_state.take(told)
        if enough(client_state):
            return client_state
    raise AssertionError("the events ended first")
