"""One file from the hub into a file on disk, resumed where an earlier attempt, even of another process, was cut off.

huggingface_hub itself begins a cut-off file anew in the next process; with weights of many gigabytes that is not
good enough. This brings the bytes; the layout of the cache stays huggingface_hub's business.
"""

import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event
from typing import Any

from msgspec import Struct

from infertui.errors import ModelError
from infertui.text import one_line

PARTIAL_SUFFIX = ".infertui.incomplete"
"""The ending of a file under way. Both huggingface_hub and the model list take `.incomplete` for what it says."""

_BLOCK = 1 << 20


class RemoteFile(Struct, frozen=True):
    """A file of a repository: its name, its size in bytes, and its digest, which also names it in the cache.

    The digest is SHA-256 (64 digits) of large files and git's SHA-1 of a blob (40 digits) of the others.
    """

    name: str
    size: int
    digest: str


class TransferStopped(Exception):  # noqa: N818 - not an error: the user asked for it
    """The transfer was asked to stop. What has arrived is kept."""


class HubAccess(Struct, frozen=True):
    """How to reach the hub: an HTTP client, its headers, what its failures are called, and how patient to be."""

    session: Any
    headers: dict[str, str]
    network_error: type[Exception]
    raise_for_status: Callable[[Any], None]
    timeout_s: float = 10.0
    attempts: int = 5
    first_delay_s: float = 0.5


Advance = Callable[[int, bool], None]
"""Told every gain in bytes, and whether they were on disk before. The gain is negative where bytes were lost."""


def fetch(hub: HubAccess, url: str, file: RemoteFile, destination: Path, *, stop: Event, advance: Advance) -> None:
    """Bring `file` from `url` to `destination`, whose folder exists.

    A dropped connection is taken up again; `hub.attempts` in a row without a byte are the end. Raises Stopped,
    ModelError (the content is not what it should be, or another process is fetching it), what `raise_for_status`
    raises, `network_error`, or OSError.
    """
    partial = destination.with_name(destination.name + PARTIAL_SUFFIX)
    if destination.exists():
        partial.unlink(missing_ok=True)  # another tool was faster
        advance(file.size, True)
        return
    with _locked(partial, file) as descriptor:
        if destination.exists():  # finished by the process that held the lock before
            partial.unlink(missing_ok=True)
            advance(file.size, True)
            return
        content = _Content(descriptor, file, advance)
        content.take_up(stop)
        _fill(hub, url, content, stop)
        if not content.is_sound():
            partial.unlink(missing_ok=True)
            raise ModelError(
                f"{one_line(file.name, 120)} arrived damaged: its checksum is not {file.digest}",
                remedy="It was removed. Run the command again; if it happens twice, suspect the server or a proxy.",
            )
        os.fsync(descriptor)
        partial.replace(destination)


def _fill(hub: HubAccess, url: str, content: "_Content", stop: Event) -> None:
    failures = 0
    while content.length < content.file.size:
        before = content.length
        try:
            _stream(hub, url, content, stop)
            # An answer that ends early, without any error, is a failure all the same.
            error: Exception = ModelError(
                f"{one_line(content.file.name, 120)} ended after {content.length} of {content.file.size} bytes",
                remedy="Run the command again to resume.",
            )
        except hub.network_error as caught:
            if 400 <= _status_of(caught) < 500 and _status_of(caught) not in {408, 416, 429}:
                raise
            error = caught
        failures = 0 if content.length > before else failures + 1
        if content.length < content.file.size:
            if failures >= hub.attempts:
                raise error
            if stop.wait(hub.first_delay_s * 2**failures):
                raise TransferStopped


def _stream(hub: HubAccess, url: str, content: "_Content", stop: Event) -> None:
    # Compressed answers would make the length on disk useless as the place to resume from.
    headers = {**hub.headers, "Accept-Encoding": "identity"}
    if content.length:
        headers["Range"] = f"bytes={content.length}-"
    with hub.session.stream("GET", url, headers=headers, timeout=hub.timeout_s) as response:
        if response.status_code >= 400:
            response.read()
            if response.status_code == 416:
                content.restart()
            hub.raise_for_status(response)
        resumed = response.headers.get("Content-Range", "").startswith(f"bytes {content.length}-")
        if content.length and not (response.status_code == 206 and resumed):
            content.restart()
            if response.status_code == 206:
                return
        encoded = "Content-Encoding" in response.headers
        for chunk in response.iter_bytes() if encoded else response.iter_raw():
            content.append(chunk)
            if stop.is_set():
                raise TransferStopped


class _Content:
    """The bytes so far, on disk and in the checksum."""

    def __init__(self, descriptor: int, file: RemoteFile, advance: Advance) -> None:
        self.file = file
        self.length = 0
        self._found = 0
        self._descriptor = descriptor
        self._advance = advance
        self._digest = self._fresh_digest()

    def _fresh_digest(self) -> "hashlib._Hash":
        if len(self.file.digest) == 64:
            return hashlib.sha256()
        return hashlib.sha1(b"blob %d\0" % self.file.size, usedforsecurity=False)

    def take_up(self, stop: Event) -> None:
        """Count in what an earlier process left."""
        if os.fstat(self._descriptor).st_size > self.file.size:
            os.ftruncate(self._descriptor, 0)
        while block := os.pread(self._descriptor, _BLOCK, self.length):
            if stop.is_set():
                raise TransferStopped
            self._count(block, on_disk=True)
        self._found = self.length

    def restart(self) -> None:
        """Give up what is there: it cannot be continued."""
        os.ftruncate(self._descriptor, 0)
        self._advance(-self._found, True)
        self._advance(self._found - self.length, False)
        self.length = self._found = 0
        self._digest = self._fresh_digest()

    def append(self, chunk: bytes) -> None:
        """Write `chunk` behind the rest."""
        if self.length + len(chunk) > self.file.size:
            raise ModelError(
                f"{one_line(self.file.name, 120)} is longer than the {self.file.size} bytes that the hub announced",
                remedy="Run the command again; if it happens twice, suspect the server or a proxy.",
            )
        view = memoryview(chunk)
        while view:
            view = view[os.pwrite(self._descriptor, view, self.length + len(chunk) - len(view)) :]
        self._count(chunk, on_disk=False)

    def _count(self, block: bytes, *, on_disk: bool) -> None:
        self._digest.update(block)
        self.length += len(block)
        self._advance(len(block), on_disk)

    def is_sound(self) -> bool:
        """Whether all of it is what the digest stands for."""
        return self._digest.hexdigest() == self.file.digest


@contextmanager
def _locked(path: Path, file: RemoteFile) -> Iterator[int]:
    """Open `path` for reading and writing, for this process alone. The file stays when it is closed."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        # Where a file system knows no locks, the checksum still tells when two processes wrote into each other.
        with suppress(OSError):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ModelError(
                    f"{one_line(file.name, 120)} is being downloaded by another process",
                    remedy="Wait for it to finish; what it brings serves both.",
                ) from None
        yield descriptor
    finally:
        os.close(descriptor)


def _status_of(error: Exception) -> int:
    status = getattr(getattr(error, "response", None), "status_code", 0)
    return status if isinstance(status, int) else 0
