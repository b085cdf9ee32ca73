from typing import Annotated, Literal

import msgspec
import pytest
from msgspec import Meta, Struct

from infertui.metrics.partial import partial


class Inner(Struct, frozen=True):
    value: float
    word: Literal["a", "b"] = "b"
    others: tuple[int, ...] = ()

    @property
    def twice(self) -> float:
        return self.value * 2


class Outer(Struct, frozen=True):
    id: str
    count: Annotated[int, Meta(ge=1)]
    inner: Inner
    perhaps: Inner | None = None
    words: dict[str, str] = {}
    size: int = 7

    def has(self, word: str) -> bool:
        return word in self.words


PATHS = ("id", "count", "inner.value", "inner.word", "perhaps.value", "words", "size")


def test_what_is_missing_is_nothing_of_its_kind_and_a_number_is_not_zero() -> None:
    found = msgspec.json.decode(b"{}", type=partial(Outer, PATHS))
    assert msgspec.to_builtins(found) == {
        "id": "", "count": None, "inner": {"value": None, "word": ""}, "perhaps": None, "words": {}, "size": None,
    }  # fmt: skip


def test_the_fields_that_are_asked_for_are_there_and_no_other() -> None:
    line = b'{"id": "x", "count": -3, "inner": {"value": 1.5, "word": "of tomorrow", "others": ["a"]}, "later": {}}'
    found = msgspec.json.decode(line, type=partial(Outer, PATHS))
    assert (found.count, found.inner.word) == (-3, "of tomorrow")  # type: ignore[attr-defined]
    assert not hasattr(found.inner, "others")  # type: ignore[attr-defined]


def test_it_has_the_methods_of_the_whole() -> None:
    found = msgspec.json.decode(b'{"words": {"a": ""}, "perhaps": {"value": 2}}', type=partial(Outer, PATHS))
    assert found.has("a")  # type: ignore[attr-defined]
    assert not found.has("b")  # type: ignore[attr-defined]
    assert found.perhaps.twice == 4  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "line", [b"{}", b'{"id": ""}', b'{"id": "x", "count": 99999999999999999999}', b'{"id": "x", "words": 3}']
)
def test_what_must_be_there_and_what_no_column_holds_makes_a_bad_line(line: bytes) -> None:
    kind = partial(Outer, PATHS, {"id": Annotated[str, Meta(min_length=1)]})
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(line, type=kind)


def test_a_struct_that_is_asked_for_whole_has_all_its_fields() -> None:
    found = msgspec.json.decode(b'{"perhaps": {}}', type=partial(Outer, ["perhaps"]))
    assert msgspec.to_builtins(found) == {"perhaps": {"value": None, "word": "", "others": ()}}
