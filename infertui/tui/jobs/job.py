"""A command of infertui, or another program, as a process of its own: nothing of it is on the event loop.

What they import, and how long they take, is no matter of the screen's then.
"""

import asyncio
import contextlib
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from infertui.text import clean

INFERTUI = (sys.executable, "-m", "infertui")
MOST_LINES = 400
"""Of what it says, the last ones are kept."""
_MOST_BYTES = 4096
"""Of a line."""
_GRACE_S = 5.0

JobState = Literal["waiting", "running", "done", "failed", "stopped"]


class CommandJob:
    """One such process. `changed` is called on the event loop whenever it said something or ended."""

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        environ: Mapping[str, str],
        folder: Path | None = None,
        program: Sequence[str] = INFERTUI,
    ) -> None:
        self.arguments = (*program, *arguments)
        self.lines: deque[str] = deque(maxlen=MOST_LINES)
        self.state: JobState = "waiting"
        self.changed: Callable[[], None] = lambda: None
        self._environ = environ
        self._folder = folder
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = False

    @property
    def ended(self) -> bool:
        """Whether it is over, however that came."""
        return self.state in ("done", "failed", "stopped")

    async def run(self) -> None:
        """Run it to its end; it ends with whoever waits here."""
        try:
            self._process = await asyncio.create_subprocess_exec(
                *self.arguments, cwd=self._folder, env=dict(self._environ),
                stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
                start_new_session=True, limit=1 << 16,
            )  # fmt: skip
        except (OSError, ValueError) as error:
            self.lines.append(clean(f"cannot start: {error}"))
            self._become("failed")
            return
        self._become("running")
        try:
            await self._read(self._process.stdout)
            code = await self._process.wait()
        finally:
            self._kill(signal.SIGKILL)
        self._become("stopped" if self._stopping else "failed" if code else "done")

    async def _read(self, stream: asyncio.StreamReader | None) -> None:
        """Lines; a progress line that begins anew with a carriage return is the same line."""
        rest = b""
        while stream is not None and (piece := await stream.read(1 << 16)):
            *whole, rest = (rest + piece).split(b"\n")
            for line in whole:
                self._say(line)
            rest = rest[-_MOST_BYTES:]
            if whole:
                self.changed()
        if rest:
            self._say(rest)

    def _say(self, line: bytes) -> None:
        text = line[-_MOST_BYTES:].decode("utf-8", errors="replace").rstrip("\r").rpartition("\r")[2]
        self.lines.append(clean(text).rstrip())

    def _become(self, state: JobState) -> None:
        self.state = state
        self.changed()

    def stop(self) -> None:
        """Interrupt it, as ctrl+c would; what does not end within seconds is killed."""
        if self._process is not None and self.state == "running" and not self._stopping:
            self._stopping = True
            self._kill(signal.SIGINT)
            asyncio.get_running_loop().call_later(_GRACE_S, self._kill, signal.SIGKILL)

    def _kill(self, number: signal.Signals) -> None:
        process = self._process
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, number)

    @property
    def last_line(self) -> str:
        """What it said last; empty lines do not count."""
        return next((line.strip() for line in reversed(self.lines) if line.strip()), "")
