"""Disks that fill up, in bytes and in files, under the results, the state, the cache, the settings and /tmp.

Run it as root, as a script: `python tests/benchmarks/full_disk.py`. Each try mounts a small tmpfs in a home of its own,
measures the simulator, frees some room and looks again. A run may fail; it has to say that the disk is full and what to
do, once, without words of a crash, and every request line that was written has to be in a result afterwards. It says
how many tries there were. Exit code 1 where a fault was found.
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parents[1]
sys.path[:0] = [str(TESTS), str(TESTS.parent)]

from support.runs import clean_environment  # noqa: E402

RUN = ["run", "--engine", "simulator", "--set", "engine.simulator.virtual_time=true", "--osl", "16", "--warmup", "1"]
WORDS = ("Traceback", "bug in infertui", "Errno")
KIB = (4, 8, 12, 16, 20, 24, 28, 32, 40, 48, 64, 96, 128)
FILES = range(1, 14)
ELSEWHERE = ("state", "cache", "config", "tmp")


@contextlib.contextmanager
def mounted(place: Path, options: str) -> Iterator[Path]:
    place.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", str(place)], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def infertui(home: Path, *arguments: str) -> tuple[int, str]:
    places = {f"XDG_{name.upper()}_HOME": str(home / name) for name in ("state", "cache", "config")}
    (home / "tmp").mkdir(exist_ok=True)
    environ = clean_environment(
        HOME=str(home), INFERTUI_RUNTIME_DIR=str(home / "run"), TMPDIR=str(home / "tmp"), OMP_NUM_THREADS="1", **places
    )
    command = [sys.executable, "-m", "infertui", *arguments]
    ended = subprocess.run(command, cwd=home, env=environ, capture_output=True, text=True, check=False, timeout=120)
    return ended.returncode, ended.stdout + ended.stderr


def judged(code: int, told: str) -> list[str]:
    wrong = [f"it says {word}: {told[-500:]}" for word in WORDS if word in told]
    if code not in (0, 1, 3):
        wrong.append(f"exit code {code}: {told[-300:]}")
    if code == 1 and not ("disk is full" in told and "Free some room" in told):
        wrong.append(f"it does not say what to do: {told[-500:]}")
    return wrong


def results(home: Path, options: str) -> list[str]:
    """The folder of the results fills up."""
    with mounted(home / "disk", options) as disk:
        code, told = infertui(home, *RUN, "-n", "200", "--ui", "plain", "--out", str(disk / "reports"))
        wrong = judged(code, told)
        written = {path.parent.name: path.read_bytes().count(b"\n") for path in disk.glob("reports/*/requests.jsonl")}
        subprocess.run(["mount", "-o", "remount,size=20m,nr_inodes=1000", str(disk)], check=True)
        code, told = infertui(home, "results", "--json", "--out", str(disk / "reports"))
        wrong += [f"afterwards: {each}" for each in judged(code, told)]
        kept = [json.loads(line) for line in told.splitlines() if line.startswith("{")]
        found = {one["id"]: one["summary"]["requests"] for one in kept}
        # A run that fails after the last line was written knows of more than are written.
        wrong += [
            f"of {lines} requests {found.get(run)} are kept"
            for run, lines in written.items()
            if lines > found.get(run, 0)
        ]
        wrong += [f"{path.name} is left" for path in disk.glob("reports/*/*") if path.suffix in (".partial",)]
    return wrong


def elsewhere(home: Path, where: str, options: str) -> list[str]:
    """Another place is full from the start: what does not need it goes on."""
    with mounted(home / where, options) as disk:
        with contextlib.suppress(OSError):
            (disk / "filler").write_bytes(b"x" * (1 << 20))
        wrong = []
        for command in (
            [*RUN, "-n", "3", "--out", "reports"], [*RUN, "-n", "3", "--out", "reports", "--queue"],
            ["results", "--out", "reports"], ["doctor"], ["engines", "use", "vllm", "--python", sys.executable],
        ):  # fmt: skip
            code, told = infertui(home, *command)
            needs_none = "--queue" not in command and command[0] != "engines"
            wrong += [
                f"{' '.join(command)}: {each}" for each in judged(0 if code and command[0] == "engines" else code, told)
            ]
            if code and needs_none:
                wrong.append(f"{' '.join(command)}: exit code {code}: {told[-300:]}")
        infertui(home, "stop", "--now")
    return wrong


def main() -> int:
    if os.getuid() != 0:
        print("Only root may mount a disk.")
        return 2
    tries = [("results", f"size={size}k") for size in KIB] + [("results", f"size=10m,nr_inodes={n}") for n in FILES]
    tries += [(where, options) for where in ELSEWHERE for options in ("size=4k", "size=10m,nr_inodes=1", "size=16k")]
    faults = 0
    for where, options in tries:
        with tempfile.TemporaryDirectory(prefix="ift-") as folder:
            wrong = results(Path(folder), options) if where == "results" else elsewhere(Path(folder), where, options)
        faults += bool(wrong)
        for each in wrong:
            print(f"{where}, {options}: {each}", flush=True)
    print(f"{len(tries)} disks, faults on {faults}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
