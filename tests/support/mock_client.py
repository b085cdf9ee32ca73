"""A plain client for tests of what a server writes: sockets, h11, and server-sent events by their standard."""

import json
import socket
import ssl
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import h11
from msgspec import Struct

_TIMEOUT_S = 20


class Received(Struct):
    """An answer as it came. `pieces`: monotonic nanoseconds and bytes of the body; `whole`: it ended in order."""

    status: int = 0
    headers: dict[str, str] = {}
    pieces: list[tuple[int, bytes]] = []
    whole: bool = False
    error: str = ""
    began_ns: int = 0

    @property
    def body(self) -> bytes:
        return b"".join(piece for _, piece in self.pieces)

    def json(self) -> Any:
        return json.loads(self.body)


def connect(url: str, ca_file: str = "") -> socket.socket:
    """A connection to a base URL."""
    if url.startswith("unix:"):
        plain = socket.socket(socket.AF_UNIX)
        plain.settimeout(_TIMEOUT_S)
        plain.connect(url.removeprefix("unix:"))
        return plain
    place = urlsplit(url)
    plain = socket.create_connection((place.hostname or "", place.port or 0), timeout=_TIMEOUT_S)
    if place.scheme == "https":
        return ssl.create_default_context(cafile=ca_file).wrap_socket(plain, server_hostname=place.hostname)
    return plain


def request_bytes(
    path: str, body: object = None, *, method: str = "POST", headers: Mapping[str, str] | None = None
) -> bytes:
    data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"{method} {path} HTTP/1.1", "Host: mock", f"Content-Length: {len(data)}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + data


def receive(sock: socket.socket, *, method: str = "POST") -> Received:
    """One answer from a connection on which its request was written."""
    reader = h11.Connection(h11.CLIENT)
    reader.send(h11.Request(method=method, target="/", headers=[("Host", "mock")]))
    reader.send(h11.EndOfMessage())
    got = Received(began_ns=time.monotonic_ns(), headers={}, pieces=[])
    stamp = 0
    try:
        while True:
            event = reader.next_event()
            if event is h11.NEED_DATA:
                data = sock.recv(65_536)
                stamp = time.monotonic_ns()
                reader.receive_data(data)
            elif isinstance(event, h11.Response):
                got.status = event.status_code
                got.headers = {name.decode(): value.decode() for name, value in event.headers}
            elif isinstance(event, h11.Data):
                got.pieces.append((stamp, bytes(event.data)))
            elif isinstance(event, h11.EndOfMessage):
                got.whole = True
                return got
            elif isinstance(event, h11.ConnectionClosed):
                return got
    except (OSError, h11.RemoteProtocolError) as error:
        got.error = f"{type(error).__name__}: {error}"
        return got


def ask(
    url: str,
    path: str,
    body: object = None,
    *,
    method: str = "POST",
    headers: Mapping[str, str] | None = None,
    ca_file: str = "",
) -> Received:
    """One request on a connection of its own."""
    with connect(url, ca_file) as sock:
        began_ns = time.monotonic_ns()
        sock.sendall(request_bytes(path, body, method=method, headers=headers))
        got = receive(sock, method=method)
        got.began_ns = began_ns
        return got


def sse_events(body: bytes) -> list[tuple[str, str]]:
    """Type and data of each event, by the letter of the HTML standard, 9.2.6: "Interpreting an event stream"."""
    text = body.decode("utf-8").removeprefix("\ufeff")
    lines, events = text.replace("\r\n", "\n").replace("\r", "\n").split("\n"), []
    data: list[str] = []
    kind = ""
    for line in lines[:-1]:
        if not line:
            if data:
                events.append((kind or "message", "\n".join(data)))
            data, kind = [], ""
        elif not line.startswith(":"):
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if name == "data":
                data.append(value)
            elif name == "event":
                kind = value
    return events
