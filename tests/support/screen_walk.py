"""A walk through the screen in a real terminal, key by key, and what may not be in what it writes."""

import base64
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pyte
from support.terminal_output import offences

TESTS = Path(__file__).parent.parent
ESC = "\x1b"
PANES: dict[str, list[str]] = {
    "1": ["\r", ESC, "h", "j", "h"],
    "2": ["\r", ESC, "l", "j", "\r", ESC, "x", "n", ESC, "J", "d", "R", "e", ESC, "2", "s", "u", "P"],
    "3": ["M", ESC, "E", ESC, "O", ESC, "v", "F", "W", ESC, "/", "m", ESC, "r", "n", ESC],
    "4": ["]", "["],
    "5": ["\r", "\t", "\t", "\t", "G", ESC, "a", "c", "d", "l", "\r", ESC, ESC, "b", "s", "S", "C", ESC, "B", ESC, "O",
          "R", ESC, "D", "n", ESC, "/", "l", "\r", ESC, "L"],
    "6": ["f", "w", "/", "a", "\r", "n", ESC],
    "7": ["g", ESC, "l", ESC, "u", ESC],
}  # fmt: skip
"""What opens everything that a pane can open, by the pane's key."""
OVER = ["?", ESC, ":", *"det", ESC, ",", ESC, "T"]
COPYING = ["5", "O", "y", "Y", "2", "y"]
# What Textual and the driver write: positions, colours, modes, the keyboard protocol, questions, the pointer's
# shape, and the window's title.
_OURS = re.compile(
    r"\x1b\[(?:\d+(?:;\d+)*)?[Hm]|\x1b\[\?\d+(?:;\d+)*(?:[hlu]|\$p)|\x1b\[[<>=]?[\d;]*u|\x1b\[\d*[ABCDKJ]|\x1b\[\d+n"
    r"|\x1b\[2[23];2t|\x1b\]2;[^\x00-\x1f\x7f-\x9f]*\x07"
    r"|\x1b\[c|\x1b\[(?:\?|>)\d*[mc]|\x1b\]22;[a-z-]*\x07|\x1b\]52;c;[A-Za-z0-9+/=]*\x07|\x18"
)
_COPIED = re.compile(r"\x1b\]52;c;([A-Za-z0-9+/=]*)\x07")
_SIDES = frozenset(" ╭╰╮╯│┃┏┗┓┛")
PATIENCE_S = 60.0
REDRAWN_S = 10.0


class Walk:
    """`python -m MODULE ARGUMENTS` in a pseudo terminal, with a home in `folder`; `screen` is what a person sees.

    `path` is where else modules are looked for.
    """

    def __init__(
        self, module: str, *arguments: str, folder: Path, size: tuple[int, int], path: Path | None = None
    ) -> None:
        self.master, slave = pty.openpty()
        self.folder, self.output, self.drawn = folder, b"", 0
        self.screen = pyte.Screen(*size)
        self._stream = pyte.ByteStream(self.screen)
        self._size(slave, size)
        (folder / "config" / "infertui").mkdir(parents=True)
        (folder / "config" / "infertui" / "settings.toml").write_text("")
        places = {f"XDG_{name.upper()}_HOME": str(folder / name) for name in ("state", "config", "cache")}
        modules = ":".join(str(one) for one in (TESTS, TESTS.parent, path) if one)
        kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
        self.process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments], cwd=folder, stdin=slave, stdout=slave, stderr=slave,
            start_new_session=True,
            env=kept | places | {
                "PYTHONPATH": modules, "TERM": "xterm-256color", "COLORTERM": "truecolor",
                "LANG": "C.UTF-8", "HOME": str(folder),
            },
        )  # fmt: skip
        os.close(slave)

    def resize(self, size: tuple[int, int]) -> None:
        self._size(self.master, size)
        self.screen.resize(size[1], size[0])
        self.process.send_signal(signal.SIGWINCH)
        self.settle()

    def until(self, text: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not any(text in line for line in self.screen.display):
            assert self.process.poll() is None, self.output[-3000:].decode(errors="replace")
            assert time.monotonic() < deadline, self.screen.display
            self.settle(0.1)

    def settle(self, quiet_s: float = 0.15, most_s: float = 5.0) -> None:
        """Read until nothing more comes."""
        end = time.monotonic() + most_s
        while time.monotonic() < end and select.select([self.master], [], [], quiet_s)[0]:
            try:
                piece = os.read(self.master, 1 << 16)
            except OSError:
                return
            self.output += piece
            self._stream.feed(piece)

    def press(self, key: str) -> list[str]:
        """Press it, and whatever is wrong with what the terminal then shows, and goes on to show."""
        os.write(self.master, key.encode())
        self.settle(0.3 if key == ESC else 0.12)
        end = time.monotonic() + REDRAWN_S
        while (moved := self._moved()) and time.monotonic() < end:  # a busy machine draws in pieces
            self.settle()
        wrong = [f"{key!r} moves the frame's sides: {moved}"] if moved else []
        if self.process.poll() is not None:
            wrong.append(f"{key!r} ended it with {self.process.poll()}")
        return wrong

    def _moved(self) -> list[str]:
        """The outermost columns where they hold anything but the frame; first and last lines are header and footer."""
        sides = [
            "".join(self.screen.buffer[row][column].data for row in range(1, self.screen.lines - 2))
            for column in (0, self.screen.columns - 1)
        ]
        return [side for side in sides if not _SIDES.issuperset(side)]

    def wrong(self) -> list[str]:
        """What was written that a terminal, or whoever pastes what was copied, would obey."""
        shown = self.output.decode(errors="replace").partition("\x1b[?1049h")[2]
        copied = "".join(base64.b64decode(one).decode() for one in _COPIED.findall(shown))
        return offences(_OURS.sub("", shown)) + offences(copied.replace("\t", ""))

    def end(self) -> int:
        """The exit code; what it writes meanwhile is read."""
        self.process.terminate()
        return self.left()

    def left(self) -> int:
        """The exit code of what is about to end."""
        end = time.monotonic() + PATIENCE_S
        try:
            while self.process.poll() is None and time.monotonic() < end:
                self.settle(0.1, 1.0)
            return self.process.wait(1)
        finally:
            self.close()

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self.master >= 0:
            os.close(self.master)
            self.master = -1

    @staticmethod
    def _size(descriptor: int, size: tuple[int, int]) -> None:
        fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))
