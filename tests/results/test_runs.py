import os
import re
import resource
import secrets
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from infertui.config.schema import Config
from infertui.errors import StoreError
from infertui.measure.summary import summarise
from infertui.measure.validity import Verdict
from infertui.results.result import Fingerprint, Result
from infertui.results.results_file import remove_lines
from infertui.results.runs import BEGUN, Begun, RunFolder, Store
from infertui.telemetry.readings import HostFacts

STARTED = datetime(2025, 3, 4, 5, 6, 7, tzinfo=UTC)
FINGERPRINT = Fingerprint("1.0", "", "3.11", HostFacts("host", "linux"), (), "", "", "0" * 16, {})


def result(run_id: str) -> Result:
    return Result(
        id=run_id,
        name="a run",
        state="finished",
        started=STARTED.isoformat(),
        config=Config(),
        fingerprint=FINGERPRINT,
        verdict=Verdict(),
        summary=summarise([]),
        phases={"load": 1.5},
    )


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "some" / "reports")


def test_a_run_folder_holds_everything_of_its_run(store: Store) -> None:
    folder = store.create_run("Nano Transformers", STARTED)
    assert re.fullmatch(r"20250304-050607-nano-transformers-[0-9a-f]{4}", folder.id)
    assert folder.path == store.root / folder.id
    folder.write_config("[model]\nid = 'é'\n")
    folder.requests.append({"prompt": "one"})
    folder.telemetry.append({"t_ns": 1})
    folder.write_result(result(folder.id))
    folder.close()
    assert (folder.path / "run.toml").read_text(encoding="utf-8") == "[model]\nid = 'é'\n"
    assert (folder.path / "requests.jsonl").read_text() == '{"prompt":"one"}\n'
    assert (folder.path / "telemetry.jsonl").read_text() == '{"t_ns":1}\n'
    kept = (folder.path / "result.json").read_bytes()
    assert kept.count(b"\n") > 10  # for people to read
    assert msgspec.json.decode(kept, type=Result) == result(folder.id)
    assert folder.log == folder.path / "worker.log"


def test_a_run_that_is_there_twice_counts_once_as_it_was_last(store: Store) -> None:
    runs = [result("20260101-000000-a-0001"), result("20260101-000001-b-0002")]
    again = msgspec.structs.replace(runs[0], name="again")
    store.root.mkdir(parents=True)
    lines = [msgspec.json.encode(one) + b"\n" for one in (*runs, again)] + [b'{"id":"20260101-000001-b-0002"']
    store.index.write_bytes(b"".join(lines))
    both = [(runs[1].id, "a run"), (runs[0].id, "again")]
    assert [(one.id, one.name) for one in store.each_result(warn=lambda _: None)] == both
    assert [(one.id, one.name) for one in store.naming("20260101")] == both


@pytest.mark.parametrize("room", [0, 1, 500])
def test_a_run_that_finds_no_room_to_begin_says_so_once(store: Store, room: int) -> None:
    """Not again, as a bare OSError, when the folder is closed."""
    folder = store.create_run("x", STARTED)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))  # Python ignores the signal that goes with it
    try:
        with pytest.raises(StoreError, match=f"{BEGUN}: the file may not grow further") as raised:
            folder.write_begun(Begun("x", STARTED.isoformat(), Config(), FINGERPRINT))
        folder.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "Free some room" in raised.value.remedy
    assert sorted(path.name for path in folder.path.iterdir()) == ["outputs.jsonl", "requests.jsonl", "telemetry.jsonl"]


def test_results_are_listed_oldest_first(store: Store) -> None:
    assert store.results(warn=pytest.fail) == []
    ids = []
    for _ in range(3):
        folder = store.create_run("x", STARTED)
        store.append(result(folder.id))
        folder.close()
        ids.append(folder.id)
    assert [found.id for found in store.results(warn=pytest.fail)] == ids


def test_a_torn_result_is_skipped_with_a_warning_and_the_next_is_whole(store: Store) -> None:
    store.create_run("x", STARTED).close()
    for run_id in ("one", "two"):
        store.append(result(run_id))
    os.truncate(store.index, store.index.stat().st_size - 100)
    warnings: list[str] = []
    assert [found.id for found in store.results(warn=warnings.append)] == ["one"]
    assert warnings == [f"{store.index}, line 2 is torn: skipped"]
    store.append(result("three"))
    assert [found.id for found in store.results(warn=warnings.append)] == ["one", "three"]


@given(st.text(st.characters(exclude_categories=[])))
@example("../../etc/passwd")
@example("..")
@example("")
@example("/")
@example("\0")
@example("\x1b]0;owned\x07")
@example("漢字")
@example("x" * 5000)
@example("con-" * 30)
def test_any_name_makes_a_plain_folder_of_the_store(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    store = Store(tmp_path_factory.getbasetemp() / "names")
    folder = store.create_run(name, STARTED)
    folder.close()
    assert folder.path.parent == store.root
    assert folder.path.is_dir()
    assert re.fullmatch(r"20250304-050607-[a-z0-9.][a-z0-9.-]{0,47}-[0-9a-f]{4}", folder.id)


def test_ids_sort_by_time(store: Store) -> None:
    moments = [STARTED.replace(second=second) for second in (1, 2, 10)]
    folders = [store.create_run(name, moment) for name, moment in zip("zya", moments, strict=True)]
    for folder in folders:
        folder.close()
    assert sorted(folder.id for folder in folders) == [folder.id for folder in folders]


def test_runs_that_several_processes_create_in_one_second_have_ids_of_their_own(store: Store) -> None:
    program = (
        "import sys\nfrom datetime import datetime, UTC\nfrom pathlib import Path\n"
        "from infertui.results.runs import Store\n"
        "sys.stdin.readline()\n"
        "for _ in range(50):\n"
        "    folder = Store(Path(sys.argv[1])).create_run('same', datetime(2025, 3, 4, 5, 6, 7, tzinfo=UTC))\n"
        "    print(folder.id)\n"
        "    folder.close()\n"
    )
    command = [sys.executable, "-c", program, str(store.root)]
    pipe = subprocess.PIPE
    processes = [subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) for _ in range(4)]
    outputs = [process.communicate("go\n")[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * 4
    ids = [run_id for output in outputs for run_id in output.split()]
    assert len(ids) == len(set(ids)) == 200
    assert {path.name for path in store.root.iterdir()} == set(ids)


def test_a_taken_name_is_not_used_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = iter(["aaaa", "aaaa", "aaaa", "bbbb"])
    monkeypatch.setattr(secrets, "token_hex", lambda _: next(drawn))
    folders = [store.create_run("x", STARTED) for _ in range(2)]
    assert [folder.id[-4:] for folder in folders] == ["aaaa", "bbbb"]
    monkeypatch.setattr(secrets, "token_hex", lambda _: "aaaa")
    with pytest.raises(StoreError, match="no free name"):
        store.create_run("x", STARTED)
    for folder in folders:
        folder.close()


def test_a_file_in_the_place_of_the_store(tmp_path: Path) -> None:
    (tmp_path / "reports").touch()
    store = Store(tmp_path / "reports")
    with pytest.raises(StoreError, match="Not a directory") as caught:
        store.create_run("x", STARTED)
    assert "--out" in caught.value.remedy
    with pytest.raises(StoreError, match="Not a directory"):
        store.append(result("one"))
    with pytest.raises(StoreError, match="Not a directory"):
        store.results(warn=pytest.fail)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_store_that_is_read_only(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(StoreError, match="Permission denied"):
        Store(tmp_path).create_run("x", STARTED)
    with pytest.raises(StoreError, match="Permission denied"):
        Store(tmp_path).append(result("one"))


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="this system has no /proc")
def test_a_place_where_nobody_can_make_folders() -> None:
    with pytest.raises(StoreError, match="No such file"):
        Store(Path("/proc/reports")).create_run("x", STARTED)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk(store: Store) -> None:
    folder = store.create_run("x", STARTED)
    for name in ("run.toml", "result.json"):
        (folder.path / f"{name}.partial").symlink_to("/dev/full")
    store.index.symlink_to("/dev/full")
    with pytest.raises(StoreError, match=r"run\.toml: the disk is full"):
        folder.write_config("[model]\n")
    with pytest.raises(StoreError, match=r"result\.json: the disk is full"):
        folder.write_result(result(folder.id))
    with pytest.raises(StoreError, match=r"results\.jsonl: the disk is full"):
        store.append(result(folder.id))
    folder.close()


def test_a_run_folder_that_is_gone_is_said_so(store: Store) -> None:
    with pytest.raises(StoreError, match="No such file"):
        RunFolder(store.root / "gone")


# Deleting


def kept(store: Store, *names: str) -> list[str]:
    """Runs with folder and line, oldest first."""
    ids = []
    for name in names:
        folder = store.create_run(name, STARTED)
        folder.write_config("")
        folder.close()
        store.append(result(folder.id))
        ids.append(folder.id)
    return ids


def test_a_deleted_run_is_gone_from_folder_and_index(store: Store) -> None:
    one, two, three = kept(store, "one", "two", "three")
    store.index.chmod(0o640)
    store.delete([one, three])
    assert [found.id for found in store.results(warn=pytest.fail)] == [two]
    assert sorted(path.name for path in store.root.iterdir()) == [two, "results.jsonl"]
    assert store.index.stat().st_mode & 0o777 == 0o640
    store.append(result("later"))
    assert [found.id for found in store.results(warn=pytest.fail)] == [two, "later"]


def test_lines_that_cannot_be_read_survive_a_deletion_as_they_are(store: Store) -> None:
    (one,) = kept(store, "one")
    line = store.index.read_bytes()
    others = [b"{]\n", b"\n", b"\xff\xfe\n", b'{"id":"unknown","later":[1]}\n', b"[" * 5000 + b"\n"]
    store.index.write_bytes(others[0] + line + b"".join(others[1:]) + line + b'{"id":"torn')
    store.delete([one])
    assert store.index.read_bytes() == b"".join(others) + b'{"id":"torn'


def test_a_run_is_deleted_whose_folder_or_line_is_gone_already(store: Store) -> None:
    one, two = kept(store, "one", "two")
    shutil.rmtree(store.root / one)
    store.index.write_bytes(store.index.read_bytes().splitlines(keepends=True)[0])
    store.delete([one, two])
    assert [path.name for path in store.root.iterdir()] == ["results.jsonl"]
    assert store.index.read_bytes() == b""
    store.index.unlink()
    store.delete([one])
    assert not store.index.exists()


@pytest.mark.parametrize("run", ["", ".", "..", "../reports", "a/b", "/etc", "a\0b", "link", "other", "results.jsonl"])
def test_what_is_no_run_is_refused_and_nothing_is_touched(store: Store, run: str) -> None:
    (one,) = kept(store, "one")
    outside = store.root.parent / "outside"
    outside.mkdir()
    (outside / "run.toml").touch()
    (store.root / "link").symlink_to(outside)
    (store.root / "other").mkdir()
    (store.root / "other" / "precious").touch()
    before = store.index.read_bytes()
    with pytest.raises(StoreError):
        store.delete([one, run])
    assert (store.root / one).exists()
    assert (store.root / "other" / "precious").exists()
    assert (outside / "run.toml").exists()
    assert store.index.read_bytes() == before


def test_what_is_linked_from_a_run_folder_stays(store: Store) -> None:
    (one,) = kept(store, "one")
    outside = store.root.parent / "outside"
    outside.mkdir()
    (outside / "file").touch()
    (store.root / one / "link").symlink_to(outside)
    store.delete([one])
    assert not (store.root / one).exists()
    assert (outside / "file").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_deletion_on_a_full_disk_leaves_everything_as_it_was(store: Store) -> None:
    one, two = kept(store, "one", "two")
    before = store.index.read_bytes()
    store.index.with_name("results.jsonl.partial").symlink_to("/dev/full")
    with pytest.raises(StoreError, match="the disk is full"):
        store.delete([one])
    assert store.index.read_bytes() == before
    assert (store.root / one).exists()
    assert (store.root / two).exists()


def test_nothing_is_lost_when_others_append_while_runs_are_deleted(store: Store) -> None:
    program = (
        "import sys\nfrom pathlib import Path\nimport msgspec\nfrom infertui.results.result import Result\n"
        "from infertui.results.runs import Store\n"
        "store, number = Store(Path(sys.argv[1])), sys.argv[2]\n"
        "template = msgspec.json.decode(sys.argv[3], type=Result)\n"
        "sys.stdin.readline()\n"
        "for n in range(150):\n"
        "    store.append(msgspec.structs.replace(template, id=f'{number}-{n}'))\n"
    )
    doomed = kept(store, *(f"run{n}" for n in range(30)))
    template = msgspec.json.encode(result("x")).decode()
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(store.root), str(n), template], stdin=subprocess.PIPE, text=True
        )
        for n in range(3)
    ]
    for process in processes:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()
    for run in doomed:
        store.delete([run])
    for process in processes:
        process.communicate()
    assert [process.returncode for process in processes] == [0] * 3
    found = [found.id for found in store.results(warn=pytest.fail)]
    assert sorted(found) == sorted(f"{number}-{n}" for number in range(3) for n in range(150))


def test_a_run_is_deleted_however_its_line_spells_its_name(store: Store) -> None:
    """Other programs may write JSON with escapes."""
    store.index.parent.mkdir(parents=True, exist_ok=True)
    store.index.write_bytes(b'{"id":"\\u0061bc"}\n{"id":"abcd"}\n{"id":"x","name":"abc"}\n')
    remove_lines(store.index, frozenset({"abc"}))
    assert store.index.read_bytes() == b'{"id":"abcd"}\n{"id":"x","name":"abc"}\n'
    remove_lines(store.index, frozenset(["x", *map(str, range(50))]))
    assert store.index.read_bytes() == b'{"id":"abcd"}\n'


def test_folders_are_found_by_a_file_in_them(store: Store) -> None:
    assert store.folders_with("run.toml") == []
    for name, file in (("b", "run.toml"), ("a", "run.toml"), ("c", "other")):
        (store.root / name).mkdir(parents=True)
        (store.root / name / file).touch()
    (store.root / "run.toml").touch()
    assert store.folders_with("run.toml") == [store.root / "a", store.root / "b"]
    assert store.without_result() == ["a", "b"]
