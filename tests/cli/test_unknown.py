"""Commands that there are not: what is said instead, and that what it names is there."""

import re
import shlex

import pytest
import typer
from typer.testing import CliRunner

from infertui.cli.main import app
from infertui.cli.unknown import HINTS
from infertui.errors import UsageError

COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("sweep", "infertui run TARGET --sweep"),
        ("benchmark", "infertui bench"),
        ("list", "infertui results"),
        ("compare-runs", "infertui compare"),
        ("compare_runs", "infertui compare"),
        ("monitor", "infertui gpus --watch"),
        ("Top", "infertui gpus --watch"),
        ("sweeep", "infertui run TARGET --sweep"),
        ("reslts", "Did you mean infertui results?"),
        ("RUN", "Did you mean infertui run?"),
        ("demo", "infertui run demo"),
        ("loadtest", "infertui load URL"),
        ("knee", "infertui capacity URL --slo"),
        ("synthetic:nano", "infertui run synthetic:nano"),
        ("xyzzy", "`infertui --help`"),
        ("", "`infertui --help`"),
        ("\x1b[31m" + "a" * 10_000, "`infertui --help`"),
    ],
)
def test_an_unknown_command_is_answered_with_what_does_that(word: str, said: str) -> None:
    error = CliRunner().invoke(app, [word, "more", "--flag"]).exception
    assert isinstance(error, UsageError)
    assert error.exit_code == 2
    assert said in str(error)
    assert "\x1b" not in str(error)
    assert len(str(error)) < 300


def test_no_hint_names_what_is_not_there() -> None:
    for hint in dict.fromkeys(HINTS.values()):
        for told in re.findall(r"infertui[^,]*?(?= for |,|$)", hint):
            command, *rest = [*shlex.split(told)[1:], ""]
            if command.startswith("--") or not command:
                continue
            words = [name for option in COMMANDS[command].params for name in option.opts]
            assert all(flag in words for flag in rest if flag.startswith("--")), told
            below = getattr(COMMANDS[command], "commands", None)
            assert below is None or not rest[0] or rest[0] in below, told


def test_no_word_is_a_command_that_there_is() -> None:
    assert not HINTS.keys() & COMMANDS.keys()
