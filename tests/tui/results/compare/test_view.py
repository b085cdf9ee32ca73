"""The comparison as lines: what comes first, what fits, what is cut."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from support.structs import values_of

from infertui.analysis.bench import Arm, Bench
from infertui.analysis.compare import ComparedFigure, Comparison, Difference
from infertui.measure.comparison import Ratio
from infertui.measure.statistics import Interval
from infertui.results.table import ResultRow
from infertui.text import clean
from infertui.tui.results.compare.scene import Scene, Side, of_bench, of_runs
from infertui.tui.results.compare.view import columns_that_fit, document, letter
from infertui.tui.themes import DEFAULT_PALETTE
from infertui.tui.widgets.cells import RenderContext

LOOK = RenderContext(DEFAULT_PALETTE)
ROW = ResultRow(
    id="20261120-a", name="first", state="finished", started="", model="org/model", engine="transformers",
    dtype="bfloat16", device="H200", batch_size=1, input_len="128", output_len=64, valid=True, mode="eager", mbu=0.412,
)  # fmt: skip


def figures(speed: float) -> tuple[ComparedFigure, ...]:
    sure = Ratio(speed, Interval(speed * 0.99, speed * 1.01), 0.01)
    return (
        ComparedFigure("throughput, tok/s", 100.0, 100.0 * speed, "higher", sure, "number", "throughput"),
        ComparedFigure("TTFT", 0.02, 0.02, "lower", Ratio(1.0, Interval(0.97, 1.03), 0.8), "seconds", "ttft"),
        ComparedFigure("energy, J/token", None, None, "lower", None, "number", "energy"),
        ComparedFigure("memory", 2.0**30, 2.0**31, "lower", Ratio(2.0), "bytes", "memory", "whole"),
    )


def compared(count: int, *, differences: int = 1) -> Scene:
    """So many runs, the second 2x as fast as the first, the third 3x, and so on."""
    rows = [replace(ROW, id=f"20261120-{letter(n).lower()}", name=f"run {letter(n)}", mbu=n / 10) for n in range(count)]
    changed = tuple(Difference(f"workload.key{n}", "one", "two") for n in range(differences))
    found = [
        Comparison(
            rows[0].id, row.id, changed, ("other models", f"{row.id} is invalid: swap"), figures(1.0 + n), ("N",)
        )
        for n, row in enumerate(rows[1:], 1)
    ]
    return of_runs(rows, found)


def text(scene: Scene, width: int = 116, height: int = 40, look: RenderContext = LOOK) -> str:
    return "\n".join(line.plain.rstrip() for line in document(scene, width, height, look))


def test_the_outcome_comes_first_then_figures_then_what_speaks_against_them() -> None:
    said = text(compared(2))
    parts = ("A baseline", "B run B", " SEE BELOW ", "B against A", "FIGURES", " NOT COMPARABLE ", "WHAT DIFFERS")
    order = [said.index(part) for part in parts]
    assert order == sorted(order)
    flowing = " ".join(said.split())
    assert "B against A: throughput, tok/s 2.00x as high (1.98x to 2.02x); of 3 figures 1 better, 2 unclear" in flowing
    assert "key0  one → two" in said
    assert "2.00x as high (1.98x to 2.02x)" in said
    assert "unclear: 0.0% (-3.0% to +3.0%)" in said
    assert "MBU" in said
    assert "10.0%" in said  # of B


def test_ids_become_letters_and_what_is_true_of_all_is_said_once() -> None:
    said = text(compared(3))
    assert said.count("other models") == 1
    assert "NOT COMPARABLE   B is invalid: swap" in said
    assert "B: B" not in said


def test_the_same_config_differs_in_nothing() -> None:
    assert "WHAT DIFFERS  nothing" in text(compared(2, differences=0))


def test_many_differences_are_folded_and_unfolded() -> None:
    scene = compared(2, differences=9)
    assert "… 3 more: d shows all" in text(scene)
    assert "… 6 more: d shows all" in text(scene, height=24)
    assert "more: d" not in text(replace(scene, unfolded=True))
    assert "key8" in text(replace(scene, unfolded=True))


def test_the_table_of_many_scrolls_sideways_and_says_so() -> None:
    scene = compared(8)
    assert columns_that_fit(scene, 76) == 2
    assert columns_that_fit(scene, 156) > columns_that_fit(scene, 116)
    said = text(scene, 76)
    assert "5►" in said  # D to H
    assert "2.00x +" in said
    later = text(replace(scene, first=4, focus=5), 76)
    assert "◄3 2►" in later
    assert "F against A  run F" in later
    assert "6.00x as high" in later
    assert "+ better  - worse  = equal within 2%  ? unclear" in later


def test_a_value_that_is_the_baselines_says_so() -> None:
    scene = compared(3)
    other = replace(scene.found[1], differences=(*scene.found[1].differences, Difference("device", "H200", "H100")))
    row = next(line for line in text(replace(scene, found=(scene.found[0], other))).split("\n") if "device" in line)
    assert row.split() == ["device", "H200", "=", "A", "H100"]


@pytest.mark.parametrize("width", [76, 116, 156])
@pytest.mark.parametrize("count", [2, 5])
def test_verdicts_and_pictures_are_whole_at_every_size(count: int, width: int) -> None:
    said = text(compared(count), width)
    assert "2.00x as high (1.98x to 2.02x)" in said
    assert "●" in said
    assert max(len(line) for line in said.split("\n")) <= width


def test_ascii_is_ascii() -> None:
    look = RenderContext(DEFAULT_PALETTE, ascii=True)
    assert text(compared(5), 76, look=look).isascii()
    assert text(compared(2, differences=9), 76, look=look).isascii()


def test_an_invalid_run_is_marked_in_words() -> None:
    scene = of_runs([ROW, replace(ROW, id="b", valid=False), replace(ROW, id="c", state="failed")],
                    [replace(compared(2).found[0], second=run) for run in ("b", "c")])  # fmt: skip
    said = text(scene)
    assert "B ✗ invalid" in said
    assert "C ✗ failed" in said


def test_a_bench_says_its_rounds_and_what_does_not_count() -> None:
    comparison = replace(compared(2).found[0], first="eager", second="graph", unlike=())
    arms = (Arm("eager", ("r1",), 100.0, 0.01), Arm("graph", ("r2",), 200.0, None))
    bench = Bench("bench-1", 7, 5, (1, 2, 4), ("round 3: invalid: graph",), arms, (comparison,), missing=2)
    said = text(of_bench(bench))
    assert "paired over 3 of 5 rounds, 2 runs to come or missing" in said
    assert "NOTE   round 3: invalid: graph" in said
    assert "eager  1 runs  100 tok/s  runs differ by 1.0% (1 sigma)" in said.replace("1 run ", "1 runs ")
    empty = text(of_bench(replace(bench, comparisons=(), used=())))
    assert "nothing to compare yet" in empty


hostile = st.sampled_from(["[/foo]", "[@click=app.quit]x[/]", "\x1b]0;t\x07", "\x9b31m", "漢字" * 3, "\u202e", "a\nb"])


@settings(max_examples=25)
@given(
    row=values_of(ResultRow), text_=hostile, width=st.integers(70, 200), count=st.integers(2, 7), ascii_=st.booleans()
)
def test_hostile_texts_are_lines_of_the_width(row: ResultRow, text_: str, width: int, count: int, ascii_: bool) -> None:
    rows = [replace(row, id=f"{text_}{n}", name=text_, engine=text_, mode=text_) for n in range(count)]
    found = [
        Comparison(text_, text_, (Difference(text_, text_, text_),), (text_,), figures(2.0), (text_,)) for _ in rows[1:]
    ]
    for scene in (of_runs(rows, found), Scene(tuple(Side(text_, text_, text_, text_) for _ in rows), tuple(found))):
        for line in document(scene, width, 24, RenderContext(DEFAULT_PALETTE, ascii=ascii_)):
            assert clean(line.plain) == line.plain
            assert line.cell_len <= width


def test_what_both_lack_names_both_by_letters() -> None:
    scene = compared(3)
    ids = [side.id for side in scene.sides]
    lacking = replace(scene.found[1], unlike=(f"{ids[0]} and {ids[2]}: devices not known",))
    said = text(replace(scene, found=(scene.found[0], lacking)))
    assert "A and C: devices not known" in said
    assert ids[2] not in said.split("WHAT DIFFERS")[0].split("NOT COMPARABLE", 1)[1]


def test_without_ratios_there_is_no_axis() -> None:
    none = tuple(replace(figure, ratio=None) for figure in figures(2.0))
    scene = compared(2)
    for width in (60, 116, 160):
        said = text(replace(scene, found=(replace(scene.found[0], figures=none),)), width)
        assert "better" not in said
        assert "n/a" in said


def test_a_long_verdict_has_its_line_where_there_is_room() -> None:
    few = (replace(figures(2.0)[0], ratio=Ratio(2.0)),)
    scene = compared(2)
    said = text(replace(scene, found=(replace(scene.found[0], figures=few),)), 160)
    assert "2.00x as high, too few iterations to say how sure" in said


def test_the_first_page_of_a_small_terminal_holds_outcome_and_figures() -> None:
    """76 by 20 cells are what a terminal of 80x24 leaves."""
    lines = text(compared(2), 76, 20).split("\n")
    page = "\n".join(lines[:20])
    for part in ("B against A", "throughput, tok/s", "TTFT", "n/a", "memory", "2.00x +", "●", "NOT COMPARABLE"):
        assert part in page
    words = lines[lines.index("IN WORDS") :]
    assert any("unclear: 0.0% (-3.0% to +3.0%)" in line for line in words)


def test_nothing_that_is_known_of_both_is_said() -> None:
    scene = compared(2)
    bare = tuple(replace(figure, ratio=None) for figure in figures(2.0))
    said = text(replace(scene, found=(replace(scene.found[0], figures=bare, unlike=()),)))
    assert "B against A: no figure of both is known" in said
    assert "SEE BELOW" not in said
