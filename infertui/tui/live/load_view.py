"""A load on an endpoint that is under way, as figures and series: what a run of batches does not have."""

from rich.text import Text

from infertui.runner.endpoint.wording import client_text, counts_text, level_text, settled_text
from infertui.runner.events import LoadProgressed
from infertui.runner.execution.progress import RunProgress
from infertui.tui.widgets.cells import RenderContext, fit
from infertui.tui.widgets.gauges import bar
from infertui.units import format_number, format_seconds

_MISSING = "-"
_WIDEST_BAR = 30


def load_figures(load: LoadProgressed) -> list[tuple[str, str, str]]:
    """Name, value, and the name in five cells, the most wanted first; over the last seconds.

    TTFT and ITL alone are medians; with 99 they are the 99th percentiles, which stand beside them in few cells.
    """

    def rate(value: float | None) -> str:
        return _MISSING if value is None else format_number(value)

    def time(value: float | None) -> str:
        return _MISSING if value is None else format_seconds(value)

    return [
        ("tok/s", rate(load.tokens_per_s), "tok/s"),
        ("req/s", rate(load.requests_per_s), "req/s"),
        ("TTFT", time(load.ttft_p50), "TTFT"),
        ("TTFT99", time(load.ttft_p99), "p99"),
        ("ITL", time(load.itl_p50), "ITL"),
        ("ITL99", time(load.itl_p99), "p99"),
        ("flight", f"{load.in_flight:,}", "open"),
        ("done", f"{load.done:,}", "done"),
        ("failed", f"{load.failed:,}", "fail"),
        ("client", client_text(load), "cpu"),
    ]


def load_line(load: LoadProgressed, progress: RunProgress, width: int, look: RenderContext) -> Text:
    """The bar of the load, what is in flight, and whether it has settled."""
    share = progress.fraction
    filled = bar(share, max(4, min(_WIDEST_BAR, width // 3)), style=look.palette.active, ascii=look.ascii).copy()
    filled.append(f" {share * 100:3.0f}%  {level_text(load)}, {settled_text(load)}")
    filled.truncate(width)
    return filled


def compact_load(load: LoadProgressed, width: int, look: RenderContext) -> list[Text]:
    """How fast, in two lines for where there are no more."""
    values = {name: value for name, value, _ in load_figures(load)}
    return [
        fit(f"{values['tok/s']} tok/s  {values['req/s']} req/s  {counts_text(load)}", width, look),
        fit(f"TTFT {values['TTFT']} p99 {values['TTFT99']}  ITL {values['ITL']}", width, look),
    ]
