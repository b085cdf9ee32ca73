import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from support.screens import entry, machine

from infertui.entry import screen_arguments
from infertui.tui import start as starting
from infertui.tui.start import Options, start


@pytest.mark.parametrize(
    ("arguments", "given"),
    [
        ([], {}),
        (["--ascii", "--no-mouse"], {"--ascii": "", "--no-mouse": ""}),
        (["--theme", "light", "--out=x"], {"--theme": "light", "--out": "x"}),
        (["--screenshot", "a.svg", "--size", "80x24"], {"--screenshot": "a.svg", "--size": "80x24"}),
        (["run", "demo"], None),
        (["--help"], None),
        (["--version"], None),
        (["--theme"], None),
        (["--ascii=yes"], None),
        (["--ascii", "run"], None),
    ],
)
def test_what_goes_straight_to_the_screen(arguments: list[str], given: dict[str, str] | None) -> None:
    assert screen_arguments(arguments) == given


def infertui(*arguments: str, **more: Any) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "infertui", *arguments], capture_output=True, text=True, timeout=60, check=False, **more
    )


def test_no_terminal_is_an_error_with_a_remedy() -> None:
    answer = infertui(stdin=subprocess.DEVNULL)
    assert answer.returncode == 2
    assert "stderr is not a terminal" in answer.stderr
    assert "infertui run FILE" in answer.stderr
    assert "\x1b" not in answer.stderr + answer.stdout


@pytest.mark.parametrize("size", ["80", "0x24", "axb", "99999x1", "80x24x2"])
def test_a_wrong_size_is_named(size: str) -> None:
    answer = infertui("--screenshot", "x.svg", "--size", size)
    assert answer.returncode == 2
    assert size in answer.stderr


def test_more_digits_than_python_reads_are_no_size() -> None:
    answer = infertui("--screenshot", "x.svg", "--size", "9" * 5000 + "x1")
    assert answer.returncode == 2
    assert "is not a size" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_ctrl_c_while_modules_are_imported_is_no_traceback() -> None:
    code = (
        "import sys\n"
        "class Importing:\n"
        "    def find_spec(self, name, *rest):\n"
        "        if name == 'infertui.cli.main': raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Importing())\n"
        "sys.argv[1:] = ['status']\n"
        "from infertui.entry import main\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 130
    assert done.stderr == ""


def test_help_describes_the_screen_first() -> None:
    answer = infertui("--help", env=os.environ | {"COLUMNS": "120", "TERM": "dumb"})
    assert answer.returncode == 0
    text = " ".join(answer.stdout.split())
    assert text.index("opens the screen") < text.index("infertui run demo")
    for option in ("--ascii", "--slow-link", "--no-mouse", "--theme", "--out", "--screenshot", "--size"):
        assert option in answer.stdout


def test_options_of_the_screen_do_not_belong_to_commands() -> None:
    answer = infertui("--ascii", "doctor")
    assert answer.returncode == 2
    assert "belongs to the screen" in answer.stderr


def test_the_first_paint_waits_for_nothing_heavy() -> None:
    code = "import infertui.entry, infertui.tui.start, infertui.tui.app, infertui.tui.terminal.driver"
    program = f"import sys; {code}; print(' '.join(sys.modules))"
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    heavy = {
        "numpy", "torch", "transformers", "typer", "pynvml", "psutil", "sqlite3", "plotext", "litestar", "uvicorn",
        "h11", "huggingface_hub", "infertui.cli.main", "infertui.runner.control", "infertui.tui.state",
        "infertui.tui.settings.stored", "infertui.config.schema",
    }  # fmt: skip
    assert not heavy.intersection(answer.stdout.split())


def test_the_screen_imports_no_backend() -> None:
    code = (
        "import infertui.tui.app, infertui.tui.connection, infertui.api.spawn;"
        " from infertui.tui.frame.panes import import_panes; import_panes()"
    )
    program = f"import sys; {code}; print(' '.join(sys.modules))"
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert not {"torch", "transformers", "pynvml", "litestar", "uvicorn"}.intersection(answer.stdout.split())


@pytest.fixture
def over_a_fake(monkeypatch: pytest.MonkeyPatch) -> None:
    def connector(*_arguments: object, **_named: object) -> Any:
        @asynccontextmanager
        async def connect() -> Any:
            yield machine(gpus=8, entries=(entry(1, "running"), entry(2)))

        return connect

    monkeypatch.setattr(starting, "connector", connector)


def surroundings(tmp_path: Path) -> Mapping[str, str]:
    return {"HOME": str(tmp_path), "TERM": "xterm-256color", "COLORTERM": "truecolor", "LANG": "C.UTF-8"}


@pytest.mark.usefixtures("over_a_fake")
def test_a_screenshot_shows_the_screen_after_the_first_snapshot(tmp_path: Path) -> None:
    picture = tmp_path / "screen.svg"
    code = start(out=tmp_path, options=Options(screenshot=picture, size=(100, 30)), environ=surroundings(tmp_path))
    assert code == 0
    svg = picture.read_text()
    assert svg.startswith("<svg")
    for word in ("gpu-box", "Queue", "bs=2", "Results"):
        assert word in svg
    assert not (tmp_path / ".config").exists()


@pytest.mark.usefixtures("over_a_fake")
def test_a_picture_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    from infertui.errors import StoreError

    with pytest.raises(StoreError, match="cannot write"):
        start(out=tmp_path, options=Options(screenshot=tmp_path / "no" / "x.svg"), environ=surroundings(tmp_path))
