"""The screen in a browser: who is let in, and that a page gets a screen."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.runs import clean_environment

from infertui.tui.browser.access import SESSIONS, Guard, WebOptions, command_of
from infertui.tui.terminal.capabilities import in_browser

TOKEN = "a-token-that-nobody-guesses"  # noqa: S105


@given(st.text(max_size=40))
def test_only_the_token_itself_is_known(text: str) -> None:
    assert Guard(TOKEN, 1).knows(text) == (text == TOKEN)


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8321", "localhost:9000", "LOCALHOST:1", "[::1]:8321", "localhost", "[::1]"]
)
def test_names_of_the_loopback_are_answered(host: str) -> None:
    assert Guard(TOKEN, 8321).is_loopback(host)


@pytest.mark.parametrize(
    "host",
    ["evil.example:8321", "127.0.0.1.evil.example", "", ":8321", "localhost:", "10.0.0.1:8321", "localhost:8:8"],
)
def test_other_names_are_not(host: str) -> None:
    assert not Guard(TOKEN, 8321).is_loopback(host)


def test_a_page_of_another_site_is_told_apart() -> None:
    guard = Guard(TOKEN, 8321)
    assert guard.is_same_origin(None, "localhost:8321")
    assert guard.is_same_origin("http://localhost:8321", "localhost:8321")
    assert not guard.is_same_origin("http://evil.example", "localhost:8321")
    assert not guard.is_same_origin("null", "localhost:8321")


def test_a_page_looks_only_unless_asked(tmp_path: Path) -> None:
    assert " --read-only" in command_of(WebOptions(tmp_path / "a b"))
    assert "'" in command_of(WebOptions(tmp_path / "a b"))
    assert " --read-only" not in command_of(WebOptions(tmp_path, full=True))
    assert in_browser({"TEXTUAL_DRIVER": "textual.drivers.web_driver:WebDriver"})
    assert not in_browser({})


@contextlib.asynccontextmanager
async def served(command: str) -> AsyncIterator[str]:
    """textual-serve behind our guard, on a port of its own: its address."""
    from infertui.tui.browser import server as web_server

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    up = asyncio.Event()
    server = web_server.GuardedServer(command, "127.0.0.1", port, Guard(TOKEN, port))
    task = asyncio.create_task(web_server.serve_until_told(server, up.set))
    try:
        async with asyncio.timeout(20):
            await up.wait()
        yield f"http://127.0.0.1:{port}"
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def test_a_page_with_the_token_gets_a_screen_and_others_get_nothing(tmp_path: Path) -> None:
    script = tmp_path / "screen.py"
    script.write_text(
        "import sys\n"
        "sys.stdout.buffer.write(b'__GANGLION__\\n' + b'D' + (5).to_bytes(4, 'big') + b'hello')\n"
        "sys.stdout.flush()\n"
        "sys.stdin.buffer.read(1)\n"
    )

    async def visit() -> None:
        async with (
            served(f"exec python3 {script}") as url,
            aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as browser,
        ):
            for path in ("/", "/ws", "/static/css/xterm.css", "/?token=wrong", "/download/x"):
                async with browser.get(url + path) as answer:
                    assert answer.status == 401, path
                    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
            async with browser.get(f"{url}/?token={TOKEN}", headers={"Host": "evil.example"}) as answer:
                assert answer.status == 403
            async with browser.get(f"{url}/?token={TOKEN}") as answer:
                assert answer.status == 200
                assert "token" not in str(answer.url)
                page = await answer.text()
            assert url.replace("http", "ws") + "/ws" in page
            with pytest.raises(aiohttp.WSServerHandshakeError):
                await browser.ws_connect(f"{url}/ws", origin="http://evil.example")
            opened = [await browser.ws_connect(f"{url}/ws?width=80&height=24") for _ in range(SESSIONS)]
            assert (await opened[0].receive(timeout=20)).data == b"hello"
            with pytest.raises(aiohttp.WSServerHandshakeError, match="503"):
                await browser.ws_connect(f"{url}/ws")
            for one in opened:
                await one.close()

    asyncio.run(visit())


def test_what_belongs_to_a_browser_is_refused_without_one(tmp_path: Path) -> None:
    from support.runs import infertui

    done = infertui("serve", "--full", cwd=tmp_path, environment=clean_environment(HOME=str(tmp_path)))
    assert done.returncode == 2
    assert "Add --web" in done.stderr
