"""Ratios to the baseline in the results table, worked out by hand."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from infertui.results.table import ResultRow
from infertui.tui.results.columns import arrange, copied, row_text
from infertui.tui.results.ratios import OF, RatioColumn, row_ratio, times
from infertui.tui.settings.stored import Shown
from infertui.tui.themes import DEFAULT_PALETTE
from infertui.tui.widgets.cells import RenderContext

LOOK = RenderContext(DEFAULT_PALETTE)
BASE = ResultRow(
    id="base", name="a", state="finished", started="", model="m", engine="e", dtype="bfloat16", device="d",
    batch_size=1, input_len="128", output_len=64, valid=True, throughput=100.0, low=95.0, high=105.0, ttft=0.2,
    tpot=0.01, latency=1.0, joules_per_token=2.0,
)  # fmt: skip
ROW = replace(BASE, id="row", throughput=150.0, low=148.0, high=152.0, ttft=0.1, tpot=0.02, joules_per_token=1.0)


def test_ratios_are_multiples_of_the_baseline() -> None:
    known: dict[RatioColumn, tuple[float, bool]] = {
        "ratio": (1.5, True), "ratio_ttft": (0.5, True), "ratio_tpot": (2.0, False), "ratio_latency": (1.0, True),
        "ratio_energy": (0.5, True),
    }  # fmt: skip
    for column, (value, better) in known.items():
        found = row_ratio(column, ROW, BASE)
        assert found is not None
        assert found.value == pytest.approx(value)
        assert found.better is better


def test_a_gain_is_the_same_as_a_change_in_percent() -> None:
    """150 of 100 is 50 % more; as sure, and as comparable, as the ratio beside it."""
    ratio, gain = row_ratio("ratio", ROW, BASE), row_ratio("gain", ROW, BASE)
    assert ratio is not None
    assert gain is not None
    assert (gain.value, gain.outcome, gain.unlike) == (ratio.value, ratio.outcome, ratio.unlike)
    assert gain.text.strip("~=()") == "+50.0%"


def test_a_throughput_is_surely_other_equal_or_unclear_by_the_intervals() -> None:
    # ln(1.5) = 0.405; half-widths ln(105/95)/2 = 0.0500 and ln(152/148)/2 = 0.0133: together 0.0518.
    found = row_ratio("ratio", ROW, BASE)
    assert found is not None
    assert (found.outcome, found.text) == ("better", "1.50x")
    near = replace(ROW, throughput=104.0, low=101.0, high=107.0)  # ln 1.04 = 0.0392 against 0.0577
    found = row_ratio("ratio", near, BASE)
    assert found is not None
    assert (found.outcome, found.text) == ("unclear", "~1.04x")
    # ln(100.4/99.6)/2 = 0.0040 on both sides: 1.002 with 0.0057 to each side is 0.996 to 1.008.
    steady = replace(BASE, low=99.6, high=100.4)
    found = row_ratio("ratio", replace(ROW, throughput=100.2, low=99.8, high=100.6), steady)
    assert found is not None
    assert (found.outcome, found.text) == ("equal", "=1.00x")
    narrow = row_ratio("ratio", replace(ROW, throughput=100.2, low=99.8, high=100.6), steady, 0.005)
    assert narrow is not None
    assert (narrow.outcome, narrow.text) == ("unclear", "~1.00x"), "0.8 % is not within 0.5 %"
    unbounded = row_ratio("ratio", replace(ROW, low=None), BASE)
    assert unbounded is not None
    assert (unbounded.outcome, unbounded.text) == ("", "1.50x")


@pytest.mark.parametrize(
    "change", [{"model": "other"}, {"device": "other"}, {"batch_size": 8}, {"output_len": 1}, {"quantization": "int8"}]
)
def test_unlike_runs_stand_in_brackets(change: dict[str, object]) -> None:
    found = row_ratio("ratio", replace(ROW, **change), BASE)
    assert found is not None
    assert found.text == "(1.50x)"
    assert "(1.50x)" in row_text(replace(ROW, **change), arrange(("throughput",), 60, ratio=True), 60, LOOK,
                                 baseline=BASE).plain  # fmt: skip


def test_ratio_columns_come_and_go_with_the_baseline() -> None:
    chosen: tuple[Shown, ...] = ("ratio_ttft", "throughput", "ratio_energy")
    with_it = [one.spec.key for one in arrange(chosen, 100, ratio=True).placed]
    assert with_it == ["ratio_ttft", "throughput", "ratio", "ratio_energy", "flags"]
    assert [one.spec.key for one in arrange(chosen, 100).placed] == ["throughput", "flags"]
    assert [one.spec.key for one in arrange(("ratio", "model"), 100, ratio=True).placed] == ["ratio", "model", "flags"]
    shown = row_text(ROW, arrange(chosen, 100, ratio=True), 100, LOOK, baseline=BASE).plain.split()
    assert shown[:4] == ["0.50x", "150", "±2", "1.50x"]
    assert copied(ROW, chosen, BASE)[1:4] == ["0.50x", "150 ±2", "0.50x"]


def test_an_invalid_row_is_marked_also_where_its_flags_have_no_room() -> None:
    row = replace(ROW, valid=False, flags=("invalid",))
    narrow = arrange(("throughput",), 12)
    assert [one.spec.key for one in narrow.placed] == ["throughput"]
    assert row_text(row, narrow, 12, LOOK).plain.strip().startswith("!150")
    assert "!" not in row_text(ROW, narrow, 12, LOOK).plain
    assert row_text(row, arrange(("throughput",), 60), 60, LOOK).plain.rstrip().endswith("invalid")


value = st.floats(allow_nan=True, allow_infinity=True) | st.none()


@given(value, value, value, value, value)
def test_no_figure_is_too_strange(one: float | None, low: float | None, high: float | None, two: float | None,
                                  tpot: float | None) -> None:  # fmt: skip
    row = replace(ROW, throughput=one, low=low, high=high, tpot=tpot)
    base = replace(BASE, throughput=two, low=high, high=low, tpot=one)
    for column in OF:
        found = row_ratio(column, row, base)
        assert found is None or (found.value > 0 and math.isfinite(found.value))


@pytest.mark.parametrize(
    ("value", "shown"),
    [(432.4, "432x"), (12.34, "12.3x"), (1.152, "1.15x"), (0.19, "0.19x"), (0.0019, "0.002x"), (0.00004, "<.001x")],
)
def test_a_small_ratio_is_never_nothing(value: float, shown: str) -> None:
    assert times(value) == shown
    tiny = replace(ROW, model="other", throughput=BASE.throughput * value, low=None)
    cells = row_text(tiny, arrange(("throughput",), 60, ratio=True), 60, LOOK, baseline=BASE).plain
    assert f"({shown})" in cells  # whole, with its brackets
