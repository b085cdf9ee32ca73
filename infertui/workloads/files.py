"""Text files that a config names: read whole, or refused with the key, the file and what is allowed."""

import stat
from pathlib import Path

from infertui.errors import ConfigError
from infertui.terminal_text import clean
from infertui.units import format_bytes

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
)


def read_text(key: str, path: Path, *, limit: int, allowed: str) -> str:
    """The text of the regular file `path` of at most `limit` bytes, UTF-8 with or without a mark; `~` is home.

    `key` is the config's key that names it, `allowed` the words for what it may be. Raises ConfigError. What is no
    regular file is refused unopened: a device may never end, and a pipe tells its content once.
    """
    name = clean(str(path))
    try:
        path = path.expanduser()
        found = path.stat()
        if kind := kind_of(found.st_mode):
            raise ConfigError(key, f"{name} is {kind}", allowed=allowed)
        with path.open("rb") as file:
            content = file.read(limit + 1) if found.st_size <= limit else b""
        if max(found.st_size, len(content)) > limit:
            raise ConfigError(key, f"{name} is larger than {_whole(limit)}", allowed=allowed)
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        wide = ", it seems to be UTF-16" if error.object[:2] in (b"\xff\xfe", b"\xfe\xff") else ""
        raise ConfigError(key, f"{name} is not UTF-8 text (byte {error.start}{wide})", allowed="UTF-8 text") from error
    except OSError as error:
        raise ConfigError(key, f"cannot read {name}: {error.strerror}", allowed="a readable file") from error
    except RuntimeError as error:  # of expanduser
        raise ConfigError(key, f"cannot read {name}: that home is not known", allowed="a readable file") from error
    except ValueError as error:  # a null byte
        raise ConfigError(key, f"cannot read {name}: that is no file name", allowed="a readable file") from error


def kind_of(mode: int) -> str:
    """What a file that is no regular one is, by the mode that `stat` tells; empty for a regular one."""
    return "" if stat.S_ISREG(mode) else next((kind for holds, kind in _KINDS if holds(mode)), "no regular file")


def _whole(limit: int) -> str:
    size, unit = format_bytes(limit).split(" ")
    return f"{float(size):g} {unit}"
