"""What the user chose: read once the first paint is done, and kept in the settings file."""

import asyncio
import shutil
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from infertui.tui.settings.stored import Settings


class Preferences:
    """The settings of this screen. What the command line says counts for this time, and is not written."""

    def __init__(self, settings: "Settings | None", path: Path | None, *, slow_link: bool) -> None:
        self._settings = settings
        self._base = settings
        """As last read from the file or written to it."""
        self._writing = Lock()
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

        from infertui.tui.settings import stored

        found = stored.SettingsFile(stored.Settings()) if self._path is None else stored.read(self._path)
        self.problems = found.problems
        self._base = found.settings
        return replace(found.settings, slow_link=True) if self._slow_link else found.settings

    async def save(self) -> str:
        """Write the file, where there is one; a sentence if there is something to say of it. Raises StoreError."""
        return await asyncio.to_thread(self._write, self._path) if self._path is not None else ""

    def _write(self, path: Path) -> str:
        """Write what was changed here into what the file says now: another screen may have written to it."""
        from msgspec.structs import asdict, replace

        from infertui.tui.settings.stored import read, write

        with self._writing:
            own = self.settings
            if self._slow_link and own.slow_link:
                own = replace(own, slow_link=False)
            found, said = read(path), ""
            kept = own
            if found.problems:
                said = _keep_aside(path)
            elif found.existed and self._base is not None:
                before = asdict(self._base)
                kept = replace(found.settings, **{n: v for n, v in asdict(own).items() if v != before[n]})
            write(path, kept)
            self._base = own
            return said


def _keep_aside(path: Path) -> str:
    """Keep a copy of a file with mistakes in it: what could not be read of it would be lost."""
    aside = path.with_name(f"{path.name}.old")
    try:
        shutil.copyfile(path, aside)
    except OSError:
        return ""
    return f"{path.name} was written anew; the former one, which has mistakes, is {aside.name}"
