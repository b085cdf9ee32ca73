"""Where the page is told over TCP: on the loopback to anybody here, elsewhere to those who have the token."""

import ipaddress
from pathlib import Path

from msgspec import Struct

from infertui.api.remote.access import read_token
from infertui.api.remote.listening import check_certificate, parse_listen
from infertui.errors import ConfigError, UsageError
from infertui.text import clean

HOST = "127.0.0.1"
PORT = 9401
"""Next to DCGM's exporter, which has 9400."""


class Access(Struct, frozen=True):
    """Where to listen, and the token that is asked for; empty: none, on the loopback alone."""

    host: str = HOST
    port: int = PORT
    token: str = ""
    certificate: Path | None = None
    key: Path | None = None
    insecure: bool = False
    """Listen without TLS where others can hear."""


def access_of(
    listen: str,
    token_file: Path | None = None,
    certificate: Path | None = None,
    key: Path | None = None,
    *,
    insecure: bool = False,
) -> Access:
    """What was asked for. Raises UsageError, also for a name that may be another address than the loopback's, where
    there is no token."""
    host, port = parse_listen(listen, PORT)
    if key is not None and certificate is None:
        raise UsageError("--tls-key belongs to a certificate", remedy="Name it with --tls-cert.")
    if certificate is not None:
        check_certificate(certificate, key)
    token = read_token(token_file) if token_file is not None else ""
    if not token and not _is_loopback(host):
        raise ConfigError(
            "--listen",
            f"{clean(host)} can be reached from other machines, and there is no token",
            remedy="Add --token-file FILE; Prometheus takes it as `authorization: {credentials_file: FILE}`.",
        )
    return Access(host, port, token, certificate, key, insecure)


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False
