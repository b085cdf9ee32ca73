"""What is kept in the cache: made once, whole or not there, by whichever process comes first."""

import os
import stat
import threading
from pathlib import Path

import pytest

from infertui.errors import ModelError
from infertui.models.kept import kept


def make_folder(path: Path) -> None:
    path.mkdir()
    (path / "weights").write_bytes(b"all of it")


def is_whole(path: Path) -> bool:
    return (path / "weights").is_file() and (path / "weights").stat().st_size == 9


def held(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def ask(folder: Path, *, made: list[Path] | None = None) -> Path:
    def make(path: Path) -> None:
        if made is not None:
            made.append(path)
        make_folder(path)

    return kept(folder, "model", make, what="ONNX model", is_whole=is_whole)


def test_a_folder_is_made_once_and_found_again(tmp_path: Path) -> None:
    made: list[Path] = []
    path = ask(tmp_path / "cache", made=made)
    assert ask(tmp_path / "cache", made=made) == path == tmp_path / "cache" / "model"
    assert len(made) == 1
    assert made[0] != path
    assert held(tmp_path / "cache") == ["model"]


def test_what_was_damaged_is_made_again(tmp_path: Path) -> None:
    path = ask(tmp_path)
    (path / "weights").write_bytes(b"half")
    (path / "other").write_bytes(b"")
    assert ask(tmp_path) == path
    assert held(path) == ["weights"]
    assert is_whole(path)


def test_a_maker_that_fails_or_was_killed_leaves_nothing(tmp_path: Path) -> None:
    def fail(path: Path) -> None:
        make_folder(path)
        raise ModelError("no")

    left = tmp_path / ".model.4711.part"
    make_folder(left)
    (tmp_path / ".file.4711.part").write_bytes(b"half")
    with pytest.raises(ModelError, match="no"):
        kept(tmp_path, "model", fail, what="ONNX model", is_whole=is_whole)
    assert held(tmp_path) == []


def test_the_second_waits_and_says_for_what(tmp_path: Path) -> None:
    making, go, waiting = threading.Event(), threading.Event(), threading.Event()
    said: list[str] = []
    made: list[int] = []

    def slowly(path: Path) -> None:
        made.append(1)
        making.set()
        assert go.wait(30)
        make_folder(path)

    def tell(text: str) -> None:
        said.append(text)
        waiting.set()

    found: list[Path] = []

    def one() -> None:
        found.append(kept(tmp_path, "model", slowly, what="ONNX model", tell=tell, is_whole=is_whole))

    threads = [threading.Thread(target=one) for _ in range(2)]
    threads[0].start()
    assert making.wait(30)
    threads[1].start()
    assert waiting.wait(30)
    go.set()
    for thread in threads:
        thread.join(30)
    assert found == [tmp_path / "model"] * 2
    assert (made, said) == ([1], ["waiting for another process that writes an ONNX model"])


def test_a_folder_that_may_only_be_read_serves_what_it_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = ask(tmp_path)
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        assert ask(tmp_path) == path
        if os.geteuid() == 0:  # whom no mode holds back: let the making say what the system would
            monkeypatch.setattr(Path, "mkdir", _refuses)
        with pytest.raises(ModelError, match=r"cannot be written: .*(Read-only|Permission)") as caught:
            kept(tmp_path, "other", make_folder, what="ONNX model", is_whole=is_whole)
        assert "XDG_CACHE_HOME" in caught.value.remedy
    finally:
        tmp_path.chmod(stat.S_IRWXU)


def _refuses(path: Path, *, exist_ok: bool = False, **_: object) -> None:
    if not exist_ok:
        raise OSError(30, "Read-only file system", str(path))


def test_a_file_in_the_way_is_told(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("in the way")
    with pytest.raises(ModelError, match="the cache for ONNX models cannot be made"):
        ask(tmp_path / "cache")
