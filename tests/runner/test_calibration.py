"""Measuring in a process of its own: what it leaves behind, and what is said of what disturbed it."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.without_torch import without_torch

from infertui.errors import EngineError, StoreError
from infertui.measure.roofline import DevicePeaks
from infertui.runner.calibration import KnownDevice, Wanted, calibrate
from infertui.targets.engine.peaks.peaks import Missing, PeaksSubject, Rate, Started, Told

HANG_S = 60


def environment(tmp_path: Path, **more: str) -> dict[str, str]:
    base = without_torch(tmp_path / "hidden")
    return {**base, "XDG_STATE_HOME": str(tmp_path), "OMP_NUM_THREADS": "1", **more}


def children(of: int) -> set[int]:
    """Processes in the sessions of our measuring children: by their command line."""
    found = set()
    for folder in Path("/proc").iterdir():
        if not folder.name.isdecimal():
            continue
        try:
            line = (folder / "cmdline").read_bytes()
            session = int((folder / "stat").read_text().rpartition(")")[2].split()[3])
        except (OSError, IndexError):
            continue
        if b"infertui.worker.calibration" in line and session == of:
            found.add(int(folder.name))
    return found


def gone(session: int) -> bool:
    deadline = time.monotonic() + HANG_S
    while time.monotonic() < deadline:
        if not children(session):
            return True
        time.sleep(0.02)
    return False


def test_a_cpu_is_measured_in_a_process(tmp_path: Path) -> None:
    told: list[Told] = []
    asked: list[KnownDevice] = []

    def kept(known: KnownDevice) -> DevicePeaks | None:
        asked.append(known)
        return None

    found, fresh = asyncio.run(
        calibrate(Wanted("cpu", 1, quick=True), kept=kept, tell=told.append, environ=environment(tmp_path))
    )
    assert fresh
    assert asked == [KnownDevice(name=found.device, uuid="", driver="", threads=1)]
    subject = told[0]
    assert isinstance(subject, PeaksSubject)
    assert (found.threads, found.software, found.quick) == (1, subject.software, True)
    rates = {one.what: max(one.rates) for one in told if isinstance(one, Rate)}
    assert found.copy_bandwidth == rates.pop("copy")
    assert found.matrix_rates == rates
    assert found.reasons == {one.what: one.reason for one in told if isinstance(one, Missing)}
    assert set(found.sizes) == set(found.spreads) == {"copy", *rates}
    assert all(0 <= spread < 1 for spread in found.spreads.values())
    assert (tmp_path / "infertui" / "calibrate.log").exists()


def test_others_on_the_cpu_meanwhile_are_told(tmp_path: Path) -> None:
    forks = len(os.sched_getaffinity(0)) - 1
    code = f"import os\nfor _ in range({forks}):\n    if not os.fork():\n        break\nwhile True:\n    pass"
    others = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    try:
        found, _ = asyncio.run(
            calibrate(Wanted("cpu", 1, quick=True), kept=lambda _: None, environ=environment(tmp_path))
        )
    finally:
        os.killpg(others.pid, signal.SIGKILL)
        others.wait()
    assert any("of the CPUs meanwhile" in text for text in found.disturbed), found.disturbed


def test_what_is_kept_is_not_measured_again(tmp_path: Path) -> None:
    entry = DevicePeaks("CPU", "", 1e10, {}, "now", threads=1)
    told: list[Told] = []
    found, fresh = asyncio.run(
        calibrate(Wanted("cpu", 1, quick=True), kept=lambda _: entry, tell=told.append, environ=environment(tmp_path))
    )
    assert (found, fresh) == (entry, False)
    assert len(told) == 1  # nothing was begun


def test_cancelling_leaves_no_process(tmp_path: Path) -> None:
    sessions: set[int] = set()

    async def scenario() -> None:
        begun = asyncio.Event()

        def tell(told: Told) -> None:
            if isinstance(told, Started):
                mine = {pid for pid in map(int, filter(str.isdecimal, os.listdir("/proc"))) if children(pid)}  # noqa: PTH208
                sessions.update(mine)
                begun.set()

        task = asyncio.ensure_future(
            calibrate(Wanted("cpu", 1), kept=lambda _: None, tell=tell, environ=environment(tmp_path))
        )
        await asyncio.wait_for(begun.wait(), HANG_S)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(scenario())
    assert sessions
    assert all(gone(session) for session in sessions)


def test_it_takes_no_longer_than_it_may(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"not done within 0\.3 s"):
        asyncio.run(calibrate(Wanted("cpu", 1), kept=lambda _: None, environ=environment(tmp_path), timeout_s=0.3))


def test_a_device_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(EngineError) as told:
        asyncio.run(
            calibrate(Wanted("cuda:7"), kept=lambda _: None, environ=environment(tmp_path, CUDA_VISIBLE_DEVICES="-1"))
        )
    assert told.value.remedy


def test_a_state_directory_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "infertui").write_text("a file")
    with pytest.raises(StoreError, match=r"calibrate\.log"):
        asyncio.run(calibrate(Wanted("cpu"), kept=lambda _: None, environ=environment(tmp_path)))


def test_a_killed_parent_takes_the_child_along(tmp_path: Path) -> None:
    code = (
        "import asyncio, os, sys\n"
        "from infertui.runner.calibration import Wanted, calibrate\n"
        "from infertui.targets.engine.peaks.peaks import Started\n"
        "def tell(told):\n"
        "    if isinstance(told, Started):\n"
        "        print(told.what, flush=True)\n"
        "asyncio.run(calibrate(Wanted('cpu', 1), kept=lambda _: None, tell=tell))\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, env=environment(tmp_path), start_new_session=True
    )
    assert parent.stdout is not None
    assert parent.stdout.readline() == b"copy\n"
    mine = {
        int(folder.name) for folder in Path("/proc").iterdir() if folder.name.isdecimal() and children(int(folder.name))
    }
    parent.send_signal(signal.SIGKILL)
    parent.wait(HANG_S)
    parent.stdout.close()
    assert mine
    assert all(gone(session) for session in mine)
