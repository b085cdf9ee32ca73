"""`infertui gpus`: what the GPUs and the machine around them are doing."""

import contextlib
import os
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infertui.cli.output import console, say, say_json
from infertui.cli.streams import reader_left
from infertui.metrics.metric import NOT_AVAILABLE

if TYPE_CHECKING:
    from rich.live import Live
    from rich.table import Table

    from infertui.errors import InfertuiError
    from infertui.telemetry.host import HostReader
    from infertui.telemetry.nvml import Nvml
    from infertui.telemetry.readings import GpuInfo, GpuProcess, GpuSample, HostFacts, HostSample

    Reading = tuple[GpuInfo, GpuSample, tuple[GpuProcess, ...] | None]

_HEADER = ("GPU", "name", "util", "memory", "power", "temp", "SM clock", "limited by")
_RIGHT = frozenset({"util", "memory", "power", "temp", "SM clock"})
_NAME_WIDTH = 40
# Columns that give way in a narrow terminal, and the width down to which: that of their longest word.
_WRAPPED = {"name": 10, "limited by": 14}
_UNREMARKABLE = frozenset({"idle", "clock-setting", "display-clock"})
# The share of CPU needs two readings; the kernel counts in hundredths of a second.
_FIRST_INTERVAL_S = 0.2


def gpus(
    watch: Annotated[
        bool,
        typer.Option("--watch", "-w", help="Until Ctrl-C; in place on a terminal."),
    ] = False,
    interval: Annotated[float, typer.Option(min=0.1, help="Seconds between two readings with --watch.")] = 1.0,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON document; with --watch one JSON object per line.")
    ] = False,
) -> None:
    """Show the GPUs and what they are doing: load, memory, power, temperature, clocks and what limits them."""
    from infertui.telemetry.host import HostReader, host_facts
    from infertui.telemetry.nvml import Nvml, NvmlUnavailableError

    host = HostReader()
    host.sample()
    started = time.monotonic()
    nvml: Nvml | None = None
    unavailable: InfertuiError | None = None
    try:
        try:
            nvml = Nvml.open()
        except NvmlUnavailableError as error:
            unavailable = error
        facts = host_facts()
        time.sleep(max(0.0, started + _FIRST_INTERVAL_S - time.monotonic()))
        in_place = watch and not as_json and sys.stdout.isatty()
        with _live() if in_place else contextlib.nullcontext() as live:
            for _ in _ticks(interval) if watch else range(1):
                _show(nvml, unavailable, host, facts, as_json=as_json, watch=watch, live=live)
    except KeyboardInterrupt:
        if not watch:
            raise
    except BrokenPipeError:
        # The reader (`head`, a closed pager) has seen enough. Python must not try to flush the rest at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    finally:
        if nvml:
            nvml.close()


def _ticks(interval: float) -> Iterator[None]:
    """Yield now and then on a fixed grid of deadlines; those that were missed are dropped."""
    due = time.monotonic()
    while not reader_left():
        yield
        late = time.monotonic() - due
        due += (1 + int(late // interval)) * interval
        time.sleep(max(0.0, due - time.monotonic()))


def _show(
    nvml: "Nvml | None",
    unavailable: "InfertuiError | None",
    host: "HostReader",
    facts: "HostFacts",
    *,
    as_json: bool,
    watch: bool,
    live: "Live | None" = None,
) -> None:
    readings: list[Reading] = []
    for gpu in nvml.devices() if nvml else ():
        sample = nvml.sample(gpu) if nvml else None
        if nvml and sample:
            readings.append((gpu, sample, nvml.processes(gpu)))
    now = datetime.now(UTC)
    host_sample = host.sample()
    notes = nvml.notes if nvml else ()
    if as_json:
        document = _document(now, readings, notes, unavailable, host_sample, facts)
        say_json(document, indent=0 if watch else 2)
    else:
        stamp = [now.astimezone().strftime("%Y-%m-%d %H:%M:%S")] if watch else []
        rows = [_row(gpu, sample) for gpu, sample, _ in readings]
        lines = [*_facts(readings, unavailable), *_remarks(readings), *notes, _host_line(host_sample, facts)]
        if live is not None:
            _redraw(live, stamp, rows, lines)
        else:
            _print([*stamp], rows, [*lines, *([""] if watch else [])])
    sys.stdout.flush()


def _document(
    now: datetime,
    readings: "Sequence[Reading]",
    notes: Sequence[str],
    unavailable: "InfertuiError | None",
    host: "HostSample",
    facts: "HostFacts",
) -> dict[str, Any]:
    """What `--json` gives. A reading that is not available is null."""
    first = readings[0][0] if readings else None
    return {
        "time": now,
        "driver": first.driver if first else None,
        "cuda_driver": first.cuda_driver if first else None,
        "unavailable": {"reason": unavailable.message, "remedy": unavailable.remedy} if unavailable else None,
        "notes": notes,
        "gpus": [{"info": gpu, "sample": sample, "processes": processes} for gpu, sample, processes in readings],
        "host": {"facts": facts, "sample": host},
    }


def _facts(readings: "Sequence[Reading]", unavailable: "InfertuiError | None") -> Iterator[str]:
    if readings:
        gpu = readings[0][0]
        yield f"driver {gpu.driver or NOT_AVAILABLE}, CUDA up to {gpu.cuda_driver or NOT_AVAILABLE}"
    elif unavailable:
        yield f"GPUs are not available: {unavailable.message}."
        yield unavailable.remedy
    else:
        yield "The NVIDIA driver is there, but lists no GPU."


def _print(head: Sequence[str], rows: Sequence[tuple[str, ...]], lines: Sequence[str]) -> None:
    for line in head:
        say(line)
    if rows and sys.stdout.isatty():
        console().print(_table(rows))
    elif rows:
        _print_columns(rows)
    for line in lines:
        say(line)


def _live() -> "Live":
    from rich.live import Live

    return Live(console=console(), auto_refresh=False, vertical_overflow="ellipsis")


def _redraw(live: "Live", head: Sequence[str], rows: Sequence[tuple[str, ...]], lines: Sequence[str]) -> None:
    from rich.console import Group
    from rich.text import Text

    table = [_table(rows)] if rows else []
    live.update(Group(*map(Text, head), *table, *map(Text, lines)), refresh=True)


def _table(rows: Sequence[tuple[str, ...]]) -> "Table":
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, padding=0, show_edge=False)
    for title in _HEADER:
        table.add_column(
            title,
            justify="right" if title in _RIGHT else "left",
            no_wrap=title not in _WRAPPED,
            min_width=_WRAPPED.get(title),
        )
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def _print_columns(rows: Sequence[tuple[str, ...]]) -> None:
    lines = [_HEADER, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = [
            cell.rjust(width) if title in _RIGHT else cell.ljust(width)
            for title, cell, width in zip(_HEADER, line, widths, strict=True)
        ]
        say("  ".join(cells).rstrip())


def _row(gpu: "GpuInfo", sample: "GpuSample") -> tuple[str, ...]:
    from infertui.text import shorten

    name = shorten(gpu.name.removeprefix("NVIDIA "), _NAME_WIDTH)
    if sample.lost:
        return (gpu.label, name, *[NOT_AVAILABLE] * 5, "LOST")
    power = sample.power_w if sample.power_w is not None else sample.power_instant_w
    if sample.throttle is None:
        limits = NOT_AVAILABLE
    else:
        limits = ", ".join(reason for reason in sample.throttle if reason not in _UNREMARKABLE) or "-"
    return (
        gpu.label,
        name,
        _figure(sample.utilization, "%"),
        _pair(_gib(sample.memory_used, 1), _gib(sample.memory_total, 0), "GiB"),
        _pair(_digits(power), _digits(gpu.power_limit_w), "W"),
        _figure(sample.temperature_c, "C"),
        _figure(sample.sm_mhz, "MHz"),
        limits,
    )


def _remarks(readings: "Sequence[Reading]") -> Iterator[str]:
    """What does not fit in a column: lost devices, MIG, processes."""
    from infertui.units import format_bytes

    for gpu, sample, processes in readings:
        if sample.lost:
            yield f"GPU {gpu.label}: {sample.lost}."
        if gpu.mig:
            yield f"GPU {gpu.label} is divided by MIG: power, temperature and clocks are those of the whole GPU."
        for process in processes or ():
            memory = format_bytes(process.memory_used) if process.memory_used is not None else NOT_AVAILABLE
            yield f"GPU {gpu.label}: process {process.pid} ({process.name or 'name ' + NOT_AVAILABLE}) uses {memory}"


def _host_line(host: "HostSample", facts: "HostFacts") -> str:
    parts = [
        f"CPU {_figure(host.cpu_percent, '%')} of {facts.logical_cores or NOT_AVAILABLE}",
        f"memory {_pair(_gib(host.memory_used, 1), _gib(host.memory_total, 0), 'GiB')}",
        f"swap {_gib(host.swap_used, 1) or NOT_AVAILABLE} GiB" if host.swap_used else "no swap used",
        f"load {host.load1:.2f}" if host.load1 is not None else f"load {NOT_AVAILABLE}",
    ]
    if host.cpu_power_w is not None:
        parts.append(f"CPU power {host.cpu_power_w:.0f} W")
    return "host: " + ", ".join(parts)


def _digits(value: float | None) -> str | None:
    return None if value is None else f"{value:.0f}"


def _gib(count: int | None, decimals: int) -> str | None:
    return None if count is None else f"{count / 2**30:.{decimals}f}"


def _figure(value: float | None, unit: str) -> str:
    return NOT_AVAILABLE if value is None else f"{value:.0f} {unit}"


def _pair(value: str | None, limit: str | None, unit: str) -> str:
    """`12/80 W`, or as much of it as is known."""
    if value is None:
        return NOT_AVAILABLE
    return f"{value} {unit}" if limit is None else f"{value}/{limit} {unit}"
