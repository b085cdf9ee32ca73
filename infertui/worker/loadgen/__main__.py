"""The load generator: a process of its own, which executes a part of a plan and stamps what comes.

Started as `python -m infertui.worker.loadgen EVENTS COMMANDS LIFELINE` with three inherited pipe ends, in a session of
its own. It imports nothing of engines, and nothing of the screen.
"""

import asyncio
import contextlib
import fcntl
import gc
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Coroutine
from functools import partial
from typing import Any

import uvloop

from infertui.endings import NOT_FOR_WORKERS
from infertui.errors import ConfigError, InfertuiError
from infertui.load.levels import in_flight, is_open, share_of
from infertui.load.plan import LoadPlan
from infertui.load.texts import Encode
from infertui.measure.clock import NS_PER_S
from infertui.targets.endpoint.address import parse_url
from infertui.text import error_text, hide
from infertui.worker.lifeline import watch_lifeline
from infertui.worker.loadgen.answers import AnswerReading
from infertui.worker.loadgen.asking import Asker
from infertui.worker.loadgen.dialing import Dialer
from infertui.worker.loadgen.executor import Executor
from infertui.worker.loadgen.link import ClientLink
from infertui.worker.loadgen.protocol import (
    KEY_VARIABLE,
    AdjustLoad,
    AnyClientCommand,
    ClientDone,
    ClientFailure,
    LoadAdjusted,
    PartPrepared,
    PreparePart,
    StartLoad,
    StopLoad,
)
from infertui.worker.loadgen.turns import Turns

_now = time.monotonic_ns
AHEAD_BYTES = 64 << 20
MOST_AHEAD = 512
MOST_CONNECTIONS = 4096
OPEN_LOOP_CONNECTIONS = 64
OTHER_FILES = 32


class LoadClient:
    """Obeys a runner."""

    def __init__(self, loop: asyncio.AbstractEventLoop, events: int, commands: int) -> None:
        self._born_ns = _now()
        self._link = ClientLink(loop, events, commands, heard=self._heard, unreadable=self._unreadable)
        self._loop = loop
        self._key = os.environ.pop(KEY_VARIABLE, "")
        hide([self._key])  # servers repeat what they refuse
        self._command: PreparePart | None = None
        self._executor: Executor | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._plan: LoadPlan
        self._started_ns = 0
        loop.set_exception_handler(self._at_fault)

    def _heard(self, command: AnyClientCommand) -> None:
        try:
            if isinstance(command, PreparePart):
                self._run(self._prepare(command))
            elif isinstance(command, StartLoad):
                self._start(command)
            elif isinstance(command, AdjustLoad):
                self._adjust(command)
            else:
                self._stop(command)
        except Exception as error:  # noqa: BLE001 (whatever it is, the runner has to hear of it)
            self._fail(error)

    def _unreadable(self, problem: str) -> None:
        self._fail(ConfigError("", problem))

    async def _prepare(self, command: PreparePart) -> None:
        self._command = command
        # Here, since some of it takes longer to import than all the rest.
        from infertui.load.planner import plan_of
        from infertui.targets.endpoint.dialects.registry import dialect_of

        target, load = command.target, command.load
        encode = await asyncio.to_thread(_encode_of, target.tokenizer) if target.tokenizer else None
        count = (lambda text: len(encode(text))) if encode is not None else None
        address = parse_url(target.url)
        dialect = dialect_of(command.api)
        asker = Asker(
            dialect,
            address,
            command.model,
            self._key,
            target=target,
            load=load,
            workload=command.workload,
            without=command.without,
        )
        self._plan = plan_of(
            load, command.workload, command.prompts, salt=command.salt, scale=command.scale, encode=encode
        )
        most = max((level for _, level in in_flight(load)), default=0)
        if 0 < most < command.parts:
            raise ConfigError(
                "load.concurrency", f"is {most}, for {command.parts} load generators", allowed="one for each"
            )
        connections = share_of(most, command.part, command.parts) if most else OPEN_LOOP_CONNECTIONS
        _check_room(connections)
        turns = Turns(
            self._plan.requests(command.part, command.parts),
            asker.make,
            turns=load.turns,
            ahead=min(max(16, connections), MOST_AHEAD),
            ahead_bytes=AHEAD_BYTES,
        )
        self._executor = Executor(
            turns,
            AnswerReading(dialect, self._link.emit, streaming=target.streaming, count=count),
            Dialer(address, target),
            self._link.emit,
            timeout_s=target.request_timeout_s,
            open_loop=is_open(load),
            part=command.part,
            parts=command.parts,
        )
        await self._executor.prepare(min(connections, MOST_CONNECTIONS))
        gc.collect()
        gc.freeze()
        gc.disable()
        self._executor.meter.prepare_ns = _now() - self._born_ns
        self._link.emit(PartPrepared(_now(), pid=os.getpid()))
        self._run(self._report(self._executor))

    def _start(self, command: StartLoad) -> None:
        executor, prepared = self._ready()
        executor.start(command.at_ns, in_flight(prepared.load), spread_s=command.spread_s)
        self._started_ns = command.at_ns

    def _adjust(self, command: AdjustLoad) -> None:
        executor, prepared = self._ready()
        now_ns = _now()
        lengths = {"input_len": command.input_len, "output_len": command.output_len}
        if command.concurrency is not None:
            executor.change_level(command.concurrency, now_ns, command.spread_s)
        if any(value is not None for value in (command.request_rate, command.shared_prefix, *lengths.values())):
            self._plan = self._plan.adjusted(
                (now_ns - self._started_ns) / NS_PER_S,
                request_rate=command.request_rate,
                shared_prefix=command.shared_prefix,
                **lengths,
            )
            executor.replan(partial(self._plan.requests, prepared.part, prepared.parts))
        self._link.emit(LoadAdjusted(now_ns))

    def _stop(self, command: StopLoad) -> None:
        executor, _ = self._ready()
        executor.stop(drain=command.drain)

    async def _report(self, executor: Executor) -> None:
        await executor.finished.wait()
        self._link.emit(executor.snapshot())
        self._link.emit(ClientDone(_now(), meter=executor.result(), why=executor.why))
        executor.close()

    def _ready(self) -> tuple[Executor, PreparePart]:
        if self._executor is None or self._command is None:
            raise ConfigError("", "a load generator was asked to begin before it was prepared")
        return self._executor, self._command

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._fail(error)

    def _at_fault(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """What a callback raised: a fault of ours, after which no figure is to be trusted."""
        self._fail(context.get("exception") or RuntimeError(str(context.get("message"))))

    def _fail(self, error: BaseException) -> None:
        if self._executor is not None:
            self._executor.tell()
        if isinstance(error, InfertuiError):
            self._link.emit(ClientFailure(_now(), error.kind, error.message, error.remedy))
            return
        traceback.print_exception(error)
        sys.stderr.flush()
        message = f"{type(error).__name__}: {error_text(error)}"
        self._link.emit(ClientFailure(_now(), "error", message, "The load generator's log has the traceback."))


def _encode_of(name: str) -> Encode:
    """What a tokenizer makes of a text, without the marks that a model wants around it. Raises ConfigError."""
    from infertui.models.tokenizers import tokenizer_called

    try:
        tokenizer = tokenizer_called(name)
        around = len(tokenizer.encode(""))
    except InfertuiError as error:
        raise ConfigError("target.tokenizer", error.message, remedy=error.remedy) from error
    return lambda text: tokenizer.encode(text)[around:]


def main(argv: list[str]) -> None:
    """Entry point; `argv` holds the numbers of the three inherited descriptors."""
    events, commands, lifeline = map(int, argv)
    watch_lifeline(lifeline, events, commands)
    for number in NOT_FOR_WORKERS:  # they are the runner's to act on
        signal.signal(number, signal.SIG_IGN)
    _make_room()
    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    LoadClient(loop, events, commands)
    loop.run_forever()


def _check_room(connections: int) -> None:
    """Raises ConfigError where the system does not let a process have so many."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0] - OTHER_FILES
    if connections > most:
        raise ConfigError(
            "load.concurrency",
            f"needs {connections:,} connections of a load generator, and the system allows it {max(0, most):,}",
            remedy="Raise the limit of open files, as with `ulimit -n 65536`.",
        )


def _make_room() -> None:
    """For as many connections as may be. The kernel's table of them grows now: later, that stops all for some 10 ms."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with contextlib.suppress(OSError):
        os.close(fcntl.fcntl(0, fcntl.F_DUPFD_CLOEXEC, min(hard - 1, MOST_CONNECTIONS * 2)))


if __name__ == "__main__":
    main(sys.argv[1:])
