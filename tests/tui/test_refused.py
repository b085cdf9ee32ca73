"""The screen over a real runner: what is known to be wrong is told, and not queued."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import NoReturn

import pytest
from support.runs import simulated
from support.screens import TERMINAL, drive, text_of
from textual.pilot import Pilot

from infertui.config.sweep import Variant
from infertui.config.toml import write
from infertui.runner.control import RunnerApi, Submission
from infertui.runner.runner import Runner
from infertui.telemetry.nvml import NvmlUnavailableError
from infertui.telemetry.sampler import Sampler
from infertui.tui.app import InfertuiApp


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    def unavailable() -> NoReturn:
        raise NvmlUnavailableError("no driver in these tests")

    monkeypatch.setattr("infertui.runner.runner.Sampler", partial(Sampler, open_nvml=unavailable))


@asynccontextmanager
async def connect() -> AsyncIterator[RunnerApi]:
    async with Runner() as runner:
        yield runner


def over_a_runner(tmp_path: Path) -> InfertuiApp:
    return InfertuiApp(connect, out=tmp_path / "reports", terminal=TERMINAL, environ={"HOME": str(tmp_path)})


async def shown(app: InfertuiApp, pilot: Pilot[None], words: str) -> None:
    while words not in " ".join(text_of(app).split()):
        await pilot.pause(0.02)


def test_a_wrong_config_is_told_with_its_field_and_not_queued(tmp_path: Path) -> None:
    wrong = simulated(engine__name="transformers", engine__mode="cudagraph", device__name="cpu")
    app = over_a_runner(tmp_path)

    async def steps(pilot: Pilot[None]) -> None:
        app.open_in_config(write(wrong), "wrong")
        await pilot.pause()
        await pilot.press("r")
        await shown(app, pilot, "engine.mode: cudagraph needs a CUDA device")
        assert not (await app.control.snapshot()).entries

    drive(app, steps)
    assert not (tmp_path / "reports").exists()


def test_a_sweep_is_queued_without_what_is_wrong_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "here.txt").write_text("one\n")
    files = f"{tmp_path / 'here.txt'},{tmp_path / 'none.txt'}"
    config = simulated(**{"sweep.grid.workload.prompts_file": files})
    app = over_a_runner(tmp_path)

    async def steps(pilot: Pilot[None]) -> None:
        app.open_in_config(write(config), "files")
        await pilot.pause()
        await pilot.press("r")
        await shown(app, pilot, "1 of 2 runs are refused")
        await shown(app, pilot, "1 refused")
        assert [entry.state for entry in (await app.control.snapshot()).entries][1] == "refused"

    drive(app, steps)


def test_what_is_refused_when_its_turn_comes_is_told(tmp_path: Path) -> None:
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("one\n")
    app = over_a_runner(tmp_path)

    async def steps(pilot: Pilot[None]) -> None:
        await app.linked.wait()
        await app.control.pause()
        config = simulated(workload__prompts_file=str(prompts))
        submission = Submission("", (Variant("late", config, {}),), str(tmp_path / "reports"))
        (number,) = await app.control.submit(submission)
        await shown(app, pilot, "1 waiting")
        prompts.unlink()
        await app.control.resume()
        await shown(app, pilot, f"#{number} late is refused:")

    drive(app, steps)
