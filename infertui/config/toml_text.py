"""TOML text of any kind, with errors that name the place. Imports no schema: the first paint reads themes with it."""

import sys
import tomllib

from infertui.errors import ConfigError
from infertui.text import clean

_REMEDY = "Text goes in double quotes, true and false in small letters, and each key stands once in its [table]."


def loads(content: bytes, name: str) -> dict[str, object]:
    """The tables of TOML text in UTF-8; `name` stands for the file in errors. Raises ConfigError."""
    try:
        return tomllib.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        column = error.start - content.rfind(b"\n", 0, error.start)
        problem = f"{name} is not UTF-8 text (at line {line}, byte {column})"
        raise ConfigError("", problem, allowed="TOML in UTF-8") from None
    except RecursionError:
        raise ConfigError("", f"{name} nests lists or tables too deeply", allowed="TOML tables of settings") from None
    except tomllib.TOMLDecodeError as error:
        last = content.rstrip().count(b"\n") + 1
        place = clean(str(error)).replace("at end of document", f"at line {last}, the end")
        raise ConfigError("", f"{name} is not TOML: {place}", remedy=_REMEDY) from None
    except ValueError:  # Python's own limit
        problem = f"{name} holds an integer of more than {sys.get_int_max_str_digits()} digits"
        raise ConfigError("", problem, allowed="TOML tables of settings") from None
