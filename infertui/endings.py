"""Signals by which people, terminals, service managers and batch systems ask a program to end.

By default each of them ends a process at once: the terminal stays raw, and what was measured is not summed up. Slurm
sends what `--signal` names, often USR1, and XCPU where a limit on CPU time is near. XFSZ is not among them: Python
ignores it, and a file that may not grow is an error of that file.
"""

import _thread
import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import Any, Self

ENDING: tuple[signal.Signals, ...] = tuple(
    signal.Signals[name]
    for name in ("SIGHUP", "SIGINT", "SIGQUIT", "SIGABRT", "SIGUSR1", "SIGUSR2", "SIGALRM", "SIGTERM", "SIGXCPU",
                 "SIGVTALRM", "SIGPROF", "SIGIO", "SIGPWR")
    if name in signal.Signals.__members__
)  # fmt: skip
NOT_FOR_WORKERS = tuple(number for number in ENDING if number not in (signal.SIGTERM, signal.SIGABRT))
"""Those that a batch system may send to every process of a job, and that the runner alone is to act on. A worker's own
children are ended by TERM."""

_A_MOMENT_S = 0.01


def exit_code(number: int) -> int:
    """The exit code of what was ended by a signal, as shells count."""
    return 128 + number


def heeded() -> list[signal.Signals]:
    """Those that whoever started this did not have it ignore: `nohup` has a program go on when its terminal closes, and
    shells have one in the background go on when Ctrl-C ends another."""
    return [number for number in ENDING if signal.getsignal(number) is not signal.SIG_IGN]


class Ended(BaseException):
    """Raised in the main thread by a signal that nobody else hears; `number` is the signal's."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number

    @property
    def name(self) -> str:
        """Of the signal."""
        return signal.Signals(self.number).name


def raise_on_endings() -> None:
    """From now on raise `Ended` where a signal would end this at once and without a word, until somebody else hears it.

    Ctrl-C raises KeyboardInterrupt as ever. One that is raised where Python only reports exceptions is sent again: in
    finalizers, and in a callback that Python runs at every import.
    """
    reported = sys.unraisablehook

    def report(lost: "sys.UnraisableHookArgs") -> None:
        if isinstance(lost.exc_value, Ended | KeyboardInterrupt):
            number = lost.exc_value.number if isinstance(lost.exc_value, Ended) else signal.SIGINT
            with contextlib.suppress(RuntimeError):  # the interpreter is ending
                _thread.start_new_thread(_send_again, (number,))  # here it would be raised into the same place
        else:
            reported(lost)

    sys.unraisablehook = report

    def ended(number: int, _frame: FrameType | None) -> None:
        raise Ended(number)

    for number in heeded():
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, ended)


def _send_again(number: int) -> None:
    time.sleep(_A_MOMENT_S)
    os.kill(os.getpid(), number)


class Asked:
    """Hears signals from `with` on, to its end: between two event loops, before the first and after the last as well.

    `first` is the first that came, None before that. What is given to `then` is called at each, in the main thread
    between any two steps of the program, and at once where one has come already.
    """

    def __init__(self) -> None:
        self.first: signal.Signals | None = None
        self._act: Callable[[], object] = lambda: None
        self._before: dict[signal.Signals, Any] = {}

    def then(self, act: Callable[[], object]) -> None:
        """What to do when one comes."""
        self._act = act
        if self.first is not None:
            act()

    def _heard(self, number: int, _frame: FrameType | None) -> None:
        self.first = self.first or signal.Signals(number)
        self._act()

    def __enter__(self) -> Self:
        with contextlib.suppress(ValueError):  # not in the main thread: somebody else hears them
            self._before = {number: signal.signal(number, self._heard) for number in heeded()}
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
