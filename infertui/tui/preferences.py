"""What the user chose: read once the first paint is done, and kept in the settings file."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from infertui.tui.settings import Settings


class Preferences:
    """The settings of this screen. What the command line says counts for this time, and is not written."""

    def __init__(self, settings: "Settings | None", path: Path | None, *, slow_link: bool) -> None:
        self._settings = settings
        self._path = path
        self._slow_link = slow_link
        self.problems: tuple[str, ...] = ()
        """What was wrong with the file."""

    @property
    def settings(self) -> "Settings":
        """The settings as they are now."""
        if self._settings is None:
            self._settings = self._read()
        return self._settings

    @settings.setter
    def settings(self, settings: "Settings") -> None:
        self._settings = settings

    @property
    def slow_link(self) -> bool:
        """Whether to redraw rarely, as far as that is known without reading the file."""
        return self._slow_link if self._settings is None else self._settings.slow_link

    def _read(self) -> "Settings":
        from msgspec.structs import replace

        from infertui.tui import settings

        found = settings.SettingsFile(settings.Settings()) if self._path is None else settings.read(self._path)
        self.problems = found.problems
        return replace(found.settings, slow_link=True) if self._slow_link else found.settings

    async def save(self) -> None:
        """Write the file, where there is one. Raises StoreError."""
        from msgspec.structs import replace

        from infertui.tui.settings import write

        if self._path is not None:
            kept = self.settings
            if self._slow_link and kept.slow_link:
                kept = replace(kept, slow_link=False)
            await asyncio.to_thread(write, self._path, kept)
