"""Settings of the stub GPU are as they were before, on every way out, whoever is killed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from support.runs import HANG_S, clean_environment

# Changes settings of two GPUs, says so with the pid of what puts them back, and does as it is told.
HOLDER = """
import os, sys
from pathlib import Path
from infertui.telemetry.gpu_settings import GpuSettings
uuids = sys.argv[1].split(",")
settings = GpuSettings(uuids, Path(sys.argv[2]))
print([(one.name, one.was, one.low, one.high) for one in settings.settings], flush=True)
settings.apply({"power_limit_w": 350.0, "sm_clock_mhz": 1200.0})
print(settings._watchdog.pid, flush=True)
for line in sys.stdin:
    exec(line)
    print("done", flush=True)
print(settings.close(), flush=True)
"""
LEFT = """
import sys
from pathlib import Path
from infertui.telemetry.gpu_settings import restore_left
print("\\n".join(restore_left(Path(sys.argv[1]))))
"""
UUIDS = "GPU-a0000000-0000-4000-8000-000000000000", "GPU-a0000001-0000-4000-8000-000000000001"


class Holder:
    """A process that holds changed settings."""

    def __init__(self, tmp_path: Path, nvml_stub: Path, uuids: str) -> None:
        self.state, self.records = tmp_path / "state", tmp_path / "records"
        self.state.mkdir(exist_ok=True)
        self.environment = clean_environment(
            LD_LIBRARY_PATH=str(nvml_stub), NVML_STUB_STATE=str(self.state), NVML_STUB_GPUS="2", NVML_STUB_LIMIT_W="600"
        )
        self.process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, uuids, str(self.records)],
            env=self.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.process.stdout is not None
        assert self.process.stdin is not None
        self.told = self.process.stdout.readline().strip()
        self.watchdog = int(self.process.stdout.readline())

    def do(self, line: str) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline().strip() == "done"

    def now(self) -> dict[str, str]:
        return {path.name: path.read_text().strip() for path in sorted(self.state.iterdir())}

    def left(self) -> str:
        done = subprocess.run(
            [sys.executable, "-c", LEFT, str(self.records)],
            env=self.environment, capture_output=True, text=True, check=True, timeout=HANG_S,
        )  # fmt: skip
        return done.stdout.strip()


@pytest.fixture
def holder(tmp_path: Path, nvml_stub: Path) -> Iterator[Holder]:
    made = Holder(tmp_path, nvml_stub, ",".join(UUIDS))
    yield made
    made.process.kill()
    made.process.communicate(timeout=HANG_S)


CHANGED = {
    "clocks.0": "1200 1200", "clocks.1": "1200 1200", "limit.0": "350000 350000", "limit.1": "350000 350000",
}  # fmt: skip
AS_BEFORE = {"limit.0": "600000 600000", "limit.1": "600000 600000"}


def eventually(holder: Holder, wanted: dict[str, str]) -> None:
    deadline = time.monotonic() + HANG_S
    while holder.now() != wanted:
        assert time.monotonic() < deadline, holder.now()
        time.sleep(0.01)


def test_they_are_told_changed_and_put_back(holder: Holder) -> None:
    assert holder.told == "[('power_limit_w', 600.0, 200.0, 750.0), ('sm_clock_mhz', 0.0, 0.0, 1980.0)]"
    assert holder.now() == CHANGED
    holder.do("settings.apply({'power_limit_w': 250.0})")
    assert holder.now() == {"limit.0": "250000 250000", "limit.1": "250000 250000"}
    holder.do("settings.apply({})")
    assert holder.now() == AS_BEFORE
    holder.do("settings.apply({'sm_clock_mhz': 600.0})")
    out, _ = holder.process.communicate(timeout=HANG_S)
    assert out.strip() == "[]"
    assert holder.now() == AS_BEFORE
    assert list(holder.records.iterdir()) == []
    assert not psutil.pid_exists(holder.watchdog)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGSEGV])
def test_whoever_changed_them_may_be_killed(holder: Holder, number: signal.Signals) -> None:
    holder.process.send_signal(number)
    holder.process.wait(timeout=HANG_S)
    eventually(holder, AS_BEFORE)


def test_an_exception_puts_them_back(holder: Holder) -> None:
    assert holder.process.stdin is not None
    holder.process.stdin.write("raise RuntimeError\n")
    holder.process.stdin.flush()
    holder.process.wait(timeout=HANG_S)
    eventually(holder, AS_BEFORE)


def test_what_puts_them_back_may_be_killed_and_is_there_again(holder: Holder) -> None:
    os.kill(holder.watchdog, signal.SIGKILL)
    holder.do("import time")
    holder.do(f'exec("while settings._watchdog.pid == {holder.watchdog}: time.sleep(0.01)")')
    holder.process.kill()
    holder.process.wait(timeout=HANG_S)
    eventually(holder, AS_BEFORE)


def test_both_may_be_killed_and_the_next_one_puts_them_back(holder: Holder) -> None:
    os.kill(holder.process.pid, signal.SIGSTOP)
    os.kill(holder.watchdog, signal.SIGKILL)
    os.kill(holder.process.pid, signal.SIGKILL)
    holder.process.wait(timeout=HANG_S)
    assert holder.now() == CHANGED
    assert "put back what 2 GPUs was set to" in holder.left()
    assert holder.now() == AS_BEFORE
    assert holder.left() == ""


def test_what_a_living_process_holds_is_left_alone(holder: Holder, tmp_path: Path, nvml_stub: Path) -> None:
    assert holder.left() == ""
    assert holder.now() == CHANGED
    done = subprocess.run(
        [sys.executable, "-c", HOLDER, UUIDS[1], str(holder.records)],
        env=holder.environment, input="", capture_output=True, text=True, check=False, timeout=HANG_S,
    )  # fmt: skip
    assert "another tuning session has the settings" in done.stderr
    assert holder.now() == CHANGED
    holder.process.communicate(timeout=HANG_S)


def test_a_value_out_of_range_leaves_all_as_it_was(holder: Holder) -> None:
    holder.do("from infertui.telemetry.gpu_settings import GpuSettingError")
    attempt = "try: settings.apply({'power_limit_w': 9000.0})\\nexcept GpuSettingError: refused = True"
    holder.do(f'exec("{attempt}")')
    holder.do("assert refused")
    assert holder.now() == AS_BEFORE
    holder.process.communicate(timeout=HANG_S)


def test_without_permission_nothing_is_changed_and_that_is_said(tmp_path: Path, nvml_stub: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", HOLDER, UUIDS[0], str(tmp_path / "records")],
        env=clean_environment(LD_LIBRARY_PATH=str(nvml_stub)), input="", capture_output=True, text=True, check=False,
        timeout=HANG_S,
    )  # fmt: skip
    assert "cannot set the power limit to 350 W" in done.stderr
    assert "root alone" in done.stderr
