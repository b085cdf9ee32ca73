"""URLs of servers, taken apart; expected values are written by hand from what servers document."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infertui.errors import ConfigError
from infertui.targets.endpoint.address import EndpointAddress, parse_url

CHAT = "/v1/chat/completions"


@pytest.mark.parametrize(
    ("url", "host", "port", "authority", "tls"),
    [
        ("http://127.0.0.1:8000", "127.0.0.1", 8000, "127.0.0.1:8000", False),
        ("http://localhost", "localhost", 80, "localhost", False),
        ("https://api.example.com/v1", "api.example.com", 443, "api.example.com", True),
        ("HTTPS://API.Example.com:8443/", "api.example.com", 8443, "api.example.com:8443", True),
        ("http://[::1]:8000/v1", "::1", 8000, "[::1]:8000", False),
        ("http://[fe80::1%25eth0]:8000", "fe80::1%25eth0", 8000, "[fe80::1]:8000", False),
        ("http://bücher.example:1", "xn--bcher-kva.example", 1, "xn--bcher-kva.example:1", False),
        ("http://h:65535", "h", 65535, "h:65535", False),
    ],
)
def test_where_it_is(url: str, host: str, port: int, authority: str, tls: bool) -> None:
    address = parse_url(url)
    assert (address.host, address.port, address.authority, address.tls) == (host, port, authority, tls)
    assert address.path(CHAT) == CHAT


@pytest.mark.parametrize(
    ("url", "chat", "native"),
    [
        ("http://h:1", "/v1/chat/completions", "/generate"),
        ("http://h:1/", "/v1/chat/completions", "/generate"),
        ("http://h:1/v1", "/v1/chat/completions", "/generate"),
        ("http://h:1/v1/", "/v1/chat/completions", "/generate"),
        ("http://h:1/v1/chat/completions", "/v1/chat/completions", "/generate"),
        ("http://h:1/proxy", "/proxy/v1/chat/completions", "/proxy/generate"),
        ("http://h:1/proxy/v1", "/proxy/v1/chat/completions", "/proxy/generate"),
        ("http://h:1/v3", "/v3/chat/completions", "/generate"),
        ("http://h:1/v1beta/openai/chat/completions", "/v1beta/openai/chat/completions", "/v1beta/openai/generate"),
        ("https://openrouter.ai/api/v1", "/api/v1/chat/completions", "/generate"),
        ("http://h:11434/api", "/api/v1/chat/completions", "/generate"),
        ("http://h:1/a%20b/v1", "/a%20b/v1/chat/completions", "/a%20b/generate"),
        ("http://h:1/ü", "/%C3%BC/v1/chat/completions", "/%C3%BC/generate"),
        ("http://h:1/v1?a=ü&b=%20", "/v1/chat/completions?a=%C3%BC&b=%20", "/generate?a=%C3%BC&b=%20"),
        ("http://h:1/v1?api-version=2024", "/v1/chat/completions?api-version=2024", "/generate?api-version=2024"),
    ],
)
def test_with_or_without_its_version(url: str, chat: str, native: str) -> None:
    address = parse_url(url)
    assert (address.path(CHAT), address.path("/generate")) == (chat, native)


@pytest.mark.parametrize(
    ("url", "api", "below", "path"),
    [
        ("http://h/v1/chat/completions", "openai-chat", CHAT, CHAT),
        ("http://h/v1/completions", "openai-completions", "/v1/completions", "/v1/completions"),
        ("http://h/v1/responses/", "openai-responses", "/v1/responses", "/v1/responses"),
        ("http://h/v1/messages", "anthropic-messages", "/v1/messages", "/v1/messages"),
        ("http://h/x/generate_stream", "tgi", "/generate", "/x/generate"),
        ("http://h/api/chat", "ollama-chat", "/api/chat", "/api/chat"),
        ("http://h/api/generate", "ollama-generate", "/api/generate", "/api/generate"),
        ("http://h/completion", "llama-server", "/completion", "/completion"),
        ("http://h/generate", "sglang", "/generate", "/generate"),
        ("http://h/v2/models/a%2Fb/generate_stream", "triton", "/v2/models/x/generate", "/v2/models/x/generate"),
        ("http://h/v2/models/m/versions/1/generate", "triton", "/v2", "/v2"),
    ],
)
def test_a_whole_path_says_the_dialect(url: str, api: str, below: str, path: str) -> None:
    address = parse_url(url)
    assert (address.api, address.path(below)) == (api, path)


def test_triton_names_its_model_in_the_path() -> None:
    assert parse_url("http://h/v2/models/a%2Fb/generate_stream").model == "a/b"
    assert parse_url("http://h/v1").api is None


def test_sockets() -> None:
    for url in ("unix:/run/a b/x.sock".replace(" ", "%20"), "unix:///run/a%20b/x.sock"):
        assert parse_url(url).socket_path == "/run/a b/x.sock"
    address = parse_url("unix:/x")
    assert (address.authority, address.path(CHAT), address.loopback, address.shown) == (
        "localhost",
        CHAT,
        True,
        "unix:/x",
    )
    assert parse_url("unix:/" + "x" * 106).socket_path
    for bad in ("unix:", "unix:x.sock", "unix://x", "unix:/a%00b", "unix:/" + "x" * 107):
        with pytest.raises(ConfigError, match=r"^target\.url"):
            parse_url(bad)


@pytest.mark.parametrize(
    "url",
    [
        "", " ", "h:8000", "localhost:8000", "127.0.0.1", "ftp://h", "http://", "http:///v1", "http://h:0",
        "http://h:65536", "http://h:x",
        "http://[::1", "http://h/#x", "http://h/a b", "http://h\n/x", "http://h/\x1b[2J", "file:///etc",
        "//h", "http://h{}", "http://h\\x", "http://a,b",
        "http://" + "ü" * 70,
    ],
)  # fmt: skip
def test_what_is_none(url: str) -> None:
    with pytest.raises(ConfigError, match=r"^target\.url: ") as caught:
        parse_url(url)
    assert "\x1b" not in str(caught.value)


def test_the_remedy_for_a_missing_scheme() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_url("localhost:8000")
    assert "http://localhost:8000" in caught.value.remedy


@pytest.mark.parametrize(
    "url",
    [
        "http://user:hunter22@h/v1", "http://hunter22@h", "https://h/v1?key=hunter22", "https://h/?api_key=hunter22",
        "https://h/?api-key=hunter22&x=1", "https://h?TOKEN=hunter22", "http://:hunter22@h",
    ],
)  # fmt: skip
def test_credentials_are_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_url(url)
    assert "hunter22" not in str(caught.value)
    assert "api_key_env" in caught.value.remedy


def test_a_query_is_not_shown() -> None:
    assert parse_url("https://h:1/x/v1?api-version=1").shown == "https://h:1/x/v1"


@pytest.mark.parametrize(
    ("url", "loopback"),
    [
        ("http://127.9.9.9", True),
        ("http://[::1]", True),
        ("http://localhost:1", True),
        ("http://h", False),
        ("http://128.0.0.1", False),
    ],
)
def test_what_stays_here(url: str, loopback: bool) -> None:
    assert parse_url(url).loopback is loopback


@given(
    st.text(max_size=60) | st.text(max_size=40).map("http://h/".__add__) | st.text(max_size=40).map("http://".__add__)
)
def test_any_text_is_an_address_or_a_clear_error(url: str) -> None:
    try:
        address = parse_url(url)
    except ConfigError:
        return
    assert isinstance(address, EndpointAddress)
    path = address.path(CHAT)
    assert path.isascii()
    assert path.startswith("/")
    assert not set(path) & set(" \r\n\t")
    assert address.authority.isascii()
