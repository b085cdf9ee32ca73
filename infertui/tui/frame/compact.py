"""The few lines for a very small terminal."""

from collections.abc import Iterator

from rich.text import Text

from infertui.telemetry.readings import GpuSample
from infertui.tui.frame.header import minutes
from infertui.tui.frame.layouts import PANES
from infertui.tui.state import ClientState
from infertui.tui.terminal.sanitize import plain
from infertui.tui.themes import Palette
from infertui.units import format_number


def compact_lines(client_state: ClientState, colours: Palette, *, fahrenheit: bool) -> list[Text]:
    """Run state, tokens per second, a line per GPU; then what waits and what to press."""
    return [
        *_runs(client_state, colours),
        *_gpus(client_state, colours, fahrenheit=fahrenheit),
        plain(f"1-{len(PANES)} open a pane", colours.muted),
    ]


def _runs(client_state: ClientState, colours: Palette) -> Iterator[Text]:
    waiting = sum(1 for entry in client_state.entries.values() if entry.state == "queued")
    for entry in client_state.running:
        yield plain(f"RUN {entry.label}", colours.active)
        progress = client_state.progress.get(entry.run)
        if progress is None:
            continue
        words: list[str] = [progress.phase or "starting"]
        if progress.phase == "measure":
            words.append(f"{progress.fraction:.0%}")
        if progress.eta_s is not None:
            words.append(f"ETA {minutes(progress.eta_s)}")
        yield plain(" ".join(words))
        rate = progress.tokens_per_s if progress.tokens_per_s is not None else progress.throughput
        if rate is not None:
            yield plain(f"{format_number(rate)} tok/s", colours.figure)
    if not client_state.running:
        yield plain("nothing runs" if client_state.runner is not None else "connecting", colours.muted)
    if waiting:
        yield plain(f"{waiting} waiting", colours.muted)


def _gpus(client_state: ClientState, colours: Palette, *, fahrenheit: bool) -> Iterator[Text]:
    sample = client_state.sample
    if sample is None:
        return
    labels = {gpu.uuid: gpu.label for gpu in client_state.runner.gpus} if client_state.runner else {}
    for gpu in sample.gpus:
        name = f"GPU{labels.get(gpu.uuid, gpu.index)}"
        yield plain(f"{name} LOST", colours.error) if gpu.lost else plain(_gpu(name, gpu, fahrenheit=fahrenheit))
    if not sample.gpus and sample.host.cpu_percent is not None:
        yield plain(f"CPU {sample.host.cpu_percent:.0f}%")


def _gpu(name: str, gpu: GpuSample, *, fahrenheit: bool) -> str:
    words = [name]
    if gpu.utilization is not None:
        words.append(f"{gpu.utilization:.0f}%")
    if gpu.memory_used is not None:
        words.append(f"{gpu.memory_used / 2**30:.1f}G")
    if gpu.power_now_w is not None:
        words.append(f"{gpu.power_now_w:.0f}W")
    if gpu.temperature_c is not None:
        words.append(f"{gpu.temperature_c * 9 / 5 + 32:.0f}F" if fahrenheit else f"{gpu.temperature_c:.0f}C")
    return " ".join(words)
