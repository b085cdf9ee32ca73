"""Nothing waits for ever, and short work is done to its end."""

import asyncio
import threading

import pytest

from infertui.errors import StoreError
from infertui.runner.blocking import call_with_timeout, finish_despite_cancel, run_blocking


def test_an_answer_in_time_is_passed_on() -> None:
    assert asyncio.run(call_with_timeout(lambda: 42, 10)) == 42


def test_an_error_is_passed_on() -> None:
    def fail() -> int:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        asyncio.run(call_with_timeout(fail, 10))


def test_a_call_that_hangs_is_left_behind_and_does_not_hold_up_the_end() -> None:
    for_ever = threading.Event()
    assert asyncio.run(call_with_timeout(for_ever.wait, 0.05)) is None
    for_ever.set()


def test_short_work_is_not_disturbed_by_being_cancelled_often() -> None:
    async def scenario() -> str:
        go = asyncio.Event()

        async def work() -> str:
            await go.wait()
            return "done"

        task = asyncio.create_task(finish_despite_cancel(work()))
        for _ in range(3):
            await asyncio.sleep(0)
            task.cancel()
        await asyncio.sleep(0)
        go.set()
        return await task

    assert asyncio.run(scenario()) == "done"


def test_files_that_do_not_answer_are_given_up() -> None:
    never = threading.Event()
    with pytest.raises(StoreError, match=r"did not answer within 0\.01 s"):
        asyncio.run(run_blocking(never.wait, 0.01))
    assert asyncio.run(run_blocking(lambda: None)) is None
    never.set()
