"""A child process in a session of its own, with pipes of its own for messages each way, and a lifeline."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Self


class PipedChild:
    """A child and its pipes. It reads commands, writes events, and dies with whoever holds this.

    The module's `main` is given the numbers of three inherited descriptors: events, commands, and the lifeline, which
    it hands to `lifeline.watch_lifeline`.
    """

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        reader: asyncio.StreamReader,
        transport: asyncio.ReadTransport,
        commands: int,
        lifeline: int,
    ) -> None:
        self.reader = reader
        self._process = process
        self._transport = transport
        self._commands = commands
        self._lifeline = lifeline

    @classmethod
    async def spawn(
        cls, module: str, log: Path, environment: Mapping[str, str], *, most_line: int, python: str = sys.executable
    ) -> Self:
        """Run a module whose output goes to `log`; a line of its events has at most `most_line` bytes."""
        events_read, events_write = os.pipe()
        commands_read, commands_write = os.pipe()
        lifeline_read, lifeline_write = os.pipe()
        theirs = (events_write, commands_read, lifeline_read)
        try:
            with log.open("ab") as output:
                process = await asyncio.create_subprocess_exec(
                    python,
                    *("-P", "-m", module, *map(str, theirs)),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    pass_fds=theirs,
                    start_new_session=True,
                    env=dict(environment),
                )
        except BaseException:
            for descriptor in (events_read, commands_write, lifeline_write):
                os.close(descriptor)
            raise
        finally:
            for descriptor in theirs:
                os.close(descriptor)
        reader = asyncio.StreamReader(limit=most_line)
        loop = asyncio.get_running_loop()
        try:
            transport, _ = await loop.connect_read_pipe(
                lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(events_read, "rb", 0)
            )
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            os.close(commands_write)
            os.close(lifeline_write)
            raise
        return cls(process, reader, transport, commands_write, lifeline_write)

    @property
    def pid(self) -> int:
        """Also the id of its process group."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the process has not ended."""
        return self._process.returncode is None

    async def write(self, line: bytes) -> None:
        """Send a command whole. Raises OSError when nobody reads it any more."""
        await asyncio.to_thread(_write_all, self._commands, line)

    async def wait(self) -> int:
        """Its exit code, negative: the signal that killed it."""
        return await self._process.wait()

    async def kill(self) -> None:
        """Kill the whole process group now and release the pipes. Safe to call again."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        await self._process.wait()
        self._transport.close()
        for descriptor in (self._commands, self._lifeline):
            if descriptor >= 0:
                os.close(descriptor)
        self._commands = self._lifeline = -1


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
