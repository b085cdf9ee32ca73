"""A server on loopback that says exactly what a test wants, byte by byte."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"


class Asking:
    """A request as the server saw it."""

    def __init__(self, number: int, connection: int, head: bytes, body: bytes) -> None:
        self.number = number
        """Counted from 0, over all connections."""
        self.connection = connection
        self.head = head.decode()
        self.body: dict[str, Any] = json.loads(body)

    @property
    def prompt(self) -> str:
        """What the user says last."""
        text = self.body["messages"][-1]["content"]
        assert isinstance(text, str)
        return text


Answer = Callable[[Asking, asyncio.StreamWriter], Awaitable[None]]


class RawServer:
    """Keeps what it was asked; `answer` writes to the connection what it likes, and may close it."""

    def __init__(self, answer: Answer) -> None:
        self.url = ""
        self.asked: list[Asking] = []
        self.connections = 0
        self.in_flight = self.peak = 0
        self.changed = asyncio.Condition()
        self.writers: set[asyncio.StreamWriter] = set()
        self._answer = answer

    async def until(self, true: Callable[[], bool]) -> None:
        """Wait until something holds after a request came or went."""
        async with self.changed:
            await self.changed.wait_for(true)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.add(writer)
        connection = self.connections
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = next(
                    int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")
                )
                asking = Asking(len(self.asked), connection, head, await reader.readexactly(length))
                self.asked.append(asking)
                await self._count(1)
                try:
                    await self._answer(asking, writer)
                    await writer.drain()
                finally:
                    await self._count(-1)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.writers.discard(writer)
            writer.close()

    async def _count(self, change: int) -> None:
        self.in_flight += change
        self.peak = max(self.peak, self.in_flight)
        async with self.changed:
            self.changed.notify_all()


@asynccontextmanager
async def raw_server(
    answer: Answer, *, path: str = "", host: str = "127.0.0.1", tls: ssl.SSLContext | None = None
) -> AsyncIterator[RawServer]:
    raw = RawServer(answer)
    if path:
        server: asyncio.AbstractServer = await asyncio.start_unix_server(raw.serve, path)
        raw.url = f"unix:{path}"
    else:
        tcp = await asyncio.start_server(raw.serve, host, 0, ssl=tls)
        server, port = tcp, tcp.sockets[0].getsockname()[1]
        raw.url = f"http{'s' if tls else ''}://{f'[{host}]' if ':' in host else host}:{port}"
    try:
        async with server:
            yield raw
    finally:
        for writer in raw.writers:
            writer.transport.abort()


def event(**fields: Any) -> bytes:
    """One server-sent event of a chat completion."""
    return b"data: " + json.dumps(fields).encode() + b"\n\n"


def token(text: str) -> bytes:
    return event(choices=[{"index": 0, "delta": {"content": text}, "finish_reason": None}])


def ending(tokens: int) -> bytes:
    """Why it ended, the count, and that it is over."""
    usage = {"prompt_tokens": 3, "completion_tokens": tokens, "total_tokens": tokens + 3}
    return (
        event(choices=[{"index": 0, "delta": {}, "finish_reason": "length"}])
        + event(choices=[], usage=usage)
        + b"data: [DONE]\n\n"
    )


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def whole(*texts: str) -> bytes:
    """The body of a whole answer in chunks, one for each token."""
    return b"".join(chunk(token(text)) for text in texts) + chunk(ending(len(texts))) + END


async def say_hello(_asking: Asking, writer: asyncio.StreamWriter) -> None:
    """The usual answer: two tokens."""
    writer.write(HEAD + whole("hello", " you"))
