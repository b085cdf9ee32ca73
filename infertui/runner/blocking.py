"""Waiting that neither a hanging driver nor a second Ctrl-C can spoil."""

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from infertui.errors import StoreError
from infertui.models.hub.asking import TIMEOUT_S

T = TypeVar("T")
FILES_S = 60.0
MODEL_S = FILES_S + TIMEOUT_S
"""For what may have to ask Transformers about a model's config first."""


async def call_with_timeout(function: Callable[[], T], timeout_s: float) -> T | None:
    """Call `function` in a daemon thread of its own; None when it takes longer, and the thread is left behind.

    A call into a driver that hangs never returns. The event loop's own threads would be waited for at exit.
    """
    loop, context = asyncio.get_running_loop(), contextvars.copy_context()
    answer: asyncio.Future[T] = loop.create_future()

    def resolve(result: T | None, error: Exception | None) -> None:
        if answer.done():
            return
        if error is not None:
            answer.set_exception(error)
        else:
            answer.set_result(result)  # type: ignore[arg-type]  # None only where T allows it

    def call() -> None:
        try:
            outcome: tuple[T | None, Exception | None] = (context.run(function), None)
        except Exception as error:  # noqa: BLE001 (raised again where it is awaited)
            outcome = (None, error)
        with contextlib.suppress(RuntimeError):  # the loop is gone: nobody waits any more
            loop.call_soon_threadsafe(resolve, *outcome)

    threading.Thread(target=call, name="driver-call", daemon=True).start()
    try:
        # Not wait_for, which before Python 3.12 swallows a cancellation that comes together with the answer.
        async with asyncio.timeout(timeout_s):
            return await answer
    except TimeoutError:
        return None


async def run_blocking(function: Callable[[], T], timeout_s: float = FILES_S) -> T:
    """Call what reads files, in a thread. Raises StoreError for a folder on a dead network share."""
    outcome = await call_with_timeout(lambda: (function(),), timeout_s)
    if outcome is None:
        raise StoreError(f"the file system did not answer within {timeout_s:g} s")
    return outcome[0]


async def finish_despite_cancel(work: Coroutine[Any, Any, T]) -> T:
    """Await `work` to its end even when the waiting task is cancelled, once or often; it has to be short."""
    task = asyncio.ensure_future(work)
    while not task.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.shield(task)
    return task.result()
