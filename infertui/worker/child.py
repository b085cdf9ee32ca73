"""The child process: reads commands, drives the engine, sends events.

Started as `python -m infertui.worker.child EVENTS COMMANDS LIFELINE` with three inherited pipe ends, in a session
of its own. Before anything heavy is imported it forks a watchdog into its process group, which does nothing but
wait for the end of the lifeline pipe: the runner holds the other end, so however the runner dies, the kernel closes
it and the watchdog kills the whole group. No backend that hogs the interpreter can delay that.
"""

import contextlib
import os
import platform
import queue
import signal
import sys
import threading
import time
import traceback

from msgspec.structs import replace

from infertui.endings import NOT_FOR_WORKERS
from infertui.errors import ConfigError, InfertuiError, UsageError
from infertui.measure.clock import Clock, MonotonicClock
from infertui.targets.base import AdaptingTarget, Target
from infertui.targets.engine.resident import resident
from infertui.targets.kinds import kind_of
from infertui.text import clean
from infertui.worker.lifeline import watch_lifeline
from infertui.worker.protocol import (
    AdaptModel,
    AnyCommand,
    Cancel,
    Conclude,
    Event,
    Failure,
    FailureKind,
    FindGaps,
    Heartbeat,
    LoadDone,
    LoadModel,
    Measure,
    PhaseStarted,
    Proceed,
    Score,
    Shutdown,
    WorkerHello,
    decode_command,
    encode,
)
from infertui.worker.scoring import gaps, scored
from infertui.worker.session import Session, out_of_memory_details
from infertui.worker.stamps import Cancelled, Progress

HEARTBEAT_S = 0.2


class Link:
    """The two pipes to the runner, safe to use from several threads."""

    def __init__(self, events: int, commands: int) -> None:
        self._events = events
        self._commands = os.fdopen(commands, "rb")
        self._lock = threading.Lock()
        self._inbox: queue.SimpleQueue[AnyCommand] = queue.SimpleQueue()
        self.cancelled = threading.Event()
        self.concluded = threading.Event()

    def emit(self, event: Event) -> None:
        """Send an event whole, or end the process when nobody listens any more."""
        line = memoryview(encode(event))
        with self._lock:
            try:
                while line:
                    line = line[os.write(self._events, line) :]
            except OSError:
                os._exit(1)

    def listen(self) -> None:
        """Read commands until the pipe ends. Cancel and Conclude raise their flags at once, whatever waits before."""
        for line in self._commands:
            command = decode_command(line)
            if isinstance(command, Cancel):
                self.cancelled.set()
            elif isinstance(command, Conclude):
                self.concluded.set()
            self._inbox.put(command)
        self._inbox.put(Shutdown())

    def receive(self) -> AnyCommand:
        """The next command. Taking one out of the queue that raised a flag lowers it: what it stopped has ended."""
        command = self._inbox.get()
        if isinstance(command, Cancel):
            self.cancelled.clear()
        elif isinstance(command, Conclude):
            self.concluded.clear()
        return command

    def await_proceed(self) -> None:
        """Wait for `Proceed`. Raises `Cancelled` when something else comes."""
        if not isinstance(self.receive(), Proceed):
            raise Cancelled


class Child:
    """The worker's main thread: one target, one command at a time."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._clock: Clock = MonotonicClock()
        self._progress = Progress(self._clock)
        self._target: Target | None = None
        self._loaded = False
        self._outputs: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {}

    def serve(self) -> None:
        """Answer commands until told to leave."""
        self._link.emit(WorkerHello(time.monotonic_ns(), pid=os.getpid(), python=platform.python_version()))
        threading.Thread(target=self._beat, name="heartbeat", daemon=True).start()
        while not isinstance(command := self._link.receive(), Shutdown):
            try:
                self._obey(command)
            except Cancelled:
                self._fail("cancelled", "cancelled")
            except InfertuiError as error:
                if error.__cause__:
                    traceback.print_exc()
                kind: FailureKind = "usage" if isinstance(error, UsageError) else "error"
                self._fail(kind, error.message, remedy=error.remedy)
            except Exception as error:  # noqa: BLE001 (a backend may raise anything; all of it must reach the runner)
                traceback.print_exc()
                self._explain(error)
            self._progress.enter("idle")

    def close(self) -> None:
        """Let the target end what it started. The runner does not wait for it for long."""
        if self._target is not None:
            with contextlib.suppress(Exception):
                self._target.close()

    def _obey(self, command: AnyCommand) -> None:
        if isinstance(command, LoadModel):
            self._load(command)
        elif isinstance(command, AdaptModel):
            self._adapt(command)
        elif isinstance(command, Measure):
            if self._target is None or not self._loaded:
                raise ConfigError("", "the worker was asked to measure before a model was loaded")
            session = Session(
                self._target,
                command,
                clock=self._clock,
                progress=self._progress,
                emit=self._link.emit,
                await_proceed=self._link.await_proceed,
                cancelled=self._link.cancelled.is_set,
                concluded=self._link.concluded.is_set,
            )
            self._outputs = session.outputs.kept
            session.run()
        elif isinstance(command, Score):
            self._score(command)
        elif isinstance(command, FindGaps):
            self._find_gaps(command)

    def _score(self, command: Score) -> None:
        """Score a text; what an engine cannot do is an answer, not a failure."""
        self._progress.enter("score")
        self._link.emit(PhaseStarted(self._clock.now_ns(), "score"))
        if self._target is None or not self._loaded:
            raise ConfigError("", "the worker was asked to score before a model was loaded")
        found = scored(self._target, command, self._progress, self._link.cancelled.is_set)
        self._link.emit(replace(found, t_ns=self._clock.now_ns()))

    def _find_gaps(self, command: FindGaps) -> None:
        """The gaps of the last run's outputs; what an engine cannot do is an answer, not a failure."""
        self._progress.enter("score")
        if self._target is None or not self._loaded:
            raise ConfigError("", "the worker was asked for logits before a model was loaded")
        cancelled = self._link.cancelled.is_set
        found = gaps(self._target, command, self._outputs, self._progress, cancelled)
        self._link.emit(replace(found, t_ns=self._clock.now_ns()))

    def _load(self, command: LoadModel) -> None:
        kind = kind_of(command.request)
        self._loaded = False
        clock = kind.clock(command.request)
        if not isinstance(clock, MonotonicClock):
            self._clock = clock
            self._progress = Progress(clock)
        self._progress.enter("load")
        self._link.emit(PhaseStarted(self._clock.now_ns(), "load"))
        self._target = kind.create(command.request, self._clock)
        loaded = self._target.load()
        done_ns = self._clock.now_ns()
        self._loaded = True
        if self._link.cancelled.is_set():
            raise Cancelled
        self._link.emit(LoadDone(done_ns, loaded))

    def _adapt(self, command: AdaptModel) -> None:
        self._progress.enter("load")
        self._link.emit(PhaseStarted(self._clock.now_ns(), "load"))
        target: object = self._target
        if not isinstance(target, AdaptingTarget) or not self._loaded:
            raise ConfigError("", "the worker was asked for other options before a model was loaded")
        loaded = target.adapt(command.request)
        self._link.emit(LoadDone(self._clock.now_ns(), loaded))

    def _explain(self, error: Exception) -> None:
        text = clean(str(error)) or type(error).__name__
        details = out_of_memory_details(error)
        if details is None:
            self._fail("error", f"{type(error).__name__}: {text[:2000]}", remedy="worker.log has the traceback.")
            return
        self._fail(
            "out-of-memory",
            f"the {details['where']} ran out of memory",
            remedy="Use a smaller batch, shorter sequences, a smaller dtype, or a smaller model.",
            details=details,
        )

    def _fail(
        self, kind: FailureKind, message: str, *, remedy: str = "", details: dict[str, str] | None = None
    ) -> None:
        self._link.emit(Failure(self._clock.now_ns(), kind, message, remedy, details or {}))

    def _beat(self) -> None:
        while True:
            progress = self._progress
            self._link.emit(
                Heartbeat(
                    time.monotonic_ns(),
                    phase=progress.phase,
                    batch=progress.batch,
                    step=progress.step,
                    tokens=progress.tokens,
                    progress_ns=progress.progress_ns,
                    resident=resident(),
                )
            )
            time.sleep(HEARTBEAT_S)


def main(argv: list[str]) -> None:
    """Entry point; `argv` holds the numbers of the three inherited descriptors."""
    events, commands, lifeline = map(int, argv)
    watch_lifeline(lifeline, events, commands)
    for number in NOT_FOR_WORKERS:  # they are the runner's to act on
        signal.signal(number, signal.SIG_IGN)
    link = Link(events, commands)
    threading.Thread(target=link.listen, name="commands", daemon=True).start()
    child = Child(link)
    child.serve()
    child.close()
    # Interpreter shutdown of a backend can hang or crash; everything was said.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
