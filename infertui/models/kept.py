"""What is made for a run and kept in the user's cache: files and folders, each whole or not there.

Several processes may ask for the same one: one makes it, the others wait. It is made under another name beside its
place, and moved there when it is whole, so that a maker that is killed leaves nothing that could be taken for it.
"""

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from infertui.errors import ModelError
from infertui.models.resolve import ModelSource
from infertui.models.weights import find_weights
from infertui.regular_files import is_file
from infertui.text import clean, one_line

ELSEWHERE = "Free some space, or set XDG_CACHE_HOME to a folder on another disk."


def kept(
    folder: Path,
    name: str,
    make: Callable[[Path], None],
    *,
    what: str,
    tell: Callable[[str], None] = lambda _: None,
    is_whole: Callable[[Path], bool] = is_file,
) -> Path:
    """`name` in `folder`, made there by `make` where `is_whole` does not find it.

    `make` gets the path of a file or folder to make; `what` is a word for such things, as in "GGUF file". Raises
    ModelError for a folder that cannot be made or written, and what `make` raises.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ModelError(f"the cache for {what}s cannot be made: {clean(str(error))}", remedy=ELSEWHERE) from error
    path = folder / name
    if is_whole(path):
        return path
    with _one_writer(folder, what, tell):
        if not is_whole(path):
            unfinished = path.with_name(f".{path.name}.{os.getpid()}.part")
            try:
                make(unfinished)
                if unfinished.is_dir() and path.is_dir():  # no rename replaces a folder that holds something
                    shutil.rmtree(path)
                unfinished.replace(path)
            except OSError as error:
                raise ModelError(f"{path} cannot be written: {clean(str(error))}", remedy=ELSEWHERE) from error
            finally:
                _remove(unfinished)
    return path


def fingerprint(source: ModelSource) -> str:
    """What a folder holds: its config, and name, size and time of each weight file. Reading all of it takes minutes."""
    seen = hashlib.sha256(msgspec.json.encode(source.config, order="deterministic"))
    for path in sorted(find_weights(source.path).files):
        found = path.stat()
        seen.update(f"{path.name}\0{found.st_size}\0{found.st_mtime_ns}\0".encode())
    return seen.hexdigest()


def slug(source: ModelSource) -> str:
    """What a model is called, as part of a file's name: at most 60 characters."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", source.id.removeprefix("synthetic:")).strip("-.")[-60:] or "model"


@contextlib.contextmanager
def _one_writer(folder: Path, what: str, tell: Callable[[str], None]) -> Iterator[None]:
    """Hold the folder's lock. The kernel lets go of it however a writer ends, so nothing is ever left locked."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise ModelError(f"the cache {one_line(folder)} cannot be used: {error.strerror}") from error
    try:
        with contextlib.suppress(OSError):  # a file system without locks: both write, and the last one stays
            _lock(descriptor, what, tell)
            for left in folder.glob(".*.part"):  # of a writer that was killed
                _remove(left)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, what: str, tell: Callable[[str], None]) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        tell(f"waiting for another process that writes {'an' if what[0] in 'AEIOU' else 'a'} {what}")
        fcntl.flock(descriptor, fcntl.LOCK_EX)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
