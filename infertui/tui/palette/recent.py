"""The commands that were chosen last, kept in the state folder: a line each, the newest first."""

import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from infertui import regular_files
from infertui.errors import StoreError
from infertui.paths import state_dir
from infertui.text import CONTROLS, clean

MOST = 50
_MAX_BYTES = 1 << 16
_LONGEST = 300


def recent_path(environ: Mapping[str, str] = os.environ) -> Path:
    """The file that holds them."""
    return state_dir(environ) / "palette-recent"


def read(path: Path) -> tuple[str, ...]:
    """The ids, the newest first; none where there is no such file or it cannot be read: it is of no weight."""
    try:
        text = regular_files.read(path, _MAX_BYTES).decode("utf-8", errors="replace")
    except OSError:
        return ()
    return tuple(dict.fromkeys(line for line in text.split("\n") if _is_id(line)))[:MOST]


def with_newest(recent: Sequence[str], chosen: str) -> tuple[str, ...]:
    """`recent` once `chosen` was chosen."""
    return (chosen, *(one for one in recent if one != chosen))[:MOST] if _is_id(chosen) else tuple(recent)


def keep(path: Path, recent: Sequence[str]) -> None:
    """Write them, whole or not at all, readable by the user alone. Raises StoreError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fd, name = tempfile.mkstemp(dir=path.parent, prefix=".recent-")
        try:
            with os.fdopen(fd, "w", encoding="utf-8", errors="replace") as file:
                file.write("".join(f"{one}\n" for one in recent[:MOST]))
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise StoreError(f"cannot write {clean(str(path))}: {error.strerror}") from None


def _is_id(line: str) -> bool:
    return 0 < len(line) <= _LONGEST and CONTROLS.isdisjoint(line)
