"""Files that do not answer, as those of a network folder whose server is gone."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path

import pytest

from infertui import regular_files


@contextmanager
def hanging_files(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Iterator[threading.Event]:
    """Whoever opens a file of `folder` waits until this ends; the event tells that somebody does."""
    reached, released = threading.Event(), threading.Event()
    opened = regular_files.opened

    def held(path: str | Path, *, buffering: int = -1) -> BufferedReader:
        if Path(path).is_relative_to(folder):
            reached.set()
            released.wait()
        return opened(path, buffering=buffering)

    with monkeypatch.context() as patch:
        patch.setattr(regular_files, "opened", held)
        try:
            yield reached
        finally:
            released.set()
