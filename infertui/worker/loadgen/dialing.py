"""How the server is reached: TCP, TLS or a unix socket."""

import asyncio
import socket
from collections.abc import Callable

from infertui.config.endpoint import TargetConfig
from infertui.targets.endpoint.address import EndpointAddress
from infertui.targets.endpoint.dialect import ErrorKind
from infertui.targets.endpoint.tls import tls_context
from infertui.text import error_text
from infertui.worker.loadgen.connection import ServerConnection

CONNECT_TIMEOUT_S = 10.0


class DialError(Exception):
    """No connection; `kind` says why."""

    def __init__(self, kind: ErrorKind, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Dialer:
    """Opens connections to one address, whose name it looks up once."""

    def __init__(self, address: EndpointAddress, target: TargetConfig) -> None:
        """Raises ConfigError for certificates that cannot be read."""
        self._address = address
        self._tls = tls_context(target) if address.tls else None
        self._timeout_s = min(CONNECT_TIMEOUT_S, target.request_timeout_s)
        self._found: list[str] = []

    async def open(self, make: Callable[[], ServerConnection]) -> ServerConnection:
        """Raises DialError."""
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._open(make)
        except TimeoutError:
            raise DialError("connect", f"no connection within {self._timeout_s:g} s") from None
        except OSError as error:
            kind: ErrorKind = "tls" if self._tls is not None and _of_tls(error) else "connect"
            raise DialError(kind, error_text(error)) from None

    async def _open(self, make: Callable[[], ServerConnection]) -> ServerConnection:
        loop = asyncio.get_running_loop()
        if self._address.socket_path:
            return (await loop.create_unix_connection(make, self._address.socket_path))[1]
        if not self._found:
            found = await loop.getaddrinfo(self._address.host, self._address.port, type=socket.SOCK_STREAM)
            self._found = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        name = self._address.host if self._tls is not None else None
        for number, host in enumerate(self._found):
            try:
                opened = await loop.create_connection(
                    make, host, self._address.port, ssl=self._tls, server_hostname=name
                )
            except OSError:
                if number + 1 == len(self._found):
                    raise
                continue
            if number:  # the one that answers, from now on first
                self._found.insert(0, self._found.pop(number))
            return opened[1]
        raise OSError(f"{self._address.host} has no address")


def _of_tls(error: OSError) -> bool:
    import ssl

    return isinstance(error, ssl.SSLError | ConnectionAbortedError | ConnectionResetError)
