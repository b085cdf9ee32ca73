"""What ends a child process and all that it started, however its parent ends."""

import contextlib
import os
import signal

from infertui.endings import ENDING


def watch_lifeline(lifeline: int, *others: int) -> None:
    """Fork the watchdog. It holds nothing but the lifeline, and takes the process group with it at its end."""
    if os.fork():
        os.close(lifeline)
        return
    for descriptor in others:
        os.close(descriptor)
    for number in ENDING:
        signal.signal(number, signal.SIG_IGN)
    with contextlib.suppress(OSError):
        while os.read(lifeline, 1):
            pass
    os.killpg(os.getpgid(0), signal.SIGKILL)
