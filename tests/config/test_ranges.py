import pytest
from hypothesis import given
from hypothesis import strategies as st

from infertui.config.ranges import MAX_POINTS, axis_values, points
from infertui.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("0,10,20", [0, 10, 20]),
        ("0-40+10", [0, 10, 20, 30, 40]),
        ("0-45+10", [0, 10, 20, 30, 40]),
        ("1-64*2", [1, 2, 4, 8, 16, 32, 64]),
        ("1,2,8-32*2", [1, 2, 8, 16, 32]),
        (" 1 , 2 - 4 + 1 ", [1, 2, 3, 4]),
        ("-10-10+5", [-10, -5, 0, 5, 10]),
        ("-10--5+5", [-10, -5]),
        ("-3", [-3]),
        ("7-7+1", [7]),
        ("0-0.3+0.1", [0.0, 0.1, 0.2, 0.3]),
        ("1-4*1.5", [1.0, 1.5, 2.25, 3.375]),
        ("1e-3-1e-1*10", [0.001, 0.01, 0.1]),
        ("0.5", [0.5]),
    ],
)
def test_the_grammar(text: str, values: list[float]) -> None:
    found = points(text)
    assert found == values
    assert [type(value) for value in found] == [type(value) for value in values]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "empty"),
        ("  ", "empty"),
        ("1,,2", "empty place"),
        ("1,", "empty place"),
        ("40-0+10", "40 is above 0"),
        ("0-40+0", "never ends"),
        ("0-40+-1", "never ends"),
        ("1-40*1", "never ends"),
        ("1-40*0.5", "never ends"),
        ("0-40*2", "never ends"),
        ("-4-40*2", "never ends"),
        ("1-5", "lacks a step"),
        ("1-100000+1", "more than 10,000"),
        ("0-1e300+1e-300", "more than 10,000"),
        ("one", "neither a number nor a range"),
        ("1-x+1", "neither a number nor a range"),
        ("1" * 5000, "neither a number nor a range"),
        ("1-2+3+4", "neither a number nor a range"),
    ],
)
def test_text_outside_the_grammar_says_what_is_wrong(text: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        points(text)


@given(first=st.integers(-1000, 1000), steps=st.integers(0, 200), step=st.integers(1, 50), rest=st.integers(0, 49))
def test_integer_ranges_are_pythons_ranges(first: int, steps: int, step: int, rest: int) -> None:
    last = first + steps * step + min(rest, step - 1)
    assert points(f"{first}-{last}+{step}") == list(range(first, last + 1, step))


@given(st.text(alphabet="0123456789.,-+*eE x", max_size=30) | st.text())
def test_any_text_gives_numbers_or_an_error(text: str) -> None:
    try:
        found = points(text)
    except ConfigError:
        return
    assert 0 < len(found) <= MAX_POINTS


@pytest.mark.parametrize(
    ("path", "axis", "values"),
    [
        ("workload.batch_size", "1-4*2", [1, 2, 4]),
        ("workload.temperature", "0-1+0.5", [0.0, 0.5, 1.0]),
        ("workload.temperature", [1, 2.5], [1.0, 2.5]),
        ("engine.dtype", "fp16,bf16", ["float16", "bfloat16"]),
        ("engine.dtype", ["fp16", "auto"], ["float16", "auto"]),
        ("measurement.warmup", "auto,1-3+1", ["auto", 1, 2, 3]),
        ("device.force", "yes,no", [True, False]),
        ("model.id", "synthetic:gpt2-124m, a/b-1", ["synthetic:gpt2-124m", "a/b-1"]),
        ("device.visible", ["0", "0,1"], ["0", "0,1"]),
        ("labels.note", "a,b", ["a", "b"]),
        ("labels.note", [1, True, "x"], ["1", "true", "x"]),
    ],
)
def test_an_axis_takes_the_type_of_its_key(path: str, axis: object, values: list[object]) -> None:
    found = axis_values(path, axis)
    assert found == values
    assert [type(value) for value in found] == [type(value) for value in values]


@pytest.mark.parametrize(
    ("path", "axis", "problem"),
    [
        ("workload.batch_size", "0-2+1", "0 is not allowed here; allowed: an integer from 1"),
        ("workload.batch_size", "1-2+0.5", "1.0 is not allowed here"),
        ("workload.batch_size", [1, "2"], '"2" is not allowed here'),
        ("workload.batch_size", [], "no values"),
        ("workload.batch_size", 4, "neither a list nor a range"),
        ("workload.batch_size", None, "neither a list nor a range"),
        ("workload.batch_size", list(range(1, 20_000)), "more than 10,000"),
        ("workload.temperature", "1e999", "not allowed"),
        ("engine.dtype", "fp16,fp17", '"fp17" is not allowed'),
        ("labels.note", [{}], "not a label"),
        ("workload.bach_size", "1,2", "no such key"),
    ],
)
def test_an_impossible_axis_names_its_place_and_value(path: str, axis: object, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        axis_values(path, axis, where=f"sweep.grid.{path}")
