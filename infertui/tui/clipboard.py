"""Copied text: also kept in a file, because not every terminal hands it on."""

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from infertui.errors import StoreError
from infertui.paths import cache_dir
from infertui.text import CONTROLS, clean

TMUX_HINT = "tmux hands it on after: tmux set -g set-clipboard on"
MAX_BYTES = 1 << 20
_UNSEEN = dict.fromkeys(map(ord, CONTROLS - {"\n", "\t"}), "\N{REPLACEMENT CHARACTER}")


def clip_path(environ: Mapping[str, str] = os.environ) -> Path:
    """The file that holds what was copied last."""
    return cache_dir(environ) / "clip.txt"


def harmless(text: str) -> str:
    """`text` without control characters but line ends and tabs: where it is pasted a shell would obey them."""
    return text.translate(_UNSEEN)


def keep(text: str, path: Path) -> None:
    """Write `text` to `path`, readable by the user alone. Raises StoreError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # mkstemp makes the file 0600 from the start, and replacing follows no link that somebody put there.
        fd, name = tempfile.mkstemp(dir=path.parent, prefix=".clip-")
        try:
            with os.fdopen(fd, "w", encoding="utf-8", errors="replace") as file:
                file.write(text[:MAX_BYTES])
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise StoreError(f"cannot write {clean(str(path))}: {error.strerror}") from None


def shortened(path: Path, environ: Mapping[str, str]) -> str:
    """A path for a sentence, from the user's folder on where it lies there."""
    home, shown = environ.get("HOME", ""), str(path)
    return clean("~" + shown[len(home) :] if home and shown.startswith(home + "/") else shown)


def said(what: str, path: Path, *, environ: Mapping[str, str], hint: bool) -> str:
    """The sentence for the user; with `hint`, inside tmux, also what tmux needs."""
    sentence = f"Copied {clean(what)}; also in {shortened(path, environ)}"
    return f"{sentence}\n{TMUX_HINT}" if hint and environ.get("TMUX") else sentence
