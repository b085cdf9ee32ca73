"""Which Textual is installed, and whether our parts beneath it were tested with that one.

They override private names of Textual, which may change with any release. `base` leaves all of them out with another.
"""

import re
from pathlib import Path

import textual

TESTED_FROM, TESTED_BELOW = (8, 2, 8), (8, 3, 0)
"""The releases that our parts were tested with; a patch release is taken to change none of the names."""


def installed() -> str:
    """The version of Textual; empty where that cannot be told."""
    found = [*Path(textual.__file__).parent.parent.glob("textual-*.dist-info")]
    if len(found) == 1:  # importlib.metadata says the same, but the first paint would wait for its import
        return found[0].stem.removeprefix("textual-")
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("textual")
    except PackageNotFoundError:
        return ""


def is_tested(version: str) -> bool:
    """Whether our parts may be used: not with a version that cannot be read, nor with one before a release."""
    numbers = re.fullmatch(r"(\d+)\.(\d+)\.(\d+)(?:\.post\d+)?", version)
    return numbers is not None and TESTED_FROM <= tuple(map(int, numbers.groups())) < TESTED_BELOW
