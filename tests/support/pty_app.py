"""The screen as a program of its own, over a runner in memory; for tests with a real terminal.

BEATS names a file descriptor that gets a line for every turn of the event loop: how many texts wait for the terminal.
CRASH makes the connection fail with an error of the program itself. RATE is in samples a second, every reading of
eight GPUs another each time; RUNNING: a run is under way, with EVENTS events a second.
"""

import asyncio
import math
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infertui.tui import start as starting
from infertui.tui.app import InfertuiApp

if TYPE_CHECKING:
    from infertui.runner.control import RunnerApi

APPS: list[InfertuiApp] = []


def connector(*_arguments: Any, **_named: Any) -> Any:
    @asynccontextmanager
    async def connect() -> "AsyncIterator[RunnerApi]":
        from support.screens import entry, machine  # after the first paint, as with a real runner

        if "CRASH" in os.environ:
            value = "a value that is nobody's business"  # noqa: F841
            raise ZeroDivisionError("on purpose")
        fake = machine(gpus=8, entries=(entry(1, "running"), entry(2)) if "RUNNING" in os.environ else ())
        tasks = [asyncio.create_task(work) for work in (feed(fake), beat(), progress(fake))]
        yield fake
        for task in tasks:
            task.cancel()

    return connect


async def feed(fake: Any) -> None:
    from support.screens import sample

    from infertui.runner.control import Measured

    number = 10
    while True:
        await asyncio.sleep(1 / float(os.environ.get("RATE", "1")))
        number += 1
        one = sample(8, number)
        changed = [
            type(gpu)(
                index=gpu.index, uuid=gpu.uuid, utilization=float((number * 7 + gpu.index) % 100),
                memory_used=((number * 13 + gpu.index) % 80) << 30, power_w=float((number * 31) % 700),
                temperature_c=float(40 + number % 40),
            )
            for gpu in one.gpus
        ]  # fmt: skip
        fake.push(Measured(type(one)(number, tuple(changed), one.host)))


async def progress(fake: Any) -> None:
    from infertui.runner.events import Progressed

    if "RUNNING" not in os.environ:
        return
    rate = float(os.environ.get("EVENTS", "4"))
    burst = max(1, round(rate / 100))
    step = 0
    while True:
        await asyncio.sleep(burst / rate)
        for _ in range(burst):
            step += 1
            speed = 1900 + 200 * math.sin(step / rate)
            fake.push(
                Progressed(
                    run="run1", t_ns=time.monotonic_ns(), phase="measure", batch=0, step=step % 8, tokens=step,
                    tokens_per_s=speed, resident=0,
                )
            )  # fmt: skip


async def beat() -> None:
    if "BEATS" not in os.environ:
        return
    fd = int(os.environ["BEATS"])
    while True:
        driver: Any = APPS[0]._driver
        os.write(fd, f"{driver.outlet.waiting}\n".encode())
        await asyncio.sleep(0.02)


def main() -> None:
    starting.connector = connector
    remember = InfertuiApp.__init__

    def init(self: InfertuiApp, *arguments: Any, **named: Any) -> None:
        remember(self, *arguments, **named)
        APPS.append(self)

    InfertuiApp.__init__ = init  # type: ignore[method-assign]
    sys.exit(starting.start(out=Path("reports")))


if __name__ == "__main__":
    main()
