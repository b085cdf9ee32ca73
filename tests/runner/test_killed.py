"""kill -9 of the runner at every step of a run: the next one finds the queue whole, and each result exactly once."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from support.runs import HANG_S, clean_environment, simulated

from infertui.config.schema import Config
from infertui.config.sweep import Variant
from infertui.results.result import Result
from infertui.results.runs import BEGUN, Store
from infertui.runner.control import Submission
from infertui.runner.recovery import recover
from infertui.runner.runner import Runner
from infertui.runner.scheduling.queue_store import ENDED, Entry, QueueStore

CONFIG = simulated(
    engine__simulator__virtual_time=False, engine__simulator__load_ms=50, measurement__iterations=3,
    workload__output_len=4,
)  # fmt: skip

# Runs what waits in the queue, and kills itself before or after a step of it.
RUNNER = """
import asyncio, importlib, os, signal, sys
from functools import partial
from pathlib import Path
from infertui.telemetry.nvml import NvmlUnavailableError
from infertui.telemetry.sampler import Sampler
from infertui.runner import runner as module
from infertui.runner.scheduling.queue_store import QueueStore

def unavailable():
    raise NvmlUnavailableError("no driver in these tests")

module.Sampler = partial(Sampler, open_nvml=unavailable)
place, owner, step, when = sys.argv[1:]
home, _, name = owner.partition(":")
target = getattr(importlib.import_module(home), name)
original = getattr(target, step)

def deadly(*arguments, **named):
    if when == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    original(*arguments, **named)
    os.kill(os.getpid(), signal.SIGKILL)

setattr(target, step, deadly)

async def main():
    async with module.Runner(QueueStore(Path(place))):
        await asyncio.Event().wait()

asyncio.run(main())
"""

FOLDER, STORE = "infertui.results.runs:RunFolder", "infertui.results.runs:Store"
EXECUTION, QUEUE = "infertui.runner.execution.run:Execution", "infertui.runner.scheduling.queue:Queue"
MEASUREMENT = "infertui.runner.execution.measuring:Measurement"


def results(out: Path) -> list[Result]:
    return Store(out).results(warn=lambda text: pytest.fail(text))


def queue_one(path: Path, out: Path, config: Config = CONFIG) -> None:
    async def scenario() -> None:
        async with Runner(QueueStore(path)) as runner:
            await runner.pause()
            await runner.submit(Submission("t", (Variant("", config, {}), Variant("", simulated(), {})), str(out)))

    asyncio.run(scenario())
    store = QueueStore(path)
    store.paused = False
    store.close()


def run_until_killed(path: Path, owner: str, step: str, when: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", RUNNER, str(path), owner, step, when], env=clean_environment()
    ) as process:
        assert process.wait(HANG_S) == -9


def after_restart(path: Path) -> tuple[Entry, ...]:
    async def scenario() -> tuple[Entry, ...]:
        async with asyncio.timeout(HANG_S), Runner(QueueStore(path)) as runner:
            told = await runner.snapshot()
            events = runner.events(told.number)
            while not all(entry.state in ENDED for entry in told.entries):
                await anext(events)
                told = await runner.snapshot()
            return told.entries

    return asyncio.run(scenario())


def workers_of(folder: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if "infertui.worker.child" in process.cmdline() and any(
                file.path.startswith(str(folder)) for file in process.open_files()
            ):
                found.append(process)
        except psutil.Error:
            continue
    return found


@pytest.mark.parametrize(
    ("owner", "step", "when", "expected"),
    [
        (STORE, "create_run", "after", "finished"),  # nothing had begun: it is run as if nothing had happened
        (FOLDER, "write_begun", "before", "interrupted"),
        (FOLDER, "write_begun", "after", "interrupted"),
        ("infertui.worker.process:WorkerProcess", "load", "before", "interrupted"),
        (MEASUREMENT, "take_batch", "after", "interrupted"),
        (FOLDER, "write_result", "before", "interrupted"),
        (FOLDER, "write_result", "after", "finished"),
        (STORE, "append", "after", "finished"),
        (FOLDER, "settled", "after", "finished"),
        (EXECUTION, "_finish", "before", "interrupted"),
        (QUEUE, "learn", "before", "finished"),
    ],
)
def test_a_kill_at_any_step_loses_and_doubles_nothing(
    tmp_path: Path, owner: str, step: str, when: str, expected: str
) -> None:
    path, out = tmp_path / "queue.sqlite", tmp_path / "reports"
    queue_one(path, out)
    run_until_killed(path, owner, step, when)
    psutil.wait_procs(workers_of(tmp_path), timeout=HANG_S)
    assert not workers_of(tmp_path)
    first, second = after_restart(path)
    assert (first.state, second.state) == (expected, "finished")
    lines = [result.id for result in results(out)]
    assert len(lines) == len(set(lines))
    assert second.run in lines
    # A run that was killed before it noted with what it measures has measured nothing, and has no result.
    assert (first.run in lines) == ((step, when) != ("write_begun", "before"))
    if step in ("write_result", "_finish") or first.state == "finished":
        (result,) = [result for result in results(out) if result.id == first.run]
        assert result.state == expected
        assert result.summary.iterations == 3
        assert json.loads((out / first.run / "result.json").read_bytes())["id"] == first.run
    assert not list(out.glob(f"*/{BEGUN}"))


@pytest.mark.parametrize(("step", "when"), [("append", "before"), ("append", "after")])
def test_recovering_can_be_killed_too(tmp_path: Path, step: str, when: str) -> None:
    path, out = tmp_path / "queue.sqlite", tmp_path / "reports"
    queue_one(path, out)
    run_until_killed(path, EXECUTION, "_finish", "before")
    code = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom infertui.runner.recovery import recover\n"
        "from infertui.results.runs import Store\noriginal = Store.append\n"
        "def deadly(self, result):\n"
        f"    {'original(self, result)' if when == 'after' else 'pass'}\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "Store.append = deadly\nrecover(Store(Path(sys.argv[1])))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(out)], check=False, timeout=HANG_S)
    assert done.returncode == -9
    (recovered,) = recover(Store(out))
    assert recovered.summary.iterations == 3
    assert results(out) == [recovered]
    assert after_restart(path)[0].state == "interrupted"
    assert len(results(out)) == 2
