"""Config files of the user: where they are, which there are, and saving one whole or not at all."""

import contextlib
import os
import secrets
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

from infertui import regular_files
from infertui.config import toml
from infertui.config.fields import SECTIONS
from infertui.config.parse import decode
from infertui.errors import ConfigError, StoreError, UsageError
from infertui.paths import expand
from infertui.text import clean
from infertui.tui.terminal.early import settings_path

SUFFIX = ".toml"
_MOST_LISTED = 500


def configs_dir(environ: Mapping[str, str]) -> Path:
    """Where configs are saved that are given a name alone."""
    return settings_path(environ).parent / "configs"


def listed(environ: Mapping[str, str], folder: Path) -> list[Path]:
    """The config files of the user, then those of `folder`: TOML files with a table that a config has, by name."""
    return [*_in(configs_dir(environ)), *_in(folder)]


def path_of(name: str, environ: Mapping[str, str]) -> Path:
    """The file that somebody means who types `name`: a bare name is one of the user's configs.

    Raises UsageError for what can be no file's name.
    """
    text = name.strip()
    if not text or text.endswith("/"):
        raise UsageError("a name is needed")
    if "\0" in text or not text.isprintable():
        raise UsageError("a name has no control characters")
    if not text.endswith(SUFFIX):
        text += SUFFIX
    path = expand(text)
    if text.startswith("~") and path == Path(text):
        raise UsageError(f"there is no home folder {clean(text.partition('/')[0])}")
    path = path.absolute() if "/" in text else configs_dir(environ) / path
    if path.name == SUFFIX:
        raise UsageError("a name is needed")
    if len(os.fsencode(path.name)) > 255:
        raise UsageError("the name is longer than 255 bytes")
    return path


def meant(name: str, environ: Mapping[str, str]) -> Path:
    """The file to open that somebody means who types `name`: as it stands, else as `path_of` has it. UsageError."""
    path = path_of(name, environ)
    as_it_stands = expand(name.strip()).absolute()
    return as_it_stands if regular_files.is_file(as_it_stands) or not regular_files.is_file(path) else path


def save(path: Path, text: str) -> None:
    """Write `text` to `path`, whole or not at all; a link stays one. Raises StoreError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        real = Path(os.path.realpath(path))
        draft = real.with_name(f".infertui-{secrets.token_hex(6)}")
        try:
            with draft.open("x", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            if real.exists():
                draft.chmod(real.stat().st_mode & 0o777)
            draft.replace(real)
        except BaseException:
            with contextlib.suppress(OSError):
                draft.unlink()
            raise
    except OSError as error:
        raise StoreError(f"cannot save {clean(str(path))}: {error.strerror}") from None


def text_of(path: str | Path) -> str:
    """The text of a config's file, with marks in the place of what is no UTF-8. Raises OSError."""
    return regular_files.read(path, toml.MAX_BYTES).decode("utf-8-sig", errors="replace").replace("\r\n", "\n")


def loss(path: Path, known: str) -> str:
    """What saving over `path` would lose beyond the values that were read from it as `known`; empty for nothing."""
    try:
        text = text_of(path)
    except FileNotFoundError:
        return ""
    except OSError as error:
        return f"it cannot be read ({error.strerror})"
    if text != known:
        return "it has changed since it was opened"
    try:
        generated = toml.write(decode(tomllib.loads(text)))
    except (ConfigError, ValueError, RecursionError):
        return "it says something else"
    lines = set(generated.splitlines())
    return "its own comments" if any(_is_comment(line) and line not in lines for line in text.splitlines()) else ""


def _is_comment(line: str) -> bool:
    return line.lstrip().startswith("#") and line.strip("# \t") != ""


def _in(folder: Path) -> Iterator[Path]:
    try:
        names = sorted(entry.name for entry in os.scandir(folder) if entry.name.endswith(SUFFIX) and entry.is_file())
    except OSError:
        return
    yield from (folder / name for name in names[:_MOST_LISTED] if _is_config(folder / name))


def _is_config(path: Path) -> bool:
    """Whether a file looks like one of ours; one that is no TOML may be one with a slip in it, if it says so."""
    try:
        text = text_of(path)
    except OSError:
        return False
    try:
        return any(name in SECTIONS for name in tomllib.loads(text))
    except (ValueError, RecursionError):
        return any(f"[{name}]" in text for name in SECTIONS if name)
