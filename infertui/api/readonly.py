"""A Control for those who only watch."""

from collections.abc import AsyncIterator
from typing import Any

from infertui.api.errors import ReadOnlyError
from infertui.api.operations import operations
from infertui.runner.control import EventEnvelope, RunnerApi, Snapshot


class ReadOnly(RunnerApi):
    """Passes questions on to another Control, and refuses with ReadOnlyError whatever would change something."""

    def __init__(
        self,
        control: RunnerApi,
        *,
        watcher: str = "this screen only watches",
        remedy: str = "Attach without --read-only to steer.",
    ) -> None:
        self._control = control
        self._watcher = watcher
        self._remedy = remedy

    async def call(self, operation: str, /, *arguments: object, **named: object) -> Any:
        if act := operations(type(self))[operation].route.act:
            raise ReadOnlyError(f"{self._watcher}: it cannot {act}", remedy=self._remedy)
        return await getattr(self._control, operation)(*arguments, **named)

    def events(self, since: int) -> AsyncIterator[EventEnvelope | Snapshot]:
        return self._control.events(since)
