"""The base of every table of a config."""

from msgspec import Struct

MAX_INT = 2**31 - 1


class Section(Struct, frozen=True):
    """Base of every table of the config: immutable.

    `config.parse` refuses unknown keys. Results of other versions, which may have more, are read all the same.
    """
