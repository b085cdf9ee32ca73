"""The machine around the GPUs: a line beside them, a line of its own and gauges where there are none."""

import textwrap
from collections.abc import Sequence

from msgspec import Struct
from rich.text import Text

from infertui.metrics.metric import NOT_AVAILABLE
from infertui.telemetry.readings import HostFacts, HostSample
from infertui.tui.terminal.sanitize import safe
from infertui.tui.widgets.cells import RenderContext, beside, fit
from infertui.tui.widgets.gauges import bar

_NAME_CELLS = 7


def gib(count: int) -> str:
    """GiB with one decimal, the precision of a gauge."""
    return f"{count / 2**30:.1f}"


def no_gpu_lines(reason: str, width: int, most: int, look: RenderContext) -> list[Text]:
    """Why there is no GPU, and on the lines that follow what to do about it: `most` lines of `width` cells."""
    message, _, remedy = map(safe, reason.partition("\n"))
    end = "." if remedy and message[-1:].isalnum() else ""
    words = f"No GPU: {message}{end} {remedy}" if message else "No GPU: the driver is there, but lists none."
    lines = textwrap.wrap(words, max(8, width))
    if len(lines) > most:
        lines[most - 1 :] = [" ".join(lines[most - 1 :])]
    return [fit(line, width, look, style=look.palette.warning) for line in lines]


def host_words(host: HostSample, facts: HostFacts | None) -> list[str]:
    """What is known of the machine, a figure each."""
    parts = []
    if host.cpu_percent is not None:
        parts.append(f"CPU {host.cpu_percent:3.0f}%")
    if host.memory_used is not None:
        total = f"/{host.memory_total / 2**30:.0f}" if host.memory_total else ""
        parts.append(f"RAM {gib(host.memory_used)}{total}G")
    if host.swap_used:
        parts.append(f"swap {gib(host.swap_used)}G")
    if host.load1 is not None:
        cores = f" of {facts.logical_cores}" if facts and facts.logical_cores else ""
        parts.append(f"load {host.load1:.1f}{cores}")
    if host.cpu_power_w is not None:
        parts.append(f"CPU power {host.cpu_power_w:.0f}W")
    return parts


def host_line(host: HostSample, facts: HostFacts | None, width: int, look: RenderContext) -> Text:
    """The machine around the GPUs in one line."""
    return fit("host  " + "  ".join(host_words(host, facts)), width, look, style=look.palette.muted)


def machine_line(
    title: Text, words: str, host: HostSample, facts: HostFacts | None, width: int, look: RenderContext
) -> Text:
    """A machine without GPUs in one line: the pane's `title`, what the machine does, and `words` why that is all."""
    figures = "  ".join(host_words(host, facts))
    room = max(0, width - title.cell_len - len(figures) - 2)
    why = f"  {words}" if room > len(words) or room > 20 else ""
    return beside(
        title,
        Text(f" {figures}"),
        fit(why, max(0, width - title.cell_len - len(figures) - 1), look, style=look.palette.muted),
    )


class HostGauge(Struct, frozen=True):
    """A gauge of the machine: a share of 0 to 1 where there is a whole, and the figure in words."""

    name: str
    share: float | None
    figure: str
    marked: bool = False


def host_gauges(host: HostSample, facts: HostFacts | None) -> list[HostGauge]:
    """What the machine itself shows where there is no GPU: CPU, RAM, swap, load, CPU power."""
    cores = facts.affinity_cores or facts.logical_cores if facts else None
    gauges = []
    cpu = host.cpu_percent
    gauges.append(
        HostGauge("CPU", cpu / 100 if cpu is not None else None, NOT_AVAILABLE if cpu is None else f"{cpu:.0f}%")
    )
    share = host.memory_used / host.memory_total if host.memory_used is not None and host.memory_total else None
    used = NOT_AVAILABLE if host.memory_used is None else f"{gib(host.memory_used)}"
    total = f"/{host.memory_total / 2**30:.0f}" if host.memory_total else ""
    gauges.append(HostGauge("RAM", share, f"{used}{total}G" if host.memory_used is not None else used))
    swap = NOT_AVAILABLE if host.swap_used is None else f"{gib(host.swap_used)}G" if host.swap_used else "none"
    gauges.append(HostGauge("swap", None, swap, marked=bool(host.swap_used)))
    load = host.load1
    of = f" of {cores} CPUs" if cores else ""
    gauges.append(HostGauge("load", load / cores if load is not None and cores else None, _load(load, of)))
    watts = host.cpu_power_w
    gauges.append(HostGauge("power", None, "n/a: no readable RAPL counter" if watts is None else f"{watts:.0f}W"))
    return gauges


def _load(load: float | None, of: str) -> str:
    return NOT_AVAILABLE if load is None else f"{load:.1f}{of}"


def gauge_cells(
    gauges: Sequence[HostGauge], width: int, look: RenderContext, *, stale: bool
) -> list[tuple[int, list[Text]]]:
    """Gauges as columns: the width of each, and its cells."""
    palette = look.palette
    bar_width = max(4, min(40, width - 30))
    figure_width = max(1, width - _NAME_CELLS - bar_width)
    names = [fit(gauge.name, _NAME_CELLS, look, style=palette.title) for gauge in gauges]
    bars = [
        Text(" " * bar_width)
        if gauge.share is None
        else beside(bar(gauge.share, bar_width, style=palette.ok, ascii=look.ascii))
        for gauge in gauges
    ]
    figures = [
        fit(
            f"  {gauge.figure}",
            figure_width,
            look,
            style=palette.warning if gauge.marked else palette.muted if stale else "",
        )
        for gauge in gauges
    ]
    return [(_NAME_CELLS, names), (bar_width, bars), (figure_width, figures)]
