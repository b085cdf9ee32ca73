"""The page of a runner: its snapshot, and the figures of the runs that ended last."""

import asyncio
import contextlib
import os
from collections.abc import Mapping, Sequence

from infertui.analysis.cost.prices import Prices, load_prices
from infertui.api.exporter.family import ScrapedPage
from infertui.api.exporter.figures import add_figures
from infertui.api.exporter.gpus import add_gpus, add_host
from infertui.api.exporter.runs import add_runner, add_runs, last_ended
from infertui.api.exporter.text import exposition
from infertui.errors import InfertuiError
from infertui.results.table import ResultQuery, ResultRow
from infertui.runner.blocking import run_blocking
from infertui.runner.control import RunnerApi
from infertui.runner.scheduling.queue_store import Entry

PATH = "/metrics"
ROWS = 200
"""Rows of a reports folder that are looked at, the latest."""
FIRST_S = 1.0
"""How long the first page waits for figures of runs; others have those of the last look."""
AGAIN_S = 60.0
"""When a folder that could not be read is looked at again."""


class RunnerPage:
    """Of one runner. Figures of runs are read once they have ended, beside the pages: none waits for files."""

    def __init__(self, control: RunnerApi, environ: Mapping[str, str] = os.environ) -> None:
        self._control = control
        self._environ = environ
        self._rows: tuple[ResultRow, ...] = ()
        self._prices: Prices | None = None
        self._of: tuple[tuple[str, str], ...] | None = None
        self._again = 0.0
        self._reading: asyncio.Task[None] | None = None

    async def text(self) -> bytes:
        """The page as it is now."""
        told = await self._control.snapshot()
        ended = last_ended(told.entries)
        await self._look(ended)
        page = ScrapedPage()
        hostname = told.runner.host.hostname
        if told.samples:
            latest = told.samples[-1]
            add_gpus(page, told.runner.gpus, latest.gpus, hostname)
            add_host(page, latest.host, told.runner.host)
        add_runner(page, told)
        add_runs(page, told)
        ids = {entry.run for entry in ended}
        add_figures(page, [row for row in self._rows if row.id in ids], ended, self._prices)
        return exposition(page)

    async def _look(self, ended: Sequence[Entry]) -> None:
        """Begin to read the figures of these, unless they are known."""
        wanted = tuple((entry.out, entry.run) for entry in ended)
        now = asyncio.get_running_loop().time()
        if self._reading is not None and not self._reading.done():
            return
        if wanted == self._of and (not self._again or now < self._again):
            return
        first, self._of, self._again = self._of is None, wanted, 0.0
        self._reading = asyncio.create_task(self._read(wanted))
        if first and wanted:
            await asyncio.wait([self._reading], timeout=FIRST_S)

    async def _read(self, wanted: Sequence[tuple[str, str]]) -> None:
        found: list[ResultRow] = []
        for out in dict.fromkeys(out for out, _ in wanted):
            ids = {run for place, run in wanted if place == out}
            try:
                rows = (await self._control.results(ResultQuery(out, limit=ROWS))).rows
            except InfertuiError:  # the folder may be gone, or out of reach for a while
                self._again = asyncio.get_running_loop().time() + AGAIN_S
                continue
            found += [row for row in rows if row.id in ids]
        prices = None
        with contextlib.suppress(InfertuiError):  # a file of prices with a fault: no cost is told
            prices = await run_blocking(lambda: load_prices(self._environ))
        self._rows, self._prices = tuple(found), prices
