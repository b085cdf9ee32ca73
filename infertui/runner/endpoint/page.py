"""Reads a server's Prometheus page while it is under load. Whatever goes wrong with it takes nothing from the run."""

import asyncio
import contextlib

from infertui.config.endpoint import TargetConfig
from infertui.errors import InfertuiError
from infertui.targets.endpoint.dialects.registry import dialect_of
from infertui.targets.endpoint.extras import page_headers
from infertui.targets.endpoint.scrape import MetricsPage, ServerScrape
from infertui.targets.endpoint.seen import ServerSeen, seen

EVERY_S = 1.0
READ_S = 3.0
MOST_PAGES = 4096
"""That are held; of a longer load every second one goes whenever there are more."""


class PageWatch:
    """Of one load. `first` before it, then `follow` while it is on, `last` after it."""

    def __init__(self, target: TargetConfig, key: str) -> None:
        self._page: MetricsPage | None = None
        self._pages: list[ServerScrape] = []
        self._following: asyncio.Task[None] | None = None
        self._every_s = EVERY_S
        with contextlib.suppress(InfertuiError):
            api = "openai-chat" if target.api == "auto" else target.api
            self._page = MetricsPage(target, page_headers(dialect_of(api), target, key))

    async def first(self) -> None:
        """Look whether there is a page; where there is none, no more is asked for it."""
        await self._read()
        if not self._pages:
            self._page = None

    def follow(self) -> None:
        """Read it again and again."""
        if self._page is not None:
            self._following = asyncio.create_task(self._follow())

    async def last(self) -> None:
        """Read it once more, and no longer."""
        if self._following is not None:
            self._following.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._following
            self._following = None
            await self._read()

    @property
    def latest(self) -> ServerScrape | None:
        """The page as it was read last."""
        return self._pages[-1] if self._pages else None

    def seen(self, start_ns: int, end_ns: int) -> ServerSeen | None:
        """What it said of a load from `start_ns` to `end_ns`, monotonic nanoseconds."""
        return seen(self._pages, start_ns, end_ns)

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(self._every_s)
            await self._read()

    async def _read(self) -> None:
        if self._page is None:
            return
        with contextlib.suppress(InfertuiError, OSError, ValueError, TimeoutError):
            found = await self._page.read(timeout_s=READ_S)
            if found is not None:
                self._pages.append(found)
        if len(self._pages) > MOST_PAGES:
            del self._pages[1:-1:2]
            self._every_s *= 2
