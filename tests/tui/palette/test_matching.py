import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infertui.tui.palette.command import PaletteCommand
from infertui.tui.palette.matching import Matcher, Typed, marked


def command(title: str, group: str = "", **more: str) -> PaletteCommand:
    return PaletteCommand(id=more.pop("id", f"{group}:{title}"), title=title, run=lambda: None, group=group, **more)


def found(typed: str, *commands: PaletteCommand, recent: tuple[str, ...] = ()) -> list[str]:
    return [one.title for one in Matcher(commands, recent=recent).search(typed).commands]


TITLES = (
    "Run first", "Run", "Rerun the marked runs", "Reset", "Sort by the next column", "Save as",
    "Open a preset, a file or an earlier run", "Switch on or off", "Freeze", "Grid or zip",
)  # fmt: skip


@pytest.mark.parametrize(
    ("typed", "first"),
    [
        ("run", ["Run", "Run first"]),  # the whole title, then the one that begins with the word
        ("RUN  First ", ["Run first"]),
        ("first run", ["Run first"]),
        ("rf", ["Run first"]),  # initials
        ("sa", ["Save as"]),  # begins a word, before initials
        ("soo", ["Switch on or off"]),
        ("fre", ["Freeze"]),
        ("z", ["Grid or zip"]),  # begins a word, before those that have it inside
        ("frz", ["Freeze"]),  # letters in their order
        ("prst", ["Open a preset, a file or an earlier run"]),
        ("arked", ["Rerun the marked runs"]),
    ],
)
def test_what_a_few_letters_mean(typed: str, first: list[str]) -> None:
    assert found(typed, *map(command, TITLES))[: len(first)] == first


def test_an_exact_word_comes_before_one_that_it_begins() -> None:
    assert found("run", command("Runner of another version"), command("Queue a run")) == [
        "Queue a run",
        "Runner of another version",
    ]


def test_every_word_has_to_be_found() -> None:
    assert found("run zebra", *map(command, TITLES)) == []
    assert found("qqq", *map(command, TITLES)) == []


def test_groups_helps_keys_and_other_words_count_less_than_the_title() -> None:
    commands = (
        command("Cancel", "Queue", help="take out what waits"),
        command("Theme light"),
        command("Waits for a GPU"),
        command("Download a model", words="pull fetch"),
        command("Sooner", "Queue", keys="K"),
    )
    assert found("waits", *commands) == ["Waits for a GPU", "Cancel"]
    assert found("queue cancel", *commands) == ["Cancel"]
    assert found("qc", command("Quick cast"), *commands) == [
        "Quick cast",
        "Cancel",
    ]  # the title alone first
    assert found("pull", *commands) == ["Download a model"]
    assert found("k", *commands) == ["Sooner", "Cancel"]


def test_the_recent_come_first_among_equals_alone() -> None:
    commands = (command("Run", id="a"), command("Run first", id="b"), command("Run again", id="c"))
    assert found("", *commands) == ["Run", "Run first", "Run again"]
    assert found("", *commands, recent=("c", "gone", "b")) == ["Run again", "Run first", "Run"]
    assert found("run", *commands, recent=("c",)) == ["Run", "Run again", "Run first"]
    assert found("fir", *commands, recent=("c",)) == ["Run first"]


def test_what_does_not_work_comes_after_what_does_so_long_as_it_is_no_better() -> None:
    commands = (command("Cancel", reason="nothing runs"), command("Cancel all"), command("Cancellation"))
    assert found("cancel", *commands) == ["Cancel", "Cancel all", "Cancellation"]
    assert found("canc", *commands) == ["Cancel all", "Cancellation", "Cancel"]


def test_an_id_is_there_once() -> None:
    matcher = Matcher([command("One", id="x"), command("Other", id="x")])
    matcher.add([command("Third", id="x")])
    assert len(matcher) == 1
    assert [one.title for one in matcher.search("").commands] == ["One"]


def test_more_may_come_while_something_is_looked_for() -> None:
    matcher = Matcher([command("Run")])
    assert len(matcher.search("run").commands) == 1
    matcher.add([command("Run first")])
    assert len(matcher.search("run f").commands) == 1
    assert len(matcher.search("run").commands) == 2


TEXT = st.text(st.sampled_from(string.ascii_letters + " _-:.,/0123456789äßİ漢"), max_size=30)


@given(st.lists(TEXT, max_size=12), st.text(st.sampled_from("abcrunst _:ß[]^.*\\"), max_size=8))
def test_typing_on_finds_what_typing_at_once_finds(titles: list[str], typed: str) -> None:
    commands = [command(title, f"g{n % 3}", id=str(n)) for n, title in enumerate(titles)]
    slowly = Matcher(commands)
    for end in range(len(typed) + 1):
        assert slowly.search(typed[:end]).commands == Matcher(commands).search(typed[:end]).commands


@given(TEXT, TEXT)
def test_what_is_marked_lies_in_the_title(title: str, typed: str) -> None:
    for start, end in marked(title, Typed(typed)):
        assert 0 <= start < end <= len(title)


def test_what_is_marked_are_the_letters_that_were_typed() -> None:
    title = "Rerun the marked runs"
    assert [title[start:end] for start, end in marked(title, Typed("MARK run"))] == ["mark", "run"]
    assert ["Freeze"[start:end] for start, end in marked("Freeze", Typed("frz"))] == ["F", "r", "z"]


def test_long_hostile_names_are_no_trap() -> None:
    """With gaps that could be filled in many ways this would take longer than the test may."""
    names = [command("a" * 5000, id="a"), command("ab" * 2500, id="b")]
    assert found("a" * 79 + "z", *names) == []
    assert found("z" * 100_000, *names) == []


def test_ten_thousand_are_looked_through_in_parts() -> None:
    matcher = Matcher(command(f"synthetic:gpt2-124m transformers bf16 b={n}", "Run", id=str(n)) for n in range(10_000))
    steps = matcher.steps("b=9999")
    assert sum(1 for _ in steps) == 10
    assert [one.id for one in matcher.search("b=9999").commands] == ["9999"]
