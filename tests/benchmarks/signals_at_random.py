"""Signals at random moments: to the foreground run, to the runner and to the screen, each in a home of its own.

Run it as a script: `python tests/benchmarks/signals_at_random.py --moments 200 --seed 1`. It needs no GPU: the
simulator is measured in real time. After every signal it looks for what must not be: words of a crash, an exit code
that is not the signal's, a process that lives on, a socket without a runner, a terminal that stays raw, a request that
was written and is in no result once `infertui results` has looked, a next start that does not work. The moments are
drawn from the seed; what a program does at them depends on the machine. Exit code 1 where a fault was found.
"""

import argparse
import collections
import fcntl
import json
import os
import pty
import random
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parents[1]
sys.path[:0] = [str(TESTS), str(TESTS.parent)]

from support.runs import clean_environment  # noqa: E402

SIGNALS = ("INT", "TERM", "HUP", "QUIT", "USR1", "USR2", "ALRM", "ABRT", "XCPU", "XFSZ", "KILL")
IGNORED = {"run": ("XFSZ",), "runner": ("XFSZ", "HUP"), "screen": ("XFSZ",)}
MARK = "INFERTUI_ATTACK"
RUN = ["--engine", "simulator", "--osl", "16", "--warmup", "1", "-n", "12", "--out", "reports"]
RESTORED = (b"\x1b[?1049l", b"\x1b[?25h", b"\x1b[?1000l", b"\x1b[?2004l")
PATIENCE_S = 60.0
WORDS = ("Traceback", "bug in infertui", "Fatal Python")


class Place:
    """A home, and every process that was started from it."""

    def __init__(self, number: int) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="ift-"))
        self.mark = f"{os.getpid()}-{number}"
        (self.folder / "config" / "infertui").mkdir(parents=True)
        (self.folder / "config" / "infertui" / "settings.toml").write_text("")
        places = {f"XDG_{name.upper()}_HOME": str(self.folder / name) for name in ("state", "config", "cache")}
        self.environ = clean_environment(
            HOME=str(self.folder), INFERTUI_RUNTIME_DIR=str(self.folder / "run"), TERM="xterm-256color",
            LANG="C.UTF-8", OMP_NUM_THREADS="1", **places, **{MARK: self.mark},
        )  # fmt: skip

    def start(self, *arguments: str, **options: Any) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", "infertui", *arguments]
        streams: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        return subprocess.Popen(command, cwd=self.folder, env=self.environ, **(streams | options))

    def done(self, *arguments: str) -> tuple[int, str]:
        process = self.start(*arguments)
        told, _ = process.communicate(timeout=PATIENCE_S)
        return process.returncode, told.decode(errors="replace")

    def living(self) -> list[str]:
        """The command lines of what lives of it."""
        found = []
        for folder in Path("/proc").iterdir():
            try:
                if f"{MARK}={self.mark}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                    words = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
                    found += [f"{folder.name} {words}"] if words else []
            except OSError:
                continue
        return found

    def left(self, *allowed: str) -> list[str]:
        """What still lives after some seconds, but for what is allowed."""
        end = time.monotonic() + 15
        while found := [one for one in self.living() if not any(word in one for word in allowed)]:
            if time.monotonic() > end:
                return found
            time.sleep(0.1)
        return []

    def written(self) -> dict[str, int]:
        """Whole request lines by run."""
        return {
            path.parent.name: path.read_bytes().count(b"\n") for path in self.folder.glob("reports/*/requests.jsonl")
        }

    def kept(self) -> tuple[dict[str, int], list[str]]:
        """Requests in results by run once something has looked, and what is wrong with that."""
        code, told = self.done("results", "--json", "--out", "reports")
        wrong = [f"results ended with {code}: {told[-300:]}"] if code or any(word in told for word in WORDS) else []
        results = [json.loads(line) for line in told.splitlines() if line.startswith("{")]
        wrong += [f"begun.json is left in {path.parent.name}" for path in self.folder.glob("reports/*/begun.json")]
        return {one["id"]: one["summary"]["requests"] for one in results}, wrong

    def faults(self) -> list[str]:
        """What was lost of what was written."""
        written = self.written()
        kept, wrong = self.kept()
        for run, lines in written.items():
            if lines and kept.get(run) != lines:
                wrong.append(f"{run}: {lines} requests were written, {kept.get(run)} are in its result")
        return wrong

    def close(self) -> None:
        for one in self.living():
            try:
                os.kill(int(one.split()[0]), signal.SIGKILL)
            except OSError:
                continue
        shutil.rmtree(self.folder, ignore_errors=True)


def expected(what: str, name: str, codes: set[int]) -> set[int]:
    """The exit codes that are right after a signal; `codes` are those of a run that was faster."""
    number = int(signal.Signals[f"SIG{name}"])
    # Before the program has taken the signals into its hands the system ends it.
    return codes | (
        {-number, 128 + number, 130} if name not in IGNORED[what] else {-number} if name != "XFSZ" else set()
    )


def foreground(place: Place, name: str, moment: float) -> list[str]:
    """A signal to `infertui run`."""
    process = place.start("run", *RUN, "--ui", "plain")
    time.sleep(moment)
    process.send_signal(signal.Signals[f"SIG{name}"])
    told = process.communicate(timeout=PATIENCE_S)[0].decode(errors="replace")
    wrong = [f"it says {word}: {told[-600:]}" for word in WORDS if word in told]
    if process.returncode not in expected("run", name, {0, 3}):
        wrong.append(f"exit code {process.returncode}: {told[-400:]}")
    wrong += [f"it lives on: {one}" for one in place.left()]
    wrong += place.faults()
    if process.returncode in (0, 3) and "kept as" not in told:
        wrong.append(f"it ended well, and kept nothing: {told[-300:]}")
    return wrong


def runner(place: Place, name: str, moment: float) -> list[str]:
    """A signal to `infertui serve` while its queue is worked off."""
    serving = place.start("serve", "--idle-exit", "0")
    asking = place.start("run", *RUN, "--queue")
    time.sleep(moment)
    serving.send_signal(signal.Signals[f"SIG{name}"])
    ignored = name in IGNORED["runner"]
    asked = asking.communicate(timeout=PATIENCE_S)[0].decode(errors="replace")
    wrong = [f"`run --queue` says {word}: {asked[-600:]}" for word in WORDS if word in asked]
    if ignored and serving.poll() is None:
        serving.terminate()
    told = serving.communicate(timeout=PATIENCE_S)[0].decode(errors="replace")
    wrong += [f"it says {word}: {told[-600:]}" for word in WORDS if word in told]
    code = serving.returncode
    if code not in {0, 1, 143, -15} | expected("runner", name, set()):
        wrong.append(f"exit code {code}: {told[-400:]}")
    # Who asked may have started a runner of his own.
    place.done("stop", "--now")
    wrong += [f"it lives on: {one}" for one in place.left()]
    if name != "KILL" and (place.folder / "run" / "runner.sock").exists():
        wrong.append("its socket is left")
    queued = asking.returncode == 0
    code, again = place.done("run", *RUN, "--queue")
    if code:
        wrong.append(f"the next start: {code}: {again[-400:]}")
    status = place.done("status", "--json")[1]
    if queued and not code and sum(json.loads(status)["queue"].values()) < 2:
        wrong.append(f"the entry is gone: {status[-600:]}")
    stopped = place.done("stop", "--now")
    if stopped[0]:
        wrong.append(f"stop: {stopped}")
    wrong += [f"it lives on: {one}" for one in place.left()]
    return wrong + place.faults()


def screen(place: Place, name: str, moment: float) -> list[str]:
    """A signal to the screen, which starts a runner of its own."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    before = termios.tcgetattr(slave)

    def prepare() -> None:
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    process = place.start(stdin=slave, stdout=slave, stderr=slave, preexec_fn=prepare)
    output, pressed, started = b"", 0, time.monotonic()
    wrong, sent = [], False
    keys = "2345671?\x1b:\x1b,\x1b"
    while process.poll() is None and time.monotonic() - started < PATIENCE_S:
        if select.select([master], [], [], 0.05)[0]:
            output += os.read(master, 1 << 16)
        if not sent and time.monotonic() - started > moment:
            process.send_signal(signal.Signals[f"SIG{name}"])
            sent = True
            if name in IGNORED["screen"]:
                process.terminate()
        if not sent and b"\x1b[?1049h" in output and pressed < len(keys) and len(output) > 3000 * (pressed + 1):
            os.write(master, keys[pressed].encode())
            pressed += 1
    while select.select([master], [], [], 0.2)[0]:
        output += os.read(master, 1 << 16)
    code = process.poll()
    if code is None:
        wrong.append("it does not end")
        process.kill()
    elif code not in expected("screen", "TERM" if name in IGNORED["screen"] else name, set()):
        logs = [path.read_text()[-1500:] for path in place.folder.glob("state/infertui/crash-*.log")]
        wrong.append(f"exit code {code}: {output[-1500:].decode(errors='replace')!r} {logs}")
    changed = b"\x1b[?1049h" in output
    if name != "KILL" and changed and not all(one in output for one in RESTORED):
        wrong.append("the terminal is not restored")
    if name != "KILL" and termios.tcgetattr(slave) != before:
        wrong.append(f"the terminal is raw, of {len(output)} bytes")
    shown = output.decode(errors="replace")
    wrong += [f"it says {word}: {shown[-600:]!r}" for word in WORDS if word in shown]
    os.close(master)
    os.close(slave)
    wrong += [f"it lives on: {one}" for one in place.left("infertui serve")]
    # One that it was about to start comes up all the same, and would wait for half an hour.
    end = time.monotonic() + PATIENCE_S
    while place.living() and time.monotonic() < end:
        code, told = place.done("stop", "--now")
        if code:
            wrong.append(f"stop: {told[-300:]}")
        time.sleep(0.5)
    wrong += [f"it lives on: {one}" for one in place.left()]
    return wrong


ATTACKS = {"run": foreground, "runner": runner, "screen": screen}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--moments", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--of", choices=list(ATTACKS), action="append", help="only that; may be repeated")
    parser.add_argument("--until", type=float, default=4.0, help="the latest moment, in seconds after the start")
    asked = parser.parse_args()
    # What a shell starts in the background has these ignored, and so would all that is started here.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)
    chance = random.Random(asked.seed)
    kinds = asked.of or list(ATTACKS)
    tried: collections.Counter[str] = collections.Counter()
    found: collections.Counter[str] = collections.Counter()
    for number in range(asked.moments):
        what, name = kinds[number % len(kinds)], SIGNALS[chance.randrange(len(SIGNALS))]
        moment = chance.uniform(0.02, asked.until)
        place = Place(number)
        try:
            wrong = ATTACKS[what](place, name, moment)
        except (subprocess.TimeoutExpired, OSError, ValueError) as error:
            wrong = [f"{type(error).__name__}: {error}; alive: {place.living()}"]
        finally:
            place.close()
        tried[what] += 1
        found[what] += bool(wrong)
        for each in wrong:
            print(f"{number}: {what}, {name} after {moment:.2f} s: {each}", flush=True)
    for what in kinds:
        print(f"{what}: {tried[what]} signals, faults after {found[what]}")
    return 1 if found.total() else 0


if __name__ == "__main__":
    sys.exit(main())
