"""One worker at a time, reused while the next run needs the same loaded model."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

from infertui.targets.engine.base import Loaded, LoadRequest
from infertui.worker.process import WorkerProcess


class WorkerSlot:
    """Holds at most one worker. Whoever takes it talks to it alone."""

    def __init__(self) -> None:
        self._worker: WorkerProcess | None = None
        self._request: LoadRequest | None = None
        self._loaded: Loaded | None = None
        self._python = ""
        self._clearing = asyncio.Lock()

    def holding(self, request: LoadRequest, python: str) -> tuple[WorkerProcess, Loaded] | None:
        """The living worker that has exactly this loaded, in that interpreter."""
        wanted = self._request == request and self._python == python
        if self._worker and self._worker.alive and self._loaded and wanted:
            return self._worker, self._loaded
        return None

    @property
    def current(self) -> WorkerProcess | None:
        """The worker that lives, and may hold device memory."""
        return self._worker if self._worker and self._worker.alive else None

    @property
    def occupied(self) -> bool:
        """Whether a worker lives, be it one that is ending."""
        return self.current is not None or self._clearing.locked()

    async def spawn(self, log: Path, environment: Mapping[str, str], python: str) -> WorkerProcess:
        """A new worker of that interpreter in place of the old one, which is gone when this returns."""
        await self.clear()
        self._worker = await WorkerProcess.spawn(log, environment, python)
        self._python = python
        return self._worker

    def keep(self, request: LoadRequest, loaded: Loaded) -> None:
        """Note what the worker has loaded."""
        self._request, self._loaded = request, loaded

    async def clear(self) -> None:
        """End the worker, if there is one; when this returns none is left, whoever began to end it."""
        worker, self._worker, self._request, self._loaded = self._worker, None, None, None
        async with self._clearing:
            if worker:
                await worker.close()
