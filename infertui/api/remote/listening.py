"""Where a runner listens besides its unix socket: addresses, certificates, and how many may be connected."""

import ipaddress
import re
import socket
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self
from weakref import WeakSet

from msgspec import Struct

from infertui.api.remote.access import Role
from infertui.api.remote.gate import Gate
from infertui.api.server import Server, server_of
from infertui.api.stream import Presence
from infertui.errors import InfertuiError, UsageError
from infertui.text import clean, quoted

HOST = "127.0.0.1"
PORT = 8322
MOST_CONNECTIONS = 128
MOST_OF_ONE_ADDRESS = 48
_ADDRESS = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+(%[A-Za-z0-9]+)?\]|[A-Za-z0-9._-]*)(?::(?P<port>[0-9]{1,5}))?")


class Listen(Struct, frozen=True):
    """What `--listen` and its kin say. `tokens`: by what they open, one at least."""

    host: str
    port: int
    tokens: Mapping[Role, str]
    certificate: Path | None = None
    key: Path | None = None
    """The certificate's; None: it is in the same file."""
    insecure: bool = False
    """Listen without TLS where others can hear."""

    def check(self) -> None:
        """Raise UsageError for what can be told to be wrong before anything is started."""
        if not self.tokens:
            raise UsageError(
                "--listen lets in whoever has a token, and there is none",
                remedy="(umask 077; python3 -c 'import secrets; print(secrets.token_urlsafe())' > TOKEN), and then "
                "--token-file TOKEN. --read-only-token-file is for those who only watch.",
            )
        if len(set(self.tokens.values())) < len(self.tokens):
            raise UsageError("the token for all keys and the one that only watches are the same")
        if self.key is not None and self.certificate is None:
            raise UsageError("--tls-key belongs to a certificate", remedy="Name it with --tls-cert.")
        if self.certificate is not None:
            check_certificate(self.certificate, self.key)


def parse_listen(text: str, port: int = PORT) -> tuple[str, int]:
    """Host and port of `HOST:PORT`, `HOST`, `:PORT` or `PORT`, with the loopback where no host, `port` where none is.

    Raises UsageError.
    """
    if text.isdecimal() and text.isascii():
        text = f":{text}"
    found = _ADDRESS.fullmatch(text)
    if found is None or int(found["port"] or port) > 65535:
        raise UsageError(
            f"--listen {quoted(text)} is no address", remedy=f"As in --listen {HOST}:{port} or --listen [::1]:{port}."
        )
    return found["host"].strip("[]") or HOST, int(found["port"] or port)


def check_certificate(certificate: Path, key: Path | None) -> None:
    """Raises UsageError for files that TLS cannot be made of."""
    name = f"--tls-cert {clean(str(certificate))}" + (f" with --tls-key {clean(str(key))}" if key else "")
    try:
        # Without the word for a key TLS would ask for one on the terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password=lambda: "")
    except (OSError, ValueError) as error:
        why = clean(getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error))
        raise UsageError(
            f"{name}: {why}", remedy="Both are PEM files that belong together; the key is not encrypted."
        ) from None


class BoundedSocket(socket.socket):
    """A listening socket that closes what is too much at once: connections as a whole, and those of one address."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._there: WeakSet[socket.socket] = WeakSet()

    def accept(self) -> tuple[socket.socket, Any]:
        """The next connection. Raises ConnectionAbortedError for one that is too much, which is closed."""
        connection, address = super().accept()
        living = [one for one in self._there if one.fileno() >= 0]
        same = sum(_peer(one) == address[0] for one in living)
        if len(living) >= MOST_CONNECTIONS or same >= MOST_OF_ONE_ADDRESS:
            connection.close()
            raise ConnectionAbortedError
        self._there.add(connection)
        return connection, address


def _peer(connection: socket.socket) -> str:
    try:
        return str(connection.getpeername()[0])
    except OSError:
        return ""


class RemoteListener:
    """A runner's places on TCP. Use as an async context manager; entering binds, `serve` begins to answer."""

    def __init__(self, listen: Listen, presence: Presence) -> None:
        self._listen = listen
        self._presence = presence
        self._sockets: list[socket.socket] = []
        self._server: Server | None = None

    @property
    def urls(self) -> tuple[str, ...]:
        """Where clients find it."""
        scheme = "https" if self._listen.certificate else "http"
        names = (one.getsockname() for one in self._sockets)
        return tuple(f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}" for host, port, *_ in names)

    async def __aenter__(self) -> Self:
        """Raises UsageError where it may not listen, InfertuiError where it cannot."""
        listen = self._listen
        self._sockets = bound(listen.host, listen.port, private=listen.certificate is not None or listen.insecure)
        return self

    async def serve(self, apps: Mapping[Role, Any]) -> None:
        """Begin to answer, with the application of each role."""
        listen = self._listen
        loopback = listen.certificate is None and all(_is_loopback(one.getsockname()[0]) for one in self._sockets)
        self._server = server_of(
            Gate(apps, listen.tokens, loopback=loopback), remote=True, certificate=listen.certificate, key=listen.key
        )
        await self._server.answer_at(*self._sockets)

    def turn_away(self) -> None:
        """Let nobody in any more; whoever is connected stays until the end."""
        if self._server:
            self._server.turn_away()
        for listening in self._sockets:
            listening.close()

    async def __aexit__(self, *exception: object) -> None:
        self.turn_away()
        self._presence.ending.set()
        if self._server:
            await self._server.stop()


def bound(host: str, port: int, *, private: bool) -> list[socket.socket]:
    """Sockets that listen at all addresses of a name. Unless `private`, they have to be of the loopback.

    Raises UsageError, and InfertuiError where they cannot.
    """
    name = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise UsageError(f"--listen {clean(name)}: {getattr(error, 'strerror', None) or error}") from None
    places = list(dict.fromkeys((family, address) for family, _, _, _, address in found))
    if not private and (open_ones := [str(at[0]) for _, at in places if not _is_loopback(str(at[0]))]):
        raise UsageError(
            f"--listen {clean(name)} is heard by other machines ({open_ones[0]}), and without TLS anyone on the way "
            "reads the token and may use it",
            remedy="Best listen on the loopback and forward its port (`ssh -L`); or add --tls-cert and --tls-key; "
            "--insecure listens all the same.",
        )
    sockets: list[BoundedSocket] = []
    try:
        for family, address in places:
            one = BoundedSocket(family, socket.SOCK_STREAM)
            sockets.append(one)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            chosen = sockets[0].getsockname()[1] if port == 0 and len(sockets) > 1 else port
            one.bind((address[0], chosen, *address[2:]))
            one.listen(MOST_CONNECTIONS)
            one.setblocking(False)
    except OSError as error:
        for opened in sockets:
            opened.close()
        raise InfertuiError(
            f"cannot listen on {clean(name)}: {error.strerror}", remedy="Choose another address with --listen."
        ) from None
    return list[socket.socket](sockets)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False
