"""Where a user's runner lives: its socket, the locks that keep it the only one, its queue and its log.

The socket is in the runtime directory, which may vanish when its user logs out; queue and log are in the state
directory, which stays. Whoever holds the queue's lock notes in it where the socket is, so that a client finds a runner
that was started with other variables set. Where there is no runtime directory, the runner makes one whose name nobody
can guess, and that note alone tells it.
"""

import contextlib
import fcntl
import os
import socket
import stat
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import msgspec
from msgspec import Struct

from infertui.api.errors import UntrustedSocketError
from infertui.errors import InfertuiError, StoreError, UsageError
from infertui.paths import expand, runtime_dir, without_home
from infertui.paths import state_dir as state_dir
from infertui.results.jsonl import NO_ROOM, no_room
from infertui.text import clean

RUNTIME_VARIABLE = "INFERTUI_RUNTIME_DIR"
MAX_SOCKET_PATH = 107
"""Bytes of a unix socket's path: sun_path of unix(7) holds 108 with the null byte."""
SOCKET = "runner.sock"
_SHARED = Path("/tmp")  # noqa: S108 (what is made in it has a random name, and is looked at before it is used)
_EITHER = f"{RUNTIME_VARIABLE} or XDG_STATE_HOME"
_SETTLING_S = 0.3
_MAX_NOTE = 4096


class Holder(Struct, frozen=True):
    """Who holds a lock, as it wrote into it."""

    pid: int = 0
    version: str = ""
    socket: str = ""
    hostname: str = ""


def socket_path(environ: Mapping[str, str]) -> Path:
    """Where the socket of this user's runner is, or would be. Makes nothing."""
    holder = holder_of(queue_lock(environ))
    if holder and holder.socket and holder.hostname in ("", socket.gethostname()):
        return Path(holder.socket)
    return default_socket_path(environ)


def default_socket_path(environ: Mapping[str, str]) -> Path:
    """Where the socket of a runner started with these variables is. Makes nothing.

    Without a runtime directory nobody knows before it runs: then this is a place in the state directory that stays
    empty, and never one in a directory in which others could make it first.
    """
    return (_runtime_dir(environ) or state_dir(environ)) / SOCKET


def has_runtime_dir(environ: Mapping[str, str]) -> bool:
    """Whether these variables say where sockets go."""
    return _runtime_dir(environ) is not None


def new_socket_path(environ: Mapping[str, str], before: Path | None = None) -> Path:
    """Where a runner started with these variables puts its socket: where there is no runtime directory, in one of a
    random name that this makes, or that of the runner `before` where it is still ours alone. Raises StoreError.
    """
    if runtime := _runtime_dir(environ):
        return runtime / SOCKET
    if before and _is_made_here(before.parent) and _ours_alone(before.parent):
        return before
    try:
        return Path(tempfile.mkdtemp(prefix=_made_prefix(), dir=_SHARED)) / SOCKET
    except OSError as error:
        raise _trouble(_SHARED, error, RUNTIME_VARIABLE) from error


def check_socket(path: Path) -> None:
    """Raise UntrustedSocketError where somebody but this user and root could have put the socket there.

    Whoever is at its other end is a question of its own: `server.http` asks the kernel. A link could lead to a socket
    of root's that is no runner's. Nothing is said of what is not there.
    """
    with contextlib.suppress(OSError):
        for place, found in ((path.parent, path.parent.stat()), (path, path.lstat()), (path, path.stat())):
            if found.st_uid not in trusted_users():
                raise untrusted(place, f"belongs to user {found.st_uid}")
            if stat.S_ISDIR(found.st_mode) and found.st_mode & 0o022 and not found.st_mode & stat.S_ISVTX:
                raise untrusted(place, f"can be changed by others (mode {stat.S_IMODE(found.st_mode):04o})")


def trusted_users() -> frozenset[int]:
    """Whose sockets are believed: this user's and root's, for root its own alone."""
    return frozenset({os.getuid(), 0})


def untrusted(path: Path, problem: str) -> UntrustedSocketError:
    """The error of a socket, or its directory, that is not this user's."""
    return UntrustedSocketError(
        f"{clean(str(path))} {problem}, so what listens there may not be your runner; nothing was sent",
        remedy=f"To ask another user's runner, be that user (`sudo -u NAME infertui`). For one of your own name "
        f"another place with --socket, or with {RUNTIME_VARIABLE} and XDG_STATE_HOME.",
    )


def prepare_socket_dir(path: Path, environ: Mapping[str, str]) -> None:
    """Make the directory of a socket where it is missing; in the runtime directory it is ours alone.

    Raises UsageError for a path that is too long, InfertuiError for a directory that others could tamper with.
    """
    length = len(os.fsencode(path))
    if length > MAX_SOCKET_PATH:
        raise UsageError(
            f"the socket's path is {length} bytes long; a unix socket's may be {MAX_SOCKET_PATH}: {clean(str(path))}",
            remedy=f"Name a shorter directory with {RUNTIME_VARIABLE}, or a shorter path with --socket.",
        )
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise _trouble(path.parent, error, RUNTIME_VARIABLE) from error
    if path.parent == _runtime_dir(environ) or _is_made_here(path.parent):
        _check_private(path.parent)


def socket_lock(path: Path) -> Path:
    """What the runner that serves at a socket holds locked, beside it."""
    return path.with_name(path.name + ".lock")


def queue_file(environ: Mapping[str, str]) -> Path:
    """The database of the queue."""
    return state_dir(environ) / "queue.sqlite"


def queue_lock(environ: Mapping[str, str]) -> Path:
    """What the runner that uses the queue holds locked."""
    return state_dir(environ) / "runner.lock"


def start_lock(environ: Mapping[str, str]) -> Path:
    """What is held locked by whoever is about to start a runner."""
    return state_dir(environ) / "start.lock"


def log_file(environ: Mapping[str, str]) -> Path:
    """What a runner in the background has to say."""
    return state_dir(environ) / "runner.log"


def make_state_dir(environ: Mapping[str, str]) -> Path:
    """The state directory, made where it is missing. Raises StoreError."""
    path = state_dir(environ)
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise _trouble(path, error, "XDG_STATE_HOME") from error
    return path


def last_socket(environ: Mapping[str, str]) -> Path | None:
    """Where the socket of the last runner was, whether it lives or not."""
    with contextlib.suppress(OSError, msgspec.MsgspecError):
        if where := msgspec.json.decode(queue_lock(environ).read_bytes()[:_MAX_NOTE], type=Holder).socket:
            return Path(where)
    return None


def _runtime_dir(environ: Mapping[str, str]) -> Path | None:
    if named := environ.get(RUNTIME_VARIABLE):
        return expand(named).absolute()
    given = runtime_dir(environ)
    usable = given is not None and _ours_alone(given.parent) and os.access(given.parent, os.W_OK | os.X_OK)
    return given if usable else None


def _made_prefix() -> str:
    return f"infertui-{os.getuid()}-"


def _is_made_here(path: Path) -> bool:
    """Whether that is a directory such as `new_socket_path` makes, by its name."""
    return path.parent == _SHARED and path.name.startswith(_made_prefix())


def _ours_alone(path: Path) -> bool:
    try:
        found = path.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077


def _check_private(path: Path) -> None:
    """Raises InfertuiError when somebody else could put a socket of theirs in the place of ours."""
    if _ours_alone(path):
        return
    found = path.lstat()
    if stat.S_ISLNK(found.st_mode):
        problem = "is a symbolic link"
    elif found.st_uid != os.getuid():
        problem = f"belongs to user {found.st_uid}"
    else:
        problem = f"is open to others (mode {stat.S_IMODE(found.st_mode):04o})"
    raise InfertuiError(
        f"the runtime directory {clean(str(path))} {problem}; it must be a directory of yours with mode 0700",
        remedy=f"Remove it, `chmod 700` it, or name another directory with {RUNTIME_VARIABLE}.",
    )


def _trouble(path: Path, error: OSError, variable: str) -> StoreError:
    if homeless := without_home(path):
        return StoreError(homeless, remedy=f"Set HOME, or {variable} to a directory of yours.")
    if error.errno in NO_ROOM:
        return StoreError(
            f"cannot use {clean(str(path))}: {no_room(path, error)}",
            remedy=f"Free some room, or name another directory with {variable}.",
        )
    return StoreError(
        f"cannot use {clean(str(path))}: {error.strerror or error}", remedy=f"Name another directory with {variable}."
    )


class Lock:
    """An advisory lock on a file, held until it is released or the process ends, however it ends."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = -1

    def acquire(self, holder: Holder, *, settling_s: float = _SETTLING_S) -> bool:
        """Take the lock and note who has it; False when another process holds it. Raises StoreError."""
        deadline = time.monotonic() + settling_s
        while not self._try():
            # One that merely looks (`holder_of`) has it for some microseconds.
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)
        self.note(holder)
        return True

    def note(self, holder: Holder) -> None:
        """Say who holds it, which only its holder may."""
        with contextlib.suppress(OSError):  # on a full disk its holder is not known by name
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, msgspec.json.encode(holder), 0)

    def release(self) -> None:
        """Let go of it. The file stays."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _try(self) -> bool:
        try:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise _trouble(self.path, error, _EITHER) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(descriptor).st_ino != self.path.stat().st_ino:  # somebody removed the file meanwhile
                raise BlockingIOError
        except (BlockingIOError, FileNotFoundError):
            os.close(descriptor)
            return False
        except OSError as error:
            os.close(descriptor)
            raise _trouble(self.path, error, _EITHER) from error
        self._descriptor = descriptor
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.release()


def holder_of(path: Path) -> Holder | None:
    """Who holds a lock; None when nobody does."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        try:
            return msgspec.json.decode(os.pread(descriptor, _MAX_NOTE, 0), type=Holder)
        except (OSError, msgspec.MsgspecError):
            return Holder()  # it has the lock, and has not written yet
    except OSError:
        return None
    else:
        return None
    finally:
        os.close(descriptor)


def bind(path: Path) -> socket.socket:
    """A listening unix socket that is 0600 from its first moment. The caller holds its lock: what is there is stale.

    Raises InfertuiError where something else than a socket is in its place, or it cannot be made.
    """
    try:
        if stat.S_ISSOCK(path.lstat().st_mode):
            path.unlink()
        else:
            raise InfertuiError(
                f"{clean(str(path))} is there and is no socket", remedy="Remove it, or name another path with --socket."
            )
    except FileNotFoundError:
        pass
    except OSError as error:
        raise _trouble(path, error, RUNTIME_VARIABLE) from error
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # The mode of the descriptor becomes that of the path (Linux); unlike a umask it is nobody else's business.
        with contextlib.suppress(OSError):
            os.fchmod(listening.fileno(), 0o600)
        listening.bind(os.fspath(path))
        if stat.S_IMODE(path.lstat().st_mode) != 0o600:
            path.chmod(0o600)
        listening.listen(128)
        listening.setblocking(False)
    except OSError as error:
        listening.close()
        raise _trouble(path, error, RUNTIME_VARIABLE) from error
    return listening


def unlink_own(path: Path, inode: int) -> None:
    """Remove a socket unless another one has taken its place."""
    with contextlib.suppress(OSError):
        if path.lstat().st_ino == inode:
            path.unlink()
