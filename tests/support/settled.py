"""Waiting for what an app does in the background."""

import contextlib
from typing import Any

from textual.app import App
from textual.worker import WorkerCancelled


async def settled(app: App[Any]) -> None:
    """Return when no worker runs; one that gave way to a newer one has ended as well."""
    while waiting := [worker for worker in app.workers if not worker.is_finished]:
        for worker in waiting:
            with contextlib.suppress(WorkerCancelled):
                await worker.wait()
