"""`--save-json`: requests in the simple form of the field, six fields a line."""

from pathlib import Path

from infertui.errors import UsageError
from infertui.formats.six_field import line_of
from infertui.measure.records import RequestRecord
from infertui.regular_files import exists, is_file
from infertui.results.jsonl import read_lines, store_error
from infertui.text import clean


class SixFieldFile:
    """Gathers the requests of finished runs and puts them in place at the end: an older file survives a failure."""

    def __init__(self, path: Path) -> None:
        if not path.name or (exists(path) and not is_file(path)):
            raise UsageError(f"--save-json {clean(str(path))} is not a file")
        self._path = path
        self._partial = path.with_name(path.name + ".partial")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._partial.write_bytes(b"")
        except OSError as error:
            raise UsageError(f"--save-json {clean(str(path))}: {error.strerror}") from error

    def add(self, requests: Path) -> None:
        """Add the requests of a run. Raises StoreError."""
        try:
            with self._partial.open("ab") as stream:
                for record in read_lines(requests, RequestRecord, warn=lambda _: None):
                    stream.write(line_of(record))
        except OSError as error:
            raise store_error(self._path, error) from error

    def close(self) -> None:
        """Put what was gathered in place, if there is anything."""
        if self._partial.stat().st_size:
            self._partial.replace(self._path)
        else:
            self._partial.unlink()
