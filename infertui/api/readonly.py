"""A Control for those who only watch."""

from collections.abc import AsyncIterator, Sequence
from typing import NoReturn

from infertui.analysis.bench import Bench
from infertui.api.errors import ReadOnlyError
from infertui.config.schema import Config
from infertui.config.sweep import Variant
from infertui.models.local import LocalModel
from infertui.results.details import RunDetails
from infertui.results.table import ResultPage, ResultQuery
from infertui.runner.control import Compared, Control, Forecast, Numbered, Snapshot, Submission
from infertui.telemetry.readings import GpuProcess


def _refuse(act: str) -> NoReturn:
    raise ReadOnlyError(f"this screen only watches: it cannot {act}", remedy="Attach without --read-only to steer.")


class ReadOnly:
    """Passes questions on to another Control, and refuses with ReadOnlyError whatever would change something."""

    def __init__(self, control: Control) -> None:
        self._control = control

    async def snapshot(self) -> Snapshot:
        """See `Control`."""
        return await self._control.snapshot()

    def events(self, since: int) -> AsyncIterator[Numbered | Snapshot]:
        """See `Control`."""
        return self._control.events(since)

    async def forecast(self, config: Config) -> Forecast:
        """See `Control`."""
        return await self._control.forecast(config)

    async def models(self) -> tuple[LocalModel, ...]:
        """See `Control`."""
        return await self._control.models()

    async def processes(self, uuid: str) -> tuple[GpuProcess, ...] | None:
        """See `Control`."""
        return await self._control.processes(uuid)

    async def results(self, query: ResultQuery) -> ResultPage:
        """See `Control`."""
        return await self._control.results(query)

    async def details(self, out: str, run: str) -> RunDetails:
        """See `Control`."""
        return await self._control.details(out, run)

    async def compare(self, out: str, runs: Sequence[str]) -> Compared:
        """See `Control`."""
        return await self._control.compare(out, runs)

    async def bench(self, out: str, bench: str) -> Bench:
        """See `Control`."""
        return await self._control.bench(out, bench)

    async def submit(self, submission: Submission) -> tuple[int, ...]:
        """Refused."""
        _refuse("queue runs")

    async def cancel(self, ids: Sequence[int]) -> None:
        """Refused."""
        _refuse("cancel runs")

    async def skip(self, ids: Sequence[int]) -> None:
        """Refused."""
        _refuse("skip runs")

    async def retry(self, ids: Sequence[int]) -> tuple[int, ...]:
        """Refused."""
        _refuse("queue runs again")

    async def duplicate(self, ids: Sequence[int]) -> tuple[int, ...]:
        """Refused."""
        _refuse("duplicate entries")

    async def edit(self, entry: int, variant: Variant) -> None:
        """Refused."""
        _refuse("edit entries")

    async def move(self, ids: Sequence[int], by: int) -> None:
        """Refused."""
        _refuse("move entries")

    async def remove(self, ids: Sequence[int]) -> None:
        """Refused."""
        _refuse("remove entries")

    async def clear(self) -> None:
        """Refused."""
        _refuse("clear the queue")

    async def pause(self) -> None:
        """Refused."""
        _refuse("pause the queue")

    async def resume(self) -> None:
        """Refused."""
        _refuse("resume the queue")

    async def delete(self, out: str, runs: Sequence[str]) -> None:
        """Refused."""
        _refuse("delete runs")

    async def stop(self, *, now: bool = False) -> None:
        """Refused."""
        _refuse("stop the runner")
