"""Files of models, which may be larger than anybody wants to read."""

from pathlib import Path

from infertui import regular_files


def read_at_most(path: Path, limit: int) -> bytes | None:
    """What the regular file `path` holds; None when it is larger than `limit` bytes. Raises OSError."""
    try:
        return regular_files.read(path, limit)
    except regular_files.TooLargeError:
        return None
