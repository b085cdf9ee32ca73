"""What goes along with every request: the key, further headers and fields. Checked once, before the first.

A key is never part of a config or a result: a config names where it is found.
"""

import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote

import msgspec

from infertui import regular_files
from infertui.config.endpoint import TargetConfig
from infertui.credentials import is_credential
from infertui.errors import ConfigError
from infertui.targets.endpoint.address import EndpointAddress
from infertui.targets.endpoint.dialect import Dialect
from infertui.text import SHORTEST_SECRET, error_text, hide, quoted

_LONGEST_KEY = 4096
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_SECRET = frozenset({"authorization", "proxy-authorization", "cookie", "x-api-key", "api-key"})
_FRAMING = frozenset(
    {"host", "connection", "content-length", "content-type", "transfer-encoding", "accept-encoding", "te", "upgrade"}
    | {"expect", "trailer", "keep-alive"}
)
_OURS = {"stream": "target.streaming", "model": "target.model", "messages": "", "prompt": "", "input": ""}


def find_key(target: TargetConfig, address: EndpointAddress, environ: Mapping[str, str]) -> str:
    """The API key; empty: there is none. From now on it is masked wherever text is shown.

    One that no config names, that of the environment, goes to this machine or through TLS, and nowhere else.

    Raises:
        ConfigError: it is named and cannot be had.
    """
    if target.api_key_env and target.api_key_file:
        raise ConfigError("target.api_key_file", "is given beside target.api_key_env", allowed="one of the two")
    if target.api_key_file:
        return _usable(_from_file(Path(target.api_key_file)), "target.api_key_file")
    if target.api_key_env:
        if not environ.get(target.api_key_env, "").strip():
            raise ConfigError("target.api_key_env", f"{quoted(target.api_key_env)} is not set, or empty")
        return _usable(environ[target.api_key_env], "target.api_key_env")
    if not (address.tls or address.loopback):
        return ""
    name = "ANTHROPIC_API_KEY" if "anthropic-messages" in (target.api, address.api) else "OPENAI_API_KEY"
    return _usable(environ.get(name, ""), name)


def _from_file(path: Path) -> str:
    key = "target.api_key_file"
    try:
        text = regular_files.read(path, _LONGEST_KEY).decode()
        mode = path.stat().st_mode
    except (OSError, UnicodeError) as error:
        raise ConfigError(key, f"{quoted(path)} cannot be read: {error_text(error)}") from None
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigError(
            key, f"{quoted(path)} can be read by others (mode {stat.S_IMODE(mode):04o})", remedy="Run chmod 600 on it."
        )
    if not text.strip():
        raise ConfigError(key, f"{quoted(path)} is empty")
    return text


def _usable(key: str, named: str) -> str:
    """Without blanks around it. What it is, is not told."""
    key = key.strip()
    if not key:
        return ""
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise ConfigError(named, "holds what no key has: blanks, control characters or letters beyond ASCII")
    hide([key])
    return key


def key_of(target: TargetConfig, address: EndpointAddress) -> str:
    """`find_key` in the environment of this process."""
    return find_key(target, address, os.environ)


def headers_of(dialect: Dialect, target: TargetConfig, key: str) -> dict[str, str]:
    """Those that a dialect wants, with the key where `target.api_key_header` says. Raises ConfigError."""
    name = target.api_key_header.strip().lower()
    if not name:
        return dialect.headers(key)
    if not _NAME.fullmatch(name) or name in _FRAMING:
        raise ConfigError(
            "target.api_key_header", f"{quoted(target.api_key_header)} is none that can be set", allowed="as in api-key"
        )
    return dialect.headers("") | ({name: key} if key else {})


def page_headers(dialect: Dialect, target: TargetConfig, key: str) -> dict[str, str]:
    """Those of them that do not concern a body. Raises ConfigError."""
    headers = headers_of(dialect, target, key)
    return {name: value for name, value in headers.items() if name not in ("content-type", "accept")}


def check_not_kept(target: TargetConfig, key: str) -> None:
    """Raise ConfigError for the key in what is kept with results."""
    for name in ("url", "headers", "body", "metrics_url", "serve_args"):
        if len(key) >= SHORTEST_SECRET and key in unquote(getattr(target, name)):
            raise ConfigError(
                f"target.{name}",
                "has the API key in it, and would be kept with results",
                remedy="Leave it out there; target.api_key_header names the header that carries it.",
            )


def further_headers(target: TargetConfig) -> dict[str, str]:
    """`target.headers`, names in lower case. Raises ConfigError for what is no header, or not the user's to set."""
    key = "target.headers"
    found: dict[str, str] = {}
    for name, value in _object(target.headers, key).items():
        lower = name.lower()
        if lower in _SECRET or is_credential(lower.replace("-", "_")):
            raise ConfigError(
                key,
                f"{quoted(name)} would be kept with results",
                remedy="Give it by target.api_key_env or api_key_file.",
            )
        if not _NAME.fullmatch(name) or lower in _FRAMING:
            raise ConfigError(key, f"{quoted(name)} is none that can be set", allowed="names of other headers")
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise ConfigError(key, f"{quoted(name)} has no text", allowed="texts and numbers")
        text = str(value).strip()
        if any(not " " <= letter <= "~" for letter in text):
            raise ConfigError(key, f"{quoted(name)} is {quoted(text)}", allowed="printable ASCII on one line")
        found[lower] = text
    return found


def further_fields(target: TargetConfig) -> dict[str, object]:
    """`target.body`. Raises ConfigError for what is no object, or another key's."""
    key = "target.body"
    found = _object(target.body, key)
    for name, better in _OURS.items():
        if name in found:
            raise ConfigError(key, f"{quoted(name)} is not for it to set", remedy=f"Set {better}." if better else "")
    if found.get("n", 1) not in (1, None):
        raise ConfigError(key, f'"n" is {quoted(found["n"])}', allowed="1: a request has one answer")
    return found


def _object(text: str, key: str) -> dict[str, object]:
    if not text.strip():
        return {}
    try:
        return msgspec.json.decode(text, type=dict[str, object])
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise ConfigError(key, f"is no JSON object: {error_text(error)}", allowed='as in {"a": 1}') from None
