"""The durable queue: what waits to be measured, what is being measured, and what became of it."""

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from infertui.config.schema import Config
from infertui.config.sweep import Place
from infertui.errors import StoreError

EntryState = Literal["queued", "running", "finished", "failed", "refused", "interrupted", "cancelled", "skipped"]
"""`refused`: known to be wrong before it began; there is no run of it."""
ENDED = frozenset({"finished", "failed", "refused", "interrupted", "cancelled", "skipped"})
_SCHEMA = 1


class Entry(Struct, frozen=True):
    """A place in the queue: one config, and what became of it. Entries that were submitted together share a `group`.

    `lane` is the device that it runs on: `cpu`, or `gpu` with its index. `run` is the run's id once it has begun.
    Stamps are ISO 8601 with offset.
    """

    id: int
    group: int
    title: str
    """What the group is called: a preset, a file."""
    name: str
    """What sets it apart within the group, as in "bs=4"; may be empty."""
    config: Config
    out: str
    submitted: str
    state: EntryState = "queued"
    lane: str = ""
    run: str = ""
    reason: str = ""
    """Why it failed or was refused, what makes its figures wrong, or what else there is to say."""
    started: str = ""
    ended: str = ""
    estimate_s: float | None = None
    """How long it will take or should have taken, from earlier runs of the same kind; None: not known."""
    throughput: float | None = None
    """Output tokens per second, once measured."""
    valid: bool | None = None
    place: Place | None = None
    """In a bench, if it belongs to one."""
    marks: tuple[str, ...] = ()
    """Of what makes its figures wrong, the most telling first; of a run that failed the kind of its error."""

    @property
    def label(self) -> str:
        """Title and name."""
        return f"{self.title} {self.name}".strip()


class Duration(Struct, frozen=True):
    """How long a run took, kept to foretell the next of its `kind`. Seconds."""

    kind: str
    batch_size: int
    output_len: int
    load_s: float
    step_s: float
    """Per token step of a batch while measuring, the first one's time spread over all."""
    warmup_batches: int
    prefill_s: float | None = None
    """From the start of a batch to its first token; None is not known, as of those kept before it was."""
    prompt_tokens: float | None = None
    """Of a request, on average."""

    @property
    def batch_s(self) -> float:
        """A batch from start to end."""
        return self.step_s * self.output_len

    @property
    def decode_s(self) -> float:
        """A token step after the first."""
        if self.prefill_s is None or self.output_len < 2:
            return self.step_s
        return max(0.0, self.batch_s - self.prefill_s) / (self.output_len - 1)


class QueueStore:
    """Entries in their order, durations of earlier runs, and whether the queue is paused: an SQLite file.

    Every write is one transaction and raises StoreError when it cannot be made. One process at a time uses the file.
    """

    def __init__(self, path: Path | None = None) -> None:
        """Open or create the file; None keeps everything in memory. A file that is damaged is put aside.

        Raises StoreError, also for a file that a newer infertui has written.
        """
        self._path = path
        self.note = ""
        """What there is to say about opening it."""
        try:
            if path is not None:
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            try:
                self._connection = _open(path)
            except sqlite3.DatabaseError as error:
                if path is None or isinstance(error, sqlite3.OperationalError):
                    raise
                aside = _put_aside(path)
                self._connection = _open(path)
                self.note = f"the queue's file was damaged and put aside as {aside}"
        except (OSError, sqlite3.Error) as error:
            raise self._error(error) from error

    def close(self) -> None:
        """Release the file."""
        self._connection.close()

    def entries(self) -> list[Entry]:
        """All entries in order. One that cannot be read (another version's) is left out, and `note` says so."""
        found, unread = [], 0
        with self._transaction() as connection:
            rows = connection.execute("SELECT body FROM entries ORDER BY place").fetchall()
        for (body,) in rows:
            try:
                found.append(msgspec.json.decode(body, type=Entry))
            except msgspec.MsgspecError:
                unread += 1
        if unread:
            self.note = f"{unread} entries of the queue cannot be read by this version"
        return found

    def next_ids(self, count: int) -> range:
        """Ids that no entry had before."""
        with self._transaction() as connection:
            connection.execute("UPDATE facts SET value = value + ? WHERE name = 'last_id'", (count,))
            (value,) = connection.execute("SELECT value FROM facts WHERE name = 'last_id'").fetchone()
        return range(int(value) - count + 1, int(value) + 1)

    def put(self, entries: Iterable[Entry]) -> None:
        """Write entries: new ones at the end, known ones where they are."""
        with self._transaction() as connection:
            connection.executemany(
                "INSERT INTO entries(id, place, body) "
                "VALUES(?, (SELECT coalesce(max(place), 0) + 1 FROM entries), ?) "
                "ON CONFLICT(id) DO UPDATE SET body = excluded.body",
                [(entry.id, msgspec.json.encode(entry)) for entry in entries],
            )

    def order(self, ids: Sequence[int]) -> None:
        """Set the order. Entries that are not named, since this version cannot read them, stay."""
        with self._transaction() as connection:
            connection.executemany("UPDATE entries SET place = ? WHERE id = ?", list(enumerate(ids, start=1)))

    def delete(self, ids: Iterable[int]) -> None:
        """Forget entries."""
        with self._transaction() as connection:
            connection.executemany("DELETE FROM entries WHERE id = ?", [(number,) for number in ids])

    @property
    def paused(self) -> bool:
        """Whether the queue is paused."""
        with self._transaction() as connection:
            return bool(connection.execute("SELECT value FROM facts WHERE name = 'paused'").fetchone()[0])

    @paused.setter
    def paused(self, paused: bool) -> None:
        with self._transaction() as connection:
            connection.execute("UPDATE facts SET value = ? WHERE name = 'paused'", (int(paused),))

    def add_duration(self, duration: Duration) -> None:
        """Keep how long a run took; of each kind the last hundred are kept."""
        with self._transaction() as connection:
            connection.execute(
                "INSERT INTO durations(kind, body) VALUES(?, ?)", (duration.kind, msgspec.json.encode(duration))
            )
            connection.execute(
                "DELETE FROM durations WHERE kind = ? AND id NOT IN "
                "(SELECT id FROM durations WHERE kind = ? ORDER BY id DESC LIMIT 100)",
                (duration.kind, duration.kind),
            )

    def durations(self, kind: str) -> list[Duration]:
        """Runs of a kind, the latest first."""
        with self._transaction() as connection:
            rows = connection.execute("SELECT body FROM durations WHERE kind = ? ORDER BY id DESC", (kind,)).fetchall()
        found = []
        for (body,) in rows:
            with contextlib.suppress(msgspec.MsgspecError):  # another version's
                found.append(msgspec.json.decode(body, type=Duration))
        return found

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        try:
            with self._connection:
                yield self._connection
        except sqlite3.Error as error:
            raise self._error(error) from error

    def _error(self, error: Exception) -> StoreError:
        return StoreError(
            f"the queue {self._path or 'in memory'}: {error}",
            remedy="Free some room, or name another state directory with XDG_STATE_HOME.",
        )


def _put_aside(path: Path) -> Path:
    """Rename a damaged file; its log with it, which a new file of that name would take for its own."""
    aside = path.with_name(path.name + ".damaged")
    path.replace(aside)
    for end in ("-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + end).replace(aside.with_name(aside.name + end))
    return aside


def _open(path: Path | None) -> sqlite3.Connection:
    if path is not None and not path.exists():
        path.touch(mode=0o600)  # from the first moment, and SQLite gives the files beside it the same mode
    connection = sqlite3.connect(path or ":memory:", timeout=5)
    try:
        _prepare(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection) -> None:
    """Check the file and make what is missing. Raises sqlite3.OperationalError, and DatabaseError where damaged."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > _SCHEMA:
        raise sqlite3.OperationalError(f"written by a newer infertui (schema {version}, this one knows {_SCHEMA})")
    (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if found != "ok":
        raise sqlite3.DatabaseError(found)
    # A write-ahead log survives a killed process; what a power cut may lose is the last transaction, never the file.
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    with connection:
        connection.execute("CREATE TABLE IF NOT EXISTS entries(id INTEGER PRIMARY KEY, place REAL, body BLOB)")
        connection.execute("CREATE INDEX IF NOT EXISTS entries_by_place ON entries(place)")
        connection.execute("CREATE TABLE IF NOT EXISTS durations(id INTEGER PRIMARY KEY, kind TEXT, body BLOB)")
        connection.execute("CREATE INDEX IF NOT EXISTS durations_by_kind ON durations(kind)")
        connection.execute("CREATE TABLE IF NOT EXISTS facts(name TEXT PRIMARY KEY, value INTEGER)")
        connection.execute("INSERT OR IGNORE INTO facts VALUES('last_id', 0), ('paused', 0)")
        connection.execute(f"PRAGMA user_version = {_SCHEMA}")
