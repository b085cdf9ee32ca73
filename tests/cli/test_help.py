"""Help: every command stands under a heading, and no type says that a switch is a switch."""

import re

from typer.testing import CliRunner

from infertui.cli.help import COMMAND_GROUPS
from infertui.cli.main import app


def test_each_command_stands_under_one_heading() -> None:
    told = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "120"}).output
    listed = re.findall(r"^│ ([a-z][a-z-]+) {2,}\S", told, re.MULTILINE)
    grouped = " ".join(COMMAND_GROUPS.values()).split()
    assert listed == grouped
    assert len(set(grouped)) == len(grouped)
    assert re.findall(r"^╭─ (.*?) ─", told, re.MULTILINE) == ["Options", *COMMAND_GROUPS]


def test_no_switch_has_a_type() -> None:
    for command in ((), ("run",), ("load",), ("models",), ("models", "pull"), ("gpus",), ("engines", "use")):
        told = CliRunner().invoke(app, [*command, "--help"], env={"COLUMNS": "120"}).output
        assert "<bool>" not in told, command


def test_the_options_of_a_large_command_are_in_groups() -> None:
    told = CliRunner().invoke(app, ["run", "--help"], env={"COLUMNS": "120"}).output
    groups = re.findall(r"^╭─ (.*?) ─", told, re.MULTILINE)
    assert groups == ["Arguments", "Options", "Target", "Work", "Measurement", "Settings", "Results"]
    work = told[told.index("╭─ Work") : told.index("╭─ Measurement")]
    assert {"--isl", "--osl", "--temperature", "--top-p"} <= set(re.findall(r"--[a-z-]+", work))


def test_brackets_in_help_are_shown_as_they_are_typed() -> None:
    told = CliRunner().invoke(app, ["tune", "--help"], env={"COLUMNS": "120"}).output
    assert "As TOML it holds [[segment]] tables" in told
    for command in " ".join(COMMAND_GROUPS.values()).split():
        assert "\\" not in CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "120"}).output, command
