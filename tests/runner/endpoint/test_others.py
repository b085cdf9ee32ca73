"""Loads on one server at one time, of this process and of others, that end as they like."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from infertui.runner.endpoint.others import LoadPresence
from infertui.targets.endpoint.address import parse_url

HERE = parse_url("http://127.0.0.1:8000")
ELSEWHERE = """
import sys
from pathlib import Path
from infertui.runner.endpoint.others import LoadPresence
from infertui.targets.endpoint.address import parse_url
presence = LoadPresence("theirs", Path(sys.argv[2]))
presence.begin(parse_url(sys.argv[1]))
print("there", flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def there(run: str, folder: Path, url: str = "http://127.0.0.1:8000") -> Iterator[LoadPresence]:
    presence = LoadPresence(run, folder)
    presence.begin(parse_url(url))
    try:
        yield presence
    finally:
        presence.close()


@pytest.mark.parametrize(
    ("url", "same"),
    [
        ("http://127.0.0.1:8000", True),
        ("http://localhost:8000/v1", True),
        ("http://[::1]:8000/v1/chat/completions", True),
        ("http://127.0.0.1:8001", False),
        ("http://host:8000", False),
        ("unix:/tmp/8000", False),
    ],
)
def test_both_are_told_where_it_is_one_server(tmp_path: Path, url: str, same: bool) -> None:
    with there("one", tmp_path) as one, there("two", tmp_path, url) as two:
        one.look()
        assert [*two.seen] == (["one"] if same else [])
        assert [*one.seen] == (["two"] if same else [])
    assert one.note == ("another load of infertui was on this server meanwhile: two" if same else "")
    assert not [*tmp_path.iterdir()]


def test_one_after_the_other_is_none_at_the_same_time(tmp_path: Path) -> None:
    with there("one", tmp_path) as one:
        pass
    with there("two", tmp_path) as two:
        two.look()
    assert (one.note, two.note) == ("", "")


def test_one_of_another_process_that_is_killed_is_no_load_any_more(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", ELSEWHERE, "http://127.0.0.1:8000", str(tmp_path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as other:  # fmt: skip
        assert other.stdout is not None
        assert other.stdout.readline() == "there\n"
        with there("ours", tmp_path) as ours:
            assert [*ours.seen] == ["theirs"]
        os.kill(other.pid, signal.SIGKILL)
    with there("later", tmp_path) as later:
        assert not later.seen
    assert not [*tmp_path.iterdir()], "what was left by the one that was killed is removed"


def test_a_folder_that_cannot_be_written_or_holds_anything_tells_nobody(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("x")
    with there("one", file) as one:
        one.look()
    assert one.note == ""
    with there("one", tmp_path) as one:
        place = next(path.name for path in tmp_path.iterdir() if path != file).split("-")[0]
        os.mkfifo(tmp_path / f"{place}-fifo")
        (tmp_path / f"{place}-link").symlink_to(file)
        (tmp_path / f"{place}-folder").mkdir()
        one.look()
    assert one.note == ""


def test_many_and_names_of_any_bytes_are_told_in_one_line(tmp_path: Path) -> None:
    others = [LoadPresence(f"run\x1b[2J{number}" + "x" * 500, tmp_path) for number in range(7)]
    for other in others:
        other.begin(HERE)
    with there("one", tmp_path) as one:
        assert len(one.seen) == 7
    for other in others:
        other.close()
        other.close()
    assert "and 2 more" in one.note
    assert "\x1b" not in one.note
    assert len(one.note) < 1200


def test_a_runtime_folder_that_it_makes_is_one_that_a_runner_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    before = os.umask(0o022)
    try:
        presence = LoadPresence("one")
        presence.begin(HERE)
        presence.close()
    finally:
        os.umask(before)
    made = tmp_path / "run" / "infertui"
    assert [path.stat().st_mode & 0o777 for path in (made, made / "loads")] == [0o700, 0o700]
