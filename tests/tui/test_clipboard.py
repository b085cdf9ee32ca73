import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.fake_control import FakeControl
from support.screens import app_over, drive

from infertui.errors import StoreError
from infertui.text import CONTROLS
from infertui.tui.clipboard import clip_path, harmless, keep, said


def test_the_file_is_the_users_alone_and_follows_no_link(tmp_path: Path) -> None:
    path = tmp_path / "cache" / "infertui" / "clip.txt"
    victim = tmp_path / "victim"
    victim.write_text("precious")
    path.parent.mkdir(parents=True)
    path.symlink_to(victim)
    keep("copied é \udcff", path)
    assert path.read_text() == "copied é ?"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert victim.read_text() == "precious"
    assert [child.name for child in path.parent.iterdir()] == ["clip.txt"]


def test_a_full_disk_or_a_closed_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot write"):
        keep("x", tmp_path / "file" / "clip.txt")


def test_what_is_said() -> None:
    home = {"HOME": "/home/me"}
    path = clip_path(home | {"XDG_CACHE_HOME": "/home/me/.cache"})
    assert said("the row", path, environ=home, hint=True) == "Copied the row; also in ~/.cache/infertui/clip.txt"
    assert "set-clipboard on" in said("the row", path, environ=home | {"TMUX": "/run/tmux"}, hint=True)
    assert "set-clipboard" not in said("the row", path, environ=home | {"TMUX": "/run/tmux"}, hint=False)
    assert "\x1b" not in said("a\x1b[2Jb", path, environ=home, hint=False)


@given(st.text())
def test_what_is_pasted_gives_a_shell_no_orders(text: str) -> None:
    copied = harmless(text)
    assert not set(copied) & (CONTROLS - {"\n", "\t"})
    assert len(copied) == len(text)
    assert [(a, b) for a, b in zip(text, copied, strict=True) if a != b and a not in CONTROLS] == []


def test_a_folder_of_any_name_is_copied_without_its_control_characters(tmp_path: Path) -> None:
    """As names are on disk: not even UTF-8, and with what executes a line or erases it."""
    app = app_over(FakeControl(), tmp_path)

    async def steps(_pilot: Any) -> None:
        app.copy("/runs/a\rreboot\r\x15\x1b[201~\udcff/x", "the folder")
        assert app.clipboard == "/runs/a�reboot���[201~�/x"

    drive(app, steps)
    assert (tmp_path / "cache" / "infertui" / "clip.txt").read_text(encoding="utf-8") == app.clipboard
