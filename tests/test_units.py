import math
import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infertui.units import format_bytes, format_count, format_number, format_rate, format_seconds

BINARY = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
DECIMAL = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0}


def digits(shown: str) -> int:
    """Significant digits, those of a trailing zero included."""
    return len(re.sub(r"[^0-9]", "", shown).lstrip("0"))


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.00 KiB"),
        (1536, "1.50 KiB"),
        (10 * 2**20, "10.0 MiB"),
        (100 * 2**30, "100 GiB"),
        (2**40, "1.00 TiB"),
        (5000 * 2**40, "5000 TiB"),
        (-1536, "-1.50 KiB"),
        (1023.6, "1.00 KiB"),
        (2**30 - 1, "1.00 GiB"),
        (9.996 * 2**20, "10.0 MiB"),
        (99.96 * 2**20, "100 MiB"),
        (1023.4 * 2**20, "1023 MiB"),
    ],
)
def test_bytes(count: float, shown: str) -> None:
    assert format_bytes(count) == shown


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (0, "0"),
        (999, "999"),
        (1000, "1.00 k"),
        (124439808, "124 M"),
        (8_030_261_248, "8.03 G"),
        (10**16, "10000 T"),
        (999.6, "1.00 k"),
        (999_999, "1.00 M"),
        (999_400, "999 k"),
        (9_999_999, "10.0 M"),
        (-999_999, "-1.00 M"),
    ],
)
def test_count(count: float, shown: str) -> None:
    assert format_count(count) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0 us"),
        (4.2e-7, "420 ns"),
        (4.2e-5, "42 us"),
        (9.997e-4, "1.00 ms"),
        (0.001, "1.00 ms"),
        (0.0123, "12.3 ms"),
        (9.996e-7, "1 us"),
        (9.4e-7, "940 ns"),
        (0.009996, "10.0 ms"),
        (0.09996, "100 ms"),
        (0.99996, "1.00 s"),
        (0.9994, "999 ms"),
        (9.996, "10.0 s"),
        (59.94, "59.9 s"),
        (59.96, "1:00"),
        (-0.5, "-500 ms"),
        (-2.5e-5, "-25 us"),
        (-0.0, "0 us"),
        (-61, "-1:01"),
        (-3661, "-1:01:01"),
        (0.5, "500 ms"),
        (1, "1.00 s"),
        (12.34, "12.3 s"),
        (60, "1:00"),
        (61.4, "1:01"),
        (3599.4, "59:59"),
        (3599.6, "1:00:00"),
        (3661, "1:01:01"),
        (360000, "100:00:00"),
    ],
)
def test_seconds(seconds: float, shown: str) -> None:
    assert format_seconds(seconds) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0.00"),
        (0.00412, "0.00412"),
        (0.05, "0.0500"),
        (0.5, "0.500"),
        (1.234, "1.23"),
        (12.34, "12.3"),
        (123.4, "123"),
        (1234.6, "1,235"),
        (1234567, "1,234,567"),
        (9.996, "10.0"),
        (99.96, "100"),
        (0.99996, "1.00"),
        (0.09999, "0.100"),
        (-0.00412, "-0.00412"),
        (-1234.6, "-1,235"),
    ],
)
def test_number(value: float, shown: str) -> None:
    assert format_number(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [(1e308, "1e+308"), (-1.5e300, "-1.5e+300"), (1e15, "1e+15"), (9.99e14, "999,000,000,000,000"),
     (5e-324, "4.94e-324"), (1e-9, "0.00000000100"), (math.inf, "inf"), (math.nan, "nan")],
)  # fmt: skip
def test_a_number_that_nobody_could_count(value: float, shown: str) -> None:
    assert format_number(value) == shown


FORMATS: list[Callable[[float], str]] = [
    format_bytes, format_count, format_seconds, format_number, lambda value: format_rate(value, "B/s"),
]  # fmt: skip


@given(st.floats(), st.sampled_from(FORMATS))
def test_any_figure_is_short(value: float, form: Callable[[float], str]) -> None:
    assert 0 < len(form(value)) <= 26


@given(st.floats(1e-9, 1e12))
def test_a_number_keeps_three_digits(value: float) -> None:
    shown = format_number(value)
    assert float(shown.replace(",", "")) == pytest.approx(value, rel=0.0051)
    assert digits(shown) >= 3


@given(st.integers(0, 10**15))
def test_sizes_read_back_to_half_a_percent(count: int) -> None:
    for shown, units in ((format_bytes(count), BINARY), (format_count(count), DECIMAL)):
        value, _, unit = shown.partition(" ")
        assert float(value) * units[unit] == pytest.approx(count, rel=0.0051)


@given(st.floats(1e-9, 1e8), st.sampled_from(FORMATS))
def test_nothing_is_a_thousand_of_one_unit_in_place_of_one_of_the_next(
    value: float, form: Callable[[float], str]
) -> None:
    number, _, unit = form(value).partition(" ")
    if unit and ":" not in number and unit not in ("TiB", "T", "TB/s"):
        least = {"KiB": 1024, "MiB": 1024, "GiB": 1024, "B": 1024, "s": 60}.get(unit, 1000)
        assert float(number.replace(",", "")) < least


@given(st.floats(1e-4, 59.9))
def test_durations_read_back_to_one_percent(seconds: float) -> None:
    value, unit = format_seconds(seconds).split(" ")
    assert float(value) * SECONDS[unit] == pytest.approx(seconds, rel=0.01)


@given(st.integers(60, 10**7))
def test_long_durations_read_back_exactly(seconds: int) -> None:
    parts = [int(part) for part in format_seconds(seconds).split(":")]
    assert all(part < 60 for part in parts[1:])
    total = 0
    for part in parts:
        total = total * 60 + part
    assert total == seconds
