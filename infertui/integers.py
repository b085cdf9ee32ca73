"""The integers of files: what 64 bits hold, as columns of SQLite do, so that every one of them is also a float."""

from typing import Annotated

from msgspec import Meta

_DIGITS = 19

Whole = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]


def whole_number(text: str) -> int | None:
    """A count that foreign text tells in ASCII digits; None for all else, and for more digits than any count has."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < _DIGITS else None
