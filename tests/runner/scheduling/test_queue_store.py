"""The queue's file: order, durability, damage."""

import sqlite3
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infertui.config.schema import Config
from infertui.errors import StoreError
from infertui.runner.scheduling.queue_store import Duration, Entry, QueueStore


def entry(number: int, **values: object) -> Entry:
    fields: dict[str, object] = {
        "group": number, "title": f"entry {number}", "name": "", "config": Config(), "out": "/r", "submitted": "now",
    }  # fmt: skip
    return Entry(id=number, **{**fields, **values})  # type: ignore[arg-type]


def test_entries_come_back_as_they_were_put(tmp_path: Path) -> None:
    path = tmp_path / "state" / "queue.sqlite"
    store = QueueStore(path)
    store.put([entry(1), entry(2), entry(3)])
    store.put([entry(2, state="running", run="r")])
    store.order([3, 2, 1])
    store.paused = True
    assert {file.stat().st_mode & 0o777 for file in path.parent.iterdir()} == {0o600}
    store.close()
    again = QueueStore(path)
    assert again.entries() == [entry(3), entry(2, state="running", run="r"), entry(1)]
    assert again.paused


def test_ids_are_never_given_twice(tmp_path: Path) -> None:
    path = tmp_path / "queue.sqlite"
    store = QueueStore(path)
    first = store.next_ids(3)
    store.delete(first)
    store.close()
    assert QueueStore(path).next_ids(1)[0] not in first


def test_what_is_deleted_is_gone(tmp_path: Path) -> None:
    store = QueueStore(tmp_path / "queue.sqlite")
    store.put([entry(1), entry(2)])
    store.delete([1])
    assert [kept.id for kept in store.entries()] == [2]


def test_what_the_order_does_not_name_stays(tmp_path: Path) -> None:
    """It is an entry that another version can read."""
    store = QueueStore(tmp_path / "queue.sqlite")
    store.put([entry(1), entry(2), entry(3)])
    store.order([3, 2])
    assert {kept.id for kept in store.entries()} == {1, 2, 3}


def test_a_process_that_is_killed_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "queue.sqlite"
    store = QueueStore(path)
    store.put([entry(1)])
    # Not closed: as after kill -9, the log beside the file holds what was written.
    assert [kept.id for kept in QueueStore(path).entries()] == [1]


def test_a_damaged_file_is_put_aside(tmp_path: Path) -> None:
    path = tmp_path / "queue.sqlite"
    path.write_bytes(b"this is no database" * 100)
    store = QueueStore(path)
    assert store.entries() == []
    assert "damaged" in store.note
    assert (tmp_path / "queue.sqlite.damaged").exists()


def test_damage_within_the_file_is_found_at_once_and_its_log_is_not_replayed(tmp_path: Path) -> None:
    path = tmp_path / "queue.sqlite"
    whole = QueueStore(path)
    whole.put([entry(number) for number in range(1, 200)])
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    whole.put([entry(200)])  # is in the log alone
    content = bytearray(path.read_bytes())
    content[8192:20000] = b"x" * (20000 - 8192)
    path.write_bytes(content)
    again = QueueStore(path)
    assert "damaged" in again.note
    assert again.entries() == []
    again.put([entry(1)])
    assert [kept.id for kept in again.entries()] == [1]


def test_durations_of_another_version_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "queue.sqlite"
    store = QueueStore(path)
    store.add_duration(Duration("a", 1, 64, 7.0, 0.01, 2))
    with sqlite3.connect(path) as connection:
        connection.execute("INSERT INTO durations(kind, body) VALUES('a', '{}')")
    assert [known.load_s for known in store.durations("a")] == [7.0]


def test_a_newer_file_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "queue.sqlite"
    QueueStore(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(StoreError, match="newer infertui"):
        QueueStore(path)


def test_an_entry_of_another_version_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "queue.sqlite"
    store = QueueStore(path)
    store.put([entry(1)])
    with sqlite3.connect(path) as connection:
        connection.execute("INSERT INTO entries VALUES(2, 2, '{\"id\": 2}')")
    assert [kept.id for kept in store.entries()] == [1]
    assert "1 entries" in store.note


def test_a_directory_in_its_place_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "queue.sqlite").mkdir()
    with pytest.raises(StoreError, match=r"queue\.sqlite"):
        QueueStore(tmp_path / "queue.sqlite")


def test_durations_are_kept_by_kind_and_not_for_ever(tmp_path: Path) -> None:
    store = QueueStore(tmp_path / "queue.sqlite")
    for number in range(120):
        store.add_duration(Duration("a", 1, 64, float(number), 0.01, 2))
    store.add_duration(Duration("b", 1, 64, 7.0, 0.01, 2))
    assert [known.load_s for known in store.durations("a")] == [float(number) for number in range(119, 19, -1)]
    assert len(store.durations("b")) == 1


@settings(max_examples=30)
@given(st.permutations(range(1, 8)), st.integers(0, 7))
def test_any_order_is_kept(order: list[int], kept: int) -> None:
    store = QueueStore()
    store.put([entry(number) for number in range(1, 8)])
    store.delete(order[kept:])
    store.order(order[:kept])
    assert [found.id for found in store.entries()] == order[:kept]
    store.close()
