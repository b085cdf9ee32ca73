"""A client of the runner that lives; where none does, one is started in the background. Light, as the client is."""

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from infertui import __version__, env_file, regular_files
from infertui.api.client import Client
from infertui.api.errors import RunnerUnavailableError
from infertui.api.remote.place import Remote
from infertui.api.runtime import (
    Holder,
    Lock,
    default_socket_path,
    has_runtime_dir,
    holder_of,
    log_file,
    make_state_dir,
    queue_lock,
    socket_path,
    start_lock,
)
from infertui.text import clean

START_TIMEOUT_S = 30.0
READY = b"ready\n"
"""What a runner writes to the descriptor of `--ready-fd` once it answers; one that cannot start writes why."""
_HELLO_TIMEOUT_S = 5.0
_POLL_S = 0.05
_END_S = 5.0
_MAX_LOG = 1 << 20
_LOG_TAIL = 2000
# Of the screen that starts it; a runner has no terminal.
_TERMINAL_VARIABLES = ("COLUMNS", "LINES")
# The runner lives in another folder than the one that these are meant in.
_PATHS = ("HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE")
_PATH_LISTS = ("PYTHONPATH", "INFERTUI_MODELS_DIR")


async def find_running(path: Path | Remote | None = None, environ: Mapping[str, str] = os.environ) -> Client:
    """A client of the runner that lives, on this machine or where it is said. Raises RunnerUnavailableError,
    OtherVersionError."""
    where = path or socket_path(environ)
    await Client(where, timeout_s=_HELLO_TIMEOUT_S).hello()
    return Client(where)


async def ensure_running(
    path: Path | None = None, environ: Mapping[str, str] = os.environ, *, timeout_s: float = START_TIMEOUT_S
) -> Client:
    """A client of the runner that lives, or of one that is started now, which outlives this process.

    Several that ask at once get the same. Raises RunnerUnavailableError with the end of its log when none comes up,
    and OtherVersionError.
    """
    with contextlib.suppress(RunnerUnavailableError):
        return await find_running(path, environ)
    make_state_dir(environ)
    deadline = asyncio.get_running_loop().time() + timeout_s
    with Lock(start_lock(environ)) as starting:
        me = Holder(os.getpid(), __version__, "", socket.gethostname())
        while not starting.acquire(me, settling_s=0):
            await _pause(deadline, "another process is starting a runner, and does not get done")
        while True:
            with contextlib.suppress(RunnerUnavailableError):
                return await find_running(path, environ)
            holder = holder_of(queue_lock(environ))
            if holder is None:
                usual = default_socket_path(environ) if has_runtime_dir(environ) else None
                await _start(path or usual, environ, deadline)
            elif holder.hostname not in ("", socket.gethostname()):
                raise RunnerUnavailableError(
                    f"a runner on {clean(holder.hostname)} (process {holder.pid}) uses this user's queue",
                    remedy="Give this machine a state directory of its own with XDG_STATE_HOME.",
                )
            else:
                await _pause(deadline, f"a runner (process {holder.pid or 'unknown'}) is there and does not answer")


async def _pause(deadline: float, complaint: str) -> None:
    if asyncio.get_running_loop().time() > deadline:
        raise RunnerUnavailableError(complaint, remedy="`infertui status` tells more; its log may, too.")
    await asyncio.sleep(_POLL_S)


async def _start(path: Path | None, environ: Mapping[str, str], deadline: float) -> None:
    """Start a runner and wait until it answers. One that ends because another was faster is no error.

    Without a path it chooses one itself.
    """
    log = log_file(environ)
    ready, ready_theirs = os.pipe()
    try:
        before, process = _spawn(path, environ, log, ready_theirs)
    except BaseException:
        os.close(ready)
        raise
    finally:
        os.close(ready_theirs)
    said = await _read_to_end(ready, deadline)
    if said == READY:
        return
    if said is None:
        why = "it is not ready in time"
    else:
        # The pipe is closed a moment before the process is gone, and its locks with it.
        code = await _end_of(process)
        if holder_of(queue_lock(environ)):
            return
        why = f"it ended at once (exit code {code})"
    # On a full disk the log is empty.
    told = _tail(log, before) or clean((said or b"")[:_LOG_TAIL].decode(errors="replace"), lines=True).strip()
    raise RunnerUnavailableError(
        f"the runner could not be started: {why}", remedy=f"{told}\nIts log: {clean(str(log))}".strip()
    )


async def _end_of(process: "subprocess.Popen[bytes]") -> int | None:
    """The exit code of a process that is ending; None when it takes its time."""
    for _ in range(round(_END_S / _POLL_S)):
        if process.poll() is not None:
            break
        await asyncio.sleep(_POLL_S)
    return process.returncode


def _spawn(
    path: Path | None, environ: Mapping[str, str], log: Path, ready: int
) -> "tuple[int, subprocess.Popen[bytes]]":
    """Start the process, in a session of its own; the length of the log before, and its handle."""
    environment = {name: value for name, value in environ.items() if name not in _TERMINAL_VARIABLES}
    for name in _PATH_LISTS:
        if environment.get(name):
            parts = environment[name].split(os.pathsep)
            environment[name] = os.pathsep.join(str(Path(part).absolute()) for part in parts)
    for name in _PATHS:
        if environment.get(name) and environment[name][0] not in "~$":
            environment[name] = str(Path(environment[name]).absolute())
    environment[env_file.OFF] = "1"  # what there was is in the environment
    place = ["--socket", str(path.absolute())] if path else []
    command = [sys.executable, "-P", "-m", "infertui", "serve", *place]
    try:
        if log.exists() and log.stat().st_size > _MAX_LOG:
            log.replace(log.with_name(log.name + ".old"))
        with log.open("ab") as output:
            before = output.tell()
            process = subprocess.Popen(
                [*command, "--ready-fd", str(ready)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environment,
                cwd="/",
                pass_fds=(ready,),
                start_new_session=True,
            )
    except OSError as error:
        raise RunnerUnavailableError(
            f"the runner could not be started: {clean(str(error.filename or command[0]))}: {error.strerror or error}",
            remedy=f"Its log is {clean(str(log))}; XDG_STATE_HOME names another place for it.",
        ) from error
    return before, process


async def _read_to_end(descriptor: int, deadline: float) -> bytes | None:
    """What comes through a pipe until its other end is closed; None when the time is over first."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    transport, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(descriptor, "rb", 0)
    )
    try:
        async with asyncio.timeout_at(deadline):
            return await reader.read()
    except TimeoutError:
        return None
    finally:
        transport.close()


def _tail(log: Path, start: int) -> str:
    try:
        with regular_files.opened(log) as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(start, file.tell() - _LOG_TAIL))
            return clean(file.read().decode(errors="replace"), lines=True).strip()
    except OSError:
        return ""
