"""Files that a config names: what is no regular file is refused unopened."""

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from infertui.config.schema import QualityConfig, WorkloadConfig
from infertui.errors import ConfigError
from infertui.load.prompts import load_prompts, load_text, read_text

READERS: dict[str, Callable[[Path], object]] = {
    "quality.text_file": lambda path: load_text(QualityConfig(text_file=str(path))),
    "workload.prompts_file": lambda path: load_prompts(WorkloadConfig(prompts_file=str(path))),
}


@pytest.fixture(params=["/dev/zero", "/dev/null", "pipe", "socket", "folder", "link"])
def special(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A file that is no regular one, and what it is."""
    path = tmp_path / "file"
    match request.param:
        case "pipe":
            os.mkfifo(path)  # whoever opens it waits for ever
            yield path, "a pipe"
        case "socket":
            here = Path.cwd()
            os.chdir(tmp_path)  # the path of a socket is short
            with socket.socket(socket.AF_UNIX) as listening:
                listening.bind("file")
                os.chdir(here)
                yield path, "a socket"
        case "folder":
            yield tmp_path, "a folder"
        case "link":
            path.symlink_to("/dev/zero")
            yield path, "a device"
        case device:
            yield Path(device), "a device"


@pytest.mark.parametrize("key", READERS)
def test_a_special_file_is_refused_by_key_name_and_kind(key: str, special: tuple[Path, str]) -> None:
    path, kind = special
    with pytest.raises(ConfigError) as refused:
        READERS[key](path)
    assert (refused.value.path, refused.value.problem) == (key, f"{path} is {kind}")
    assert "file" in refused.value.allowed


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nowhere", "No such file"),
        ("x" * 300, "File name too long"),
        ("a\0b", "no file name"),
        ("~nobody-here/x", "home"),
    ],
)
@pytest.mark.parametrize("key", READERS)
def test_a_name_of_nothing(key: str, name: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=said) as refused:
        READERS[key](Path(name) if name.startswith("~") else tmp_path / name)
    assert refused.value.path == key
    assert "\0" not in str(refused.value)


def test_a_file_is_read_up_to_its_limit(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_bytes(b"\xef\xbb\xbfcaf\xc3\xa9")
    assert read_text("a.b", path, limit=8, allowed="a file") == "café"
    with pytest.raises(ConfigError, match="larger than 7 B; allowed: a file"):
        read_text("a.b", path, limit=7, allowed="a file")
    path.write_bytes(b"\xff")
    with pytest.raises(ConfigError, match=r"not UTF-8 text \(byte 0\)"):
        read_text("a.b", path, limit=8, allowed="a file")


def test_a_file_that_is_longer_than_it_says(tmp_path: Path) -> None:
    """Those of the kernel have no size."""
    with pytest.raises(ConfigError, match="larger than 4 B"):
        read_text("a.b", Path("/proc/self/status"), limit=4, allowed="a file")
