"""Comparisons off the event loop, and what becomes of those that nobody waits for."""

import asyncio
import threading
from pathlib import Path

import pytest
from support.results import write_results

from infertui.results.observations import read_observations
from infertui.runner.queries import MOST_COMPARED, Reports, abandonable, compared


def test_a_comparison_that_nobody_waits_for_ends(tmp_path: Path) -> None:
    begun, ended = threading.Event(), threading.Event()

    def work(stop: threading.Event) -> None:
        begun.set()
        stop.wait()
        ended.set()

    async def scenario() -> None:
        task = asyncio.create_task(abandonable(work))
        await asyncio.to_thread(begun.wait)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.to_thread(ended.wait)

    asyncio.run(asyncio.wait_for(scenario(), 30))


def test_reading_stops_at_the_next_batch(tmp_path: Path) -> None:
    (run,) = write_results(tmp_path, 1, folders=1)
    looks = []

    def look() -> None:
        looks.append(1)
        if len(looks) == 3:
            raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        read_observations(tmp_path / run, look=look)
    assert len(looks) == 3
    assert len(read_observations(tmp_path / run)) == 10


def test_given_up_before_the_first_run_nothing_is_read(tmp_path: Path) -> None:
    runs = write_results(tmp_path, 3, folders=3)
    stop = threading.Event()
    assert len(compared(Reports(), str(tmp_path), runs[:2], stop).runs) == 1
    stop.set()
    with pytest.raises(Exception) as abandoned:  # noqa: PT011 (it is the module's own, and told to nobody)
        compared(Reports(), str(tmp_path), runs[:2], stop)
    assert type(abandoned.value).__name__ == "_Abandoned"


def test_no_more_runs_are_compared_than_can_be_read(tmp_path: Path) -> None:
    runs = write_results(tmp_path, MOST_COMPARED + 1)
    with pytest.raises(Exception, match=f"2 to {MOST_COMPARED}"):
        compared(Reports(), str(tmp_path), runs, threading.Event())


def test_a_run_whose_folder_is_gone_is_compared_by_its_line(tmp_path: Path) -> None:
    runs = write_results(tmp_path, 40)  # no folders
    found = compared(Reports(), str(tmp_path), [runs[0], runs[1]], threading.Event())
    throughput, latency, *_ = found.runs[0].figures
    assert throughput.first is not None
    assert throughput.ratio is not None
    assert throughput.ratio.interval is not None, "of the intervals in the two lines"
    assert latency.ratio is None or latency.ratio.interval is None
