"""`infertui stop`: end the runner."""

from pathlib import Path
from typing import Annotated

import typer

from infertui.cli.output import say

EPILOG = """[bold]Examples[/bold]

  infertui stop

  infertui stop --now      (ends runs under way; what they measured is kept)
"""
_END_TIMEOUT_S = 60.0
_HELLO_TIMEOUT_S = 10.0
_POLL_S = 0.05


def stop(
    now: Annotated[
        bool, typer.Option("--now", help="Even while something runs: what was measured is kept as interrupted.")
    ] = False,
    path: Annotated[
        Path | None, typer.Option("--socket", metavar="PATH", help="The runner there, instead of the usual place.")
    ] = None,
) -> None:
    """End the runner, when nothing runs. What waits in the queue is kept for the next one."""
    import asyncio
    import os

    from infertui.api.runtime import socket_path

    say(asyncio.run(_stop(path or socket_path(os.environ), now=now)))


async def _stop(place: Path, *, now: bool) -> str:
    """What became of it."""
    import asyncio
    import os

    from infertui.api.client import Client
    from infertui.api.errors import RunnerUnavailableError
    from infertui.api.runtime import holder_of, queue_lock, socket_lock
    from infertui.errors import InfertuiError, UsageError
    from infertui.text import clean

    locks = (socket_lock(place), queue_lock(os.environ))
    client = Client(place)
    try:
        hello = await Client(place, timeout_s=_HELLO_TIMEOUT_S).greet()
    except RunnerUnavailableError:
        if holder_of(locks[0]):
            raise  # one is there, and does not answer
        return "no runner is running"
    try:
        await client.stop(now=now)
    except UsageError as refusal:
        raise InfertuiError(
            f"the runner is busy: {refusal.message}",
            remedy="Wait for it, or `infertui stop --now`, which keeps what was measured.",
        ) from None
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _END_TIMEOUT_S
    while any(holder.pid == hello.pid for lock in locks if (holder := holder_of(lock))):
        if loop.time() > deadline:
            raise RunnerUnavailableError(
                f"the runner (process {hello.pid}) was told to end and has not within {_END_TIMEOUT_S:g} s"
            )
        await asyncio.sleep(_POLL_S)
    waiting = f"; {hello.queued} waiting are kept" if hello.queued else ""
    return f"the runner (infertui {clean(hello.version)}, process {hello.pid}) has ended{waiting}"
