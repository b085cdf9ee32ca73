"""The integers of files: what 64 bits hold, as columns of SQLite do, so that every one of them is also a float."""

from typing import Annotated

from msgspec import Meta

Whole = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
