"""Which Python interpreter runs each engine, as the user chose it: `engines.toml` in the user's config directory."""

import contextlib
import os
import secrets
import tomllib
from collections.abc import Mapping
from pathlib import Path

from infertui import regular_files
from infertui.errors import ConfigError, StoreError
from infertui.text import clean
from infertui.userdir import config_dir

_MAX_BYTES = 1 << 20
_HEAD = "# Python interpreters of engines in environments of their own; written by `infertui engines use`.\n"


def chosen_file(environ: Mapping[str, str] = os.environ) -> Path:
    """Where the choice is kept."""
    return config_dir(environ) / "engines.toml"


def chosen(environ: Mapping[str, str] = os.environ) -> dict[str, Path]:
    """The interpreter of each engine that has one of its own. Raises ConfigError for a file that cannot be read."""
    path = chosen_file(environ)
    name = clean(str(path))
    try:
        tables = tomllib.loads(regular_files.read(path, _MAX_BYTES).decode("utf-8-sig"))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ConfigError(
            "",
            f"cannot read {name}: {error.strerror}",
            remedy="It names the Python of engines. XDG_CONFIG_HOME is where.",
        ) from None
    except (ValueError, RecursionError):
        raise ConfigError("", f"{name} is not TOML", remedy=_MEND) from None
    found = {}
    for engine, table in tables.items():
        python = table.get("python") if isinstance(table, dict) else None
        if not isinstance(python, str) or not python.startswith("/"):
            raise ConfigError(
                f"{clean(engine)}.python",
                "this is not the path of an interpreter",
                allowed="an absolute path",
                source=f"file {name}",
                remedy=_MEND,
            )
        found[engine] = Path(python)
    return found


_MEND = "Mend the file, or delete it and say `infertui engines use NAME --python PATH` again."


def choose(engine: str, python: Path | None, environ: Mapping[str, str] = os.environ) -> None:
    """Keep the interpreter of an engine, or forget it (None). Raises StoreError; ConfigError for a broken file."""
    import tomli_w  # not at hand in every environment that an engine runs in

    table = {name: {"python": str(path)} for name, path in chosen(environ).items() if name != engine}
    if python is not None:
        table[engine] = {"python": str(python)}
    path = chosen_file(environ)
    draft = path.with_name(f".infertui-{secrets.token_hex(6)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        real = Path(os.path.realpath(path))
        draft = real.with_name(draft.name)
        with draft.open("xb") as file:
            file.write(_HEAD.encode() + tomli_w.dumps(table).encode())
            file.flush()
            os.fsync(file.fileno())
        draft.replace(real)
    except OSError as error:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise StoreError(f"cannot write {clean(str(path))}: {error.strerror}") from None
