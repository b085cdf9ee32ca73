"""Another program that measures, run to its end: in a process group of its own, watched, its output bounded."""

import contextlib
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

from infertui.errors import EngineError, UsageError
from infertui.paths import expand
from infertui.regular_files import is_file
from infertui.text import clean, one_line
from infertui.worker.failure import log_tail

MOST_OUTPUT = 64 << 20
_GRACE_S = 3.0
_LONGEST_LINE = 1000


def find_binary(name: str, given: str = "") -> Path:
    """The program to run: `given`, or the first of that name on PATH. Raises UsageError where there is none."""
    if given:
        path = expand(given)
        if not is_file(path) or not os.access(path, os.X_OK):
            raise UsageError(f"{one_line(given)} is not a program that can be run", remedy="See --binary.")
        return path.absolute()
    found = shutil.which(name)
    if found is None:
        raise UsageError(f"{name} is not on PATH", remedy="Name it with --binary FILE.")
    return Path(found)


def run_external(command: Sequence[str], log: Path, told: Callable[[str], None]) -> bytes:
    """Run a program and return what it wrote to standard output; what it says besides goes to `log` and to `told`.

    However this is left, by an interrupt too, nothing of the program's process group lives on. Raises EngineError when
    it cannot be started, fails, or writes more than `MOST_OUTPUT` bytes.
    """
    name = one_line(Path(command[0]).name, 80)
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
        )
    except OSError as error:
        raise EngineError(f"{name} cannot be started: {clean(error.strerror or str(error))}") from error
    assert process.stdout  # noqa: S101 (pipes were asked for)
    assert process.stderr  # noqa: S101
    listener = threading.Thread(target=_listen, args=(process.stderr, log, told), daemon=True)
    listener.start()
    try:
        output = process.stdout.read(MOST_OUTPUT + 1)
        if len(output) > MOST_OUTPUT:
            raise EngineError(f"{name} wrote more than {MOST_OUTPUT >> 20} MiB: that is no report")
        code = process.wait()
    finally:
        _end_group(process)
        listener.join(_GRACE_S)
    if code:
        how = f"was killed by signal {-code}" if code < 0 else f"failed with status {code}"
        tail = log_tail(log).split("\n")[-5:]
        raise EngineError(f"{name} {how}", remedy="\n".join(["It said:", *tail]) if any(tail) else "It said nothing.")
    return output


def _listen(stream: IO[bytes], log: Path, told: Callable[[str], None]) -> None:
    with log.open("ab") as kept:
        for line in iter(lambda: stream.readline(_LONGEST_LINE), b""):
            kept.write(line)
            kept.flush()
            told(one_line(line.decode("utf-8", errors="replace").rstrip("\n")))


def _end_group(process: "subprocess.Popen[bytes]") -> None:
    """Ask everything in the group to end, and see that it does."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE_S)
            if number == signal.SIGTERM and _group_lives(process.pid):
                continue
            return


def _group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True
