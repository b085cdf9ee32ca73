from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from rich.cells import cell_len
from support.scenes import HOSTILE, entry, progress, sweep
from support.structs import values_of

from infertui.runner.execution.progress import RunProgress
from infertui.runner.scheduling.queue_store import Entry
from infertui.tui.queue.view import (
    Line,
    QueueContext,
    entries_of,
    entry_key,
    heading,
    line_text,
    lines_of,
    short_name,
    time_left,
)
from infertui.tui.themes import DEFAULT_PALETTE
from infertui.tui.widgets.cells import RenderContext

NOW = datetime(2026, 5, 1, 9, 0, 20, tzinfo=UTC)


def shown(*under_way: str, plain: bool = False) -> QueueContext:
    return QueueContext({run: progress(run) for run in under_way}, NOW, RenderContext(DEFAULT_PALETTE, ascii=plain))


def text_of(one: Entry, width: int = 120, known: RunProgress | None = None) -> str:
    drawn_from = QueueContext({} if known is None else {one.run: known}, NOW, RenderContext(DEFAULT_PALETTE))
    return line_text(lines_of([one], ())[0], width, drawn_from).plain


def test_a_group_of_one_is_a_plain_line() -> None:
    assert [line.entry for line in lines_of([entry(1), entry(2)], ())] == [entry(1), entry(2)]


def test_a_sweep_has_a_line_of_its_own_and_folds() -> None:
    entries = [entry(1), *sweep(2, 3), entry(9)]
    lines = lines_of(entries, ())
    assert [line.entry.id if line.entry else "group" for line in lines] == [1, "group", 2, 3, 4, 9]
    folded = lines_of(entries, {lines[1].key})
    assert [line.entry.id if line.entry else "group" for line in folded] == [1, "group", 9]
    assert [one.id for one in folded[1].entries] == [2, 3, 4]


def test_a_group_that_was_moved_apart_stands_in_parts_with_keys_of_their_own() -> None:
    a, b, c = sweep(2, 3)
    lines = lines_of([a, b, entry(1), c], ())
    keys = [line.key for line in lines]
    assert len(set(keys)) == len(keys)
    assert [one.id for one in entries_of([entry_key(3), lines[0].key], lines)] == [2, 3]


def test_a_group_says_how_far_it_is() -> None:
    group = lines_of(sweep(1, 12, running=3), ())[0]
    assert line_text(group, 80, shown("run-4")).plain.startswith(" ▾ demo sweep  3/12  RUN  ETA 6:01")


@pytest.mark.parametrize("plain", [False, True])
def test_what_differs_between_the_entries_of_a_group_is_seen_where_room_is_short(plain: bool) -> None:
    names = [f"tinyllama-1.1b-chat a temperature=0.75 n_gpu_layers={layers}" for layers in (10, 20)]
    lines = lines_of([entry(at, group=5, name=name) for at, name in enumerate(names, 1)], ())

    def drawn(width: int) -> list[str]:
        return [line_text(line, width, shown(plain=plain)).plain for line in lines[1:]]

    for width in (260, 120, 100, 80):
        assert ["n_gpu_layers=10" in text for text in drawn(width)] == [True, False], width
        assert ["n_gpu_layers=20" in text for text in drawn(width)] == [False, True], width
    for width in (60, 50, 40, 30, 24):
        assert "10" in drawn(width)[0], width
        assert "20" in drawn(width)[1], width


def test_an_entry_alone_leaves_its_title_and_model_out_before_what_it_sets() -> None:
    one = entry(1, "finished", title="my study", name="nano n_gpu_layers=10")
    assert "my study nano n_gpu_layers=10" in text_of(one, 240)
    assert " nano n_gpu_layers=10" in text_of(one, 80)
    assert " n_gpu_layers=10 " in text_of(one, 64)
    assert "my stu" in text_of(one, 34)


@settings(max_examples=200)
@given(st.text(max_size=60), st.sets(st.text(min_size=1, max_size=5)), st.integers(0, 40))
def test_a_short_name_has_room(name: str, shared: set[str], room: int) -> None:
    assert cell_len(short_name(name, shared, room, RenderContext(DEFAULT_PALETTE))) <= max(1, room)


def test_a_group_that_is_done_names_its_best_and_counts_failures() -> None:
    one, two = sweep(1, 2, running=2)
    failed = entry(3, "failed", group=77, title="demo sweep")
    text = line_text(lines_of([one, two, failed], ())[0], 90, shown()).plain
    assert "3/3" in text
    assert "1 FAILED" in text
    assert "best 1,933 tok/s bs=2" in text


@pytest.mark.parametrize(
    ("one", "words"),
    [
        (entry(1, estimate_s=65.0), "· queued"),
        (entry(1, estimate_s=65.0), "about 1:05"),
        (entry(1, "finished"), "✓ ok"),
        (entry(1, "finished"), "1,932 tok/s"),
        (entry(1, "finished", valid=False, reason="throttled"), "! invalid"),
        (entry(1, "finished", valid=False, reason="others used it", marks=("foreign",)), "others used it"),
        (entry(1, "failed", reason="CUDA out of memory"), "✗ FAILED"),
        (entry(1, "failed", reason="CUDA out of memory"), "CUDA out of memory"),
        (entry(1, "interrupted"), "! interrupted"),
        (entry(1, "cancelled"), "- cancelled"),
        (entry(1, "skipped"), "» skipped"),
    ],
)
def test_states_are_words_as_well_as_glyphs(one: Entry, words: str) -> None:
    assert words in text_of(one)


def test_a_run_under_way_shows_phase_share_and_time_left() -> None:
    text = text_of(entry(5, "running"), known=progress("run-5"))
    assert "RUN 70%" in text
    assert "measure 4/5  ETA 0:01" in text
    assert "RUN load" in text_of(entry(5, "running"), known=progress("run-5", "load"))
    assert "RUN" in text_of(entry(5, "running"))


def test_before_measuring_the_time_left_comes_from_the_estimate() -> None:
    one = entry(5, "running", estimate_s=60.0)
    assert "ETA 0:40" in text_of(one, known=progress("run-5", "load"))


def test_narrow_lines_keep_number_state_name_and_result() -> None:
    text = text_of(entry(7, "finished", name="bs=4"), 34)
    for part in ("7", "✓ ok", "bs=4", "1,938 t/s"):
        assert part in text


def test_where_there_is_no_room_the_time_left_stays_and_its_name_goes() -> None:
    text = text_of(entry(5, "running", name="bs=4 isl=1024"), 30, known=progress("run-5"))
    assert text.rstrip().endswith(" 0:01")


def test_narrow_lines_say_why_figures_do_not_count() -> None:
    assert "host busy" in text_of(entry(7, "finished", valid=False, marks=("host-busy", "few")), 40)
    assert "OOM" in text_of(entry(7, "failed", throughput=3.0, reason="no memory", marks=("out-of-memory",)), 40)


def test_a_group_with_invalid_runs_is_not_ok() -> None:
    good, bad = sweep(1, 2, running=2)
    bad = replace(bad, valid=False, marks=("host-busy",))
    text = line_text(lines_of([good, bad], ())[0], 90, shown()).plain
    assert "2/2  1 ok  1 invalid" in text
    assert f"best 1,932 tok/s {good.name}" in text
    alone = line_text(lines_of([bad, replace(bad, id=9)], ())[0], 90, shown()).plain
    assert "2 invalid" in alone
    assert "ok" not in alone
    assert "best" not in alone


@settings(max_examples=40)
@given(values_of(Entry), st.integers(1, 160), st.booleans())
def test_any_entry_fits_its_line_and_is_harmless(one: Entry, width: int, plain: bool) -> None:
    for line in (*lines_of([one], ()), Line("x", lines_of([one], ())[0].group)):
        text = line_text(line, width, shown(plain=plain))
        assert "\x1b" not in text.plain
        assert "\n" not in text.plain
        assert width < 34 or line.entry is None or text.cell_len <= width


def test_hostile_names_stay_text() -> None:
    text = text_of(entry(1, title=HOSTILE), 200)
    assert "[/foo]" in text
    assert "\x1b" not in text


def test_devices_work_side_by_side() -> None:
    waiting = [
        entry(1, estimate_s=60.0),
        entry(2, estimate_s=30.0, lane="gpu1"),
        entry(3, estimate_s=30.0, lane="gpu1"),
    ]
    assert time_left(waiting, {}, NOW) == "1:00"
    assert time_left([*waiting, entry(4, lane="gpu1")], {}, NOW) == "more than 1:00"
    assert time_left([entry(1, "finished")], {}, NOW) == ""


def test_the_heading_counts() -> None:
    entries = sweep(1, 12, running=3)
    known = {"run-4": progress("run-4")}
    assert heading(entries, known, NOW, paused=False) == "12 runs, 1 running, 6:01 left"
    assert heading(entries[:1], {}, NOW, paused=True) == "1 run  PAUSED"
    assert heading([], {}, NOW, paused=False) == ""
    held = "1 run, waiting for the tuning session"
    assert heading([entry(1, "queued", estimate_s=60.0)], {}, NOW, paused=False, tuning=True) == held
    assert heading([entry(1, "finished")], {}, NOW, paused=False, tuning=True) == "1 run"
