import datetime as dt
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from infertui.config.fields import FIELDS, SECTIONS
from infertui.config.parse import build, decode, flat_values, flatten
from infertui.config.schema import Config
from infertui.errors import ConfigError
from infertui.text import clean

BATCH = "workload.batch_size"


def test_nothing_gives_the_defaults() -> None:
    assert decode({}) == Config()
    assert build({}) == Config()


def test_values_reach_their_keys() -> None:
    config = decode(
        {
            "model": {"id": "a/b"},
            "engine": {"dtype": "fp16", "simulator": {"step_ms": 3}},
            "measurement": {"warmup": 4},
            "labels": {"try": 2, "quick": True, "dotted.key": "x"},
            "sweep": {"grid": {BATCH: "1-4*2"}, "zip": {"workload": {"output_len": [8, 16]}}},
        }
    )
    assert config.model.id == "a/b"
    assert config.engine.dtype == "float16"
    assert config.engine.simulator.step_ms == 3.0
    assert isinstance(config.engine.simulator.step_ms, float)
    assert config.measurement.warmup == 4
    assert config.labels == {"try": "2", "quick": "true", "dotted.key": "x"}
    assert config.sweep.grid == {BATCH: "1-4*2"}
    assert config.sweep.zip == {"workload.output_len": [8, 16]}


@pytest.mark.parametrize(
    ("tree", "parts"),
    [
        (
            {"workload": {"bach_size": 4}},
            ["workload.bach_size", "no such key", "4", "[workload]: batch_size, ", "nearest valid key is " + BATCH],
        ),
        ({"workload": {"batch_size": 0}}, [BATCH, "0 is not", "an integer from 1 to 65536"]),
        ({"workload": {"batch_size": "four"}}, [BATCH, '"four"', "an integer from 1 to 65536"]),
        ({"workload": {"batch_size": True}}, [BATCH, "true", "an integer from 1 to 65536"]),
        ({"workload": {"temperature": float("nan")}}, ["workload.temperature", "nan", "a number from 0 to 100"]),
        ({"workload": {"temperature": 10**400}}, ["workload.temperature", "integer of 1329 bits"]),
        ({"engine": {"dtype": "fp17"}}, ["engine.dtype", '"fp17"', "one of auto, float32, float16, bfloat16"]),
        ({"device": {"name": "gpu"}}, ["device.name", '"gpu"', "auto, cpu, cuda or cuda:N"]),
        ({"workload": 3}, ["workload: 3 is not a table", "[workload]"]),
        ({"workload": [{"batch_size": 1}]}, ["workload: [a table] is not a table"]),
        ({"labels": "x"}, ['labels: "x" is not a table']),
        ({"batch_size": 4}, ["batch_size", "no such key", "[workload]", "The nearest valid key is " + BATCH]),
        ({"worklaod": {"batch_size": 4}}, ["worklaod", "a table", "The nearest valid key is workload."]),
        ({BATCH: 4}, [f'"{BATCH}"', "inside the quotes", "in its own [table]"]),
        ({"": {"": {}}}, ['""', "no such key"]),
        ({"labels": {" ": "x"}}, ["labels", '" "', "name for a label"]),
        ({"labels": {"day": dt.date(2026, 1, 2)}}, ["labels.day", "2026-01-02", "text, a number, true or false"]),
        ({"labels": {"x": {"y": 1}}}, ["labels.x", "a table"]),
        ({"sweep": {"grid": {"workload.bach_size": [1]}}}, ['sweep.grid."workload.bach_size"', "[1]", BATCH]),
        ({"sweep": {"grid": {BATCH: [1, 0]}}}, [f'sweep.grid."{BATCH}"', "0 is not", "from 1 to 65536"]),
        ({"sweep": {"grid": {"sweep.zip": [1]}}}, ['sweep.grid."sweep.zip"', "to sweep"]),
        ({"sweep": {"gird": {}}}, ["sweep.gird", "grid, zip", "The nearest valid key is sweep.grid"]),
        ({"sweep": {"grid": {BATCH: [1, 1]}}}, [f'sweep.grid."{BATCH}"', "1 occurs twice"]),
        ({"sweep": {"grid": {BATCH: [1], "workload": {"batch_size": [2]}}}}, [f'sweep.grid."{BATCH}"', "twice"]),
        ({"sweep": {"grid": {BATCH: [1]}, "zip": {BATCH: [2]}}}, [f'sweep.zip."{BATCH}"', "the grid has this axis"]),
        (
            {"sweep": {"zip": {BATCH: [1], "workload.output_len": [2, 3]}}},
            ["sweep.zip", "workload.batch_size has 1", "workload.output_len has 2", "equal length"],
        ),
        ({"sweep": {"zip": {BATCH: [1, 1], "workload.output_len": [2, 2]}}}, ["sweep.zip", "[1, 2] occurs twice"]),
        (
            {"sweep": {"grid": {BATCH: "1-200+1", "workload.output_len": "1-200+1"}}},
            ["40,000 configurations", "up to 10,000"],
        ),
        ({"workload": {"prompts": "random"}}, ["workload.input_len", "random prompts need a length", "from 1"]),
        (
            {"workload": {"num_prompts": 10, "batch_size": 4}, "measurement": {"iterations": 2}},
            ["measurement.iterations", "2 iterations of batch size 4", "10 requests", "make 3"],
        ),
        ({"workload": {"top_k": 5}}, ["workload.temperature", "greedy", "top_k = 5", "above 0"]),
        ({"workload": {"top_p": 0.5}}, ["workload.temperature", "greedy", "top_p = 0.5"]),
    ],
)  # fmt: skip
def test_a_mistake_gives_one_error_with_path_value_and_what_is_allowed(tree: dict[str, Any], parts: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        decode(tree, "file bench.toml")
    message = str(caught.value)
    assert not [part for part in parts if part not in message], message
    assert "(from file bench.toml)" in message
    assert caught.value.allowed


@pytest.mark.parametrize(
    "tree",
    [
        {"workload": {"prompts": "random", "input_len": 8}},
        {"workload": {"prompts": "random", "prompts_file": "mine.txt"}},
        {"workload": {"num_prompts": 10, "batch_size": 4}, "measurement": {"iterations": 3}},
        {"workload": {"num_prompts": 10}},
        {"workload": {"temperature": 0.7, "top_k": 5, "top_p": 0.9}},
        {"workload": {"prompts": "random"}, "sweep": {"grid": {"workload.input_len": [8, 16]}}},
        {"engine": {"name": "simulator"}, "model": {"id": "anything at all"}},
    ],
)
def test_keys_that_agree_are_accepted(tree: dict[str, Any]) -> None:
    decode(tree)


@pytest.mark.parametrize("tree", [None, 3, "x", [], [{}]])
def test_something_else_than_a_table_is_an_error(tree: Any) -> None:
    with pytest.raises(ConfigError, match="not a table"):
        decode(tree)


def test_hostile_text_does_not_reach_the_terminal() -> None:
    with pytest.raises(ConfigError) as caught:
        decode({"\x1b]0;owned\x07\x1b[2Jkey\n": {"\x1b[31m": "\x1b[0m"}}, "file x")
    assert str(caught.value).replace("\n", "").isprintable()


_anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.dates() | st.just(10**400) | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text() | st.sampled_from([*SECTIONS]), inner, max_size=4)
    ),
    max_leaves=12,
)  # fmt: skip


def _tree(value_of: Callable[[str], st.SearchStrategy[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    """Trees with valid keys only."""

    def section(name: str) -> st.SearchStrategy[dict[str, Any]]:
        inside = {key: path for key in SECTIONS[name] if (path := f"{name}.{key}" if name else key)}
        return st.fixed_dictionaries(
            {}, optional={key: section(path) if path in SECTIONS else value_of(path) for key, path in inside.items()}
        )

    return section("")


def _plausible(path: str) -> st.SearchStrategy[Any]:
    field = FIELDS[path]
    if field.is_table:
        axis = st.text("0123456789-+*,.e", max_size=8) | st.lists(st.integers(0, 9) | st.text(max_size=3), max_size=4)
        return st.dictionaries(st.sampled_from([*FIELDS, "labels.x"]), axis, max_size=3)
    if field.choices:
        return st.sampled_from(field.choices)
    return {
        "integer": st.integers(0, 70_000),
        "number": st.floats(0, 2) | st.integers(0, 2),
        "boolean": st.booleans(),
        "text": st.text(max_size=5) | st.sampled_from(["cpu", "0,1"]),
    }[field.type]


@given(_anything | _tree(lambda path: _anything) | _tree(_plausible))
@example({"workload": {"batch_size": 10**400}})
@example({"labels": {"x": float("nan")}})
@example({1: 2})
def test_any_tree_is_a_config_or_a_config_error(tree: Any) -> None:
    try:
        config = decode(tree, "fuzz")
    except ConfigError as caught:
        message = str(caught)
    else:
        message = ""
        assert msgspec.convert(msgspec.to_builtins(config), Config) == config
        assert build(flat_values(config)) == config
    assert clean(message, lines=True) == message


@given(_tree(_plausible))
def test_the_flat_form_is_checked_value_by_value(tree: Mapping[str, Any]) -> None:
    try:
        flat = flatten(tree)
    except ConfigError:
        return
    for path, value in flat.items():
        if path in FIELDS:
            assert FIELDS[path].check(value) == value
