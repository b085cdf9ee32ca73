"""Drafts on disk: what a form held, one file for each screen on a reports folder, written whole or not at all."""

import contextlib
import fcntl
import hashlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec
from msgspec import Struct

from infertui import regular_files
from infertui.config.fields import field_of
from infertui.config.parse import FlatValue, axis_key, check_axis
from infertui.config.sources import default_layer
from infertui.errors import ConfigError, StoreError
from infertui.text import clean
from infertui.tui.config.form.base import Base
from infertui.tui.config.form.view import Typing

MAX_BYTES = 1 << 20
MOST_FILES = 64
"""Drafts of other folders that are kept; of more the oldest go."""
_PLACES = 8
_LONGEST_TYPED = 10_000
_SUFFIX = ".json"


class Draft(Struct, frozen=True):
    """What a form held: its values, what they are compared with, and the line that was being typed."""

    saved: str
    """ISO 8601 with offset."""
    base: Base
    values: dict[str, FlatValue]
    entry: int | None = None
    """The entry of the queue that was being edited."""
    typing: Typing | None = None
    cursor: str = ""
    """The row with the cursor."""


class DraftFile:
    """The draft of one screen on one reports folder. A second screen there has a place of its own.

    Its methods wait for the disk. They raise StoreError for a disk that does not take or give it.
    """

    def __init__(self, folder: Path, out: Path) -> None:
        self._folder = folder
        self._name = hashlib.sha256(os.fsencode(out)).hexdigest()[:20]
        self._lock: int | None = None
        self._path: Path | None = None

    def open(self) -> Draft | None:
        """Take the first place that no other screen has; what lies there, if anything of use does."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            for number in range(_PLACES):
                place = self._folder / f"{self._name}-{number}"
                descriptor = _locked(place.with_suffix(".lock"))
                if descriptor is not None:
                    self._lock, self._path = descriptor, place.with_suffix(_SUFFIX)
                    break
            else:
                return None
            _prune(self._folder, self._path)
            return _read(self._path)
        except OSError as error:
            raise StoreError(f"drafts cannot be kept in {clean(str(self._folder))}: {error.strerror}") from None

    def write(self, draft: Draft | None) -> None:
        """Replace what lies there; None takes it away. Nothing happens without a place."""
        if self._path is None:
            return
        try:
            if draft is None:
                self._path.unlink(missing_ok=True)
                return
            content = msgspec.json.encode(_bounded(draft))
            if len(content) > MAX_BYTES:
                raise StoreError(f"what the form holds is too large to be kept as a draft: {len(content):,} bytes")
            _replace(self._path, content)
        except OSError as error:
            raise StoreError(f"the draft cannot be kept: {error.strerror}") from None

    def close(self) -> None:
        """Give the place up; the draft stays."""
        if self._lock is not None:
            os.close(self._lock)
        self._lock = self._path = None


def usable(values: Mapping[str, FlatValue]) -> dict[str, FlatValue]:
    """Of the values those that are still keys with values that are allowed; keys that are missing have defaults."""
    found = dict(default_layer().values)
    for path, value in values.items():
        with contextlib.suppress(ConfigError):
            if key := axis_key(path):
                found[path] = check_axis(path.removesuffix(f".{key}"), key, value, "")
            elif path.startswith("labels."):
                if isinstance(value, str):
                    found[path] = value
            elif (field := field_of(path)) is not None:
                found[path] = field.check(value)
    return found


def _bounded(draft: Draft) -> Draft:
    typing, base = draft.typing, draft.base
    if typing is not None and len(typing.text) > _LONGEST_TYPED:
        typing = msgspec.structs.replace(typing, text=typing.text[:_LONGEST_TYPED])
    if len(base.text) > MAX_BYTES // 4:  # without it, saving asks before it overwrites the file
        base = msgspec.structs.replace(base, text="")
    return msgspec.structs.replace(draft, typing=typing, base=base)


def _read(path: Path) -> Draft | None:
    try:
        draft = msgspec.json.decode(regular_files.read(path, MAX_BYTES), type=Draft)
    except FileNotFoundError:
        return None
    except (msgspec.MsgspecError, UnicodeError, RecursionError, OSError):
        return None  # of another version, or nothing of ours: it is written over
    base = msgspec.structs.replace(draft.base, values=usable(draft.base.values))
    return msgspec.structs.replace(draft, base=base, values=usable(draft.values))


def _replace(path: Path, content: bytes) -> None:
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".draft-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _locked(path: Path) -> int | None:
    """The lock of a place, which its process has until it ends in whatever way; None where another one has it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except OSError:
        pass  # a file system without locks: the last who writes is kept
    return descriptor


def _prune(folder: Path, own: Path) -> None:
    for path in sorted(_files(folder), key=_age)[MOST_FILES:]:
        if path != own and (descriptor := _locked(path.with_suffix(".lock"))) is not None:
            path.unlink(missing_ok=True)
            path.with_suffix(".lock").unlink(missing_ok=True)
            os.close(descriptor)


def _files(folder: Path) -> Iterator[Path]:
    return (Path(entry.path) for entry in os.scandir(folder) if entry.name.endswith(_SUFFIX))


def _age(path: Path) -> float:
    try:
        return -path.stat().st_mtime
    except OSError:
        return 0.0
