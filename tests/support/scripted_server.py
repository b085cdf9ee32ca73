"""A server of bytes written by hand, on loopback: what it answers to each path, one answer after the other."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from msgspec import Struct


class Scripted(Struct, frozen=True):
    """A response; `raw` replaces all of it. `pieces` come one after the other, `gap_s` apart."""

    status: int = 200
    body: Any = b""
    pieces: Sequence[bytes] = ()
    gap_s: float = 0.0
    media: str = "application/json"
    raw: bytes | None = None
    ends: bool = True


class Heard(Struct):
    """A request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def fields(self) -> Any:
        return json.loads(self.body)


Script = Mapping[str, Scripted | Sequence[Scripted]]
"""By path; of several answers each is given once, and the last from then on."""


@contextlib.asynccontextmanager
async def scripted(script: Script, **how: Any) -> AsyncIterator[tuple[str, list[Heard]]]:
    """The server's URL, and all that it hears."""
    heard: list[Heard] = []
    given: dict[str, int] = {}

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = {line.split(": ", 1)[0].lower(): line.split(": ", 1)[1] for line in head[1:] if line}
            method, path, _ = head[0].split(" ")
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            heard.append(Heard(method, path, headers, body))
            answers = script.get(path, Scripted(404, {"detail": "Not Found"}))
            if not isinstance(answers, Scripted):
                given[path] = given.get(path, 0) + 1
                answers = answers[min(given[path], len(answers)) - 1]
            await _answer(writer, answers)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", **how)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", heard


async def _answer(writer: asyncio.StreamWriter, answer: Scripted) -> None:
    if answer.raw is not None:
        writer.write(answer.raw)
    else:
        body = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
        pieces = answer.pieces or ([body] if body else [])
        writer.write(
            f"HTTP/1.1 {answer.status} X\r\ncontent-type: {answer.media}\r\ntransfer-encoding: chunked\r\n\r\n".encode()
        )
        for number, piece in enumerate(pieces):
            await asyncio.sleep(answer.gap_s if number else 0)
            writer.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
            await writer.drain()
        if answer.ends:
            writer.write(b"0\r\n\r\n")
    await writer.drain()
