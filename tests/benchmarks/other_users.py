"""Files of other users in every place: results, index, single files of a run, state, cache, a folder that is read-only.

Run it as root, as a script: `python tests/benchmarks/other_users.py`, with an interpreter that every user may run. Two
users without an entry in the user database measure the simulator, read each other's results and meet what they may not
touch. Nothing may end in words of a crash; what may be read is read; what is refused is named, with what to do. It says
how many commands there were. Exit code 1 where a fault was found.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parents[1]
sys.path[:0] = [str(TESTS), str(TESTS.parent)]

from support.runs import clean_environment  # noqa: E402

OWNER, OTHER = 10001, 10002
RUN = ("run", "--engine", "simulator", "--set", "engine.simulator.virtual_time=true", "--osl", "8", "-n", "3")
WORDS = ("Traceback", "bug in infertui", "Errno")
FILES = ("requests.jsonl", "telemetry.jsonl", "run.toml", "result.json", "outputs.jsonl")


class Users:
    """What two users and root do; `faults` is what went wrong."""

    def __init__(self, base: Path) -> None:
        self.base, self.commands, self.faults = base, 0, list[str]()
        self.reports = base / str(OWNER) / "reports"
        for user in (OWNER, OTHER, 0):
            (base / str(user)).mkdir()
            os.chown(base / str(user), user, user)

    def does(self, user: int, *arguments: str, allowed: bool | None = True, about: str = "") -> str:
        """Run a command as that user. `allowed`: it has to end well; False: with an error; None: either."""
        home = self.base / str(user)
        environ = clean_environment(HOME=str(home), XDG_RUNTIME_DIR="", OMP_NUM_THREADS="1")
        environ |= {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(TESTS.parent)}
        rights = [] if user == 0 else ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"]
        ended = subprocess.run(
            [*rights, sys.executable, "-m", "infertui", *arguments], cwd=home, env=environ, capture_output=True,
            text=True, check=False, timeout=120,
        )  # fmt: skip
        self.commands += 1
        told, what = ended.stdout + ended.stderr, f"user {user}, {about}: {' '.join(arguments)}"
        self.faults += [f"{what}: it says {word}: {told[-500:]}" for word in WORDS if word in told]
        well = ended.returncode in (0, 3)
        if allowed is not None and well is not allowed:
            self.faults.append(f"{what}: exit code {ended.returncode}: {told[-400:]}")
        if not well and "\n" not in told.strip():
            self.faults.append(f"{what}: it does not say what to do: {told[-300:]}")
        return told

    @contextlib.contextmanager
    def taken(self, path: Path, mode: int) -> Iterator[None]:
        """`path` is root's meanwhile, of that mode."""
        before = path.stat()
        os.chown(path, 0, 0)
        path.chmod(mode)
        try:
            yield
        finally:
            if path.exists():
                os.chown(path, before.st_uid, before.st_gid)
                path.chmod(before.st_mode & 0o777)

    def readings(self, user: int, out: Path, ids: list[str], *, allowed: bool | None, about: str) -> None:
        self.does(user, "results", "--out", str(out), allowed=allowed, about=about)
        self.does(user, "compare", *ids, "--out", str(out), allowed=allowed, about=about)
        made = str(self.base / str(user) / "report")
        self.does(user, "report", *ids, "--no-charts", "--from", str(out), "--out", made, allowed=allowed, about=about)
        self.does(user, "export", ids[0], "--from", str(out), allowed=allowed, about=about)


def attack(users: Users) -> None:
    reports = users.reports
    for _ in range(2):
        users.does(OWNER, *RUN, "--out", str(reports))
    ids = sorted(path.parent.name for path in reports.glob("*/result.json"))
    for user in (OTHER, 0):
        users.readings(user, reports, ids, allowed=True, about="another's results")
    users.does(OTHER, *RUN, "--out", str(reports), allowed=False, about="another's folder")
    users.does(0, *RUN, "--out", str(reports), about="another's folder")
    users.readings(OWNER, reports, ids, allowed=True, about="after root measured there")
    with users.taken(reports / "results.jsonl", 0o600):
        users.readings(OWNER, reports, ids, allowed=None, about="the index is root's")
        users.does(OWNER, *RUN, "--out", str(reports), allowed=False, about="the index is root's")
    kept = users.does(OWNER, "results", "--out", str(reports), about="afterwards")
    users.faults += [f"{path.name} was lost" for path in reports.glob("2*") if path.name not in kept]
    for name in FILES:
        with users.taken(reports / ids[0] / name, 0o600):
            users.readings(OWNER, reports, ids, allowed=None, about=f"{name} is root's")
            users.does(OWNER, "recompute", ids[0], "--out", str(reports), allowed=None, about=f"{name} is root's")
    with users.taken(reports / ids[0], 0o700):
        users.readings(OWNER, reports, ids, allowed=None, about="a run's folder is closed")
    copy = users.base / "read-only"
    copy.mkdir()
    subprocess.run(["mount", "--bind", str(reports), str(copy)], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", str(copy)], check=True)
        for user in (OWNER, 0):
            users.readings(user, copy, ids, allowed=True, about="read-only")
            users.does(user, *RUN, "--out", str(copy), allowed=False, about="read-only")
    finally:
        subprocess.run(["umount", "-l", str(copy)], check=True)
    users.does(OWNER, *RUN, "--out", str(reports), "--queue")
    users.does(OWNER, "stop", "--now")
    home = users.base / str(OWNER)
    for path in (*(home / ".local/state/infertui").iterdir(), home / ".local/state/infertui", home / ".cache/infertui"):
        if path.is_socket():
            continue
        with users.taken(path, 0o700 if path.is_dir() else 0o600):
            about = f"{path.name} is root's"
            users.does(OWNER, *RUN, "--out", str(reports), about=about)
            users.does(OWNER, *RUN, "--out", str(reports), "--queue", allowed=None, about=about)
            users.does(OWNER, "results", "--out", str(reports), about=about)
            users.does(OWNER, "doctor", about=about)
        users.does(OWNER, "stop", "--now", allowed=None)


def main() -> int:
    if os.getuid() != 0 or shutil.which("setpriv") is None:
        print("Only root may become other users, with setpriv of util-linux.")
        return 2
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', ''], check=True)"
    asked = ["setpriv", f"--reuid={OTHER}", f"--regid={OTHER}", "--clear-groups", sys.executable, "-c", code]
    if subprocess.run(asked, check=False, capture_output=True).returncode:
        print(f"{sys.executable} is not everybody's to run: install infertui where it is.")
        return 2
    base = Path(tempfile.mkdtemp(prefix="ift-"))
    base.chmod(0o755)
    users = Users(base)
    try:
        attack(users)
    finally:
        shutil.rmtree(base, ignore_errors=True)
    for fault in users.faults:
        print(fault)
    print(f"{users.commands} commands, {len(users.faults)} faults")
    return 1 if users.faults else 0


if __name__ == "__main__":
    sys.exit(main())
