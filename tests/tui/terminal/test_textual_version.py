"""With a Textual that was not tested the screen works, and nothing of ours stands in for parts of it."""

import re
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from support.screen_walk import Walk

from infertui.tui.terminal.textual_version import TESTED_BELOW, TESTED_FROM, installed, is_tested

ROOT = Path(__file__).parents[3]
OURS = ("app", "compositor", "diff", "driver")
"""Modules of tui/terminal that touch private names."""


def test_the_installed_version_is_found_and_is_one_that_was_tested() -> None:
    assert installed() == version("textual")
    assert is_tested(installed())


@pytest.mark.parametrize(
    ("found", "tested"),
    [
        ("8.2.8", True), ("8.2.9", True), ("8.2.10", True), ("8.2.8.post1", True), ("8.2.7", False), ("8.3.0", False),
        ("9.0.0", False), ("10.2.8", False), ("0.8.2", False), ("8.2.9rc1", False), ("8.2.9.dev0", False),
        ("8.2", False), ("", False), ("unknown", False),
    ],
)  # fmt: skip
def test_which_versions_were_tested(found: str, tested: bool) -> None:
    assert is_tested(found) is tested


def test_what_is_tested_is_what_the_project_installs() -> None:
    constraints = (ROOT / "constraints.txt").read_text()
    pinned = re.search(r"^textual==(\S+)$", constraints, re.MULTILINE)
    assert pinned is not None
    assert is_tested(pinned[1])
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = next(one for one in map(Requirement, project["dependencies"]) if one.name == "textual")
    assert ".".join(map(str, TESTED_FROM)) in needed.specifier
    last_tested = f"{TESTED_BELOW[0]}.{TESTED_BELOW[1] - 1}.999"
    assert last_tested in needed.specifier, "a version that was tested could not be installed"
    assert f"{TESTED_BELOW[0] + 1}.0.0" not in needed.specifier


def another(version: str) -> str:
    return f"from infertui.tui.terminal import textual_version as v; v.installed = lambda: {version!r}; "


@pytest.mark.parametrize(("found", "ours"), [("8.2.8", True), ("8.3.0", False), ("9.0.0", False), ("", False)])
def test_parts_of_ours_are_there_with_a_tested_version_alone(found: str, ours: bool) -> None:
    program = another(found) + (
        "import sys, infertui.tui.start, infertui.tui.app as a; from textual.app import App;"
        "from textual.drivers import linux_driver; from codecs import getincrementaldecoder;"
        "App.get_driver_class(App()); a.InfertuiApp.get_driver_class(App());"
        "print(linux_driver.getincrementaldecoder is getincrementaldecoder, a.InfertuiApp._display is App._display,"
        " *(name.rpartition('.')[2] for name in sys.modules if name.startswith('infertui.tui.terminal.')))"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    stock_decoder, stock_display, *modules = answer.stdout.split()
    assert (stock_decoder, stock_display) == (str(not ours), str(not ours))
    assert {*OURS}.issubset(modules) if ours else not {*OURS}.intersection(modules)


def walk_with(version: str, folder: Path, size: tuple[int, int]) -> Walk:
    """The screen over a runner in memory, on a Textual that says it is `version`."""
    (folder / "program").mkdir()
    (folder / "program" / "other_textual.py").write_text(
        f"{another(version)}\nfrom support import pty_app\npty_app.main()\n"
    )
    return Walk("other_textual", folder=folder / "home", size=size, path=folder / "program")


def test_the_screen_works_with_a_version_that_was_not_tested(tmp_path: Path) -> None:
    walk = walk_with("9.0.0", tmp_path, (120, 40))
    try:
        walk.until("gpu-box")
        assert not walk.press("5")
        walk.until("No run has ended here yet")
        assert not walk.press("?")
        walk.until("type to search")
        walk.press("\x1b")
        walk.press("q")
        assert walk.left() == 0
        assert b"\x1b[?1049l" in walk.output
    finally:
        walk.close()


def test_a_signal_ends_it_there_with_the_terminal_restored(tmp_path: Path) -> None:
    walk = walk_with("9.0.0", tmp_path, (80, 24))
    try:
        walk.until("gpu-box")
        assert walk.end() == 143
        assert b"\x1b[?1049l" in walk.output
    finally:
        walk.close()
