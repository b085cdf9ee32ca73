"""Runners in processes of their own, each with a home of its own."""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from support.runs import HANG_S, clean_environment

from infertui.api.client import Client
from infertui.api.errors import RunnerUnavailableError
from infertui.api.runtime import default_socket_path, holder_of, queue_lock

T = TypeVar("T")


class Home:
    """A user's directories, in a folder whose name is short enough for sockets."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.reports = folder / "reports"
        self.environment = clean_environment(
            HOME=str(folder), XDG_STATE_HOME=str(folder / "state"), INFERTUI_RUNTIME_DIR=str(folder / "run")
        )
        self.socket = default_socket_path(self.environment)
        self.state = folder / "state" / "infertui"
        self.client = Client(self.socket, timeout_s=30)
        self.program: tuple[str, ...] = ("-m", "infertui")
        """What is run for `infertui`."""

    def command(self, *arguments: str, code: int | None = 0) -> subprocess.CompletedProcess[str]:
        """Run `infertui` to its end. A code other than the one expected fails."""
        done = subprocess.run(
            [sys.executable, *self.program, *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=HANG_S,
        )
        assert code is None or done.returncode == code, done.stdout + done.stderr
        return done

    @contextmanager
    def serving(self, *arguments: str, **options: Any) -> Iterator[subprocess.Popen[str]]:
        """`infertui serve`, once it says that it is ready."""
        command = [sys.executable, *self.program, "serve", *arguments]
        options = {"env": self.environment, "cwd": self.folder, **options}
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True, **options
        ) as process:
            try:
                assert process.stdout is not None
                line = process.stdout.readline()
                line = process.stdout.readline() if "was not tested" in line else line
                assert "is ready at" in line, line + process.stdout.read()
                yield process
            finally:
                process.kill()

    @property
    def runner(self) -> int:
        """The process of the runner that lives; 0 where none does."""
        holder = holder_of(queue_lock(self.environment))
        return holder.pid if holder else 0


@contextmanager
def home() -> Iterator[Home]:
    """A home that leaves no runner behind."""
    folder = Path(tempfile.mkdtemp(prefix="ift-"))
    place = Home(folder)
    try:
        yield place
    finally:
        if pid := place.runner:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        wait_until(lambda: not place.runner)
        shutil.rmtree(folder, ignore_errors=True)


def play(scenario: Coroutine[Any, Any, T]) -> T:
    """Run a scenario to its end; one that hangs fails."""

    async def guarded() -> T:
        async with asyncio.timeout(HANG_S):
            return await scenario

    return asyncio.run(guarded())


def wait_until(true: Callable[[], object]) -> None:
    """Wait for what another process does, where nothing tells of it."""

    async def poll() -> None:
        while not true():  # noqa: ASYNC110 (nothing tells of it)
            await asyncio.sleep(0.02)

    play(poll())


def answers(client: Client) -> bool:
    """Whether a runner is there."""
    try:
        play(client.hello())
    except RunnerUnavailableError:
        return False
    return True
