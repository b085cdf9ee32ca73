"""The event stream of one client: as the bytes that are sent to it, and as the answer that sends them."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing

from litestar.types import Receive, Scope, Send

from infertui.api.wire import KEEP_ALIVE, KEEP_ALIVE_S, encode_told
from infertui.runner.control import Measured, RunnerApi, Snapshot
from infertui.runner.events import BatchMeasured, Progressed, Sampled

_log = logging.getLogger(__name__)
GATHER_S = 0.2
"""Between two pieces that tell how a run is getting on: a client woken for every batch takes time from the run."""
_ROUTINE = (Progressed, BatchMeasured, Sampled, Measured)
BUFFER = 64 * 1024
"""Bytes that wait for one client at most, besides what the kernel holds; one larger event may exceed it."""


class Presence:
    """Who is there: the event streams that are open, and when something was last asked (of the loop's clock)."""

    def __init__(self) -> None:
        self.streams = 0
        self.last = asyncio.get_running_loop().time()
        self.ending = asyncio.Event()
        """Set when the runner ends: every stream ends once it has said what it has to say."""

    def touch(self) -> None:
        """Something was asked."""
        self.last = asyncio.get_running_loop().time()


async def event_stream(  # noqa: C901 (one loop over what may happen to a stream)
    control: RunnerApi,
    since: int,
    presence: Presence,
    *,
    keep_alive_s: float = KEEP_ALIVE_S,
    gather_s: float = GATHER_S,
) -> AsyncGenerator[bytes, None]:
    """Server-sent events from `since` on. Those that tell how a run is getting on are gathered for a moment.

    A client that stops reading stops this generator at a `yield`, and with it the reading of events: the runner sends
    a snapshot once it reads again.
    """
    buffer = bytearray()
    news, room, urgent = asyncio.Event(), asyncio.Event(), asyncio.Event()

    def wake() -> None:
        news.set()
        urgent.set()

    async def fill() -> None:
        async for told in control.events(since):
            buffer.extend(encode_told(told))
            news.set()
            if isinstance(told, Snapshot) or not isinstance(told.event, _ROUTINE):
                urgent.set()
            while len(buffer) >= BUFFER:
                urgent.set()
                room.clear()
                await room.wait()

    async def until_ending() -> None:
        await presence.ending.wait()
        wake()

    presence.streams += 1
    filling, watching = asyncio.create_task(fill()), asyncio.create_task(until_ending())
    filling.add_done_callback(lambda _: wake())

    def is_ending() -> bool:
        return presence.ending.is_set() or filling.done()

    try:
        # At once, so that the client knows that it is heard before anything happens.
        yield KEEP_ALIVE
        while True:
            if is_ending():
                await asyncio.sleep(0)  # for the last events to be read
            else:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(keep_alive_s):
                        await news.wait()
            news.clear()
            if not is_ending():
                urgent.clear()
            piece = bytes(buffer)
            buffer.clear()
            room.set()
            if piece:
                yield piece
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(gather_s):
                        await urgent.wait()
            elif filling.done():
                if error := filling.exception():
                    _log.error("an event stream failed", exc_info=error)
                return
            elif presence.ending.is_set():
                return
            else:
                yield KEEP_ALIVE
    finally:
        presence.streams -= 1
        presence.touch()
        for task in (filling, watching):
            task.cancel()
        await asyncio.gather(filling, watching, return_exceptions=True)


class EventAnswer:
    """The answer that is an event stream: an ASGI application. It ends when the client goes or the stream does."""

    def __init__(self, stream: AsyncGenerator[bytes, None], headers: Mapping[str, str]) -> None:
        self._stream = stream
        self._headers = {"content-type": "text/event-stream", "cache-control": "no-store", **headers}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it. Each piece is waited for until the connection takes it."""
        tasks = [asyncio.create_task(self._send(send)), asyncio.create_task(_gone(receive))]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _send(self, send: Send) -> None:
        headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in self._headers.items()]
        async with aclosing(self._stream) as stream:
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            async for piece in stream:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
