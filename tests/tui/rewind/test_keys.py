"""The keys that go back in time, on the whole screen over a runner in memory."""

import asyncio
from pathlib import Path

import pytest
from msgspec.structs import replace
from support.fake_control import FakeControl
from support.screens import app_over, drive, entry, machine, sample, text_of
from textual.pilot import Pilot

from infertui.errors import InfertuiError
from infertui.runner.past.kept import RunnerPast
from infertui.telemetry.readings import Sample
from infertui.tui.app import InfertuiApp

S = 1_000_000_000
NOW = 10_000 * S


def watts(t_ns: int, power: float) -> Sample:
    """A sample of one GPU at this power."""
    read = sample(1, t_ns)
    return replace(read, gpus=(replace(read.gpus[0], power_w=power),))


@pytest.fixture
def fake() -> FakeControl:
    """A runner whose GPU drew 500 W ten seconds ago and draws 100 W now; two hours ago it drew 321 W."""
    made = machine(gpus=1, entries=(entry(1),))
    made.told = replace(made.told, samples=(watts(NOW - 10 * S, 500.0), watts(NOW, 100.0)))
    made.answers["history"] = RunnerPast(NOW - 7000 * S, (watts(NOW - 310 * S, 321.0),))
    return made


def head(app: InfertuiApp) -> str:
    return text_of(app).split("\n")[0]


async def shown(pilot: Pilot[None], app: InfertuiApp, words: str) -> None:
    """Wait until they stand on the screen."""
    async with asyncio.timeout(20):
        while words not in text_of(app):
            await pilot.pause(0.02)


def test_a_step_back_shows_that_moment_and_esc_what_is_now(fake: FakeControl, tmp_path: Path) -> None:
    app = app_over(fake, tmp_path)

    async def steps(pilot: Pilot[None]) -> None:
        await pilot.press("less_than_sign")
        await shown(pilot, app, "PAST -0:10 at ")
        assert "500W" in text_of(app)
        assert "100W" not in text_of(app)
        foot = text_of(app).rstrip().split("\n")[-1]
        assert "< Earlier  > Later  esc Now" in foot
        await pilot.press("left_curly_bracket")
        await shown(pilot, app, "321W")
        assert "PAST -5:10" in head(app)
        await pilot.press("right_curly_bracket", "greater_than_sign")
        await shown(pilot, app, "100W")
        assert "PAST" not in head(app)  # that was back at the beginning: the picture stands still there
        await pilot.press("escape")
        await pilot.pause()
        assert "FROZEN" not in head(app)
        assert "Earlier" not in text_of(app).rstrip().split("\n")[-1]

    drive(app, steps)
    asked = [arguments for name, arguments in fake.calls if name == "history"]
    assert len(asked) == len(set(asked))  # each stretch once
    assert all(to - start == 600 * S - 1 for start, to, _ in asked)  # type: ignore[operator]


def test_no_moment_lies_before_what_is_kept_or_after_now(fake: FakeControl, tmp_path: Path) -> None:
    app = app_over(fake, tmp_path)

    async def steps(pilot: Pilot[None]) -> None:
        await pilot.press("greater_than_sign")
        assert "PAST" not in head(app)
        for _ in range(30):
            await pilot.press("left_curly_bracket")
        await shown(pilot, app, "PAST -1:56:40")  # the 7,000 s of which something is kept

    drive(app, steps)


def test_what_the_runner_does_not_answer_is_said_and_the_rest_shown(fake: FakeControl, tmp_path: Path) -> None:
    fake.failures["history"] = InfertuiError("\x1b[31mgone")
    app = app_over(fake, tmp_path)

    async def steps(pilot: Pilot[None]) -> None:
        await pilot.press("left_curly_bracket")
        await shown(pilot, app, "(gone)")
        assert "PAST -5:00" in head(app)
        assert "\x1b" not in head(app)

    drive(app, steps)


def test_nothing_is_done_to_the_past(fake: FakeControl, tmp_path: Path) -> None:
    app = app_over(fake, tmp_path)

    async def steps(pilot: Pilot[None]) -> None:
        await pilot.press("2", "less_than_sign")
        await shown(pilot, app, "PAST")
        await pilot.press("P")
        await pilot.pause(0.1)
        assert not [name for name, _ in fake.calls if name == "pause"]
        await pilot.press("escape", "P")
        async with asyncio.timeout(20):
            while not [name for name, _ in fake.calls if name == "pause"]:
                await pilot.pause(0.02)

    drive(app, steps)


def test_before_anything_is_known_there_is_no_earlier_moment(tmp_path: Path) -> None:
    made = machine(gpus=1)
    made.told = replace(made.told, samples=())
    app = app_over(made, tmp_path)

    async def steps(pilot: Pilot[None]) -> None:
        await pilot.press("less_than_sign")
        await pilot.pause()
        assert "PAST" not in head(app)
        assert "FROZEN" not in head(app)

    drive(app, steps)
