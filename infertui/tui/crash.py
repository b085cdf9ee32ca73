"""What is left of an error of the program itself: a log in the state directory. The values of variables stay out."""

import os
import tempfile
import time
import traceback
from collections.abc import Mapping
from pathlib import Path

from infertui.paths import state_dir


def state_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Where logs of crashes go."""
    return state_dir(environ)


def keep(error: BaseException, *, environ: Mapping[str, str] = os.environ) -> Path | None:
    """Write the traceback to a file of its own, readable by the user alone; None where that is not possible."""
    from infertui import __version__
    from infertui.text import clean

    text = f"infertui {__version__}\n" + clean("".join(traceback.format_exception(error)), lines=True)
    stamp = time.strftime("%Y%m%d-%H%M%S")
    for folder in (state_folder(environ), Path(tempfile.gettempdir())):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            fd, name = tempfile.mkstemp(dir=folder, prefix=f"crash-{stamp}-", suffix=".log")
            with os.fdopen(fd, "w", encoding="utf-8", errors="backslashreplace") as file:
                file.write(text)
        except OSError:
            continue
        return Path(name)
    return None


def sentence(error: BaseException, log: Path | None) -> str:
    """What the user is told."""
    from infertui.text import clean, one_line

    what = one_line(f"{type(error).__name__}: {error}")
    where = f"Details: {clean(str(log))}" if log else "No log could be written."
    return f"infertui: the screen failed ({what}). Runs go on; `infertui` shows them again.\n{where}"
