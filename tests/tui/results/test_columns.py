from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from support.results import make_results
from support.structs import values_of

from infertui.results.index import Column, ResultRow
from infertui.text import clean
from infertui.tui.results.columns import (
    COLUMNS,
    ColumnLayout,
    arrange,
    copied,
    copied_header,
    figure,
    header_text,
    row_text,
    short_model,
)
from infertui.tui.settings.stored import Settings
from infertui.tui.themes import DEFAULT_PALETTE
from infertui.tui.widgets.cells import RenderContext

LOOK = RenderContext(DEFAULT_PALETTE)
ROW = ResultRow(
    id="run", name="a run", state="finished", started="2026-11-20T09:41:30+00:00", model="meta-llama/Llama-8B",
    engine="transformers", mode="cudagraph", dtype="bfloat16", device="NVIDIA H200", batch_size=8,
    input_len="short", output_len=64, valid=True, throughput=1931.4, low=1917.0, high=1945.0, ttft=0.1824, tpot=0.0081,
    vram=65712000000, vram_of="process", form="bf16", joules_per_token=0.871,
)  # fmt: skip


def keys(layout: ColumnLayout) -> list[str]:
    return [one.spec.key for one in layout.placed]


def test_every_column_can_be_chosen() -> None:
    assert set(COLUMNS) == set(get_args(Column))
    assert len({spec.heading for spec in COLUMNS.values()}) == len(COLUMNS)


def test_at_80_columns_the_most_important_remain_and_the_rest_is_counted() -> None:
    layout = arrange(Settings().columns, 76)
    assert {"model", "engine", "mode", "form", "batch_size", "throughput", "ttft", "flags"} <= set(keys(layout))
    assert layout.left_out == 12 + 1 - len(layout.placed)
    header = header_text(layout, 76, LOOK, sort="throughput", descending=True).plain
    assert header.rstrip().endswith(f"+{layout.left_out}")
    assert "tok/s▼" in header


def test_with_room_nothing_is_left_out_and_the_order_is_the_users() -> None:
    chosen: tuple[Column, ...] = ("throughput", "model", "started")
    assert keys(arrange(chosen, 200)) == ["throughput", "model", "started", "flags"]
    assert keys(arrange(chosen, 200, ratio=True)) == ["throughput", "ratio", "model", "started", "flags"]
    assert arrange(get_args(Column), 700).left_out == 0


def test_a_row_is_read_in_the_units_of_its_header() -> None:
    layout = arrange(Settings().columns, 160)
    header = header_text(layout, 160, LOOK, sort="started", descending=False).plain
    shown = row_text(ROW, layout, 160, LOOK).plain
    for heading, value in {
        "tok/s": "1,931 ±14",
        "TTFT p50": "182 ms",
        "TPOT p50": "8.10 ms",
        "mem GiB": "61.2 proc",
        "b": "8",
    }.items():
        end = next(one for one in layout.placed if one.spec.heading == heading)
        assert shown[: end.x + end.width].endswith(value), heading
        assert header[: end.x + end.width].endswith(heading)


def test_what_is_not_available_is_a_dash_never_zero() -> None:
    row = replace(ROW, throughput=None, ttft=None, tpot=None, vram=None, joules_per_token=None, form="", low=None)
    shown = row_text(row, arrange(Settings().columns, 160), 160, LOOK).plain
    assert shown.split().count("n/a") == 6
    assert " 0" not in shown.replace("2026-11-20", "").replace("09:", "")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"state": "failed", "flags": ("OOM",), "error": "2.1 GiB asked for"}, "FAILED OOM: 2.1 GiB asked for"),
        ({"state": "failed", "flags": ("error",), "error": "every batch failed"}, "FAILED: every batch failed"),
        ({"state": "interrupted", "flags": ("interrupted",)}, "interrupted"),
    ],
)  # fmt: skip
def test_a_run_without_figures_says_why_in_words(changes: dict[str, Any], said: str) -> None:
    shown = row_text(replace(ROW, throughput=None, **changes), arrange(Settings().columns, 116), 116, LOOK).plain
    assert said in shown
    assert "Llama-8B" in shown


def test_the_ratio_is_against_the_baseline() -> None:
    layout = arrange(("throughput",), 40, ratio=True)
    base = replace(ROW, id="base", throughput=801.4)
    assert "2.41x" in row_text(ROW, layout, 40, LOOK, baseline=base).plain
    assert " base" in row_text(base, layout, 40, LOOK, baseline=base).plain
    assert "x" not in row_text(replace(ROW, throughput=None), layout, 40, LOOK, baseline=base).plain.split()


def test_flags_that_do_not_fit_are_counted() -> None:
    row = replace(ROW, valid=False, flags=("invalid", "foreign", "synthetic"))
    assert row_text(row, arrange(("model",), 35), 35, LOOK).plain.rstrip().endswith("!GPU shared +1")
    full = row_text(row, arrange(("model",), 80), 80, LOOK).plain.rstrip()
    assert full.endswith("invalid: GPU shared, synthetic")
    crashed = replace(row, state="failed", flags=("crash", "few"), throughput=244.0)
    assert row_text(crashed, arrange(("model",), 60), 60, LOOK).plain.rstrip().endswith("failed: crash, few samples")
    unknown = replace(row, flags=("invalid", "imported"))
    assert row_text(unknown, arrange(("model",), 60), 60, LOOK).plain.rstrip().endswith("invalid, imported")


def test_a_name_that_does_not_fit_leaves_out_the_model_beside_it() -> None:
    cell = COLUMNS["name"].cell
    row = replace(ROW, model="synthetic:nano", name="synthetic:nano bs=4")
    assert (cell(row, 30), cell(row, 12)) == ("synthetic:nano bs=4", "bs=4")
    assert cell(replace(row, name="synthetic:nano"), 5) == "synthetic:nano"
    assert cell(replace(row, name=""), 5) == "n/a"


def test_a_synthetic_model_is_marked_in_little_room() -> None:
    assert short_model("synthetic:tinyllama-1.1b", 30) == "synthetic:tinyllama-1.1b"
    assert short_model("synthetic:tinyllama-1.1b", 18) == "syn:tinyllama-1.1b"
    assert short_model("meta-llama/Llama-3.1-8B", 14) == "Llama-3.1-8B"
    assert short_model("/home/me/models/thing/", 10) == "thing"


def test_without_unicode_nothing_but_ascii_is_shown() -> None:
    look = RenderContext(DEFAULT_PALETTE, ascii=True)
    layout = arrange(Settings().columns, 76)
    row = replace(ROW, model="modèle/漢字-very-long-name-that-is-cut", flags=("invalid", "foreign"))
    assert row_text(row, layout, 76, look).plain.isascii()
    assert header_text(layout, 76, look, sort="model", descending=True).plain.isascii()
    assert "1,931 +-14" in row_text(ROW, arrange(Settings().columns, 160), 160, look).plain


hostile = st.sampled_from(
    ["[/foo]", "[@click=app.quit]x[/]", "\x1b]0;t\x07", "\x9b31m", "\x00", "漢字" * 9, "\u202e", "a\nb"]
)


@given(
    row=values_of(ResultRow),
    text=hostile,
    columns=st.lists(st.sampled_from(get_args(Column)), max_size=8),
    width=st.integers(1, 250),
    ratio=st.booleans(),
)
def test_whatever_is_in_a_row_it_is_one_line_of_the_width(
    row: ResultRow, text: str, columns: list[Column], width: int, ratio: bool
) -> None:
    row = replace(row, model=text, name=text, error=text)
    layout = arrange(columns, width, ratio=ratio)
    line = row_text(row, layout, width, LOOK, baseline=row)
    assert line.cell_len <= width
    assert clean(line.plain) == line.plain
    header = header_text(layout, width, LOOK, sort="model", descending=False)
    assert header.cell_len <= max(width, 4)
    for one in layout.placed:
        assert layout.at(one.x) is one.spec


def test_a_copied_row_has_a_cell_for_every_heading() -> None:
    columns = Settings().columns
    for result in make_results(30):
        assert result.id
    assert len(copied(ROW, columns)) == len(copied_header(columns))
    assert dict(zip(copied_header(columns), copied(ROW, columns), strict=True)) | {
        "id": "run", "model": "meta-llama/Llama-8B", "tok/s": "1,931 ±14", "TTFT p50 ms": "182", "TPOT p50 ms": "8.10",
        "mem GiB": "61.2 proc", "valid": "yes",
    } == dict(zip(copied_header(columns), copied(ROW, columns), strict=True))  # fmt: skip


def test_at_120_columns_a_fallback_the_engine_and_the_mode_can_be_read() -> None:
    row = replace(ROW, mode="compile", flags=("fallback", "synthetic"))
    shown = row_text(row, arrange(Settings().columns, 116), 116, LOOK).plain
    assert "fallback +1" in shown
    assert {"hf", "compile"} <= set(shown.split())
    assert "…" not in shown.partition("hf")[0]


@pytest.mark.parametrize(("value", "width", "shown"), [(0.00764, 6, "0.0076"), (0.00764, 8, "0.00764"),
                                                       (0.000764, 6, "0.0008"), (1234567.0, 7, "1.2e+06")])  # fmt: skip
def test_a_figure_loses_digits_before_it_is_cut(value: float, width: int, shown: str) -> None:
    assert figure("joules_per_token")(replace(ROW, joules_per_token=value), width) == shown
