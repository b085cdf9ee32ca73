"""Where a server is: what `target.url` says, taken apart.

A URL may end before, at or behind the version of the API: `http://host:8000`, `https://host/v1` and
`https://host/v1/chat/completions` are the same place, and the last one says the dialect too.
"""

import re
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit

from msgspec import Struct

from infertui.credentials import is_credential
from infertui.errors import ConfigError
from infertui.targets.endpoint.dialect import Api
from infertui.text import error_text, quoted

KEY = "target.url"
ALLOWED = "http://HOST:PORT, https://HOST/v1, unix:/PATH"
_LONGEST_SOCKET = 107
_VERSION = re.compile(r"/v\d+[a-z0-9]*$")
_HOST = re.compile(r"[A-Za-z0-9._-]+")
_ENDINGS: tuple[tuple[str, Api], ...] = (
    ("/chat/completions", "openai-chat"),
    ("/completions", "openai-completions"),
    ("/responses", "openai-responses"),
    ("/messages", "anthropic-messages"),
    ("/generate_stream", "tgi"),
    ("/api/chat", "ollama-chat"),
    ("/api/generate", "ollama-generate"),
    ("/completion", "llama-server"),
    ("/generate", "sglang"),
)
_TRITON = re.compile(r"(.*)/v2/models/([^/]+)(?:/versions/[^/]+)?/generate(?:_stream)?$")


class EndpointAddress(Struct, frozen=True):
    """What a URL says. `authority` is for the Host header, `shown` for messages: without a query.

    Paths stand below `root`, those of OpenAI's `/v1` below `versioned`; `query` goes with each. `api` is the dialect
    whose path the URL is, and `model` the one that it names.
    """

    shown: str
    host: str = ""
    port: int = 0
    authority: str = ""
    tls: bool = False
    socket_path: str = ""
    root: str = ""
    versioned: str = "/v1"
    query: str = ""
    api: Api | None = None
    model: str = ""

    def path(self, below: str) -> str:
        """The path to ask for, of a dialect's."""
        told = self.versioned + below.removeprefix("/v1") if below.startswith("/v1/") else self.root + below
        return f"{told}?{self.query}" if self.query else told

    def same_place(self, other: "EndpointAddress") -> bool:
        """Whether what is sent there goes to the same server, as well protected."""
        return all(getattr(self, name) == getattr(other, name) for name in ("host", "port", "tls", "socket_path"))

    @property
    def loopback(self) -> bool:
        """Whether what is sent there stays on this machine."""
        return bool(self.socket_path) or self.host in ("localhost", "::1") or self.host.startswith("127.")


def parse_url(url: str) -> EndpointAddress:
    """Raises ConfigError for what is no URL of a server, and for one with a login or a key in it."""
    if not url:
        raise ConfigError(KEY, "is empty", allowed=ALLOWED)
    if any(ord(letter) <= 32 or ord(letter) == 127 for letter in url):
        raise ConfigError(KEY, f"{quoted(url)} has a blank or a control character", allowed=ALLOWED)
    if url.startswith("unix:"):
        return _socket(url)
    try:
        parts = urlsplit(url)
        port, host = parts.port, parts.hostname
    except ValueError as error:
        raise ConfigError(KEY, f"{quoted(url)} is no URL: {error_text(error)}", allowed=ALLOWED) from None
    if parts.scheme not in ("http", "https") or not host:
        remedy = "" if "://" in url else f"Write http:// or https:// in front: http://{quoted(url)[1:-1]}"
        raise ConfigError(KEY, f"{quoted(url)} is no URL of a server", allowed=ALLOWED, remedy=remedy)
    if "@" in parts.netloc:
        raise ConfigError(KEY, "has a login in it", remedy="A key is given by target.api_key_env or api_key_file.")
    if port == 0 or parts.fragment:
        raise ConfigError(KEY, f"{quoted(url)} is no URL of a server", allowed=ALLOWED)
    for name, _ in parse_qsl(parts.query, keep_blank_values=True):
        if is_credential(name.replace("-", "_")):
            raise ConfigError(
                KEY, f"has a key in it ({quoted(name)})", remedy="Give it by target.api_key_env or api_key_file."
            )
    return _placed(parts, _ascii_host(host, url), port)


def _socket(url: str) -> EndpointAddress:
    path = unquote(url.removeprefix("unix:"))
    path = path.removeprefix("//") if path.startswith("///") else path
    if not path.startswith("/") or path.startswith("//") or "\0" in path:
        raise ConfigError(KEY, f"{quoted(url)} names no socket", allowed="unix:/PATH, a whole path")
    if len(path.encode()) > _LONGEST_SOCKET:
        raise ConfigError(
            KEY, f"a path of {len(path.encode())} bytes", allowed=f"{_LONGEST_SOCKET}, the system's limit"
        )
    return EndpointAddress(shown=f"unix:{path}", authority="localhost", socket_path=path)


def _ascii_host(host: str, url: str) -> str:
    try:
        name = host if host.isascii() else host.encode("idna").decode()
    except UnicodeError:
        name = ""
    if not (_HOST.fullmatch(name) or ":" in name):
        raise ConfigError(KEY, f"{quoted(url)} has no host's name", allowed=ALLOWED)
    return name


def _placed(parts: SplitResult, host: str, port: int | None) -> EndpointAddress:
    path = quote(parts.path.rstrip("/"), safe="/%:@!$&'()*+,;=~-._")
    api: Api | None = None
    model = ""
    if found := _TRITON.fullmatch(path):
        path, api, model = found[1], "triton", unquote(found[2])
    else:
        for ending, named in _ENDINGS:
            if path.endswith(ending):
                path, api = path.removesuffix(ending), named
                break
    openai = api is not None and (api.startswith("openai") or api == "anthropic-messages")
    root = _VERSION.sub("", path)
    versioned = path if openai or root != path else f"{path}/v1"
    # A zone of an IPv6 address means something on this machine alone.
    bare = host.partition("%")[0]
    shown = f"[{bare}]" if ":" in host else host
    authority = shown if port is None else f"{shown}:{port}"
    return EndpointAddress(
        shown=f"{parts.scheme}://{authority}{parts.path.rstrip('/')}",
        host=host,
        port=port if port is not None else (443 if parts.scheme == "https" else 80),
        authority=authority,
        tls=parts.scheme == "https",
        # Below Ollama's `/api` stand its own paths, which begin with it; a gateway's OpenAI may stand there as well.
        root=root.removesuffix("/api"),
        versioned=versioned,
        query=quote(parts.query, safe="/%:@!$&'()*+,;=~-._?"),
        api=api,
        model=model,
    )
