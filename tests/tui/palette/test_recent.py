from pathlib import Path

import pytest

from infertui.errors import StoreError
from infertui.tui.palette.recent import MOST, keep, read, recent_path, with_newest


def test_they_are_kept_the_newest_first_each_once(tmp_path: Path) -> None:
    path = recent_path({"HOME": str(tmp_path)})
    assert path == tmp_path / ".local" / "state" / "infertui" / "palette-recent"
    assert read(path) == ()
    recent: tuple[str, ...] = ()
    for chosen in ("app.zoom", "theme:light", "run:größer", "app.zoom"):
        recent = with_newest(recent, chosen)
    keep(path, recent)
    assert read(path) == recent == ("app.zoom", "run:größer", "theme:light")
    assert path.stat().st_mode & 0o777 == 0o600
    assert [file.name for file in path.parent.iterdir()] == ["palette-recent"]


def test_there_are_never_more_than_so_many(tmp_path: Path) -> None:
    recent: tuple[str, ...] = ()
    for number in range(3 * MOST):
        recent = with_newest(recent, f"run:{number}")
    assert len(recent) == MOST
    assert recent[0] == f"run:{3 * MOST - 1}"
    (tmp_path / "file").write_text("".join(f"x{n}\n" for n in range(1000)))
    assert len(read(tmp_path / "file")) == MOST


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"\x1b[2J\n\n\n", b"a" * 5000 + b"\n", b"", b"x" * (1 << 17)])
def test_a_file_of_something_else_is_no_trouble(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "recent"
    path.write_bytes(content)
    assert all(len(one) < 400 and one.isprintable() for one in read(path))


def test_half_a_line_is_an_id_of_nothing(tmp_path: Path) -> None:
    path = tmp_path / "recent"
    path.write_bytes(b"app.zoom\nthe")
    assert read(path) == ("app.zoom", "the")


def test_what_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    with pytest.raises(StoreError, match="cannot write"):
        keep(tmp_path / "state" / "recent", ("a",))
    assert with_newest(("a",), "bad\x1b[2Jid") == ("a",)
    assert with_newest(("a",), "") == ("a",)
