"""Whoever is at the other end of TCP: without a token, with a wrong one, slow, huge, many, in another form."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.certificates import Certificates, made
from support.daemons import play
from support.fake_control import FACTS, FakeControl
from support.served import TOKENS, listening

from infertui.api import server
from infertui.api.operations import OPERATIONS
from infertui.api.remote import failures, gate
from infertui.api.remote import listening as places
from infertui.api.wire import Problem
from infertui.errors import InfertuiError, UsageError

FULL, WATCHING = TOKENS["full"], TOKENS["read-only"]
HELLO = "GET /v1/hello HTTP/1.1"


@pytest.fixture(scope="module", name="certificates")
def _certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return made(tmp_path_factory.mktemp("tls"))


def head(line: str, *headers: str, token: str | None = FULL, host: str | None = "127.0.0.1") -> bytes:
    told = [line, *([f"Host: {host}"] if host is not None else []), *headers]
    told += [f"Authorization: Bearer {token}"] if token is not None else []
    return ("\r\n".join(told) + "\r\n\r\n").encode("latin-1")


@asynccontextmanager
async def connected(
    url: str, context: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    place = urlsplit(url)
    reader, writer = await asyncio.open_connection(place.hostname, place.port, ssl=context)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def asked(url: str, request: bytes, context: ssl.SSLContext | None = None) -> tuple[int, bytes]:
    """Status and body of the answer; 0 where the connection ends without one."""
    async with connected(url, context) as (reader, writer):
        with suppress(ConnectionError):
            writer.write(request)
            await writer.drain()
        try:
            start = await reader.readuntil(b"\r\n\r\n")
            length = next(
                (int(line.split(b":")[1]) for line in start.lower().split(b"\r\n") if b"content-length" in line), 0
            )
            return int(start.split(b" ")[1]), await reader.readexactly(length)
        except (asyncio.IncompleteReadError, ConnectionError):
            return 0, b""


@pytest.mark.parametrize(
    ("request_head", "status"),
    [
        (head(HELLO), 200),
        (head(HELLO, token=WATCHING), 200),
        (head(HELLO, host="localhost:99"), 200),
        (head(HELLO, "Origin: http://127.0.0.1"), 200),
        (head(HELLO, token=None), 401),
        (head(HELLO, token=""), 401),
        (head(HELLO, token="wrong-wrong-wrong-wrong"), 401),  # noqa: S106
        (head(HELLO, token=FULL[:-1]), 401),
        (head(HELLO, token=FULL + "x"), 401),
        (head(HELLO, token="x" * 4000), 401),
        (head(HELLO, token="\u00e9" * 30), 401),
        (head(HELLO, f"Authorization: Bearer {FULL}"), 401),
        (head(HELLO, f"Authorization: Basic {FULL}", token=None), 401),
        (head(HELLO, f"Cookie: token={FULL}", token=None), 401),
        (head(f"GET /v1/hello?token={FULL} HTTP/1.1", token=None), 401),
        (head("GET /nowhere HTTP/1.1", token=None), 401),
        (head(HELLO, host="evil.example"), 403),
        (head(HELLO, host="127.0.0.1.evil.example"), 403),
        (head(HELLO, host=""), 403),
        (head("GET /v1/hello HTTP/1.0", host=None), 403),
        (head(HELLO, "Origin: http://evil.example"), 403),
        (head(HELLO, "Origin: null"), 403),
        (head(HELLO, "Origin: http://127.0.0.1", "Origin: http://127.0.0.1"), 403),
        (head(HELLO, "Host: 127.0.0.1"), 400),
        (head(HELLO, "X: a\r\n folded", token="x" * 20_000), 401),
        (head(HELLO, f"Authorization: Bearer\n {FULL}", token=None), 200),  # folded, as HTTP once had it
        (head(HELLO, f"A: b\n\nAuthorization: Bearer {FULL}", token=None), 401),
        (head(HELLO, "Transfer-Encoding: chunked", "Content-Length: 3"), 200),
        (b"\x16\x03\x01\x00\xff" + b"x" * 300 + b"\r\n\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 403),
        (head("GET /v1/../v1/hello HTTP/1.1"), 404),
        (head("GET /metrics HTTP/1.1"), 200),
        (head("GET /metrics HTTP/1.1", token=WATCHING), 200),
        (head("GET /metrics HTTP/1.1", token=None), 401),
        (head("GET /v1/openapi.json HTTP/1.1", token=None), 401),
        (head("GET /nowhere HTTP/1.1"), 404),
        (head("PUT /v1/hello HTTP/1.1"), 405),
    ],
)
def test_a_request_is_answered_as_its_head_has_it(request_head: bytes, status: int) -> None:
    async def scenario() -> None:
        async with listening(FakeControl()) as (url, _):
            found, body = await asked(url, request_head)
            assert found == status, body
            if status not in (200, 400):
                assert msgspec.json.decode(body, type=Problem).message

    play(scenario())


@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.binary(max_size=300), st.booleans())
def test_no_bytes_get_in_without_the_token(noise: bytes, after_a_head: bool) -> None:
    control = FakeControl()

    async def scenario() -> None:
        async with listening(control) as (url, _):
            start = b"POST /v1/stop HTTP/1.1\r\nHost: localhost\r\n" if after_a_head else b""
            status, _body = await asked(url, start + noise + b"\r\n\r\n")
            assert status in (0, 400, 401, 403, 429)
            assert (await asked(url, head(HELLO)))[0] == 200

    play(scenario())
    assert control.calls == [("snapshot", ())]


def test_one_who_only_watches_changes_nothing() -> None:
    control = FakeControl()

    async def scenario() -> None:
        async with listening(control) as (url, _):
            for one in OPERATIONS.values():
                if one.writes:
                    path = one.route.path.replace("{entry}", "1")
                    line = f"{one.route.verb} /v1{path} HTTP/1.1"
                    bodies = [b"", b"{}", b'{"ids":[1],"by":1,"paused":true,"out":"/x","runs":["a"],"model":"m"}']
                    for body in bodies:
                        length = f"Content-Length: {len(body)}"
                        status, _body = await asked(url, head(line, length, token=WATCHING) + body)
                        assert status in (400, 403), one.name
            config = b'[model]\nid = "synthetic:nano"'
            written = head("POST /v1/runs?out=/x HTTP/1.1", f"Content-Length: {len(config)}", token=WATCHING) + config
            assert (await asked(url, written))[0] == 403
            body = b'{"paused":true}'
            request = head("PATCH /v1/queue HTTP/1.1", f"Content-Length: {len(body)}", token=WATCHING) + body
            status, answer = await asked(url, request)
            assert status == 403
            assert msgspec.json.decode(answer, type=Problem).kind == "read-only"

    play(scenario())
    assert control.calls == []


def test_failures_of_an_address_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failures, "RECOVER_S", 1000.0)

    async def scenario() -> None:
        async with listening(FakeControl()) as (url, _):
            wrong = head(HELLO, token="wrong-wrong-wrong-wrong")  # noqa: S106
            told = [(await asked(url, wrong))[0] for _ in range(failures.BURST + 5)]
            assert told == [401] * failures.BURST + [429] * 5
            assert (await asked(url, head(HELLO)))[0] == 429, "a token cannot be tried for, either"

    play(scenario())


def test_a_head_or_a_body_that_does_not_come_ends_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "HEAD_S", 0.1)
    monkeypatch.setattr(gate, "BODY_S", 0.1)

    async def scenario() -> None:
        async with listening(FakeControl()) as (url, _):
            for begun in (b"", b"GET /v1/he", head(HELLO)[:-2]):
                assert await asked(url, begun) == (0, b"")
            slow = head("POST /v1/entries HTTP/1.1", "Content-Length: 100000") + b"{"
            status, body = await asked(url, slow)
            assert status == 408
            assert "more than 0.1 s" in msgspec.json.decode(body, type=Problem).message
            async with connected(url) as (reader, writer):  # a second head on a connection whose first was answered
                writer.write(head(HELLO) + b"GET /v1")
                assert b" 200 " in await reader.read()

    play(scenario())


def test_huge_bodies_are_not_read() -> None:
    control = FakeControl()

    async def scenario() -> None:
        async with listening(control) as (url, _):
            declared = head("POST /v1/entries HTTP/1.1", f"Content-Length: {1 << 40}")
            assert (await asked(url, declared))[0] == 413
            unknown = head("POST /v1/entries HTTP/1.1", f"Content-Length: {1 << 40}", token=None)
            assert (await asked(url, unknown + b"x" * 100))[0] == 401
            deep = b"[" * 200_000
            nested = head("POST /v1/entries HTTP/1.1", f"Content-Length: {len(deep)}") + deep
            assert (await asked(url, nested))[0] == 400

    play(scenario())
    assert control.calls == []


def test_connections_are_limited_and_come_free_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "MOST_OF_ONE_ADDRESS", 5)

    async def scenario() -> None:
        async with listening(FakeControl()) as (url, _):
            place = urlsplit(url)
            kept = [socket.create_connection((place.hostname, place.port), timeout=20) for _ in range(5)]
            async with connected(url) as (reader, _writer):
                assert await reader.read() == b"", "the sixth is closed"
            for one in kept:
                one.close()
            while (await asked(url, head(HELLO)))[0] != 200:  # noqa: ASYNC110 (nothing tells of it)
                await asyncio.sleep(0.01)

    play(scenario())


@pytest.mark.parametrize("stock", [False, True], ids=["as tested", "as it comes"])
def test_it_answers_by_tls_and_nothing_less(
    certificates: Certificates, stock: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if stock:
        monkeypatch.setattr(server, "is_tested", lambda version: False)

    async def scenario() -> None:
        certificate, key = certificates.certificate, certificates.key
        async with listening(FakeControl(), certificate=certificate, key=key) as (url, _):
            assert url.startswith("https://127.0.0.1:")
            trusting = ssl.create_default_context(cafile=certificates.authority)
            status, body = await asked(url, head(HELLO, host="box.example"), trusting)
            assert status == 200, "with TLS a name is the certificate's matter"
            assert msgspec.json.decode(body)["pid"] == FACTS.pid
            assert (await asked(url, head(HELLO, token=None), trusting))[0] == 401
            with pytest.raises(ssl.SSLCertVerificationError):
                await asked(url, head(HELLO), ssl.create_default_context())
            assert await asked(url, head(HELLO)) == (0, b""), "without TLS"
            old = ssl.create_default_context(cafile=certificates.authority)
            with pytest.warns(DeprecationWarning, match="deprecated"):
                old.minimum_version = ssl.TLSVersion.TLSv1
            with pytest.warns(DeprecationWarning, match="deprecated"):
                old.maximum_version = ssl.TLSVersion.TLSv1_1
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await asked(url, head(HELLO), old)

    play(scenario())


def test_certificates_that_do_not_fit_are_refused(certificates: Certificates, tmp_path: Path) -> None:
    places.check_certificate(certificates.certificate, certificates.key)
    empty = tmp_path / "empty"
    empty.touch()
    for certificate, key in (
        (empty, None),
        (tmp_path / "none", None),
        (certificates.certificate, None),
        (certificates.certificate, certificates.other_key),
        (certificates.certificate, empty),
        (tmp_path, None),
    ):
        with pytest.raises(UsageError, match="--tls-cert"):
            places.check_certificate(certificate, key)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("8000", ("127.0.0.1", 8000)), (":8000", ("127.0.0.1", 8000)), ("localhost", ("localhost", places.PORT)),
        ("[::1]:1", ("::1", 1)), ("[::]", ("::", places.PORT)), ("box.example:65535", ("box.example", 65535)),
        ("127.0.0.1:0", ("127.0.0.1", 0)),
    ],
)  # fmt: skip
def test_an_address_is_read(text: str, place: tuple[str, int]) -> None:
    assert places.parse_listen(text) == place


@pytest.mark.parametrize(
    "text",
    ["::1:80", "a b:1", "x:65536", "x:-1", "http://x:1", "x:1:2", "[::1", "\u0661", "x:\u0661", "x\n:1", "user@x:1"],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is no address"):
        places.parse_listen(text)


def test_others_hear_it_by_tls_alone_unless_that_is_said() -> None:
    for host in ("0.0.0.0", "::"):  # noqa: S104
        with pytest.raises(UsageError, match="anyone on the way reads the token"):
            places.bound(host, 0, private=False)
    with pytest.raises(UsageError, match=r"no-such-name\.invalid"):
        places.bound("no-such-name.invalid", 0, private=False)
    taken = places.bound("localhost", 0, private=False)
    port = taken[0].getsockname()[1]
    assert {one.getsockname()[1] for one in taken} == {port}
    with pytest.raises(InfertuiError, match="in use"):
        places.bound("127.0.0.1", port, private=False)
    for one in taken:
        one.close()
