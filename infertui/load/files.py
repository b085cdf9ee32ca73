"""Text files that a config names: read whole, or refused with the key, the file and what is allowed."""

from pathlib import Path

from infertui import regular_files
from infertui.errors import ConfigError
from infertui.text import clean


def read_text(key: str, path: Path, *, limit: int, allowed: str) -> str:
    """The text of the regular file `path` of at most `limit` bytes, UTF-8 with or without a mark; `~` is home.

    `key` is the config's key that names it, `allowed` the words for what it may be. Raises ConfigError. What is no
    regular file is refused unopened: a device may never end, and a pipe tells its content once.
    """
    name = clean(str(path))
    try:
        return regular_files.read(path.expanduser(), limit).decode("utf-8-sig")
    except regular_files.NotRegularError as error:
        raise ConfigError(key, f"{name} is {error.kind}", allowed=allowed) from error
    except regular_files.TooLargeError as error:
        raise ConfigError(key, f"{name} is larger than {regular_files.whole(limit)}", allowed=allowed) from error
    except regular_files.NoNameError as error:
        raise ConfigError(key, f"cannot read {name}: that is no file name", allowed="a readable file") from error
    except UnicodeDecodeError as error:
        wide = ", it seems to be UTF-16" if error.object[:2] in (b"\xff\xfe", b"\xfe\xff") else ""
        raise ConfigError(key, f"{name} is not UTF-8 text (byte {error.start}{wide})", allowed="UTF-8 text") from error
    except OSError as error:
        raise ConfigError(key, f"cannot read {name}: {error.strerror}", allowed="a readable file") from error
    except RuntimeError as error:  # of expanduser
        raise ConfigError(key, f"cannot read {name}: that home is not known", allowed="a readable file") from error
