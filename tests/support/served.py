"""A Control behind a socket, and the client of it, in one process."""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from infertui.api.client import Client
from infertui.api.daemon import Listener
from infertui.api.http import create_app
from infertui.api.runtime import Holder
from infertui.api.stream import Presence
from infertui.runner.control import RunnerApi
from infertui.tui.state import ClientState


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
