"""Settings beside the config that a session may change: of its GPUs, or of the server that it loads.

Each is set where a segment wants it, and put back when the session ends.
"""

import logging
from collections.abc import Mapping
from functools import partial
from typing import Protocol

from infertui.config.endpoint import TargetConfig
from infertui.errors import EngineError, InfertuiError
from infertui.runner.blocking import run_blocking
from infertui.runner.tuning.server_panel import EMPTIED, ServerPanel, ServerSetting
from infertui.telemetry.gpu_settings import GpuSettings
from infertui.telemetry.readings import SERVER, GpuSetting

_log = logging.getLogger(__name__)


class Changeable(Protocol):
    """Some of them, in the hands of a session. `close` puts back what was there; what could not be is returned."""

    @property
    def settings(self) -> tuple[GpuSetting, ...]: ...
    async def apply(self, wanted: Mapping[str, float]) -> None: ...
    async def close(self) -> list[str]: ...


class OfGpus:
    """Those of GPUs."""

    def __init__(self, settings: GpuSettings) -> None:
        self._settings = settings

    @property
    def settings(self) -> tuple[GpuSetting, ...]:
        return self._settings.settings

    async def apply(self, wanted: Mapping[str, float]) -> None:
        """Set these, and whatever is not among them to what it was. Raises GpuSettingError; then all is as it was."""
        await run_blocking(partial(self._settings.apply, wanted))

    async def close(self) -> list[str]:
        return await run_blocking(self._settings.close)


class OfServer:
    """Those of a server, as it told them when it was asked first."""

    def __init__(self, panel: ServerPanel, found: tuple[ServerSetting, ...]) -> None:
        self._panel = panel
        self._found = {one.name: one for one in found}
        self._changed: set[str] = set()

    @classmethod
    async def asked(cls, target: TargetConfig) -> "OfServer":
        """Raises EngineError where nothing answers, and where there is nothing to change."""
        panel = ServerPanel(target)
        found = await panel.settings()
        if not found:
            raise EngineError("this server has no settings that are known here, so there are none to change")
        return cls(panel, found)

    @property
    def settings(self) -> tuple[GpuSetting, ...]:
        return tuple(
            GpuSetting(one.name, one.value, one.low, one.high, SERVER, one.whole, one.description, one.refused)
            for one in self._found.values()
        )

    async def apply(self, wanted: Mapping[str, float]) -> None:
        """Set these, and whatever is not among them to what it was; a server that was started anew is told anew.

        Raises EngineError where it refuses; then what was set before is left for the next one to set.
        """
        goals = {name: self._found[name].value for name in self._changed} | dict(wanted)
        if not goals:
            return
        now = {one.name: one.value for one in await self._panel.settings()}
        for name, value in goals.items():
            if name == EMPTIED:
                if value:
                    await self._panel.set(name, value, now)
                continue
            if name not in now:
                raise EngineError(f"the server has no {name} any more")
            if now[name] != value:
                self._changed.add(name)
                await self._panel.set(name, value, now)
                now[name] = value

    async def close(self) -> list[str]:
        """Put back what was changed."""
        try:
            now = {one.name: one.value for one in await self._panel.settings()} if self._changed else {}
        except InfertuiError as error:
            return [f"{', '.join(sorted(self._changed))}: {error.message}"]
        refused = []
        for name in sorted(self._changed):
            was = self._found[name].value
            try:
                if now.get(name) != was:
                    await self._panel.set(name, was, now)
                    now[name] = was
            except InfertuiError as error:
                refused.append(error.message)
        self._changed.clear()
        return refused
