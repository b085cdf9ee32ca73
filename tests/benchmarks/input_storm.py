"""Keys, sizes, pastes and mouse reports by the thousand: the screen has to be there afterwards, and to answer.

Run it as a script: `python tests/benchmarks/input_storm.py --seed 1`. The screen is over a runner in memory, in a
pseudo terminal. After every storm it has to draw its footer again and to end as it is told to, and to leave no log of a
crash. It says how many storms of which kind there were. Exit code 1 where a fault was found.
"""

import argparse
import fcntl
import os
import random
import signal
import struct
import subprocess
import sys
import tempfile
import termios
from collections.abc import Callable
from pathlib import Path

TESTS = Path(__file__).parents[1]
sys.path[:0] = [str(TESTS), str(TESTS.parent)]

from support.screen_walk import ESC, Walk  # noqa: E402

SIZE = (120, 40)
# Without what leaves: q, ctrl+q, ctrl+c, and ctrl+z, which stops.
KEYS = (
    [chr(code) for code in range(32, 127) if chr(code) != "q"]
    + [chr(code) for code in range(1, 27) if code not in (3, 17, 26)]
    + [
        ESC,
        "\x1b[A",
        "\x1b[B",
        "\x1b[C",
        "\x1b[D",
        "\x1b[H",
        "\x1b[F",
        "\x1b[5~",
        "\x1b[6~",
        "\x1b[3~",
        "\x1b[Z",
        "\x1bOP",
    ]
    + ["\x1bx", "\x1b[1;5A", "é", "模", "👨\u200d👩", "\u0301", "\x7f", "\x1b[99999~", "\x1b[200~a\nb\x1b[201~"]
)


def send(walk: Walk, data: bytes) -> None:
    """Write it all, reading what comes meanwhile."""
    for start in range(0, len(data), 1024):
        os.write(walk.master, data[start : start + 1024])
        walk.settle(0.0, 0.1)


def keys(walk: Walk, chance: random.Random) -> None:
    for _ in range(400):
        send(walk, chance.choice(KEYS).encode())


def sizes(walk: Walk, chance: random.Random) -> None:
    for _ in range(300):
        columns, lines = chance.choice([1, 2, 5, 20, 80, 300]), chance.choice([1, 2, 5, 24, 100])
        fcntl.ioctl(walk.master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        walk.process.send_signal(signal.SIGWINCH)
        walk.settle(0.0, 0.02)
    fcntl.ioctl(walk.master, termios.TIOCSWINSZ, struct.pack("HHHH", SIZE[1], SIZE[0], 0, 0))
    walk.process.send_signal(signal.SIGWINCH)


def paste(walk: Walk, chance: random.Random) -> None:
    """A megabyte, in brackets and without, into whatever takes text."""
    text = bytes(chance.choice(b"abc <>=%\n\t\x1b[]{}\"'\\") for _ in range(1 << 16)) * 16
    for opened in (b"5/", b"3/", b"3W", b":", b"7l"):
        send(walk, opened)
        walk.settle()
        send(walk, b"\x1b[200~" + text.replace(b"\x1b", b"") + b"\x1b[201~")
        walk.settle(1.0, 30.0)
        send(walk, ESC.encode() * 2)
        walk.settle(0.5)


def mouse(walk: Walk, chance: random.Random) -> None:
    for _ in range(300):
        numbers = [str(chance.choice([-1, 0, 1, 3, 64, 65, 200, 10**6, 10**30])) for _ in range(3)]
        report = f"\x1b[<{';'.join(numbers)}{chance.choice('Mm')}".encode()
        send(walk, chance.choice([report, report[:-2], b"\x1b[M" + bytes(chance.randrange(256) for _ in range(3))]))
    send(walk, bytes(chance.randrange(128, 256) for _ in range(500)))


STORMS: dict[str, tuple[int, Callable[[Walk, random.Random], None]]] = {
    "keys": (6, keys), "sizes": (3, sizes), "mouse": (3, mouse), "paste": (1, paste),
}  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    faults = 0
    for name, (times, storm) in STORMS.items():
        found = 0
        for number in range(times):
            with tempfile.TemporaryDirectory(prefix="ift-") as folder:
                walk = Walk("support.pty_app", folder=Path(folder), size=SIZE)
                wrong = []
                try:
                    walk.until("gpu-box")
                    walk.until("Empty: ")
                    storm(walk, random.Random(f"{asked.seed} {name} {number}"))
                    walk.settle(1.0, 20.0)
                    for _ in range(30 * (walk.process.poll() is None)):  # what was sent may still be taken in
                        walk.press(ESC)
                        if "Quit" in walk.screen.display[-1]:
                            break
                    if walk.process.poll() is None:
                        walk.press("\x0c")
                        walk.until("Quit")
                    if (code := walk.end()) not in (0, 143):  # the palette leaves, too, where that is its line
                        wrong.append(f"it ended with {code}")
                except (AssertionError, OSError, subprocess.TimeoutExpired) as error:
                    wrong.append(f"{type(error).__name__}: {str(error)[-1500:]}")
                finally:
                    walk.close()
                wrong += [path.read_text()[-1500:] for path in Path(folder).glob("state/infertui/crash-*.log")]
            found += bool(wrong)
            for each in wrong:
                print(f"{name} {number}: {each}", flush=True)
        print(f"{name}: {times} storms, faults after {found}", flush=True)
        faults += found
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
