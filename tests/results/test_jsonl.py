import errno
import fcntl
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import Struct

from infertui.errors import StoreError
from infertui.results.jsonl import JsonlWriter, lines_holding, read_lines, refusal, store_error


class Row(Struct, frozen=True):
    writer: int
    number: int
    fill: str = ""


def append(path: Path, *rows: object) -> None:
    with JsonlWriter(path) as writer:
        for row in rows:
            writer.append(row)


def read(path: Path) -> tuple[list[Row], list[str]]:
    """The rows of a file, and the warnings on the way."""
    warnings: list[str] = []
    return list(read_lines(path, Row, warn=warnings.append)), warnings


def rows(count: int, *, writer: int = 0) -> list[Row]:
    return [Row(writer, number) for number in range(count)]


def child(program: str, *arguments: object) -> subprocess.Popen[str]:
    """A process that runs `program` with the writer and the row type at hand."""
    head = (
        "import resource, sys\nfrom pathlib import Path\n"
        "from infertui.errors import StoreError\nfrom infertui.results.jsonl import JsonlWriter\n"
        "path, arguments = Path(sys.argv[1]), sys.argv[2:]\n"
    )
    command = [sys.executable, "-c", head + program, *map(str, arguments)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "rows.jsonl"


# What is written is read


def test_rows_come_back_in_order(path: Path) -> None:
    append(path, *rows(3))
    append(path, Row(1, 0, "\n\r\u2028 \N{ROCKET}"))
    assert read(path) == ([*rows(3), Row(1, 0, "\n\r\u2028 \N{ROCKET}")], [])
    assert path.read_bytes().count(b"\n") == 4


def test_a_row_is_there_when_append_returns(path: Path) -> None:
    with JsonlWriter(path) as writer:
        for number in range(5):
            writer.append(Row(0, number))
            assert len(read(path)[0]) == number + 1


def test_a_missing_file_is_empty(path: Path) -> None:
    assert read(path) == ([], [])
    assert not path.exists()


def test_empty_lines_are_nothing(path: Path) -> None:
    path.write_bytes(b'\n  \n{"writer":0,"number":0}\n\r\n\n')
    assert read(path) == (rows(1), [])


# Torn lines


def test_a_torn_last_line_is_skipped_with_a_warning_and_sealed_by_the_next_writer(path: Path) -> None:
    append(path, *rows(3))
    os.truncate(path, path.stat().st_size - 7)
    assert read(path) == (rows(2), [f"{path}, line 3 is torn: skipped"])

    append(path, Row(9, 9))
    found, warnings = read(path)
    assert found == [*rows(2), Row(9, 9)]
    assert len(warnings) == 1
    assert warnings[0].startswith(f"{path}, line 3 cannot be read")

    append(path, Row(9, 10))
    assert read(path) == ([*found, Row(9, 10)], warnings)
    assert path.read_bytes().count(b"\n") == 5


LINE = len(b'{"writer":0,"number":2,"fill":""}\n')


@pytest.mark.parametrize("cut", range(1, LINE + 1))
def test_wherever_a_line_was_torn_the_others_are_whole(path: Path, cut: int) -> None:
    append(path, *rows(3))
    os.truncate(path, path.stat().st_size - cut)
    found, warnings = read(path)
    # A line that lacks its newline alone is whole; one of which nothing is left is nothing to warn of.
    assert found == rows(3 if cut == 1 else 2)
    assert len(warnings) == (1 if 1 < cut < LINE else 0)
    append(path, Row(9, 9))
    assert read(path)[0] == [*found, Row(9, 9)]


def test_a_writer_that_was_killed_loses_nothing_that_it_had_appended(path: Path) -> None:
    program = (
        "with JsonlWriter(path) as writer:\n"
        "    for number in range(10**9):\n"
        "        writer.append({'writer': 0, 'number': number, 'fill': 'x' * 5000})\n"
        "        print(number, flush=True)\n"
    )
    with child(program, path) as process:
        assert process.stdout
        acknowledged = [int(process.stdout.readline()) for _ in range(20)][-1]
        process.send_signal(signal.SIGKILL)
    found, warnings = read(path)
    assert [row.number for row in found] == list(range(len(found)))
    assert len(found) > acknowledged
    assert len(warnings) <= 1
    append(path, Row(1, 0))
    assert read(path)[0] == [*found, Row(1, 0)]


# Several processes


@pytest.mark.parametrize("writers", [2, 8])
def test_processes_that_append_at_once_lose_nothing_and_mix_nothing(path: Path, writers: int) -> None:
    """Half of them open the file anew for each line, as the index of results is written."""
    path.write_bytes(b'{"writer":99,"number"')  # somebody died here before
    lines = 500
    program = (
        "number, lines = map(int, arguments)\n"
        "def append(line):\n"
        "    with JsonlWriter(path) as writer:\n"
        "        writer.append(line)\n"
        "writer = JsonlWriter(path)\n"
        "print('ready', flush=True)\n"
        "sys.stdin.readline()\n"
        "for line in range(lines):\n"
        "    size = 1 + line * 37 % 9000\n"
        "    row = {'writer': number, 'number': line, 'fill': chr(97 + number) * size}\n"
        "    (append if number % 2 else writer.append)(row)\n"
    )
    processes = [child(program, path, number, lines) for number in range(writers)]
    for process in processes:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        process.communicate()
        assert process.returncode == 0
    found, warnings = read(path)
    assert len(warnings) == 1
    assert "line 1 cannot be read" in warnings[0]
    for number in range(writers):
        own = [row for row in found if row.writer == number]
        assert [row.number for row in own] == list(range(lines))
        assert all(row.fill == chr(97 + number) * (1 + row.number * 37 % 9000) for row in own)
    assert len(found) == writers * lines


def test_a_writer_waits_for_the_one_that_is_writing(path: Path) -> None:
    """Or it would write where the other is about to take back a line that did not fit."""
    program = (
        "import signal\n"
        "class Waited(Exception): pass\n"
        "def give_up(*_): raise Waited\n"
        "signal.signal(signal.SIGALRM, give_up)\n"
        "writer = JsonlWriter(path)\n"
        "signal.setitimer(signal.ITIMER_REAL, 0.2)\n"
        "try:\n"
        "    writer.append({'writer': 1, 'number': 0})\n"
        "    print('wrote at once', flush=True)\n"
        "except Waited:\n"
        "    print('waited', flush=True)\n"
        "sys.stdin.readline()\n"
        "writer.append({'writer': 2, 'number': 0})\n"
    )
    append(path, *rows(1))
    with path.open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        process = child(program, path)
        assert process.stdout
        assert process.stdout.readline() == "waited\n"
        assert read(path) == (rows(1), [])
    process.communicate("go\n")
    assert read(path) == ([*rows(1), Row(2, 0)], [])


# No room


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk(path: Path) -> None:
    path.symlink_to("/dev/full")
    with JsonlWriter(path) as writer, pytest.raises(StoreError, match="the disk is full") as caught:
        writer.append(Row(0, 0))
    assert str(path) in caught.value.message
    assert "kept" in caught.value.remedy


LIMITED = (
    "room, size = map(int, arguments)\n"
    "writer = JsonlWriter(path)\n"
    "hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]\n"
    "resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + room, hard))\n"
    "try:\n"
    "    writer.append({'writer': 1, 'number': 0, 'fill': 'x' * size})\n"
    "except StoreError as error:\n"
    "    print(error.message)\n"
    "print(path.stat().st_size)\n"
    "resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))\n"
    "writer.append({'writer': 2, 'number': 0})\n"
)


@pytest.mark.parametrize("torn", [False, True])
@pytest.mark.parametrize("room", [0, 1, 40, 4000])
def test_a_line_that_does_not_fit_leaves_the_file_as_it_was(path: Path, room: int, torn: bool) -> None:
    """The kernel writes the part that fits; that part is taken back, and writing goes on once there is room."""
    append(path, *rows(3), *([Row(0, 3)] if torn else []))
    if torn:
        os.truncate(path, path.stat().st_size - 5)
    before = path.read_bytes()
    with child(LIMITED, path, room, 100_000) as process:
        output, _ = process.communicate()
        assert process.returncode == 0
    message, size = output.splitlines()
    assert message == f"{path}: the file may not grow further"
    assert int(size) == len(before)
    assert path.read_bytes().startswith(before)
    assert read(path)[0] == [*rows(3), Row(2, 0)]


def test_a_line_that_just_fits(path: Path) -> None:
    append(path, *rows(3))
    line = len(msgspec.json.encode(Row(1, 0, "x" * 50))) + 1
    with child(LIMITED, path, line, 50) as process:
        output, _ = process.communicate()
        assert process.returncode == 0
    assert len(output.splitlines()) == 1
    assert read(path) == ([*rows(3), Row(1, 0, "x" * 50), Row(2, 0)], [])


def test_the_limit_is_one_of_the_child_alone() -> None:
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


# Files that cannot be used


def test_a_folder_in_the_place_of_the_file(path: Path) -> None:
    path.mkdir()
    with pytest.raises(StoreError, match="Is a directory"):
        JsonlWriter(path)
    with pytest.raises(StoreError, match="it is a folder"):
        read(path)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="No such file"):
        JsonlWriter(tmp_path / "nowhere" / "rows.jsonl")


def test_a_file_in_the_place_of_the_folder(path: Path) -> None:
    path.touch()
    for use in (JsonlWriter, read):
        with pytest.raises(StoreError, match="Not a directory"):
            use(path / "rows.jsonl")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read and write everything")
def test_a_file_without_permission(path: Path) -> None:
    append(path, *rows(1))
    path.chmod(0)
    for use in (JsonlWriter, read):
        with pytest.raises(StoreError, match="Permission denied"):
            use(path)


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="this system has no /proc")
def test_a_file_that_cannot_be_read_on(path: Path) -> None:
    path.symlink_to("/proc/self/mem")  # address 0 is not mapped: reading gives an I/O error
    with pytest.raises(StoreError, match=r"rows\.jsonl: .*error"):
        read(path)


def test_hostile_names_and_contents_are_not_shown_as_they_are(tmp_path: Path) -> None:
    class Strict(Struct, forbid_unknown_fields=True):
        number: int

    path = tmp_path / "\x1b]0;owned\x07\u202erows.jsonl"
    path.write_bytes(rb'{"number":1,"\u001b]52;c;evil\u0007\u202e":2}' + b"\n")
    warnings: list[str] = []
    assert list(read_lines(path, Strict, warn=warnings.append)) == []
    assert len(warnings) == 1
    assert warnings[0].isprintable()
    with pytest.raises(StoreError) as caught:
        JsonlWriter(path / "below")
    assert caught.value.message.isprintable()


# Garbage

GARBAGE = [
    b"garbage", b"{", b"[", b"null", b"7", b'"text"', b"[]", b"{}", b'{"writer":"0","number":0}', b"\0" * 4096,
    b"\xff\xfe\xfd", b'{"writer":0,"number":0,"fill":"\xff"}', b'{"writer":0,"number":0,"fill":"\\ud800"}',
    b"[" * 200_000, b'{"writer":0,"number":0,"more":' + b'{"a":' * 200_000,
    b'{"writer":' + b"9" * 20_000 + b',"number":0}', b'{"writer":1e999,"number":0}', b'{"writer":NaN,"number":0}',
    b'{"writer":0,"number":0}{"writer":0,"number":1}', b"\x1b[2J",
]  # fmt: skip


@pytest.mark.parametrize("garbage", GARBAGE, ids=lambda garbage: repr(garbage[:24]))
def test_garbage_is_skipped_and_named(path: Path, garbage: bytes) -> None:
    before, after = rows(2)
    append(path, before)
    path.write_bytes(path.read_bytes() + garbage + b"\n")
    append(path, after)
    found, warnings = read(path)
    assert found == [before, after]
    assert [warning.startswith(f"{path}, line 2 cannot be read") for warning in warnings] == [True]
    assert all(len(warning) < 1000 and warning.isprintable() for warning in warnings)


@given(st.lists(st.binary() | st.sampled_from(GARBAGE), max_size=6), st.booleans())
@example([b"\r", b'{"writer":0,"number":0}'], True)
def test_no_content_makes_reading_raise(
    tmp_path_factory: pytest.TempPathFactory, lines: Sequence[bytes], torn: bool
) -> None:
    path = tmp_path_factory.getbasetemp() / "garbage.jsonl"
    path.write_bytes(b"\n".join(lines) + (b"" if torn else b"\n"))
    found, warnings = read(path)
    content = [line for line in path.read_bytes().split(b"\n") if line.strip()]
    assert len(found) + len(warnings) == len(content)
    append(path, Row(9, 9))
    assert read(path)[0] == [*found, Row(9, 9)]


json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
    max_leaves=10,
)  # fmt: skip


@given(st.lists(json_values, max_size=5))
def test_any_values_are_a_line_each(tmp_path_factory: pytest.TempPathFactory, values: list[Any]) -> None:
    path = tmp_path_factory.getbasetemp() / "values.jsonl"
    path.unlink(missing_ok=True)
    append(path, *values)
    assert [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n")[:-1]] == values


@given(st.lists(st.text(st.sampled_from("abx "), max_size=8), max_size=30), st.integers(1, 20))
def test_lines_that_hold_a_text_are_found_whatever_block_they_are_in(texts: list[str], block: int) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr("infertui.results.jsonl._BLOCK", block)
        path = Path(folder) / "lines"
        path.write_text("".join(f"{text}\n" for text in texts))
        found = [line.decode().rstrip("\n") for line in lines_holding(path, [b"ab", b"xx"])]
    assert found == [text for text in texts if "ab" in text or "xx" in text]


def test_no_file_holds_no_lines(tmp_path: Path) -> None:
    assert list(lines_holding(tmp_path / "none", [b"a"])) == []
    with pytest.raises(StoreError):
        list(lines_holding(tmp_path, [b"a"]))


@pytest.mark.parametrize(
    ("free_files", "free_blocks", "words"),
    [(0, 10, "no inodes are left"), (10, 0, "the disk is full"), (0, 0, "the disk is full")],
)
def test_a_disk_without_inodes_is_said_to_be_that(
    path: Path, monkeypatch: pytest.MonkeyPatch, free_files: int, free_blocks: int, words: str
) -> None:
    real = os.statvfs(path.parent)

    def told(_: object) -> os.statvfs_result:
        values = list(real)
        values[4], values[5], values[7] = free_blocks, 1000, free_files  # f_bavail, f_files, f_favail
        return os.statvfs_result(values)

    monkeypatch.setattr(os, "statvfs", told)
    error = store_error(path / "below" / "it", OSError(errno.ENOSPC, "No space left on device"))
    assert words in error.message
    assert ("no inodes" in error.message) == (words == "no inodes are left")


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "the disk is full"), (errno.EDQUOT, "the quota is used up"), (errno.EACCES, "owner"),
        (errno.EAGAIN, "ulimit -u"), (errno.EMFILE, "ulimit -n"), (errno.EROFS, "can be written"),
    ],
)  # fmt: skip
def test_what_the_system_refuses_is_no_fault_of_ours(number: int, words: str) -> None:
    for error in (OSError(number, os.strerror(number), "/some/place\x1b[2J"), OSError(number, os.strerror(number))):
        refused = refusal(error)
        assert refused is not None
        assert words in str(refused)
        assert "\x1b" not in str(refused)
        assert refused.remedy


@pytest.mark.parametrize("error", [OSError("no number"), OSError(errno.EBADF, "Bad file descriptor")])
def test_what_may_be_a_fault_of_ours_is_no_refusal(error: OSError) -> None:
    assert refusal(error) is None
