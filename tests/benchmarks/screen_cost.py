"""What the screen costs over a link: first paint, bytes and CPU a second, memory, and how soon a key shows.

Run it as a script: `python tests/benchmarks/screen_cost.py`. A 120x40 terminal, eight GPUs of which
every reading differs from the one before, over a runner in memory in the same process: CPU and memory include it.
Nothing is asserted: the figures depend on the machine.
"""

import argparse
import fcntl
import os
import pty
import select
import signal
import statistics
import struct
import sys
import tempfile
import termios
import time
from pathlib import Path

TESTS = Path(__file__).parents[1]
SETTLE_S = 4.0
KEYS = 200
CASES: tuple[tuple[str, dict[str, str], str], ...] = (
    ("idle, 8 GPUs at 1 Hz", {"RATE": "1"}, ""),
    ("idle, 8 GPUs at 2 Hz", {"RATE": "2"}, "gauge_hz = 2.0\n"),
    ("a run with charts, 1 Hz", {"RATE": "1", "RUNNING": "1"}, ""),
    ("the same, 1,000 events/s", {"RATE": "1", "RUNNING": "1", "EVENTS": "1000"}, ""),
    ("the same on a slow link", {"RATE": "1", "RUNNING": "1", "EVENTS": "1000"}, "slow_link = true\n"),
)


class Screen:
    """The program in a pseudo terminal."""

    def __init__(self, environ: dict[str, str], settings: str) -> None:
        self.folder = tempfile.TemporaryDirectory()
        config = Path(self.folder.name) / "infertui"
        config.mkdir()
        (config / "settings.toml").write_text(settings)
        surroundings = {
            **os.environ, "PYTHONPATH": f"{TESTS}:{TESTS.parent}", "TERM": "xterm-256color", "COLORTERM": "truecolor",
            "LANG": "C.UTF-8", "HOME": self.folder.name, "XDG_CONFIG_HOME": self.folder.name, **environ,
        }  # fmt: skip
        surroundings.pop("SSH_CONNECTION", None)
        self.started = time.perf_counter()
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execve(  # noqa: S606
                sys.executable, [sys.executable, "-m", "support.pty_app"], surroundings
            )
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        self.output = b""

    def read(self, seconds: float) -> int:
        """Read for so long; the bytes that came."""
        before, end = len(self.output), time.perf_counter() + seconds
        while (left := end - time.perf_counter()) > 0:
            if select.select([self.fd], [], [], left)[0]:
                self.output += os.read(self.fd, 1 << 16)
        return len(self.output) - before

    def until(self, text: bytes, start: int = 0) -> float:
        """Read until `text` came; when that was."""
        while text not in self.output[start:]:
            if not select.select([self.fd], [], [], 20)[0]:
                raise TimeoutError(text)
            self.output += os.read(self.fd, 1 << 16)
        return time.perf_counter()

    def cpu_s(self) -> float:
        """Seconds of CPU so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory_mb(self) -> float:
        """Resident memory in MB."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / 1e6

    def key_ms(self) -> list[float]:
        """Milliseconds from a key that moves the cursor to the cursor's sign at its new place."""
        times = []
        for number in range(KEYS):
            self.read(0.05 + 0.013 * (number % 7))
            start, pressed = len(self.output), time.perf_counter()
            os.write(self.fd, b"j" if number % 8 < 4 else b"k")
            times.append((self.until("▸".encode(), start) - pressed) * 1e3)
        return times

    def close(self) -> None:
        """End it."""
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self.fd)
        self.folder.cleanup()


def first_paint(runs: int = 7) -> tuple[float, float]:
    """Median seconds from the start of the process to frames and keys, and to the runner's data."""
    frames, data = [], []
    for _ in range(runs):
        screen = Screen({}, "")
        frames.append(screen.until(b"Palette") - screen.started)
        data.append(screen.until(b"gpu-box") - screen.started)
        screen.close()
    return statistics.median(frames), statistics.median(data)


def main() -> None:
    """All cases, as a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0, help="how long each case is watched")
    seconds = parser.parse_args().seconds
    frames, data = first_paint()
    print(f"first paint {frames:.2f} s, with the runner's data {data:.2f} s")
    print(f"{'':28} {'kB/s':>7} {'CPU %':>7} {'MB':>6}")
    for name, environ, settings in CASES:
        screen = Screen(environ, settings)
        screen.until(b"gpu-box")
        screen.read(SETTLE_S)
        cpu = screen.cpu_s()
        count = screen.read(seconds)
        cpu = screen.cpu_s() - cpu
        print(
            f"{name:28} {count / seconds / 1e3:7.2f} {100 * cpu / seconds:7.1f} {screen.memory_mb():6.0f}", flush=True
        )
        screen.close()
    screen = Screen({"RATE": "1", "RUNNING": "1", "EVENTS": "1000"}, "")
    screen.until(b"gpu-box")
    os.write(screen.fd, b"3")
    screen.read(SETTLE_S)
    times = sorted(screen.key_ms())
    screen.close()
    p50, p99 = times[len(times) // 2], times[int(len(times) * 0.99)]
    print(f"key to repaint at 1,000 events/s: p50 {p50:.0f} ms, p99 {p99:.0f} ms")


if __name__ == "__main__":
    main()
