"""The file `.env` of the working directory: variables that count where the environment has none of that name.

How its lines are read, quotes, escapes and `${NAME:-default}` included, is python-dotenv's matter, with the environment
before the file as in its `load_dotenv`. Variables that set keys of a config reach it through `with_env_file`, which
tells them apart from the environment's; those that libraries look for themselves (the hub's, CUDA's, a proxy's) are put
into the environment of the process, since nothing else is read by them. No other variable of the file is used.
"""

import os
import re
from collections import ChainMap
from collections.abc import Iterator, Mapping, MutableMapping
from pathlib import Path
from typing import cast

from msgspec import Struct

from infertui import regular_files
from infertui.credentials import hide_credentials
from infertui.errors import UsageError
from infertui.text import clean

FILE = ".env"
NAMED = "INFERTUI_ENV_FILE"
"""Names another file, as `--env-file` does."""
OFF = "INFERTUI_NO_ENV_FILE"
"""Leaves the file out, as `--no-env-file` does; for the processes that this one starts as well."""
_NO = ("", "0", "false", "no", "off")
_MAX_BYTES = 1 << 16
_FOR_LIBRARIES = re.compile(
    r"HF_\w+|HUGGING_?FACE_\w+|TRANSFORMERS_OFFLINE|CUDA_VISIBLE_DEVICES|INFERTUI_(?:MODELS_DIR|RUNTIME_DIR)"
    r"|(?:HTTPS?|ALL|NO)_PROXY|(?:https?|all|no)_proxy"
)
_REMEDY = "Mend it, or leave it out: infertui --no-env-file ..."


class EnvFile(Struct, frozen=True):
    """What an env file holds: all its variables, and what is to be told of it, which never quotes it."""

    name: str
    values: Mapping[str, str] = {}
    notes: tuple[str, ...] = ()


class Environment(Mapping[str, str]):
    """The variables of a process over those of an env file, and which of the two each is of.

    A variable that the process has, even an empty one, hides the file's of that name.
    """

    def __init__(self, own: Mapping[str, str], file: EnvFile) -> None:
        beneath = {name: value for name, value in file.values.items() if name not in own}
        self.levels: tuple[tuple[str, Mapping[str, str]], ...] = ((file.name, beneath), ("environment", own))
        """What each is called, and its variables; what counts less comes first."""
        self._all = {**beneath, **own}

    def __getitem__(self, name: str) -> str:
        return self._all[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)


class _InUse(Struct):
    """The file that this process goes by, and which variables of its environment are the file's."""

    file: EnvFile | None = None
    put: dict[str, str] = {}


_in_use = _InUse()


def use_env_file(
    given: str | None = None, *, off: bool = False, environ: MutableMapping[str, str] = os.environ
) -> tuple[str, ...]:
    """Go by `.env`, or by the file that `given` or INFERTUI_ENV_FILE names; what is to be told of it.

    Instead of what a call before took, which is undone. Raises UsageError for a file that cannot be used.
    """
    for name, value in _in_use.put.items():
        if environ.get(name) == value:
            del environ[name]
    _in_use.file, _in_use.put = None, {}
    if off:
        if given:
            raise UsageError("--env-file and --no-env-file exclude each other")
        environ[OFF] = _in_use.put[OFF] = "1"
    hide_credentials(environ)
    named = given or environ.get(NAMED, "")
    if environ.get(OFF, "").strip().lower() in _NO or given:
        _in_use.file = read_env_file(Path(named or FILE), environ, named=bool(named))
    if _in_use.file is None:
        return ()
    hide_credentials(_in_use.file.values)
    for name, value in _in_use.file.values.items():
        if _FOR_LIBRARIES.fullmatch(name) and name not in environ:
            environ[name] = _in_use.put[name] = value
    return _in_use.file.notes


def with_env_file(environ: Mapping[str, str] = os.environ) -> Environment:
    """`environ` over the variables of the file that this process goes by, of which some are in `environ` itself."""
    own = {name: value for name, value in environ.items() if _in_use.put.get(name) != value}
    return Environment(own, _in_use.file or EnvFile(FILE))


def read_env_file(path: Path, environ: Mapping[str, str], *, named: bool = False) -> EnvFile | None:
    """The variables of a file; None where there is none of that name, or a folder (a Python environment may be called
    `.env`). One that is not `named` is not taken where it belongs to another user.

    Raises UsageError where it is no file of text, or a `named` one is not there.
    """
    name = clean(str(path))
    try:
        with regular_files.opened(path) as file:
            if not named and (owner := os.fstat(file.fileno()).st_uid) not in (0, os.geteuid()):
                note = f"it belongs to another user ({owner}); --env-file {name} takes it all the same"
                return EnvFile(name, notes=(f"{name} was not read: {note}",))
            content = file.read(_MAX_BYTES + 1)
        if len(content) > _MAX_BYTES:
            raise regular_files.TooLargeError(_MAX_BYTES, path)
        text = content.decode("utf-8")
    except FileNotFoundError:
        if not named:
            return None
        raise UsageError(f"there is no env file {name}", remedy="--env-file names an existing one.") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"{name} is not UTF-8 text (byte {error.start})", remedy=_REMEDY) from None
    except PermissionError as error:
        if not named:
            return EnvFile(name, notes=(f"{name} was not read: {error.strerror}",))
        raise UsageError(f"{name} cannot be read: {error.strerror}", remedy=_REMEDY) from None
    except OSError as error:
        if isinstance(error, regular_files.NotRegularError) and error.kind == "a folder" and not named:
            return None
        raise UsageError(f"{name} cannot be read: {error.strerror}", remedy=_REMEDY) from None
    if "\0" in text:
        raise UsageError(f"{name} is not text: it holds a NUL", remedy=_REMEDY)
    return _parsed(name, text, environ)


def _parsed(name: str, text: str, environ: Mapping[str, str]) -> EnvFile:
    """Its variables as `dotenv.load_dotenv` sets them; what python-dotenv makes nothing of is told by its line."""
    from io import StringIO

    from dotenv.parser import parse_stream
    from dotenv.variables import parse_variables

    values: dict[str, str | None] = {}
    known = ChainMap(cast(dict[str, str | None], environ), values)
    notes = []
    for binding in parse_stream(StringIO(text)):
        if binding.error:
            before = binding.original.string
            line = binding.original.line + before[: len(before) - len(before.lstrip())].count("\n")
            notes.append(f"{name} line {line} is not understood, and left out")
        elif binding.key is not None:
            atoms = None if binding.value is None else parse_variables(binding.value)
            values[binding.key] = None if atoms is None else "".join(atom.resolve(known) for atom in atoms)
    return EnvFile(name, {key: value for key, value in values.items() if value is not None}, tuple(notes))
