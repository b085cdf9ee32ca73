"""A server that is started for a run: found, told what the config says, waited for, and ended with all that it started.

It runs in a process group of its own on a free port of 127.0.0.1, and what it prints goes to a log. A watchdog in the
group kills that when this process ends, however it does.
"""

import asyncio
import contextlib
import os
import secrets
import shutil
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path

import psutil

from infertui.config.schema import Config
from infertui.credentials import without_credentials
from infertui.errors import EngineError
from infertui.targets.endpoint.servers import HOST, PROGRAMS, ServerArguments, ServerProgram, server_arguments
from infertui.targets.engine.environments import interpreter_for
from infertui.text import one_line
from infertui.worker.failure import WorkerError, log_tail
from infertui.worker.protocol import FailureKind

POLL_S = 0.1
ANSWER_S = 10.0
"""SGLang answers whether it is well by generating a token."""
END_S = 15.0
"""A server gives back its GPUs within this, or is killed."""
KILLED_S = 5.0
KILL_ROUNDS = 3
MARK = "INFERTUI_SERVER"
"""A variable by which a server and all that it starts are known."""
_MOST_HEAD = 4096


class ServedEndpoint:
    """A server that runs. `url` is its base, `command` what was started."""

    def __init__(
        self,
        name: str,
        process: asyncio.subprocess.Process,
        lifeline: int,
        port: int,
        log: Path,
        command: tuple[str, ...],
        mark: str,
    ) -> None:
        self.url = f"http://{HOST}:{port}"
        self.command = command
        self._name, self._process, self._lifeline, self._port, self._log = name, process, lifeline, port, log
        self._mark = mark

    @property
    def pid(self) -> int:
        """Also the id of its process group."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the process that was started has not ended."""
        return self._process.returncode is None

    async def ended(self) -> WorkerError:
        """Waits until it has ended by itself; what is to be said of that."""
        code = await self._process.wait()
        return self._error("crash", f"{self._name} {_how(code)} while it was needed")

    async def ready(self, path: str, timeout_s: float) -> None:
        """Wait until it answers. Raises WorkerError where it ends before, or takes longer than `timeout_s`."""
        deadline = time.monotonic() + timeout_s
        while True:
            if await self._answers(path, min(ANSWER_S, max(POLL_S, deadline - time.monotonic()))) and self.alive:
                if await asyncio.to_thread(_listens, self.pid, self._port):
                    return
                raise self._error("error", f"another program than {self._name} answers on port {self._port}")
            left = deadline - time.monotonic()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, min(POLL_S, left))):
                    code = await self._process.wait()
                    raise self._error("crash", f"{self._name} {_how(code)} before it was ready")
            if left <= 0:
                raise self._error(
                    "timeout", f"{self._name} was not ready within load_timeout_s ({timeout_s:.4g} s)",
                    "Raise measurement.load_timeout_s, or look at its log.",
                )  # fmt: skip

    async def close(self) -> None:
        """End it: ask its group, wait, then kill what is left of it and all that it started. Safe to call again."""
        if self._lifeline < 0:
            return
        try:
            if self.alive:
                self._signal(signal.SIGTERM)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(END_S):
                        await self._process.wait()
        finally:
            self._signal(signal.SIGKILL)  # the watchdog is still there, so the group's number is nobody else's
            os.close(self._lifeline)
            self._lifeline = -1
        await self._process.wait()
        await asyncio.to_thread(_kill_marked, self._mark)

    async def _answers(self, path: str, within_s: float) -> bool:
        """Whether the port answers that path with 200."""
        try:
            async with asyncio.timeout(within_s):
                reader, writer = await asyncio.open_connection(HOST, self._port, limit=_MOST_HEAD)
                try:
                    writer.write(f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n".encode())
                    line = await reader.readline()
                finally:
                    writer.close()
        except (OSError, TimeoutError, ValueError):
            return False
        return line.split(b" ")[1:2] == [b"200"]

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    def _error(self, kind: FailureKind, message: str, remedy: str = "") -> WorkerError:
        tail = log_tail(self._log)
        last = one_line(tail.rpartition("\n")[2], 300)
        said = f"It said last: {last}" if last else "It said nothing."
        return WorkerError(kind, message, remedy=f"{said}\n{remedy or f'Its log is {self._log}.'}", log_tail=tail)


@asynccontextmanager
async def launched(
    config: Config, log: Path, environment: Mapping[str, str] = os.environ
) -> AsyncIterator[ServedEndpoint]:
    """The server of `target.serve`, ready to answer; what it prints goes to `log`.

    `environment` are its variables, of which credentials are left out: which GPUs it sees is said there. Raises
    ConfigError and ModelError for what it cannot be told, EngineError where it is not installed, WorkerError where it
    does not come up. Nothing of it is left behind.
    """
    assert config.target.serve != "none"  # noqa: S101 (asked of configs with a server)
    program = PROGRAMS[config.target.serve]
    with _free_port() as port:
        arguments, found = await asyncio.to_thread(lambda: (server_arguments(config, port), find_program(config)))
    server = await _start(config, log, environment, arguments, found, port)
    try:
        await server.ready(program.ready, config.measurement.load_timeout_s)
        yield server
    finally:
        await server.close()


def find_program(config: Config) -> tuple[str, ...]:
    """How the server is started: the words before its arguments. Raises EngineError where it is not installed.

    An interpreter that was chosen for its engine goes first, then this one, then a program on PATH. May ask another
    interpreter: not to be called on an event loop.
    """
    assert config.target.serve != "none"  # noqa: S101
    name, program = config.target.serve, PROGRAMS[config.target.serve]
    command = ("-P", "-m", program.module, *program.words)
    if program.module:
        # Of a server that is no engine here, an interpreter can be named, and none has been chosen for good.
        other = interpreter_for(config.engine) if program.engine or config.engine.python else None
        if other is not None:
            return (str(other), *command)
        if _is_here(program):
            return (sys.executable, *command)
    script = shutil.which(program.script) if program.script else None
    if script is None:
        raise EngineError(
            f"{name} cannot be started: it is not installed here", remedy=f"Install it: {program.install}."
        )
    return (script, *program.words)


def _is_here(program: ServerProgram) -> bool:
    """Whether this interpreter can run it."""
    return all(find_spec(name) is not None for name in (program.package, *program.needs))


async def _start(
    config: Config,
    log: Path,
    environment: Mapping[str, str],
    told: ServerArguments,
    found: tuple[str, ...],
    port: int,
) -> ServedEndpoint:
    settings: tuple[str, ...] = ()
    if told.settings:
        path = log.with_suffix(".yaml")
        path.write_text(told.settings + "\n", encoding="utf-8")
        settings = ("--extra_llm_api_options", str(path))
    command = (*found, *told.arguments, *settings)
    mark = secrets.token_hex(8)
    theirs, ours = os.pipe()
    try:
        with log.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-P", "-m", "infertui.worker.serving.warden", str(theirs), *command),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=(theirs,),
                start_new_session=True,
                env={**without_credentials(environment), "PYTHONUNBUFFERED": "1", MARK: mark, **told.variables},
            )
    except BaseException:
        os.close(ours)
        raise
    finally:
        os.close(theirs)
    return ServedEndpoint(config.target.serve, process, ours, port, log, command, mark)


@contextlib.contextmanager
def _free_port() -> Iterator[int]:
    """A port of this machine that nobody has; nobody gets it before this is left."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        yield probe.getsockname()[1]


def _kill_marked(mark: str) -> None:
    """Kill what the server started and what has left its group since: it has the server's variables."""
    for _ in range(KILL_ROUNDS):  # one of them may start another meanwhile
        found = [process for process in psutil.process_iter() if _is_marked(process, mark)]
        if not found:
            return
        for process in found:
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(found, KILLED_S)


def _is_marked(process: psutil.Process, mark: str) -> bool:
    try:
        return process.environ().get(MARK) == mark
    except (psutil.Error, OSError):
        return False


def _listens(pid: int, port: int) -> bool:
    """Whether the process or one below it has the port. Who cannot be asked is believed."""
    try:
        server = psutil.Process(pid)
        processes = [server, *server.children(recursive=True)]
    except psutil.Error:
        return False
    for process in processes:
        try:
            connections = process.net_connections(kind="tcp")
        except psutil.NoSuchProcess:
            continue
        except psutil.Error:
            return True
        if any(one.status == psutil.CONN_LISTEN and one.laddr[1:2] == (port,) for one in connections):
            return True
    return False


def _how(code: int) -> str:
    return f"was killed by signal {-code}" if code < 0 else f"ended with status {code}"
