"""Tokens, the files that hold them, and names of the loopback."""

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infertui.api.remote.access import Role, bearer, is_loopback, read_token, role_of, same_token
from infertui.errors import UsageError

TOKEN = "a-token-that-nobody-guesses"  # noqa: S105
WATCHING = "another-token-that-only-looks"


def test_a_token_file_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text(TOKEN + "\n")
    path.chmod(0o600)
    assert read_token(path) == TOKEN
    path.chmod(0o640)
    with pytest.raises(UsageError, match="others may read it"):
        read_token(path)
    for text in ("short", "x" * 600, "not a token but words", "\x00" * 20, ""):
        path.write_text(text)
        path.chmod(stat.S_IRUSR)
        with pytest.raises(UsageError, match="a token of 16 to 512"):
            read_token(path)
        path.chmod(0o600)
    with pytest.raises(UsageError, match="No such file"):
        read_token(tmp_path / "none")
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(UsageError, match="a pipe"):
        read_token(tmp_path / "pipe")
    with pytest.raises(UsageError, match=r"--read-only-token-file [^ ]+ is a folder"):
        read_token(tmp_path, "--read-only-token-file")


@given(st.text(max_size=40))
def test_only_the_token_itself_is_the_same(text: str) -> None:
    assert same_token(text, TOKEN) == (text == TOKEN)


@given(st.text(max_size=40))
def test_a_token_opens_what_it_is_for(text: str) -> None:
    tokens: dict[Role, str] = {"full": TOKEN, "read-only": WATCHING}
    assert role_of(TOKEN, tokens) == "full"
    assert role_of(WATCHING, tokens) == "read-only"
    assert role_of(text, tokens) is None
    assert role_of(text, {}) is None


@pytest.mark.parametrize(
    ("header", "token"),
    [
        (f"Bearer {TOKEN}", TOKEN), (f"bearer  {TOKEN} ", TOKEN), (TOKEN, None), (f"Basic {TOKEN}", None), ("", None),
        ("Bearer", None), ("Bearer ", None), ("Bearer a b", None), ("Bearer " + "x" * 513, None),
        ("Bearer " + "x" * 512, "x" * 512), ("Bearer \u00e4" * 3, None), ("Bearer x\ny", None),
    ],
)  # fmt: skip
def test_a_token_is_read_of_its_header(header: str, token: str | None) -> None:
    assert bearer(header) == token


@pytest.mark.parametrize("host", ["127.0.0.1:1", "127.9.9.9", "[::1]:65535", "LocalHost"])
def test_the_loopback_has_several_names(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["127.0.0.1.example", "1127.0.0.1", "127.0.0:1", "::1", "localhost:\u0661", "[::1"])
def test_other_names_are_not_the_loopback(host: str) -> None:
    assert not is_loopback(host)
