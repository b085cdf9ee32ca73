"""A runner behind a URL, as a client reaches it: address, token, and whom to believe. Light: the screen imports it."""

import asyncio
import ssl
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path, PurePosixPath

from msgspec import Struct

from infertui.api.errors import AccessError, RunnerUnavailableError
from infertui.api.remote.access import read_token
from infertui.errors import ConfigError, UsageError
from infertui.targets.endpoint.address import EndpointAddress, parse_url
from infertui.text import clean, error_text

CONNECT = "INFERTUI_CONNECT"
TOKEN_FILE = "INFERTUI_TOKEN_FILE"  # noqa: S105 (the name of a variable)
CA_FILE = "INFERTUI_CA_FILE"
INSECURE = "INFERTUI_INSECURE"


class Remote(Struct, frozen=True):
    """Where a runner listens on TCP. `authority`: certificates that are believed; None: the system's."""

    address: EndpointAddress
    token: str
    authority: Path | None = None

    def __repr__(self) -> str:
        return self.address.shown

    __str__ = __repr__

    @property
    def headers(self) -> list[tuple[str, str]]:
        """What every request says."""
        return [("host", self.address.authority), ("authorization", f"Bearer {self.token}")]

    async def open(self, limit: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection. Raises RunnerUnavailableError, and AccessError for a certificate that is not believed."""
        where = clean(str(self))
        try:
            context = _tls(self.authority) if self.address.tls else None
            return await asyncio.open_connection(self.address.host, self.address.port, ssl=context, limit=limit)
        except ssl.SSLCertVerificationError as error:
            raise AccessError(
                f"the certificate of {where} is not believed: {clean(error.verify_message or str(error))}",
                remedy=f"Name the file of the authority that signed it: --ca-file, or {CA_FILE}.",
            ) from error
        except ssl.SSLError as error:
            raise RunnerUnavailableError(
                f"{where} does not speak TLS as we do: {clean(error.reason or str(error))}",
                remedy="Without --tls-cert a runner listens at http://.",
            ) from error
        except (OSError, ValueError) as error:
            raise RunnerUnavailableError(
                f"no runner answers at {where}: {error_text(error)}",
                remedy="`infertui serve --listen` on its machine starts one; `ssh -L` forwards a port of its loopback.",
            ) from error


@lru_cache(maxsize=4)
def _tls(authority: Path | None) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=authority)


def given(environ: Mapping[str, str]) -> Remote | None:
    """The runner that INFERTUI_CONNECT and its kin name; None without. Raises UsageError."""
    url = environ.get(CONNECT, "")
    if not url:
        return None
    try:
        address = parse_url(url)
    except ConfigError as error:
        remedy = "As in https://HOST:8322 or http://127.0.0.1:8322."
        raise UsageError(f"--connect {error.problem}", remedy=remedy) from None
    if address.socket_path or address.root or address.versioned != "/v1" or address.query or address.api:
        raise UsageError(
            f"--connect {clean(address.shown)} is no URL of a runner",
            remedy="As in https://HOST:8322; for a unix socket there is --socket of `infertui attach`.",
        )
    if not environ.get(TOKEN_FILE):
        raise UsageError(
            f"--connect {clean(address.shown)} takes a token", remedy=f"Name its file: --token-file, or {TOKEN_FILE}."
        )
    if not (address.tls or address.loopback or environ.get(INSECURE)):
        raise UsageError(
            f"--connect {clean(address.shown)} would send the token where others can read it",
            remedy="Use https://, or forward the port with `ssh -L`; --insecure sends it all the same.",
        )
    authority = Path(environ[CA_FILE]) if environ.get(CA_FILE) else None
    if authority is not None:
        try:
            _tls(authority)
        except OSError as error:
            raise UsageError(f"--ca-file {clean(str(authority))}: {error_text(error)}") from None
    return Remote(address, read_token(Path(environ[TOKEN_FILE])), authority)


def reports_there(out: str, told: str) -> str:
    """The reports folder on a runner's machine: the one that was named, else the one that the runner tells.

    Raises UsageError.
    """
    if not out:
        if not told:
            raise UsageError("that runner tells no reports folder", remedy="Name one of its machine's: --out /PATH.")
        return told
    if not PurePosixPath(out).is_absolute():
        raise UsageError(f"--out {clean(out)}: a folder of the runner's machine is an absolute path")
    return out
