"""Config files: what a name means, what is listed, what saving would lose, and saving whole."""

import os
from pathlib import Path

import pytest

from infertui.config import toml
from infertui.config.parse import decode
from infertui.errors import StoreError, UsageError
from infertui.tui.config import config_file


def environ(home: Path) -> dict[str, str]:
    return {"XDG_CONFIG_HOME": str(home)}


def test_a_bare_name_is_one_of_the_user_s_configs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    own = tmp_path / "infertui" / "configs"
    assert config_file.path_of("mine", environ(tmp_path)) == own / "mine.toml"
    assert config_file.path_of(" mine.toml ", environ(tmp_path)) == own / "mine.toml"
    assert config_file.path_of("./mine", environ(tmp_path)) == tmp_path / "mine.toml"
    assert config_file.path_of("/x/y.z", environ(tmp_path)) == Path("/x/y.z.toml")


@pytest.mark.parametrize("name", ["", "  ", "a/", "x\0y", "x\x1b[2J", ".toml", "/a/.toml", "x" * 300, "~nobody-here/x"])
def test_what_is_no_name_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        config_file.path_of(name, environ(tmp_path))


def test_only_configs_are_listed(tmp_path: Path) -> None:
    own = tmp_path / "infertui" / "configs"
    own.mkdir(parents=True)
    (own / "b.toml").write_text("[workload]\n")
    (own / "a.toml").write_text("[model]\nid = 1\n")
    here = tmp_path / "here"
    here.mkdir()
    (here / "pyproject.toml").write_text("[project]\n")
    (here / "slip.toml").write_text("[workload]\nbatch_size = \n")
    (here / "other.toml").write_text("[broken\n")
    (here / "folder.toml").mkdir()
    (here / "gone.toml").symlink_to(here / "nowhere")
    found = config_file.listed(environ(tmp_path), here)
    assert [path.name for path in found] == ["a.toml", "b.toml", "slip.toml"]
    assert config_file.listed(environ(tmp_path / "none"), tmp_path / "none") == []


def test_a_file_to_open_is_looked_for_here_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    own = tmp_path / "infertui" / "configs" / "x.toml"
    own.parent.mkdir(parents=True)
    own.write_text("")
    assert config_file.meant("x", environ(tmp_path)) == own
    (tmp_path / "x").write_text("")
    assert config_file.meant("x", environ(tmp_path)) == tmp_path / "x"


def test_saving_makes_folders_keeps_links_and_modes(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "c.toml"
    config_file.save(path, "one")
    assert path.read_text() == "one"
    path.chmod(0o600)
    link = tmp_path / "link.toml"
    link.symlink_to(path)
    config_file.save(link, "two")
    assert link.is_symlink()
    assert path.read_text() == "two"
    assert path.stat().st_mode & 0o777 == 0o600
    assert os.listdir(path.parent) == ["c.toml"]  # noqa: PTH208


def test_what_cannot_be_saved_is_said_and_nothing_is_left_over(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot save"):
        config_file.save(tmp_path / "file" / "x.toml", "text")
    folder = tmp_path / "folder.toml"
    folder.mkdir()
    with pytest.raises(StoreError, match="cannot save"):
        config_file.save(folder, "text")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder.toml"]


def test_saving_says_what_it_would_lose(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    assert config_file.loss(path, "") == ""
    generated = toml.write(decode({"workload": {"batch_size": 3}}))
    path.write_text(generated)
    assert config_file.loss(path, generated) == ""
    assert "changed" in config_file.loss(path, "something else")
    path.write_text("# my words\n" + generated)
    assert config_file.loss(path, path.read_text()) == "its own comments"
    path.write_text("[workload]\nbatch_size = 2\n")
    assert config_file.loss(path, path.read_text()) == ""
    path.write_text("[other]\n")
    assert config_file.loss(path, path.read_text()) == "it says something else"
