"""A tuning session as rows and series."""

import math

import pytest
from support.runs import simulated

from infertui.analysis.tuning.knobs import knobs_of
from infertui.analysis.tuning.segment import Segment, SegmentRatio
from infertui.results.result import Error
from infertui.runner.tuning.state import TuningLive, TuningPoint, TuningView
from infertui.tui.themes import DEFAULT_PALETTE
from infertui.tui.tuning.view import about_knob, head_line, knob_row, marks, plots, segment_heading, segment_row
from infertui.tui.widgets.cells import RenderContext

LOOK = RenderContext(DEFAULT_PALETTE)
ASCII = RenderContext(DEFAULT_PALETTE, ascii=True)
FIGURES = {"throughput": 643.2, "low": 636.0, "high": 650.0, "ttft": 0.02, "itl": 0.006}


def segment(number: int = 2, **values: object) -> Segment:
    known: dict[str, object] = {
        "number": number, "run": "run", "name": "bs=4", "changes": {"workload.batch_size": 4}, "effect": "prepare",
        "state": "finished", "began": 12.0, "seconds": 5.0, "figures": FIGURES,
        "previous": SegmentRatio(1, 2.0, 1.9, 2.1, finding="better"), "best": SegmentRatio(1, 2.0),
    }  # fmt: skip
    return Segment(**{**known, **values})  # type: ignore[arg-type]


@pytest.mark.parametrize("width", [4, 20, 40, 76, 120, 300])
def test_rows_are_exactly_as_wide_as_they_have_room(width: int) -> None:
    failed = segment(error=Error("out-of-memory", "the GPU ran out of memory"), state="failed")
    for look in (LOOK, ASCII):
        rows = [segment_row(one, width, look) for one in (segment(), failed, segment(figures={}))]
        rows += [segment_heading(width, look), *(knob_row(knob, 8, "", width, look) for knob in knobs_of(simulated()))]
        for row in rows:
            assert row.cell_len <= max(width, 60)
            assert row.plain.isascii() or look is LOOK
    assert segment_row(segment(), 120, LOOK).cell_len == 120


def test_a_segment_tells_its_figures_and_is_unclear_until_it_is_not() -> None:
    text = segment_row(segment(), 130, LOOK).plain
    assert "643 (636 to 650)" in text
    assert "x2.000 +" in text
    assert text.rstrip().endswith("x2.000 ?")
    assert "n/a" in text  # there is no power to tell of
    failed = segment(error=Error("error", "no\x1b[31m room"), state="failed")
    assert "no" in segment_row(failed, 100, LOOK).plain
    assert "\x1b" not in segment_row(failed, 100, LOOK).plain
    assert segment_row(segment(pinned="run"), 100, LOOK, marked=True).plain.startswith("2◆P")


def test_a_knob_shows_what_it_will_be() -> None:
    knob = knobs_of(simulated())[0]
    assert knob_row(knob, None, "", 40, LOOK).plain.split() == ["bs", "1", "prepares"]
    assert knob_row(knob, 8, "", 40, LOOK).plain.split() == ["bs", "1", "→", "8", "prepares"]
    assert knob_row(knob, 8, "", 40, ASCII).plain.split() == ["bs", "1", ">", "8", "prepares"]
    assert "1 → 4 ..." in knob_row(knob, None, "4", 40, LOOK).plain


def test_no_line_of_a_chart_leads_over_a_change() -> None:
    points = [TuningPoint(t, number, throughput=10.0 * t) for t, number in ((1.0, 1), (2.0, 1), (3.0, 2))]
    (plot,) = plots(points, LOOK)
    assert [math.isnan(y) for _, y in plot.series[0].points] == [False, False, True, False]
    assert plots([TuningPoint(1.0, 1)], LOOK) == []
    (ttft,) = plots([TuningPoint(1.0, 1, ttft=0.25)], LOOK)
    assert (ttft.name, ttft.unit, list(ttft.series[0].points)) == ("TTFT", "ms", [(1.0, 250.0)])


def view(**values: object) -> TuningView:
    return TuningView(id="tuning-1", folder="/f", title="", config=simulated(), **values)  # type: ignore[arg-type]


def test_what_a_knob_asks_for_is_told_where_its_row_has_no_room_for_it() -> None:
    knob = next(knob for knob in knobs_of(simulated()) if knob.key == "workload.batch_size")
    assert about_knob(knob, 200, LOOK).plain.rstrip().endswith("; the engine gets ready anew")
    assert about_knob(knob, 76, LOOK).plain.startswith("workload.batch_size (prepares): ")


def test_the_head_says_what_it_is_at() -> None:
    live = TuningLive(3, "bs=8", 20.0, 12, 6.0, 1234.0, SegmentRatio(2, 1.9))
    told = head_line(view(live=live, phase="measure"), 120, LOOK).plain
    assert "3 bs=8: 1,234 tok/s, 12 batches, 0:06; to 2 x1.900 unclear" in told
    known = TuningLive(3, "isl=1024", 20.0, 174, 13.0, 1686.0, SegmentRatio(1, 0.999, 0.981, 1.018, finding="equal"))
    assert "x0.999 (0.981 to 1.018) equal" in head_line(view(live=known, phase="measure"), 120, LOOK).plain
    assert "to 1 x0.999 equal" in head_line(view(live=known, phase="measure"), 76, LOOK).plain
    waits = head_line(view(live=live, phase="warmup", wanted={"workload.batch_size": "2"}), 120, LOOK).plain
    assert "3 bs=8: warmup, the batch under way ends first" in waits
    assert "ended: no room" in head_line(view(status="ended", error="no room"), 80, LOOK).plain
    assert "getting ready" in head_line(view(), 80, LOOK).plain
    drawn = marks(view(segments=(segment(),), live=live))
    assert [(mark.x, mark.label) for mark in drawn] == [(12.0, "2 bs=4"), (20.0, "3 bs=8")]
