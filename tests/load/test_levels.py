"""Levels of a load over time, against hand-made figures and integration by small steps."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infertui.config.endpoint import LoadConfig
from infertui.errors import ConfigError
from infertui.load.levels import (
    Levels,
    LevelSegment,
    in_flight,
    in_flight_asked,
    is_open,
    last_level,
    levels_of,
    parse_steps,
    rate_asked,
    share_of,
)


def test_a_rate_holds_from_the_beginning_and_without_end() -> None:
    levels = levels_of(LoadConfig(request_rate=5))
    assert (levels.at(-1), levels.at(0), levels.at(1e9), levels.end) == (0, 5, 5, None)
    assert levels.integral(7) == 35


def test_one_request_is_in_flight_where_nothing_is_said() -> None:
    assert list(levels_of(LoadConfig()).whole()) == [(0, 1)]


def test_a_ramp_rises_in_line_to_the_rate() -> None:
    levels = levels_of(LoadConfig(request_rate=10, ramp_s=20))
    assert (levels.at(0), levels.at(5), levels.at(20), levels.at(99)) == (0, 2.5, 10, 10)
    assert levels.integral(20) == pytest.approx(100)
    assert levels.integral(21) == pytest.approx(110)


def test_a_ramp_of_requests_in_flight_goes_up_by_one_at_a_time() -> None:
    assert list(levels_of(LoadConfig(concurrency=4, ramp_s=8)).whole()) == [(0, 1), (2, 2), (4, 3), (6, 4)]
    assert len(list(levels_of(LoadConfig(concurrency=65536, ramp_s=0.1)).whole())) == 65536


def test_what_is_due_at_times_has_at_most_so_many_in_flight() -> None:
    assert list(in_flight(LoadConfig(request_rate=5, steps="1:1,2:1"))) == []
    assert list(in_flight(LoadConfig(request_rate=5, concurrency=3, ramp_s=9))) == [(0, 3)]
    assert list(in_flight(LoadConfig(trace="x"))) == []
    assert list(in_flight(LoadConfig(concurrency=3))) == [(0, 3)]
    assert (is_open(LoadConfig(trace="x")), is_open(LoadConfig(concurrency=3))) == (True, False)


def test_steps_follow_one_another_and_end() -> None:
    levels = levels_of(LoadConfig(concurrency=1, steps="10:30, 0:5,20:30"))
    assert list(levels.whole()) == [(0, 10), (30, 0), (35, 20), (65, 0)]
    assert levels.end == 65
    assert [levels.at(time) for time in (29.9, 30, 34.9, 35, 65)] == [10, 0, 0, 20, 0]
    assert levels.integral(1000) == 900


def test_steps_are_rates_where_there_is_a_rate() -> None:
    assert levels_of(LoadConfig(request_rate=1, steps="2.5:4,.5:2")).integral(99) == 11


@pytest.mark.parametrize(
    ("text", "rate", "told"),
    [
        ("10", 0, "step 1 is '10'; allowed: LEVEL:SECONDS"),
        ("10:30,", 0, "step 2 is ''"),
        ("10:30,20:x", 0, "step 2 is '20:x'"),
        ("10:30;20:30", 0, "step 1 is"),
        ("10:-1", 0, "step 1 is"),
        ("10:nan", 0, "step 1 is"),
        ("1e3:5", 1, "step 1 is"),
        ("\u0661\u0660:30", 0, "step 1 is"),
        ("10:30\x1b[2J", 0, "step 1 is"),
        ("1.5:3", 0, "step 1 has the level 1.5; allowed: whole numbers"),
        ("65537:3", 0, "from 0 to 65,536"),
        ("1000001:3", 1, "rates from 0 to 1,000,000"),
        ("10:0", 0, "step 1 takes 0 s; allowed: above 0"),
        ("10:99999999999", 0, "step 1 takes"),
        ("0:30,0:1", 1, "asks for nothing"),
        ("1:1," * 1000 + "1:1", 0, "has 1,001 steps"),
    ],
)
def test_what_is_no_list_of_steps_is_refused_by_name(text: str, rate: float, told: str) -> None:
    with pytest.raises(ConfigError) as error:
        levels_of(LoadConfig(steps=text, request_rate=rate))
    assert error.value.path == "load.steps"
    assert told in str(error.value)
    assert "\x1b" not in str(error.value)


@given(st.text(alphabet="0123456789:,. -e", max_size=30))
def test_any_text_is_steps_or_refused(text: str) -> None:
    try:
        steps = parse_steps(text, whole=False)
    except ConfigError:
        return
    assert all(0 <= step.level <= 1e6 and step.seconds > 0 for step in steps)


segments = st.lists(
    st.tuples(st.floats(0, 100), st.floats(0, 5), st.floats(0.01, 50)), min_size=1, max_size=6
)  # level, slope, seconds


@given(segments, st.floats(0, 400))
def test_the_integral_is_what_small_steps_add_up_to(parts: list[tuple[float, float, float]], until: float) -> None:
    made, time = [], 0.0
    for level, slope, seconds in parts:
        made.append(LevelSegment(time, level, slope))
        time += seconds
    levels = Levels(tuple(made), time)
    width = until / 4000
    summed = math.fsum(levels.at((number + 0.5) * width) for number in range(4000)) * width
    largest = max(level + slope * seconds for level, slope, seconds in parts)
    assert levels.integral(until) == pytest.approx(summed, abs=1e-9 + len(parts) * largest * width + 1e-6 * summed)


@given(segments, st.floats(0, 400), st.floats(0.1, 1000))
def test_a_change_leaves_what_was_before(parts: list[tuple[float, float, float]], at: float, level: float) -> None:
    made, time = [], 0.0
    for one, slope, seconds in parts:
        made.append(LevelSegment(time, one, slope))
        time += seconds
    levels = Levels(tuple(made))
    changed = levels.changed(at, level)
    for share in (0.0, 0.3, 0.999):
        assert changed.at(at * share) == (level if at * share == at else levels.at(at * share))
    assert changed.at(at) == changed.at(at + 1e6) == level
    assert changed.integral(at + 10) == pytest.approx(levels.integral(at) + 10 * level)


def test_a_change_keeps_the_end_and_comes_too_late_after_it() -> None:
    levels = levels_of(LoadConfig(request_rate=1, steps="10:10,20:10"))
    assert list(levels.changed(5, 3).whole()) == [(0, 10), (5, 3), (20, 0)]
    assert levels.changed(20, 3) == levels
    for level in (0, -1, math.nan, math.inf):
        with pytest.raises(ValueError, match="above 0"):
            levels.changed(5, level)


@given(st.integers(0, 70000), st.integers(1, 64))
def test_shares_add_up_and_are_even(level: int, parts: int) -> None:
    shares = [share_of(level, part, parts) for part in range(parts)]
    assert sum(shares) == level
    assert max(shares) - min(shares) <= 1


@pytest.mark.parametrize(
    ("load", "together", "rate", "since"),
    [
        ({}, 1, None, 0.0),
        ({"concurrency": 8}, 8, None, 0.0),
        ({"concurrency": 8, "ramp_s": 5.0}, 8, None, 5.0),
        ({"request_rate": 4.0}, None, 4.0, 0.0),
        ({"request_rate": 4.0, "concurrency": 8, "ramp_s": 5.0}, 8, 4.0, 5.0),
        ({"steps": "10:5,20:7"}, 20, None, 5.0),
        ({"steps": "20:5,3:7,0:1"}, 3, None, 5.0),
        ({"steps": "10:5,2.5:7", "request_rate": 1.0}, None, 2.5, 5.0),
        ({"trace": "t"}, None, None, 0.0),
        ({"trace": "t", "concurrency": 8}, 8, None, 0.0),
    ],
)
def test_what_is_asked_for_in_the_end(
    load: dict[str, Any], together: int | None, rate: float | None, since: float
) -> None:
    asked = LoadConfig(**load)
    assert (in_flight_asked(asked), rate_asked(asked)) == (together, rate)
    assert asked.trace or last_level(asked).start == since
