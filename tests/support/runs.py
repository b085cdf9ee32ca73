"""Helpers for tests that run configurations through the Runner, or through the command line."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from infertui.config.schema import Config
from infertui.config.sources import load
from infertui.config.sweep import Variant
from infertui.measure.records import RequestRecord
from infertui.results.jsonl import read_lines
from infertui.results.result import Result
from infertui.runner.events import AnyRunEvent
from infertui.runner.runner import Runner

HANG_S = 60
# Tests share their machine, with each other at least: what that does to a run is no reason against it here.
UNDISTURBED = {
    "validity.max_drift": 0.0, "validity.max_variation": 0.0, "validity.max_others_cpu": 0.0,
    "validity.max_swap_mib": 0.0, "validity.steady_warmup": False, "validity.max_client_share": 0.0,
}  # fmt: skip


def simulated(**values: object) -> Config:
    """A config of the simulator on a virtual clock; `workload__batch_size=4` sets workload.batch_size."""
    settings: dict[str, object] = {
        **UNDISTURBED,
        "engine.name": "simulator",
        "engine.simulator.virtual_time": True,
        "measurement.warmup": 1,
        "measurement.iterations": 3,
        **{key.replace("__", "."): value for key, value in values.items()},
    }
    flags = {key: ("test", value) for key, value in settings.items()}
    return load(None, environ={}, flags=flags).config


def run(
    *configs: Config, out: Path, on_event: Callable[[AnyRunEvent], None] = lambda _: None
) -> tuple[list[Result], list[AnyRunEvent]]:
    """Run in this process; returns the results and every event."""
    events: list[AnyRunEvent] = []

    def take(event: AnyRunEvent) -> None:
        events.append(event)
        on_event(event)

    async def scenario() -> list[Result]:
        async with asyncio.timeout(HANG_S), Runner(on_event=take) as runner:
            return await runner.run_all([Variant("", config, {}) for config in configs], out)

    return asyncio.run(scenario()), events


def requests_of(out: Path, run_id: str) -> list[RequestRecord]:
    """The request lines of a run; a line that cannot be read fails the test."""

    def fail(text: str) -> None:
        raise AssertionError(text)

    return list(read_lines(out / run_id / "requests.jsonl", RequestRecord, warn=fail))


def clean_environment(**extra: str) -> dict[str, str]:
    """This process's environment without what would configure infertui, but for what makes runs UNDISTURBED."""
    ours = ("INFERTUI_", "NVML_STUB_", "MODEL_ID", "BATCH_SIZE", "MAX_NEW_TOKENS", "TRT_PRECISION", "CUDA_VISIBLE")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    limits = {f"INFERTUI_{key.replace('.', '_').upper()}": str(value).lower() for key, value in UNDISTURBED.items()}
    return {**kept, **limits, **extra}


def infertui(
    *arguments: str, cwd: Path, environment: Mapping[str, str] | None = None, **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "infertui", *arguments],
        cwd=cwd,
        env=dict(environment or clean_environment()),
        capture_output=True,
        text=True,
        check=False,
        timeout=options.pop("timeout", HANG_S),
        **options,
    )


@contextmanager
def measuring(*arguments: str, cwd: Path, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """`infertui run` in a process of its own, once it has measured its first batch. It tells that in plain lines."""
    command = [sys.executable, "-m", "infertui", "run", *arguments, "--ui", "plain"]
    with subprocess.Popen(
        command,
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=clean_environment(**environment),
    ) as process:
        lines = process.stderr if "--json" in arguments else process.stdout
        assert lines is not None
        next(line for line in lines if "measure 1/" in line)
        yield process
