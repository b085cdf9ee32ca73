"""A table over the results of a reports folder: sorted, filtered and paged without reading them all again.

The index is derived: results.jsonl is what counts, and the index is made again whenever it does not match it. It is
an SQLite file in the user's cache directory that several processes may use at once, or in memory where that cannot be
written. Only lines that were not there before are parsed; a line without its newline is not there yet.
"""

import contextlib
import hashlib
import os
import sqlite3
import threading
import time
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import IO, Any, TypeVar, get_args

import msgspec
from msgspec import Struct

from infertui import regular_files
from infertui.metrics.filter import Term, fold, moment, parse, texts, token_count
from infertui.metrics.registry import metric_of, stored
from infertui.metrics.varying import IDENTITY, Variation, Varied, asked
from infertui.paths import cache_dir
from infertui.results.filter import where
from infertui.results.jsonl import LONGEST, store_error
from infertui.results.table import MAX_LIMIT, Column, ResultPage, ResultQuery, ResultRow

__all__ = ["Column", "Derivation", "ResultIndex", "ResultPage", "ResultQuery", "ResultRow", "cache_folder"]

T = TypeVar("T")
BUSY_S = 10.0
"""How long another process may keep the index to itself before this one makes its own in memory."""
MADE_BY = ("config/*.py", "config/engines/*.py", "metrics/*.py", "results/config_keys.py", "results/index.py",
            "results/result.py", "results/row.py", "results/setup.py", "results/upgrade.py", "integers.py",
            "targets/engine/executed.py", "telemetry/visible.py", "measure/itl.py", "measure/statistics.py",
            "measure/summary.py", "measure/validity.py", "text.py")  # fmt: skip
"""The code that makes rows of lines."""
_KEPT_ORDERS = 8
_MOST_ASKED = 5000
"""Different settings that are looked at, to tell what varies."""
_PIECE, _CHUNK = 10_000, 1000
"""Rows after which what was read is kept for good, and rows that are held in memory at once."""
_EDGE = 1024
"""Bytes at the start and before the end of what was read, by which a file is recognised."""
_FIELDS = tuple(name for name in ResultRow.__struct_fields__ if name != "asked")
"""Columns; what was asked for is in a table of its own."""
_FLAGS, _VALID = _FIELDS.index("flags"), _FIELDS.index("valid")
_LENGTHS = tuple(_FIELDS.index(metric.key) for metric in stored() if metric.unit.kind == "length")
_COLUMNS_SQL = ", ".join(f'"{name}"' for name in _FIELDS)
_INSERT = (
    f"INSERT OR REPLACE INTO rows (seq, {_COLUMNS_SQL}, started_at)"  # noqa: S608 (names of our own columns)
    f" VALUES ({', '.join('?' * (len(_FIELDS) + 2))})"
)


def code_hash(patterns: Iterable[str]) -> str:
    """SHA-256 of the modules of infertui that these glob patterns name."""
    found = hashlib.sha256()
    package = Path(__file__).parents[1]
    for file in sorted(file for pattern in patterns for file in package.glob(pattern)):
        with contextlib.suppress(OSError):
            found.update(file.read_bytes())
    return found.hexdigest()


def _fingerprint() -> int:
    """Of the registry and the code that makes rows: with another one, other rows may come of the same lines."""
    found = hashlib.sha256(repr(_FIELDS).encode())
    for metric in stored():
        found.update(repr((metric.key, metric.unit.kind, metric.paths)).encode())
    found.update(code_hash(MADE_BY).encode())
    return int.from_bytes(found.digest()[:4]) >> 1 or 1  # what SQLite keeps; 0 is that of a new file


_SCHEMA = _fingerprint()


def _sorted_by(column: Column) -> str:
    """What is not available is empty, and comes last like every figure that is not."""
    kind = metric_of(column).unit.kind
    if kind == "moment":
        return f"{column}_at"
    return f"nullif(\"{column}\", '') COLLATE NOCASE" if kind in ("text", "length") else f'"{column}"'


def cache_folder() -> Path:
    """Where indexes are kept: below $XDG_CACHE_HOME, else ~/.cache."""
    return cache_dir() / "index"


def _values(seq: int, row: ResultRow) -> list[object]:
    values = [getattr(row, name) for name in _FIELDS]
    values[_FLAGS] = "\n".join(["", *row.flags, ""])
    for at in _LENGTHS:
        text = values[at]
        values[at] = text if (tokens := token_count(text)) is None else tokens
    return [seq, *values, moment(row.started)]


def _row(values: list[Any], defaults: int, keys: str) -> ResultRow:
    values[_FLAGS] = tuple(values[_FLAGS].split("\n")[1:-1])
    values[_VALID] = bool(values[_VALID])
    for at in _LENGTHS:
        values[at] = str(values[at])
    found = dict(zip(_FIELDS, values, strict=True))
    return ResultRow(**found, asked=asked(found["name"], msgspec.json.decode(keys), whole=bool(defaults)))


def _words(row: ResultRow) -> str:
    """What text without a column is looked for in."""
    return fold("\n".join(texts(row)))


def _open(name: str) -> sqlite3.Connection:
    connection = sqlite3.connect(name, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
    # The index can be made again, so a commit need not wait for the disk.
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("PRAGMA temp_store = MEMORY")
    connection.execute("PRAGMA cache_size = -8000")
    return connection


class Derivation(Struct, frozen=True):
    """How shares of the limits follow from a line that was kept without them; worked out in a layer above this one.

    `figures` gives these of such a line by the keys of their metrics, None for what does not follow, and raises
    nothing. Rows that were made with another `version` are made again: whoever opens the same folder should agree on
    it.
    """

    version: str
    figures: Callable[[bytes], Mapping[str, float | None]]


class _Mark(Struct, frozen=True):
    """How far results.jsonl was read, and how to know it again."""

    version: int
    offset: int = 0
    next_seq: int = 1
    skipped: int = 0
    newer: int = 0
    device: int = 0
    inode: int = 0
    head: str = ""
    tail: str = ""
    derivation: str = ""

    def fits(self, stream: IO[bytes]) -> bool:
        """Whether this file begins with what was read."""
        if self.offset == 0:
            return True
        stat = os.fstat(stream.fileno())
        return (
            (stat.st_dev, stat.st_ino) == (self.device, self.inode)
            and stat.st_size >= self.offset
            and _edges(stream, self.offset) == (self.head, self.tail)
        )

    def moved(self, stream: IO[bytes], offset: int, *, next_seq: int, skipped: int, newer: int) -> "_Mark":
        """The mark when the file was read up to `offset`."""
        if offset == self.offset:
            return self
        stat = os.fstat(stream.fileno())
        edges = _edges(stream, offset)
        known = (offset, next_seq, skipped, newer, stat.st_dev, stat.st_ino)
        return _Mark(self.version + 1, *known, *edges, derivation=self.derivation)


def _edges(stream: IO[bytes], offset: int) -> tuple[str, str]:
    stream.seek(0)
    head = stream.read(min(_EDGE, offset))
    stream.seek(max(0, offset - _EDGE))
    tail = stream.read(min(_EDGE, offset))
    return hashlib.sha256(head).hexdigest(), hashlib.sha256(tail).hexdigest()


def _has_line(stream: IO[bytes], offset: int) -> bool:
    """Whether a whole line stands behind `offset`."""
    stream.seek(offset)
    return stream.readline().endswith(b"\n")


class ResultIndex:
    """The index of one reports folder. Any thread may use it. Raises StoreError when results.jsonl cannot be read.

    `cache` is the folder for the SQLite file. `skipped` counts the lines that could not be read, and `newer`
    those among them that a newer infertui has written. Without a `derivation`
    lines that were kept without shares of the limits have none.
    """

    def __init__(self, root: Path, *, cache: Path | None = None, derivation: Derivation | None = None) -> None:
        self.path = root.absolute() / "results.jsonl"
        self.skipped = self.newer = 0
        self._cache = cache
        self._derivation = derivation
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._in_memory = False
        self._seen: tuple[object, ...] | None = None
        self._told: int | None = None
        self._version = 0
        self._total = 0
        self._orders: dict[tuple[tuple[Term, ...], Column, bool], array[int]] = {}
        self._varied: dict[tuple[Term, ...], tuple[Varied, ...]] = {}

    def refresh(self) -> bool:
        """Take in what is new in results.jsonl. True when there is something else to show than at the last call."""
        with self._lock:
            self._safely(self._refresh)
            changed = self._told != self._version
            self._told = self._version
            return changed

    def page(self, query: ResultQuery) -> ResultPage:
        """The rows of a query, of the results as they are now. Raises FilterError for a filter that makes no sense."""
        terms = parse(query.filter)
        with self._lock:
            return self._safely(lambda: self._page(query, terms))

    def close(self) -> None:
        """Release the file."""
        with self._lock:
            self._disconnect()

    def _safely(self, work: Callable[[], T]) -> T:
        """Do `work`; where the SQLite file is broken, make it anew, and where it cannot be used, go on in memory."""
        for last_resort in (False, True):
            try:
                return work()
            except sqlite3.Error as error:
                self._disconnect()
                broken = isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError)
                if broken and not last_resort and not self._in_memory:
                    with contextlib.suppress(OSError, RuntimeError):
                        self._file().unlink()
                else:
                    self._in_memory = True
        return work()

    def _connect(self) -> sqlite3.Connection:
        """The connection, to tables of this version: another one may have made them anew meanwhile."""
        if self._connection is None:
            self._connection = self._opened()
        connection = self._connection
        if not _fits(connection):
            self._seen = None
            connection.execute("BEGIN IMMEDIATE")
            if not _fits(connection):
                self._make_tables(connection)
            connection.execute("COMMIT")
        return connection

    def _opened(self) -> sqlite3.Connection:
        if not self._in_memory:
            try:
                file = self._file()
                file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                return _open(str(file))
            except (OSError, RuntimeError, sqlite3.OperationalError):
                self._in_memory = True
        return _open(":memory:")

    def _file(self) -> Path:
        folder = self._cache if self._cache is not None else cache_folder()
        return folder / f"{hashlib.sha256(os.fsencode(self.path)).hexdigest()[:24]}.sqlite"

    def _make_tables(self, connection: sqlite3.Connection) -> None:
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            connection.execute(f'DROP TABLE "{name}"')
        connection.execute(f"CREATE TABLE rows (seq INTEGER PRIMARY KEY, {_COLUMNS_SQL}, started_at REAL)")
        connection.execute("CREATE UNIQUE INDEX only_id ON rows (id)")
        connection.execute("CREATE TABLE words (seq INTEGER PRIMARY KEY, text TEXT)")
        connection.execute("CREATE TABLE configs (seq INTEGER PRIMARY KEY, defaults INTEGER, keys TEXT)")
        connection.execute("CREATE TABLE mark (value TEXT)")
        connection.execute(f"PRAGMA user_version = {_SCHEMA}")

    def _disconnect(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
        self._connection, self._seen = None, None
        self._orders.clear()

    # Keeping up with the file

    def _refresh(self) -> None:
        connection = self._connect()
        try:
            stat: os.stat_result | None = self.path.stat()
        except FileNotFoundError:
            stat = None
        except OSError as error:
            raise store_error(self.path, error) from error
        seen = (
            None if stat is None else (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns),
            connection.execute("PRAGMA data_version").fetchone()[0],
        )
        if seen == self._seen:
            return
        mark = self._mark(connection)
        if mark is None or not self._up_to_date(mark, stat):
            mark = self._catch_up(connection)
        if mark.version != self._version:
            self._orders.clear()
            self._varied = {}
        self._version, self.skipped, self.newer = mark.version, mark.skipped, mark.newer
        self._total = connection.execute("SELECT count(*) FROM rows").fetchone()[0]
        self._seen = seen

    def _mark(self, connection: sqlite3.Connection) -> "_Mark | None":
        row = connection.execute("SELECT value FROM mark").fetchone()
        return msgspec.json.decode(row[0], type=_Mark) if row else None

    def _up_to_date(self, mark: "_Mark", stat: os.stat_result | None) -> bool:
        if mark.derivation != self._derivation_version:
            return False
        if stat is None:
            return mark.offset == 0
        with self._opened_results() as stream:
            return mark.fits(stream) and not _has_line(stream, mark.offset)

    @property
    def _derivation_version(self) -> str:
        return self._derivation.version if self._derivation else ""

    def _catch_up(self, connection: sqlite3.Connection) -> "_Mark":
        """Read what is new, or everything when the file is not the one that was read before.

        In pieces, each of them kept: other processes that want to write wait for one of them only, and what was done
        when this process ends is not done again.
        """
        while True:
            connection.execute("BEGIN IMMEDIATE")
            try:
                mark, complete = self._take_piece(connection)
                connection.execute("DELETE FROM mark")
                connection.execute("INSERT INTO mark VALUES (?)", [msgspec.json.encode(mark).decode()])
                connection.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
                raise
            if complete:
                return mark

    def _take_piece(self, connection: sqlite3.Connection) -> "tuple[_Mark, bool]":
        """Take in some lines; whether these were the last."""
        if not _fits(connection):
            self._make_tables(connection)
        mark = self._mark(connection)  # another process may have been faster
        with self._opened_results() as stream:
            if mark is None or mark.derivation != self._derivation_version or not mark.fits(stream):
                connection.execute("DELETE FROM rows")
                connection.execute("DELETE FROM words")
                connection.execute("DELETE FROM configs")
                # Numbers of rows are not used again: what was remembered of the old ones finds nothing.
                version, next_seq = (mark.version + 1, mark.next_seq) if mark else (_first_version(), 1)
                mark = _Mark(version, next_seq=next_seq, derivation=self._derivation_version)
            mark, complete = self._take_lines(connection, stream, mark)
        if complete:
            for column in get_args(Column):
                # With the rows in place this costs half of what it would before.
                connection.execute(f'CREATE INDEX IF NOT EXISTS "by_{column}" ON rows ({_sorted_by(column)})')
        return mark, complete

    def _take_lines(self, connection: sqlite3.Connection, stream: IO[bytes], mark: "_Mark") -> "tuple[_Mark, bool]":
        from infertui.results.config_keys import config_keys
        from infertui.results.row import lacks_limits, read_line, row_of  # not before there is a line
        from infertui.results.upgrade import is_newer

        offset, skipped, newer, next_seq = mark.offset, mark.skipped, mark.newer, mark.next_seq
        derivation = self._derivation

        def rows() -> Iterator[tuple[ResultRow, tuple[bool, str]]]:
            nonlocal offset, skipped, newer
            stream.seek(offset)
            while (line := stream.readline(LONGEST)).endswith(b"\n"):
                offset += len(line)
                if line.isspace():
                    continue
                try:
                    found = read_line(line)
                    derived = derivation.figures(line) if derivation and lacks_limits(found) else None
                    row = row_of(found) if derived is None else row_of(found, derived)
                    yield row, config_keys(line)
                except (msgspec.DecodeError, ValueError, RecursionError):
                    skipped += 1
                    newer += is_newer(line)

        source = rows()
        complete = False
        try:
            for _ in range(_PIECE // _CHUNK):
                chunk = list(islice(source, _CHUNK))
                complete = len(chunk) < _CHUNK
                numbered = list(enumerate(chunk, next_seq))
                connection.executemany(_INSERT, [_values(seq, row) for seq, (row, _) in numbered])
                words = [(seq, _words(row)) for seq, (row, _) in numbered]
                connection.executemany("INSERT INTO words VALUES (?, ?)", words)
                configs = [(seq, *kept) for seq, (_, kept) in numbered]
                connection.executemany("INSERT INTO configs VALUES (?, ?, ?)", configs)
                next_seq += len(chunk)
                if complete:
                    break
        except OSError as error:
            raise store_error(self.path, error) from error
        return mark.moved(stream, offset, next_seq=next_seq, skipped=skipped, newer=newer), complete

    @contextlib.contextmanager
    def _opened_results(self) -> Iterator[IO[bytes]]:
        try:
            # No file reads as an empty one.
            there = os.path.lexists(self.path)
            stream = regular_files.opened(self.path, buffering=1 << 20) if there else Path(os.devnull).open("rb")  # noqa: SIM115
        except OSError as error:
            raise store_error(self.path, error) from error
        with stream:
            yield stream

    # Answering

    def _page(self, query: ResultQuery, terms: tuple[Term, ...]) -> ResultPage:
        self._refresh()
        connection = self._connect()
        connection.execute("BEGIN")
        try:
            order = self._order(connection, query, terms)
            limit = max(0, min(query.limit, MAX_LIMIT))
            offset = max(0, query.offset)
            found = self._position(connection, order, query.find)
            if found is not None and limit and not offset <= found < offset + limit:
                offset = found // limit * limit
            rows = _rows(connection, order[offset : offset + limit])
            if terms not in self._varied:
                self._varied = {terms: _varied(connection, terms)}
        finally:
            connection.execute("COMMIT")
        return ResultPage(
            total=self._total,
            matching=len(order),
            offset=offset,
            rows=rows,
            version=self._version,
            found=found,
            skipped=self.skipped,
            newer=self.newer,
            varied=self._varied[terms],
        )

    def _order(self, connection: sqlite3.Connection, query: ResultQuery, terms: tuple[Term, ...]) -> "array[int]":
        """The numbers of the matching rows in their order, remembered until the results change."""
        key = (terms, query.sort, query.descending)
        if key not in self._orders:
            if terms:
                # Picking from all rows in order costs half of having SQLite sort what it found.
                everything = self._order(connection, query, ())
                condition, parameters = where(terms)
                # `condition` is made of names of our own; what the user typed is in the parameters. Reading the rows
                # from first to last is faster than jumping about in them as an index tells.
                sql = f"SELECT seq FROM rows NOT INDEXED WHERE {condition}"  # noqa: S608
                matching = {seq for (seq,) in connection.execute(sql, parameters).fetchall()}
                order = array("q", (seq for seq in everything if seq in matching))
            else:
                way = "DESC" if query.descending else "ASC"
                sql = f"SELECT seq FROM rows ORDER BY {_sorted_by(query.sort)} {way} NULLS LAST, seq {way}"  # noqa: S608
                order = array("q", (seq for (seq,) in connection.execute(sql).fetchall()))
            while len(self._orders) >= _KEPT_ORDERS:
                del self._orders[next(iter(self._orders))]
            self._orders[key] = order
        return self._orders[key]

    def _position(self, connection: sqlite3.Connection, order: "array[int]", run: str) -> int | None:
        row = connection.execute("SELECT seq FROM rows WHERE id = ?", [run]).fetchone() if run else None
        try:
            return None if row is None else order.index(row[0])
        except ValueError:
            return None


def _rows(connection: sqlite3.Connection, wanted: "array[int]") -> tuple[ResultRow, ...]:
    found: dict[int, ResultRow] = {}
    for start in range(0, len(wanted), 500):
        part = list(wanted[start : start + 500])
        places = ", ".join("?" * len(part))
        sql = (
            f"SELECT seq, defaults, keys, {_COLUMNS_SQL} FROM rows JOIN configs USING (seq)"  # noqa: S608
            f" WHERE seq IN ({places})"
        )  # question marks
        for seq, defaults, keys, *values in connection.execute(sql, part):
            found[seq] = _row(values, defaults, keys)
    return tuple(found[seq] for seq in wanted if seq in found)


def _varied(connection: sqlite3.Connection, terms: tuple[Term, ...]) -> tuple[Varied, ...]:
    """What is not the same in all rows that match."""
    condition, parameters = where(terms)
    columns = ", ".join(IDENTITY)
    # `condition` is made of names of our own, as in `_order`.
    sql = (
        f"SELECT DISTINCT name, defaults, keys, {columns} FROM rows JOIN configs USING (seq)"  # noqa: S608
        f" WHERE {condition} LIMIT {_MOST_ASKED}"
    )
    variation = Variation()
    for name, defaults, keys, *identity in connection.execute(sql, parameters).fetchall():
        found = asked(name, msgspec.json.decode(keys), whole=bool(defaults))
        variation.add(found, dict(zip(IDENTITY, identity, strict=True)))
    return variation.found()


def _fits(connection: sqlite3.Connection) -> bool:
    """Whether its tables are those of this registry."""
    return bool(connection.execute("PRAGMA user_version").fetchone()[0] == _SCHEMA)


def _first_version() -> int:
    """Different from any that another index of the folder had."""
    return time.time_ns() // 1_000_000
