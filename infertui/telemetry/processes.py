"""What the operating system tells of processes on a GPU: whose they are, how old, and how they were started."""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePath
from typing import TypeVar

import psutil
from msgspec.structs import replace

from infertui.telemetry.readings import GpuProcess
from infertui.text import clean, one_line

T = TypeVar("T")
_INITIAL_NAMESPACE = 0xEFFFFFFC
"""Inode of the PID namespace that the kernel begins with (PROC_PID_INIT_INO of its proc_ns.h)."""
_COMMAND_CHARACTERS = 500
_USER_CHARACTERS = 64


def group_of(pid: int) -> int | None:
    """The process group of a process; None where it is gone or out of sight."""
    try:
        return os.getpgid(pid)
    except OSError:
        return None


def has_the_hosts_pids(root: Path = Path("/")) -> bool:
    """Whether PIDs that the driver tells are those of this process' namespace."""
    try:
        return (root / "proc/self/ns/pid").stat().st_ino == _INITIAL_NAMESPACE
    except OSError:
        return False


def described(
    processes: Sequence[GpuProcess], *, same_pids: bool | None = None, now: Callable[[], float] = time.time
) -> tuple[GpuProcess, ...]:
    """Processes with user, age and command, as far as they can be told.

    Elsewhere than in the host's PID namespace the same PID may be another process, so the name that the driver tells
    has to be its name, too. Takes some 0.1 ms each; command lines of others may be hidden.
    """
    same = has_the_hosts_pids() if same_pids is None else same_pids
    return tuple(_described(process, now(), same=same) for process in processes)


def owned(listed: Sequence[GpuProcess] | None, groups: Mapping[int, str]) -> tuple[GpuProcess, ...] | None:
    """As `described`, and with the run of each that is in one of these process groups."""
    if listed is None:
        return None
    return tuple(replace(one, run=groups.get(group_of(one.pid) or 0, "")) for one in described(listed))


def _described(process: GpuProcess, now: float, *, same: bool) -> GpuProcess:
    try:
        found = psutil.Process(process.pid)
        with found.oneshot():
            words = _asked(found.cmdline) or []
            if not same and not _is_named(process.name, found, words):
                return process
            user, started = _asked(found.username), _asked(found.create_time)
    except (psutil.Error, OSError, ValueError, OverflowError):
        return process
    return replace(
        process,
        user=one_line(user, _USER_CHARACTERS) if user else None,
        age_s=None if started is None else max(0.0, now - started),
        command=one_line(" ".join(words), _COMMAND_CHARACTERS) or None,
    )


def _asked(question: Callable[[], T]) -> T | None:
    try:
        return question()
    except (psutil.Error, OSError, KeyError, ValueError, UnicodeError):
        return None


def _is_named(name: str | None, found: psutil.Process, words: Sequence[str]) -> bool:
    if not name:
        return False
    known = {_asked(found.name), PurePath(_asked(found.exe) or "").name, PurePath(words[0]).name if words else ""}
    return PurePath(clean(name)).name in known - {"", None}
