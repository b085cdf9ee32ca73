"""Which loads of ours are on one server at the same time, whatever process they are of: each tells the others.

A file for each, which is locked as long as its load lasts: what a process leaves that was killed is no load.
"""

import contextlib
import fcntl
import hashlib
import os
import secrets
from pathlib import Path

from infertui.paths import runtime_dir, state_dir
from infertui.targets.endpoint.address import EndpointAddress
from infertui.text import one_line

FOLDER = "loads"
OTHERS = "another load of infertui was on this server meanwhile: "
_MOST_NAME = 200
_MOST_TOLD = 5


class LoadPresence:
    """Of one load, by the id of its run. Where files cannot be made or read, nobody is told of anybody."""

    def __init__(self, run: str, folder: Path | None = None) -> None:
        self.seen: dict[str, None] = {}
        """The other loads that were there so far."""
        self._folder = folder or (runtime_dir() or state_dir()) / FOLDER
        self._place = ""
        self._path = self._folder
        self._run = run
        self._descriptor = -1

    def begin(self, address: EndpointAddress) -> None:
        """Be there, and look who is."""
        self._place = hashlib.sha256(_place(address).encode()).hexdigest()[:16]
        self._path = self._folder / f"{self._place}-{os.getpid()}-{secrets.token_hex(4)}"
        hidden = self._path.with_name(f".{self._path.name}")
        with contextlib.suppress(OSError):
            # The runtime folder, too, may be of nobody else: a runner refuses one that is open to others.
            self._folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._folder.mkdir(exist_ok=True, mode=0o700)
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
            self._descriptor = os.open(hidden, flags, 0o600)
            os.write(self._descriptor, self._run.encode()[:_MOST_NAME])
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            hidden.rename(self._path)  # from then on it is seen, and is locked
        self.look()

    def look(self) -> None:
        """Who is there now."""
        if not self._place:
            return
        with contextlib.suppress(OSError):
            for path in self._folder.glob(f"{self._place}-*"):
                if path != self._path and (name := _held(path)):
                    self.seen[name] = None

    def close(self) -> None:
        """Be gone. Safe to call again."""
        if self._descriptor < 0:
            return
        self.look()
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)
        os.close(self._descriptor)
        self._descriptor = -1

    @property
    def note(self) -> str:
        """What is to be said of the others; empty: nothing."""
        if not self.seen:
            return ""
        more = f" and {len(self.seen) - _MOST_TOLD} more" if len(self.seen) > _MOST_TOLD else ""
        return OTHERS + ", ".join([*self.seen][:_MOST_TOLD]) + more


def _held(path: Path) -> str:
    """The run of a load that lasts; empty where it does not, of which nothing is to be left."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return ""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return one_line(os.read(descriptor, _MOST_NAME).decode("utf-8", "replace"), _MOST_NAME) or "one without a name"
    except OSError:
        return ""
    else:
        path.unlink(missing_ok=True)
        return ""
    finally:
        os.close(descriptor)


def _place(address: EndpointAddress) -> str:
    """The same of all names of this machine, and of every path below a server's URL."""
    if address.socket_path:
        return f"unix:{os.path.realpath(address.socket_path)}"
    return f"{'this machine' if address.loopback else address.host.lower()}:{address.port}"
