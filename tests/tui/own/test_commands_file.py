from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infertui.errors import UsageError
from infertui.tui.own.commands_file import PLACES, OwnCommand, parse, read, words_of

ONE = """
[[command]]
key = "f6"
label = "Look"
scope = "results"
command = ["echo", "{folder}/x", "{id}"]
confirm = true
"""


def test_a_file_of_commands() -> None:
    assert parse(ONE) == (OwnCommand("f6", "Look", "results", ("echo", "{folder}/x", "{id}"), confirm=True),)
    assert parse("") == ()


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[[command]", "commands.toml"),
        (ONE.replace("results", "gpus"), "gpus"),
        (ONE.replace('"{id}"', '"{nmae}"'), "{nmae} stands for nothing; allowed: {id}, {folder}"),
        (ONE.replace('["echo", "{folder}/x", "{id}"]', "[]"), "command"),
        (ONE.replace('["echo", "{folder}/x", "{id}"]', '"rm -rf {folder}"'), "command"),
        (ONE.replace('"echo"', '" "'), "names no program"),
        (ONE + "colour = 1\n", "colour"),
        (ONE.replace('"Look"', '"\\u001b[2J{id}"').replace('"{id}"', '"{}"'), "stands for nothing"),
    ],
)
def test_what_is_wrong_is_named_and_harmless(text: str, named: str) -> None:
    with pytest.raises(UsageError) as raised:
        parse(text)
    assert named in raised.value.message
    assert "\x1b" not in raised.value.message


@given(st.text(max_size=300))
def test_any_text_is_commands_or_one_error(text: str) -> None:
    with suppress(UsageError):
        parse(text)


def test_no_file_is_no_commands_and_a_folder_is_an_error(tmp_path: Path) -> None:
    assert read(tmp_path / "commands.toml") == ()
    (tmp_path / "commands.toml").mkdir()
    with pytest.raises(UsageError, match="cannot be read"):
        read(tmp_path / "commands.toml")


@given(st.text(min_size=1, max_size=30).filter(lambda text: "\0" not in text))
def test_a_value_stays_within_its_word(value: str) -> None:
    """No shell: blanks, quotes, braces and semicolons of a name are a name's."""
    values = dict.fromkeys(PLACES, value)
    assert words_of(("p", "--run={id}", "{id}{id}"[:4] if not value.startswith("-") else "x"), values) == (
        "p", f"--run={value}", value if not value.startswith("-") else "x",
    )  # fmt: skip


@pytest.mark.parametrize("value", ["-rf", "--out=/", "a\0b", ""])
def test_what_would_be_an_option_or_is_missing_is_refused(value: str) -> None:
    with pytest.raises(UsageError):
        words_of(("rm", "{model}"), {"model": value})
