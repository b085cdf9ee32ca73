"""A client's two pipes to the runner. Neither ever stops its event loop."""

import asyncio
import os
from collections import deque
from collections.abc import Callable

import msgspec

from infertui.worker.loadgen.protocol import AnyClientCommand, ClientEvent, LoadSnapshot, decode_command, encode

_BLOCK = 1 << 16
_MUCH = 1 << 20


class ClientLink:
    """Sends events as the pipe takes them, keeps the others; hands on commands. Ends the process with the runner."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        events: int,
        commands: int,
        *,
        heard: Callable[[AnyClientCommand], None],
        unreadable: Callable[[str], None],
    ) -> None:
        os.set_blocking(events, False)
        os.set_blocking(commands, False)
        self._loop = loop
        self._events = events
        self._commands = commands
        self._heard = heard
        self._unreadable = unreadable
        self._queue: deque[memoryview] = deque()
        self._queued = 0
        self._line: list[bytes] = []
        loop.add_reader(commands, self._read)

    def emit(self, event: ClientEvent) -> None:
        """Send it whole, sooner or later. A snapshot is left out where nobody has read for long: the next has all."""
        if self._queued > _MUCH and isinstance(event, LoadSnapshot):
            return
        line = memoryview(encode(event))
        if not self._queue:
            line = line[self._write(line) :]
        if line:
            self._queue.append(line)
            self._queued += len(line)
            if len(self._queue) == 1:
                self._loop.add_writer(self._events, self._flush)

    def _flush(self) -> None:
        queue = self._queue
        while queue:
            written = self._write(queue[0])
            self._queued -= written
            if written < len(queue[0]):
                queue[0] = queue[0][written:]
                return
            queue.popleft()
        self._loop.remove_writer(self._events)

    def _write(self, line: memoryview) -> int:
        try:
            return os.write(self._events, line)
        except BlockingIOError:
            return 0
        except OSError:
            os._exit(1)

    def _read(self) -> None:
        try:
            block = os.read(self._commands, _BLOCK)
        except BlockingIOError:
            return
        if not block:
            os._exit(0)  # the runner is gone, or wants no more of this
        *lines, rest = block.split(b"\n")
        for line in lines:
            self._line.append(line)
            whole = b"".join(self._line)
            self._line.clear()
            try:
                command = decode_command(whole)
            except msgspec.DecodeError as error:
                self._unreadable(f"a command that cannot be read: {error}")
            else:
                self._heard(command)
        if rest:
            self._line.append(rest)
