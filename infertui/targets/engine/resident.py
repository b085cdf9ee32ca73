"""What processes have resident on the host, of this one and of those that an engine generates in."""

import contextlib
import os
import resource
from collections.abc import Iterable
from pathlib import Path

import psutil


def resident() -> int:
    """Resident set of this process now, in bytes."""
    fields = Path("/proc/self/statm").read_text(encoding="ascii").split()
    return int(fields[1]) * resource.getpagesize()


def resident_peak() -> int:
    """Peak resident set of this process in bytes since it began, or since the reset.

    Not from getrusage, whose maximum a process inherits from the one that started it.
    """
    return _peak(os.getpid()) or resident()


def reset_resident_peak() -> None:
    """Let the peak start again from what is resident now, where the kernel allows it."""
    _reset(os.getpid())


def resident_peak_of(processes: Iterable[int]) -> int | None:
    """The sum of the peaks of these processes and their descendants, in bytes; None without any.

    They need not have had them at the same time, and what they share counts in each.
    """
    peaks = [peak for pid in _families(processes) if (peak := _peak(pid))]
    return sum(peaks) if peaks else None


def reset_resident_peak_of(processes: Iterable[int]) -> None:
    """As `reset_resident_peak`, of these processes and their descendants."""
    for pid in _families(processes):
        _reset(pid)


def _families(processes: Iterable[int]) -> set[int]:
    found = set()
    for pid in processes:
        with contextlib.suppress(psutil.Error):
            found |= {pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))}
    return found


def _peak(pid: int) -> int:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace").split("\n"):
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0


def _reset(pid: int) -> None:
    with contextlib.suppress(OSError):
        Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="ascii")
