"""The downloads of a runner: a process each, whose progress events tell."""

import asyncio
import contextlib
import sys
import time
from collections import deque
from collections.abc import Callable

import msgspec
from msgspec.structs import replace

from infertui.errors import EngineError, UsageError
from infertui.models.hub import cache
from infertui.models.hub.child import ChildLine
from infertui.models.hub.progress import PullView
from infertui.runner.control import PullChanged, RunnerApi
from infertui.text import clean, one_line

AT_ONCE = 4
KEPT = 8
"""Downloads that ended and are still told of."""
_TOLD_EVERY_S = 0.5
_RATE_OVER_S = 5.0
_LONGEST_LINE = 1 << 20
_ENDS_WITHIN_S = 5.0


class Pulls:
    """The downloads of one runner. `tell` is called on the event loop whenever there is news of one."""

    def __init__(self, tell: Callable[[PullChanged], None]) -> None:
        self._tell = tell
        self._views: dict[str, PullView] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    @property
    def views(self) -> tuple[PullView, ...]:
        """Those under way and the last that ended, in the order in which they began."""
        return tuple(self._views.values())

    @property
    def under_way(self) -> list[str]:
        """What to call those under way."""
        return [f"download of {view.model}" for view in self._views.values() if view.state == "running"]

    def begin(self, model: str, revision: str) -> None:
        """Download a model; nothing new where that is under way. Raises UsageError."""
        if not cache.is_model_id(model):
            raise UsageError(f"{one_line(model, 100)} is not the id of a model on the hub (NAME or ORG/NAME)")
        if revision and not cache.is_revision(revision):
            raise UsageError(f"revision {one_line(revision, 100)} is not a branch, tag or commit")
        name = _name(model, revision)
        if name in self._tasks:
            return
        if len(self._tasks) >= AT_ONCE:
            raise UsageError(f"{AT_ONCE} downloads are under way", remedy="Wait for one of them, or cancel it.")
        self._views.pop(name, None)  # the last one begun stands last
        self._show(PullView(model, revision))
        self._tasks[name] = asyncio.create_task(self._download(name, model, revision))

    def cancel(self, model: str, revision: str) -> None:
        """End a download; what has arrived is kept. Raises UsageError where there is none."""
        task = self._tasks.get(_name(model, revision))
        if task is None:
            raise UsageError(f"no download of {one_line(model, 100)} is under way")
        task.cancel()

    async def close(self) -> None:
        """End all of them."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _download(self, name: str, model: str, revision: str) -> None:
        try:
            ended = await self._followed(name, model, revision)
        except asyncio.CancelledError:
            ended = replace(self._views[name], state="cancelled", rate=None)
        except (OSError, EngineError) as error:
            ended = replace(self._views[name], state="failed", rate=None, problem=clean(str(error)))
        finally:
            del self._tasks[name]
        self._show(ended)

    async def _followed(self, name: str, model: str, revision: str) -> PullView:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-P", "-m", "infertui.models.hub.child", model, *([revision] if revision else [])),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
            limit=_LONGEST_LINE,
        )
        try:
            return await self._read(process, name)
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_ENDS_WITHIN_S):
                    await process.wait()

    async def _read(self, process: asyncio.subprocess.Process, name: str) -> PullView:
        assert process.stdout is not None  # noqa: S101
        seen: deque[tuple[float, int]] = deque()
        told = 0.0
        async for content in process.stdout:
            view = self._views[name]
            try:
                line = msgspec.json.decode(content, type=ChildLine)
            except msgspec.MsgspecError:
                continue
            if line.problem:
                return replace(view, state="failed", rate=None, problem=line.problem, remedy=line.remedy)
            if line.path:
                return replace(view, state="done", rate=None)
            if (progress := line.progress) is None:
                continue
            now = time.monotonic()
            seen.append((now, progress.done_bytes - progress.resumed_bytes))
            while now - seen[0][0] > _RATE_OVER_S:
                seen.popleft()
            view = replace(view, progress=progress, rate=_rate(seen))
            if now - told >= _TOLD_EVERY_S:
                told = now
                self._show(view)
            else:
                self._views[name] = view
        raise EngineError("the process that downloads ended without a word")

    def _show(self, view: PullView) -> None:
        self._views[_name(view.model, view.revision)] = view
        ended = [name for name, other in self._views.items() if other.state != "running"]
        for name in ended[:-KEPT]:
            del self._views[name]
        self._tell(PullChanged(view))


def _name(model: str, revision: str) -> str:
    return f"{model}@{revision}"


def _rate(seen: deque[tuple[float, int]]) -> float | None:
    """Bytes a second between the first and the last of what was seen; None while nothing can be said."""
    (first, before), (last, after) = seen[0], seen[-1]
    return max(0.0, (after - before) / (last - first)) if last - first >= 1 else None


class PullOperations(RunnerApi):
    """The operations of `RunnerApi` that are about downloads."""

    _pulls: Pulls

    async def pull(self, model: str, revision: str = "") -> None:
        self._pulls.begin(model, revision)

    async def cancel_pull(self, model: str, revision: str = "") -> None:
        self._pulls.cancel(model, revision)
