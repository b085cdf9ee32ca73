"""Who may ask over TCP: tokens and the files that hold them, and names that browsers may be led by. Pure, and light."""

import hashlib
import hmac
import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from infertui import regular_files
from infertui.errors import UsageError
from infertui.text import clean

Role = Literal["full", "read-only"]

_LOOPBACK_NAMES = frozenset({"localhost", "[::1]"})
_LOOPBACK_V4 = re.compile(r"127(\.\d{1,3}){3}")
_PORT = re.compile(r"[0-9]{1,5}")
_LEAST_TOKEN = 16
_MOST_TOKEN = 512
_TOKEN = re.compile(r"[A-Za-z0-9_.~-]+")


def read_token(path: Path, option: str = "--token-file") -> str:
    """The token in a file that only its owner can read. Raises UsageError, in which `option` names the file."""
    name = f"{option} {clean(str(path))}"
    try:
        with regular_files.opened(path) as stream:
            mode = os.fstat(stream.fileno())
            content = stream.read(_MOST_TOKEN + 2)
    except regular_files.NotRegularError as error:
        raise UsageError(f"{name} is {error.kind}, not a file with a token") from None
    except (OSError, ValueError) as error:
        raise UsageError(f"{name}: {getattr(error, 'strerror', None) or 'this is no file name'}") from None
    if mode.st_uid != os.geteuid() or mode.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise UsageError(f"{name}: others may read it, or it is not yours", remedy=f"chmod 600 {clean(str(path))}")
    token = content.decode("ascii", "replace").strip()
    if not _LEAST_TOKEN <= len(token) <= _MOST_TOKEN or not _TOKEN.fullmatch(token):
        raise UsageError(
            f"{name}: a token of {_LEAST_TOKEN} to {_MOST_TOKEN} letters and digits is wanted",
            remedy="python3 -c 'import secrets; print(secrets.token_urlsafe())' > FILE",
        )
    return token


def same_token(token: str, other: str) -> bool:
    """Whether they are equal, in a time that tells neither how much of one is right nor how long the other is."""
    return hmac.compare_digest(_digest(token), _digest(other))


def bearer(header: str) -> str | None:
    """The token in the value of an Authorization header; None where that is none."""
    scheme, _, token = header.partition(" ")
    token = token.strip()
    return token if scheme.lower() == "bearer" and len(token) <= _MOST_TOKEN and _TOKEN.fullmatch(token) else None


def role_of(token: str, tokens: Mapping[Role, str]) -> Role | None:
    """What somebody with this token may do. Every token is held against it, whichever is the right one."""
    found = [role for role, known in tokens.items() if same_token(token, known)]
    return found[0] if found else None


def is_loopback(host: str) -> bool:
    """Whether the value of a Host header names the loopback, with any port or none."""
    name, colon, port = host.rpartition(":")
    if not colon or host.endswith("]"):
        name, port = host, "80"  # no port, or the colons of an IPv6 address alone
    known = name.lower() in _LOOPBACK_NAMES or _LOOPBACK_V4.fullmatch(name) is not None
    return known and _PORT.fullmatch(port) is not None


def is_same_origin(origin: str | None, host: str) -> bool:
    """Whether a request was made by a page of the server that it goes to, or by no page."""
    return origin is None or origin.partition("://")[2].lower() == host.lower()


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "replace")).digest()
