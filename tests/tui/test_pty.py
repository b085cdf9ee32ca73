"""The screen in a real terminal: signals, exit codes, a terminal that stops reading, one that goes away."""

import fcntl
import os
import pty
import random
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

TESTS = Path(__file__).parent.parent
PATIENCE_S = 40.0
RESTORED = (b"\x1b[?1049l", b"\x1b[?25h", b"\x1b[?1000l", b"\x1b[?2004l", b"\x1b[<u")


class Terminal:
    """A program in a pseudo terminal of 120x40."""

    def __init__(self, folder: Path, *, ignore_hangup: bool = False, beats: bool = False, **environ: str) -> None:
        self.master, self.slave = pty.openpty()
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        self.before = termios.tcgetattr(self.slave)
        self.output = b""
        inherited: tuple[int, ...] = ()
        self.beats = theirs = -1
        if beats:
            self.beats, theirs = os.pipe()
            environ["BEATS"], inherited = str(theirs), (theirs,)

        def prepare() -> None:
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
            if ignore_hangup:
                signal.signal(signal.SIGHUP, signal.SIG_IGN)

        kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
        config = folder / "config" / "infertui"
        config.mkdir(parents=True)
        (config / "settings.toml").write_text("gauge_hz = 10.0\n")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "support.pty_app"], cwd=folder, stdin=self.slave, stdout=self.slave,
            stderr=self.slave, preexec_fn=prepare, pass_fds=inherited,
            env=kept | {
                "PYTHONPATH": f"{TESTS}:{TESTS.parent}", "TERM": "xterm-256color", "COLORTERM": "truecolor",
                "LANG": "C.UTF-8", "HOME": str(folder), "XDG_CONFIG_HOME": str(folder / "config"),
                "XDG_STATE_HOME": str(folder / "state"), "XDG_CACHE_HOME": str(folder / "cache"),
            } | environ,
        )  # fmt: skip
        if beats:
            os.close(theirs)

    def until(self, condition: Callable[[], bool]) -> None:
        """Read what the program writes until `condition` holds."""
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < deadline, self.output[-2000:]
            ready, _, _ = select.select([self.master], [], [], 0.05)
            if ready:
                try:
                    self.output += os.read(self.master, 1 << 16)
                except OSError:
                    return

    def until_shown(self, text: bytes) -> None:
        self.until(lambda: text in self.output)

    def until_beat(self, condition: Callable[[int], bool]) -> int:
        """Wait for a turn of the program's event loop with so many texts waiting; reads nothing of the terminal."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            ready, _, _ = select.select([self.beats], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, "the event loop stands still"
            for line in os.read(self.beats, 4096).split():
                if condition(int(line)):
                    return int(line)

    def press(self, keys: str) -> None:
        os.write(self.master, keys.encode())

    def ended(self) -> int:
        """The exit code, once the program has ended; what it writes meanwhile is read."""
        self.until(lambda: self.process.poll() is not None)
        ready = True
        while ready:
            found, _, _ = select.select([self.master], [], [], 0.05)
            ready = bool(found)
            if ready:
                self.output += os.read(self.master, 1 << 16)
        return self.process.wait(PATIENCE_S)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for fd in (self.master, self.slave, self.beats):
            if fd >= 0:
                try:
                    os.close(fd)
                except OSError:
                    continue

    @property
    def restored(self) -> bool:
        return all(code in self.output for code in RESTORED) and termios.tcgetattr(self.slave) == self.before


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Callable[..., Terminal]]:
    opened: list[Terminal] = []

    def make(**more: Any) -> Terminal:
        opened.append(Terminal(tmp_path, **more))
        return opened[-1]

    yield make
    for one in opened:
        one.close()


SIGNALS = ["HUP", "INT", "QUIT", "ABRT", "USR1", "USR2", "ALRM", "TERM", "XCPU", "VTALRM", "PROF", "IO", "PWR"]


@pytest.mark.parametrize("name", SIGNALS)
def test_a_signal_leaves_with_the_terminal_restored(name: str, terminal: Any) -> None:
    number = signal.Signals[f"SIG{name}"]
    screen = terminal(RUNNING="1")
    screen.until_shown(b"gpu-box")
    screen.process.send_signal(number)
    assert screen.ended() == 128 + number
    assert screen.restored


def test_a_file_that_may_not_grow_does_not_end_the_screen(terminal: Any) -> None:
    screen = terminal(RUNNING="1")
    screen.until_shown(b"gpu-box")
    screen.process.send_signal(signal.SIGXFSZ)
    screen.press("q")
    screen.until_shown(b"Leave")
    screen.process.terminate()
    assert screen.ended() == 143
    assert screen.restored


@pytest.mark.parametrize("seed", range(4))
def test_a_signal_at_any_moment_leaves_no_terminal_raw(seed: int, terminal: Any) -> None:
    """From the first byte that changes the terminal on: while it starts, draws, and ends because of another one."""
    chance = random.Random(seed)
    screen = terminal(RUNNING="1", EVENTS="200", RATE="20")
    drawn = chance.choice([1, 300, 3000, 30000])
    screen.until(lambda: len(screen.output) >= drawn)
    for name in chance.sample(SIGNALS, 3):
        screen.process.send_signal(getattr(signal, f"SIG{name}"))
    assert screen.ended() > 128
    assert screen.restored


def test_keys_leave_with_the_terminal_restored(terminal: Any) -> None:
    screen = terminal(COLUMNS="70", LINES="20")
    screen.until_shown(b"gpu-box")
    assert b"\x1b[40;" in screen.output  # an exported size does not count: the last line is the fortieth
    assert b"\x1b[?1003h" not in screen.output  # moves of the mouse are not reported
    screen.press("q")
    assert screen.ended() == 0
    assert screen.restored


@pytest.mark.parametrize(
    "noise",
    [bytes(range(128, 256)), b"\x1b[M\xa5\xe8\xff" * 3, b"\x1b[<" + b"9" * 5000 + b";1;1M", b"\x1b[<-1;;M\x1b[<;M"],
    ids=["no UTF-8", "an old mouse", "a mouse far away", "a mouse nowhere"],
)
def test_bytes_that_are_no_keys_end_nothing(noise: bytes, terminal: Any) -> None:
    screen = terminal()
    screen.until_shown(b"gpu-box")
    os.write(screen.master, noise)
    pressed = 0.0

    def left() -> bool:
        # A key may be taken for the rest of a sequence that was begun.
        nonlocal pressed
        if time.monotonic() - pressed > 1:
            pressed = time.monotonic()
            screen.press("q")
        return screen.process.poll() is not None

    screen.until(left)
    assert screen.ended() == 0
    assert screen.restored


def test_redrawing_writes_everything_again(terminal: Any) -> None:
    screen = terminal()
    screen.until_shown(b"gpu-box")
    screen.until_shown(b"Quit")
    before = len(screen.output)
    screen.press("\x0c")
    screen.until(lambda: b"gpu-box" in screen.output[before:] and b"Quit" in screen.output[before:])
    screen.press("q")
    assert screen.ended() == 0


def test_an_error_of_the_program_leaves_a_log_and_a_sentence(terminal: Any, tmp_path: Path) -> None:
    screen = terminal(CRASH="1")
    assert screen.ended() == 1
    assert screen.restored
    after = screen.output[screen.output.rindex(b"\x1b[?1049l") :].decode()
    assert "the screen failed" in after
    assert "Runs go on" in after.replace("\r\n", " ")
    assert "nobody's business" not in screen.output.decode()
    (log,) = (tmp_path / "state" / "infertui").glob("crash-*.log")
    assert "ZeroDivisionError: on purpose" in log.read_text()
    assert "nobody's business" not in log.read_text()


def test_a_terminal_that_stops_reading_stops_nothing_and_gets_no_stale_frames(terminal: Any) -> None:
    screen = terminal(RATE="50", beats=True)
    screen.until_shown(b"gpu-box")
    screen.until_beat(lambda waiting: waiting > 0)
    # Nobody reads from here on. The terminal's buffer fills, texts wait, and the loop goes on turning.
    screen.until_beat(lambda waiting: waiting > 3)
    turns = 0

    def turned(_waiting: int) -> bool:
        nonlocal turns
        turns += 1
        return turns > 100

    assert screen.until_beat(turned) < 12
    before = len(screen.output)
    screen.press("q")
    assert screen.ended() == 0
    assert screen.restored
    assert len(screen.output) - before < 200_000


def test_a_stalled_terminal_does_not_hold_up_the_end(terminal: Any) -> None:
    screen = terminal(RATE="50", beats=True)
    screen.until_shown(b"gpu-box")
    screen.until_beat(lambda waiting: waiting > 3)
    screen.process.terminate()
    assert screen.process.wait(PATIENCE_S) == 143
    assert b"\x1b[?1049l" not in screen.output
    # When it reads again, it is restored nevertheless.
    screen.until(lambda: all(code in screen.output for code in RESTORED))
    assert screen.restored


def test_a_terminal_that_goes_away_ends_the_screen_even_with_hangups_ignored(terminal: Any) -> None:
    screen = terminal(ignore_hangup=True)
    screen.until_shown(b"gpu-box")
    os.close(screen.slave)
    os.close(screen.master)
    screen.slave = screen.master = -1
    assert screen.process.wait(PATIENCE_S) == 129


@pytest.mark.parametrize("number", [signal.SIGTSTP, signal.SIGSTOP], ids=["TSTP", "STOP"])
def test_being_stopped_and_continued_draws_everything_again(number: int, terminal: Any) -> None:
    screen = terminal()
    screen.until_shown(b"gpu-box")
    screen.process.send_signal(number)
    state = Path(f"/proc/{screen.process.pid}/stat")
    screen.until(lambda: state.read_text().rpartition(")")[2].split()[0] == "T")
    before = len(screen.output)
    screen.process.send_signal(signal.SIGCONT)
    screen.until(lambda: b"gpu-box" in screen.output[before:] and b"Quit" in screen.output[before:])
    screen.press("q")
    assert screen.ended() == 0
    assert screen.restored


def test_resizing_is_followed(terminal: Any) -> None:
    screen = terminal()
    screen.until_shown(b"gpu-box")
    for columns, lines in [(200, 50), (30, 8), (80, 24)] * 3:
        fcntl.ioctl(screen.slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        screen.process.send_signal(signal.SIGWINCH)
    before, pressed = len(screen.output), 0.0

    def drawn_again() -> bool:
        # Only what differs is written, so that a word may come in pieces; drawing anew writes it whole.
        nonlocal pressed
        if time.monotonic() - pressed > 1:
            pressed = time.monotonic()
            screen.press("\x0c")
        return b"[3 Config]" in screen.output[before:]

    screen.until(drawn_again)
    screen.press("q")
    assert screen.ended() == 0
