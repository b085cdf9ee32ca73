"""The text that Prometheus reads, by its own library's parser and its own tool."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from support.prometheus import complaints

from infertui.api.exporter.family import Family, ScrapedPage
from infertui.api.exporter.figures import COST, family_of, metrics_told
from infertui.api.exporter.gpus import OF_GPUS, OF_HOST
from infertui.api.exporter.runs import OF_LOADS, OF_RUNNER, OF_RUNS
from infertui.api.exporter.text import LONGEST_LABEL, exposition
from infertui.text import CONTROLS

ALL = (*OF_GPUS, *OF_HOST, *OF_RUNNER, *OF_RUNS, *OF_LOADS, *map(family_of, metrics_told()), COST)
QUEUE = Family("infertui_queue_entries", "Entries.", ("state",))


def values(text: bytes) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text.decode("utf-8"))
        for sample in family.samples
    }


def full() -> ScrapedPage:
    """A page with a value of every family there is."""
    page = ScrapedPage()
    for number, family in enumerate(ALL):
        page.add(family, number, **{label: f"{label}-{number}" for label in family.labels})
    return page


def test_every_family_comes_back_under_its_name_with_its_labels() -> None:
    assert values(exposition(full())) == {
        (family.name, tuple(sorted((label, f"{label}-{number}") for label in family.labels))): number
        for number, family in enumerate(ALL)
    }


def test_no_name_is_used_twice() -> None:
    assert len({family.name for family in ALL}) == len(ALL)


def test_prometheus_has_nothing_to_say_against_any_name() -> None:
    assert complaints(exposition(full())) == []


def test_no_label_is_of_a_request() -> None:
    assert not {label for family in ALL for label in family.labels} & {"request", "request_id", "id", "prompt"}


@given(st.dictionaries(st.text(max_size=300), st.floats() | st.none(), max_size=6))
def test_hostile_labels_neither_break_a_page_nor_stand_for_others(told: dict[str, float | None]) -> None:
    page = ScrapedPage()
    for text, value in told.items():
        page.add(QUEUE, value, state=text)
    found = values(exposition(page))
    known = [value for value in told.values() if value is not None and math.isfinite(value)]
    assert len(found) <= len(known)
    assert bool(found) == bool(known)
    assert all(name == QUEUE.name and value in known for (name, _), value in found.items())
    assert all(len(text) <= LONGEST_LABEL and not CONTROLS & set(text) for _, labels in found for _, text in labels)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('a"} 1\nevil{x="y', 'a"} 1 evil{x="y'), ("back\\slash\\n", "back\\slash\\n"), ("\x1b]0;title\x07x", "x"),
        ("\ud800", "\N{REPLACEMENT CHARACTER}"), ("模型", "模型"), ("http://me:secret@host/x", "http://***@host/x"),
    ],
)  # fmt: skip
def test_what_a_label_shows_of_foreign_text(text: str, shown: str) -> None:
    page = ScrapedPage()
    page.add(QUEUE, 1, state=text)
    assert values(exposition(page)) == {(QUEUE.name, (("state", shown),)): 1}


def test_what_is_not_available_is_absent_and_zero_is_told() -> None:
    page = ScrapedPage()
    for number, value in enumerate((None, math.nan, math.inf, -math.inf, 0, False, True)):
        page.add(QUEUE, value, state=str(number))
    assert values(exposition(page)) == {
        (QUEUE.name, (("state", str(number)),)): value for number, value in ((4, 0), (5, 0), (6, 1))
    }


@pytest.mark.parametrize("value", [0.1, 1e-300, 1.7976931348623157e308, 2**63, -5, 1 / 3])
def test_a_value_comes_back_as_it_is(value: float) -> None:
    page = ScrapedPage()
    page.add(QUEUE, value)
    assert values(exposition(page)) == {(QUEUE.name, ()): float(value)}


def test_of_two_values_with_the_same_labels_the_later_one_is_told_once() -> None:
    page, family = ScrapedPage(), Family("infertui_two", 'a "b" \\ c\nd', ("a", "b"))
    page.add(family, 1, a="x", b="y")
    page.add(family, 2, b="y", a="x")
    text = exposition(page)
    assert values(text) == {("infertui_two", (("a", "x"), ("b", "y"))): 2}
    assert text.count(b"infertui_two{") == 1
    (told,) = text_string_to_metric_families(text.decode())
    assert told.documentation == family.help


def test_an_empty_page_is_empty() -> None:
    assert exposition(ScrapedPage()) == b""
