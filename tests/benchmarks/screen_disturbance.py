"""Does watching change what is watched? One long run, beside a screen that is stopped and continued.

The screen runs at full rate in a pseudo-terminal that is read as fast as it writes. SIGSTOP and SIGCONT take it away
and bring it back within a pair of stretches, in random order; the beginning of each stretch is left out. The figure is
the ratio of the run's throughput with the screen to that without it: the median over pairs with a bootstrap 95 %
interval, and the ratio of the totals. Stretches are short because the speed of a CPU wanders.

    python tests/benchmarks/screen_disturbance.py --model synthetic:gpt2-124m --device cpu --threads 1 --pairs 60

With `--scrape HZ` it is not a screen that comes and goes but somebody who reads /metrics so often.
"""

import argparse
import asyncio
import math
import os
import pty
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import termios
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from infertui.api.client import Client, exchange
from infertui.api.spawn import ensure_running
from infertui.config.sources import load
from infertui.config.sweep import Variant
from infertui.runner.control import EventEnvelope, Submission
from infertui.runner.events import BatchMeasured

STARTED_S = 4.0

Stretch = tuple[int, int]


class Screen:
    """The program in a pseudo-terminal of 120x40, whose output is read and counted."""

    def __init__(self, environment: dict[str, str], folder: Path, arguments: Sequence[str]) -> None:
        self.bytes = 0
        self._master, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, (40, 120))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "infertui", "--out", str(folder), *arguments],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={**environment, "TERM": "xterm-256color", "COLORTERM": "truecolor"},
            cwd=folder,
            start_new_session=True,
        )
        os.close(theirs)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        try:
            while piece := os.read(self._master, 1 << 16):
                self.bytes += len(piece)
        except OSError:
            pass

    def show(self, shown: bool) -> None:
        """Let it run, or stand still."""
        self._process.send_signal(signal.SIGCONT if shown else signal.SIGSTOP)

    def close(self) -> None:
        """End it, and wait until it is gone."""
        self._process.send_signal(signal.SIGCONT)
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(10)
        os.close(self._master)


class Scraper:
    """Reads /metrics of a runner so often a second."""

    def __init__(self, path: Path, hz: float) -> None:
        self.bytes = 0
        self._path, self._hz = path, hz
        self._reading = asyncio.create_task(self._read())
        self._shown = asyncio.Event()

    async def _read(self) -> None:
        while True:
            await self._shown.wait()
            async with exchange(self._path, timeout_s=10) as connection:
                self.bytes += len(await (await connection.ask("GET", "/metrics", None)).body())
            await asyncio.sleep(1 / self._hz)

    def show(self, shown: bool) -> None:
        """Let it read, or wait."""
        if shown:
            self._shown.set()
        else:
            self._shown.clear()

    def close(self) -> None:
        """End it."""
        self._reading.cancel()


async def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="synthetic:gpt2-124m")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--threads", default="0")
    parser.add_argument("--tokens", default="30", help="output tokens of a batch")
    parser.add_argument("--pairs", type=int, default=60)
    parser.add_argument("--seconds", type=float, default=1.5, help="length of a stretch")
    parser.add_argument("--settle", type=float, default=0.3, help="left out at the beginning of a stretch")
    parser.add_argument("--set", metavar="KEY=VALUE", action="append", default=[], help="any other key of the config")
    parser.add_argument("--scrape", metavar="HZ", type=float, default=0, help="read /metrics instead of a screen")
    parser.add_argument("--control", action="store_true", help="start no screen at all: what chance does")
    chosen = parser.parse_args()
    flags = {
        "model.id": chosen.model,
        "device.name": chosen.device,
        "engine.dtype": chosen.dtype,
        "device.threads": chosen.threads,
        "workload.output_len": chosen.tokens,
        "measurement.iterations": "1000000",
        **dict(text.split("=", 1) for text in chosen.set),
    }
    config = load(None, environ={}, flags={key: ("option", value) for key, value in flags.items()}).config
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        environment = {**os.environ, "XDG_RUNTIME_DIR": name, "XDG_STATE_HOME": name, "XDG_CONFIG_HOME": name}
        environment["XDG_CACHE_HOME"] = name
        (home / "infertui").mkdir()
        (home / "infertui" / "settings.toml").touch()  # not the first start: no welcome hides the panes
        client = await ensure_running(home / "runner.sock", environment)
        await client.submit(Submission("disturbance", (Variant("", config, {}),), str(home / "reports")))
        batches: list[BatchMeasured] = []
        measuring = asyncio.Event()
        collector = asyncio.create_task(collect(client, batches, measuring))
        await measuring.wait()
        with_screen: list[Stretch] = []
        without: list[Stretch] = []
        screen: Screen | Scraper | None = None
        if chosen.scrape:
            screen = Scraper(home / "runner.sock", chosen.scrape)
        elif not chosen.control:
            screen = Screen(environment, home, [])
        await asyncio.sleep(STARTED_S)
        for _ in range(chosen.pairs):
            for shown in random.sample([True, False], 2):
                if screen:
                    screen.show(shown)
                await asyncio.sleep(chosen.settle)
                start = time.monotonic_ns()
                await asyncio.sleep(chosen.seconds)
                (with_screen if shown else without).append((start, time.monotonic_ns()))
        if screen:
            screen.close()
        collector.cancel()
        await client.stop(now=True)
    report(batches, with_screen, without)
    if screen:
        print(f"the {type(screen).__name__.lower()} had {screen.bytes / 1000:.0f} kB in all")


async def collect(client: Client, batches: list[BatchMeasured], measuring: asyncio.Event) -> None:
    """Take in every measured batch."""
    async for told in client.events((await client.snapshot()).number):
        if (
            isinstance(told, EventEnvelope)
            and isinstance(told.event, BatchMeasured)
            and told.event.batch.phase == "measure"
        ):
            batches.append(told.event)
            measuring.set()


def speed(batches: Sequence[BatchMeasured], stretch: Stretch) -> float:
    """Tokens per second of the batches that began within a stretch and ended not long after it."""
    inside = [event.batch for event in batches if stretch[0] <= event.batch.start_ns < stretch[1]]
    seconds = sum(batch.seconds for batch in inside)
    return sum(batch.tokens for batch in inside) / seconds if seconds else float("nan")


def report(batches: Sequence[BatchMeasured], with_screen: Sequence[Stretch], without: Sequence[Stretch]) -> None:
    """The ratio of each pair, their median and its interval."""
    pairs = [
        (speed(batches, shown), speed(batches, hidden)) for shown, hidden in zip(with_screen, without, strict=True)
    ]
    pairs = [pair for pair in pairs if not any(map(math.isnan, pair))]
    ratios = [shown / hidden for shown, hidden in pairs]
    draws = [random.choices(range(len(pairs)), k=len(pairs)) for _ in range(4000)]
    medians = sorted(statistics.median(ratios[at] for at in draw) for draw in draws)
    totals = sorted(sum(pairs[at][0] for at in draw) / sum(pairs[at][1] for at in draw) for draw in draws)
    print(f"{len(batches)} batches, {len(pairs)} pairs")
    print(f"with the screen    {statistics.median(shown for shown, _ in pairs):10.2f} tok/s (median of stretches)")
    print(f"without            {statistics.median(hidden for _, hidden in pairs):10.2f} tok/s")
    print(f"median of ratios   {statistics.median(ratios):10.4f} ({medians[100]:.4f} to {medians[3899]:.4f})")
    total = sum(shown for shown, _ in pairs) / sum(hidden for _, hidden in pairs)
    print(f"ratio of totals    {total:10.4f} ({totals[100]:.4f} to {totals[3899]:.4f})")


if __name__ == "__main__":
    asyncio.run(main())
