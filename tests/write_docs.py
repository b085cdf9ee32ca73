"""Write what the README and the pages of `docs/` take from the program: commands, keys, routes, tables of results.

    python tests/write_docs.py

fills every part of a page between `<!-- begin: WHAT -->` and `<!-- end -->`. WHAT is a command of infertui, whose
output stands there, one of the words of PARTS, `speeds FOLDER...`, `load FOLDER`, `tuned FOLDER`, `summary FOLDER RUN`.
It writes docs/openapi.json as well.
"""

import os
import re
import shlex
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from support.manual.commands import commands
from support.manual.containers import profile_table
from support.manual.engines import engine_table
from support.manual.families import families
from support.manual.keys import config_keys, preset_table, screen_keys, setting_keys, shape_table
from support.manual.loads import loads
from support.manual.routes import routes, wire_types
from support.manual.speeds import speeds
from support.manual.summary import summary
from support.manual.tuned import tuned
from typer.testing import CliRunner

from infertui.api.openapi import openapi
from infertui.cli.main import app
from infertui.runner.control import RunnerApi

ROOT = Path(__file__).parents[1]
OPENAPI = ROOT / "docs" / "openapi.json"
PARTS: dict[str, Callable[[], str]] = {
    "commands": commands,
    "config keys": config_keys,
    "engines": engine_table,
    "families": families,
    "presets": preset_table,
    "profiles": profile_table,
    "routes": routes,
    "screen keys": screen_keys,
    "settings": setting_keys,
    "shapes": shape_table,
    "wire types": wire_types,
}
_PART = re.compile(r"<!-- begin: (?P<what>[^\n]*?) -->\n.*?<!-- end -->", re.DOTALL)


def pages() -> list[Path]:
    """All pages that may have such parts, and whose links have to lead somewhere."""
    return [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md")), ROOT / "reports" / "README.md"]


def parts(text: str) -> list[str]:
    """What stands in the parts of a page, as their marks name it."""
    return [found["what"] for found in _PART.finditer(text)]


def filled(text: str) -> str:
    """The page with every part as it is now."""
    return _PART.sub(lambda found: f"<!-- begin: {found['what']} -->\n{made(found['what'])}\n<!-- end -->", text)


def made(what: str) -> str:
    """What a part holds. Raises KeyError for a word that names none, RuntimeError for a command that fails."""
    if what.startswith("infertui "):
        done = CliRunner().invoke(app, shlex.split(what)[1:])
        if done.exit_code != 0:
            raise RuntimeError(f"{what} ended with {done.exit_code}: {done.output}")
        return done.stdout.strip()
    word, *names = what.split()
    if word == "load":
        return loads(*names)
    if word == "tuned":
        return tuned(*names)
    if word == "speeds":
        return speeds(names)
    if word == "summary":
        return summary(*names)
    return PARTS[what]()


def main() -> None:
    """Write every page that has parts."""
    os.chdir(ROOT)
    with tempfile.TemporaryDirectory() as home:
        os.environ.update({f"XDG_{name}_HOME": home for name in ("CACHE", "CONFIG", "STATE")})
        for page in pages():
            text = page.read_text(encoding="utf-8")
            new = filled(text)
            if new != text:
                page.write_text(new, encoding="utf-8")
                sys.stdout.write(f"{page.relative_to(ROOT)} has changed\n")
    OPENAPI.write_bytes(openapi(RunnerApi))


if __name__ == "__main__":
    main()
