import asyncio
import os
from pathlib import Path

import pytest
from support.screens import app_over, drive, entry, machine, text_of
from textual.pilot import Pilot

from infertui.errors import UsageError
from infertui.tui.jobs.ask import export_to, import_from, report_to
from infertui.tui.jobs.job import MOST_LINES, CommandJob
from infertui.tui.jobs.screen import JobScreen
from infertui.tui.palette.command import PaletteCommand
from infertui.tui.palette.of_commands import commands


def done(*arguments: str) -> CommandJob:
    job = CommandJob(arguments, environ=os.environ)
    asyncio.run(job.run())
    return job


def test_a_command_says_what_it_says_in_a_shell() -> None:
    job = done("--version")
    assert job.state == "done"
    assert job.last_line.startswith("infertui ")


def test_one_that_fails_says_why() -> None:
    job = done("report", "--from", "/nonexistent/folder")
    assert job.state == "failed"
    assert "/nonexistent/folder" in " ".join(job.lines)


def test_one_can_be_stopped(tmp_path: Path) -> None:
    job = CommandJob(["mock-server", "--port", "0"], environ=os.environ, folder=tmp_path)

    async def go() -> None:
        said = asyncio.Event()
        job.changed = lambda: said.set() if job.lines else None
        running = asyncio.ensure_future(job.run())
        async with asyncio.timeout(60):
            await said.wait()
            job.stop()
            job.stop()
            await running

    asyncio.run(go())
    assert job.state == "stopped"


def test_who_waits_no_more_ends_it(tmp_path: Path) -> None:
    job = CommandJob(["mock-server", "--port", "0"], environ=os.environ, folder=tmp_path)

    async def go() -> None:
        said = asyncio.Event()
        job.changed = lambda: said.set() if job.lines else None
        running = asyncio.ensure_future(job.run())
        async with asyncio.timeout(60):
            await said.wait()
        running.cancel()
        await asyncio.wait([running])
        assert job._process is not None
        assert await job._process.wait() < 0

    asyncio.run(go())


@pytest.mark.parametrize("sizes", [[1], [3], [7, 1], [4096]])
def test_lines_are_whole_however_they_come(sizes: list[int]) -> None:
    said = b"one\r\n10 %\r50 %\rtwo\n\x1b[2Jth\xffree\n" + b"x" * 9000 + b"\nlast"
    job = CommandJob([], environ={})

    async def go() -> None:
        stream = asyncio.StreamReader()
        reading = asyncio.ensure_future(job._read(stream))
        at = 0
        while at < len(said):
            for size in sizes:
                stream.feed_data(said[at : at + size])
                at += size
                await asyncio.sleep(0)
        stream.feed_eof()
        await reading

    asyncio.run(go())
    assert list(job.lines)[:3] == ["one", "two", "th\N{REPLACEMENT CHARACTER}ree"]
    assert len(job.lines[3]) <= 4096
    assert job.last_line == "last"
    assert len(job.lines) <= MOST_LINES


def test_the_ending_of_a_name_says_the_form(tmp_path: Path) -> None:
    assert export_to("a/runs.csv")[0] == ["--format", "csv", "--output", "a/runs.csv"]
    assert export_to("x.JSONL")[0][1] == "six-field"
    (tmp_path / "x.json").write_text("")
    assert "exists already" in export_to(str(tmp_path / "x.json"))[1]
    for wrong in ("", "runs", "runs.xlsx", "\x00.txt"):
        with pytest.raises(UsageError, match="allowed"):
            export_to(wrong)
    with pytest.raises(UsageError):
        report_to("")
    (tmp_path / "a b.json").write_text("{}")
    assert import_from(f"'{tmp_path}/a b.json'")[0] == ["--", f"{tmp_path}/a b.json"]
    for wrong in ("", "'", "/nonexistent", str(tmp_path)):
        with pytest.raises(UsageError):
            import_from(wrong)


def named(found: list[PaletteCommand]) -> dict[str, PaletteCommand]:
    return {one.id.partition(":")[2]: one for one in found}


def test_what_would_disturb_or_write_says_why_it_does_not(tmp_path: Path) -> None:
    app = app_over(machine(entries=(entry(1, "running"),)), tmp_path, read_only=True)

    async def steps(_: Pilot[None]) -> None:
        found = named(list(commands(app)))
        assert "read-only" in found["import"].reason
        assert not found["export"].reason

    drive(app, steps)
    app = app_over(machine(entries=(entry(1, "running"),)), tmp_path)

    async def more(_: Pilot[None]) -> None:
        assert "disturb" in named(list(commands(app)))["calibrate"].reason

    drive(app, more)


def test_from_the_palette_to_what_it_says(tmp_path: Path) -> None:
    app = app_over(machine(), tmp_path, environ=os.environ | {"HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path)})

    async def steps(pilot: Pilot[None]) -> None:
        await pilot.press("colon", *"export", "enter")
        await pilot.pause()
        assert "csv to runs.csv" in text_of(app)
        await pilot.press(*"x", "enter")
        await pilot.pause()
        assert "allowed: .csv" in text_of(app), "what is wrong stands beneath the line"
        await pilot.press("backspace", "enter")
        await pilot.pause()
        assert isinstance(app.screen, JobScreen)
        async with asyncio.timeout(60):
            while "Export: failed" not in text_of(app):
                await pilot.pause(0.05)
        assert "no runs to export" in text_of(app) or "nothing" in text_of(app) or "reports" in text_of(app)
        await pilot.press("escape")
        await pilot.pause()
        assert app.on_main_screen
        assert app.recent[0] == "command:export"

    drive(app, steps)
