"""What the queue says of a bench that is under way."""

from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec.structs import replace
from support.screens import entry

from infertui.config.sweep import Place
from infertui.runner.scheduling.queue_store import Entry
from infertui.tui.queue.view import QueueContext, arms_of, bench_words, line_text, lines_of
from infertui.tui.themes import DEFAULT_PALETTE
from infertui.tui.widgets.cells import RenderContext

SHOWN = QueueContext({}, datetime.now(UTC), RenderContext(DEFAULT_PALETTE))


def bench(*speeds: float | None, arms: tuple[str, ...] = ("eager", "graph"), rounds: int = 3) -> list[Entry]:
    """Runs in rounds of the arms' order; None: still waiting."""
    found = []
    for number, speed in enumerate(speeds):
        place = Place("b", arms[number % len(arms)], number // len(arms), rounds, number % len(arms) == 0, arms)
        more: dict[str, Any] = {"title": "bench", "name": f"{place.arm} {place.round + 1}/{rounds}", "place": place}
        if speed is None:
            found.append(entry(number + 1, **more))
        else:
            found.append(entry(number + 1, "finished", throughput=speed, valid=True, **more))
    return found


def heading(entries: list[Entry], width: int = 110) -> str:
    return line_text(lines_of(entries, ())[0], width, SHOWN).plain


def test_whole_rounds_are_paired() -> None:
    # Rounds: 200 / 100 and 210 / 105, both 2; the third has one run only.
    (figure,) = bench_words(bench(100.0, 200.0, 105.0, 210.0, 110.0, None))
    assert figure.ratio is not None
    assert figure.ratio.value == pytest.approx(2.0)
    assert (figure.name, figure.sign) == ("graph", "?")


def test_the_group_tells_the_verdict_as_soon_as_it_can_be_sure() -> None:
    early = heading(bench(100.0, 200.0, None, None, None, None))
    assert "2/6" in early
    assert "graph 2.00x as high, too few rounds to say how sure" in early
    done = heading(bench(100.0, 200.0, 101.0, 204.0, 100.0, 199.0))
    assert "graph 2.00x as high (" in done
    assert "ok" in done
    assert "2.00x + graph" in heading(bench(100.0, 200.0, 101.0, 204.0, 100.0, 199.0), 45)


def test_several_arms_have_a_ratio_each() -> None:
    three = heading(bench(100.0, 200.0, 50.0, 100.0, 202.0, 51.0, 100.0, 198.0, 49.0, arms=("a", "b", "c")))
    assert "2.00x + b" in three
    assert "0.50x - c" in three


def test_invalid_and_failed_runs_make_their_round_not_count() -> None:
    entries = bench(100.0, 200.0, 100.0, 300.0)
    entries[3] = replace(entries[3], valid=False)
    (figure,) = bench_words(entries)
    assert figure.ratio is not None
    assert figure.ratio.value == pytest.approx(2.0)
    none = [replace(one, valid=False) for one in entries]
    assert "no round counts" in heading(none)


def test_what_is_no_bench_has_no_arms() -> None:
    assert arms_of([entry(1), entry(2)]) == ()
    assert bench_words([entry(1, "finished", throughput=1.0), entry(2, "finished", throughput=2.0)]) == []
    assert "best 2.00 tok/s" in heading([entry(1, "finished", throughput=1.0), entry(2, "finished", throughput=2.0)])


def test_names_are_cleaned() -> None:
    assert "\x1b" not in heading(bench(100.0, 200.0, arms=("a", "\x1b]0;t\x07[b]")))
