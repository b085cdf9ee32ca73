"""Questions to the file system that have an answer whatever the name: too long, no permission, a null byte, a loop."""

from pathlib import Path

from infertui import regular


def is_file(path: Path) -> bool:
    """Whether `path` is a regular file that can be looked at; links are followed."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def is_dir(path: Path) -> bool:
    """Whether `path` is a directory that can be looked at; links are followed."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def read_at_most(path: Path, limit: int) -> bytes | None:
    """What the regular file `path` holds; None when it is larger than `limit` bytes. Raises OSError."""
    try:
        return regular.read(path, limit)
    except regular.TooLargeError:
        return None
