"""Running a step of a build: in a process group of its own, its output read as it comes and kept in a log."""

import contextlib
import os
import selectors
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from infertui.errors import EngineError
from infertui.targets.engine.tensorrt_llm.build.progress import BuildProgress, Reader, reason
from infertui.targets.engine.tensorrt_llm.build.recipe import Step
from infertui.text import clean

GRACE_S = 5.0
"""How long a group has to end after SIGTERM."""
TICK_S = 0.5
_TAIL_LINES = 60
_LONGEST_LINE = 1 << 16
_FULL = ("No space left on device", "Errno 28", "Disk quota exceeded")


def run(step: Step, log: Path, *, ranks: int, told: Callable[[BuildProgress], None]) -> float:
    """Run a step to its end; its seconds. `told` is called as it goes, at least every half second.

    Raises EngineError when it fails. Whatever is raised, Ctrl-C among it, nothing of its group is left running.
    """
    started = time.monotonic()
    reader, tail = Reader(step.name, ranks), deque[str](maxlen=_TAIL_LINES)
    try:
        process = subprocess.Popen(
            step.command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1", "TRTLLM_NO_USAGE_STATS": "1"},
        )
    except OSError as error:
        raise EngineError(f"{clean(step.command[0])} cannot be started: {error.strerror}") from error
    try:
        _follow(process, log, reader, tail, lambda: told(reader.now(time.monotonic() - started)))
        code = process.wait()
    except OSError as error:
        raise EngineError(
            f"{clean(str(log))} cannot be written: {error.strerror}", remedy="Make room, and build again."
        ) from error
    finally:
        end(process)
        if process.stdout:
            process.stdout.close()
    if code:
        raise _failure(step, code, list(tail), log)
    return time.monotonic() - started


def end(process: "subprocess.Popen[bytes]") -> None:
    """End a process and all of its group: asked first, then killed."""
    if process.poll() is None:
        _signal(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_S)
    _signal(process.pid, signal.SIGKILL)
    process.wait()


def _signal(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _follow(
    process: "subprocess.Popen[bytes]", log: Path, reader: Reader, tail: deque[str], tick: Callable[[], None]
) -> None:
    """Read until the step has ended. Children that outlive it and hold the pipe are not waited for."""
    assert process.stdout is not None  # noqa: S101
    descriptor = process.stdout.fileno()
    os.set_blocking(descriptor, False)
    rest = b""
    with log.open("ab", buffering=0) as kept, selectors.DefaultSelector() as selector:
        selector.register(descriptor, selectors.EVENT_READ)
        while True:
            ended = process.poll() is not None
            ready = selector.select(0 if ended else TICK_S)
            data = os.read(descriptor, 1 << 16) if ready else None
            if data:
                kept.write(data)
                *lines, rest = (rest + data).replace(b"\r", b"\n").split(b"\n")
                if len(rest) > _LONGEST_LINE:
                    lines, rest = [*lines, rest], b""
                for line in lines:
                    text = line.decode(errors="replace")
                    tail.append(text)
                    reader.take(text)
                    tick()
            elif data == b"" or (ended and not ready):
                break
            else:
                tick()
    if rest:
        tail.append(rest.decode(errors="replace"))
    # The pipe can be closed before the process is gone.
    while process.poll() is None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(TICK_S)
        tick()


def _failure(step: Step, code: int, tail: list[str], log: Path) -> EngineError:
    what = "converting the checkpoint" if step.name == "convert" else "trtllm-build"
    ending = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"failed with exit status {code}"
    why = reason(tail)
    if any(mark in line for line in tail for mark in _FULL):
        remedy = "The disk is full: make room, or name another with --out DIR or XDG_CACHE_HOME."
    elif any("out of memory" in line.lower() for line in tail):
        remedy = (
            "The GPU's memory is too small for it: a smaller --batch-size or --max-input-len, or --tensor-parallel."
        )
    elif code == -signal.SIGKILL:
        remedy = "The kernel kills what takes too much memory: building needs several times the weights."
    else:
        remedy = f"Its whole output is in {clean(str(log))}."
    return EngineError(f"{what} {ending}" + (f": {why}" if why else ""), remedy=remedy)
