"""Run folders, and the index over them.

reports/results.jsonl            one line a run
reports/<run id>/run.toml        the resolved config: `infertui run` on it repeats the run
reports/<run id>/requests.jsonl  a line a request
reports/<run id>/telemetry.jsonl device and host samples
reports/<run id>/result.json     the run's line of the index
reports/<run id>/worker.log      what the backend printed
"""

import re
import secrets
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import msgspec

from infertui.errors import StoreError
from infertui.store.jsonl import JsonlWriter, read_lines, store_error
from infertui.store.result import Result


class RunFolder:
    """The folder of one run, created by `Store.create_run`. Every write raises StoreError when it fails."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.requests = JsonlWriter(path / "requests.jsonl")
        try:
            self.telemetry = JsonlWriter(path / "telemetry.jsonl")
        except StoreError:
            self.requests.close()
            raise

    @property
    def id(self) -> str:
        """The run's id is the folder's name."""
        return self.path.name

    @property
    def log(self) -> Path:
        """Where the worker's output goes."""
        return self.path / "worker.log"

    def write_config(self, toml: str) -> None:
        """Keep the resolved config as run.toml."""
        _write(self.path / "run.toml", toml.encode())

    def write_result(self, result: Result) -> None:
        """Keep the result beside what it summarises."""
        _write(self.path / "result.json", msgspec.json.format(msgspec.json.encode(result), indent=2) + b"\n")

    def close(self) -> None:
        """Release the files."""
        self.requests.close()
        self.telemetry.close()


class Store:
    """A reports folder: run folders and results.jsonl. Several processes may use one at once."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def index(self) -> Path:
        """The file of all results."""
        return self.root / "results.jsonl"

    def create_run(self, name: str, started: datetime) -> RunFolder:
        """A new folder with an id of its own, readable and sorting by time. Raises StoreError."""
        slug = re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-.")[:48] or "run"
        for _ in range(16):
            path = self.root / f"{started:%Y%m%d-%H%M%S}-{slug}-{secrets.token_hex(2)}"
            try:
                path.mkdir(parents=True)
            except FileExistsError:
                continue
            except OSError as error:
                raise store_error(path, error) from error
            return RunFolder(path)
        raise StoreError(f"{self.root}: no free name for a run folder")

    def append(self, result: Result) -> None:
        """Add a finished run to the index."""
        with JsonlWriter(self.index) as writer:
            writer.append(result)

    def without_result(self) -> list[str]:
        """Ids of runs that have begun and have no result: they are under way, or were cut off. Oldest first."""
        folders = (path.parent for path in self.root.glob("*/run.toml"))
        return sorted(folder.name for folder in folders if not (folder / "result.json").exists())

    def results(self, *, warn: Callable[[str], None]) -> list[Result]:
        """All results, oldest first."""
        return list(read_lines(self.index, Result, warn=warn))


def _write(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    partial = path.with_name(path.name + ".partial")
    try:
        partial.write_bytes(content)
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise store_error(path, error) from error
