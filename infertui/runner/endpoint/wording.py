"""How a load goes, in words: the same on a terminal, in logs and on the screen."""

from infertui.runner.events import LoadProgressed
from infertui.text import clean
from infertui.units import format_number, format_seconds

NOTED_LATE_S = 0.005
"""From where what the client takes is told while it runs."""


def level_text(load: LoadProgressed) -> str:
    """What is asked for, and what is in flight: `64 of 64 in flight`, `12 in flight at 4 req/s`."""
    if load.by == "concurrency":
        return f"{load.in_flight} of {load.level:.0f} in flight"
    return f"{load.in_flight} in flight at {format_number(load.level)} req/s"


def speed_parts(load: LoadProgressed) -> list[str]:
    """Rates and times of the last seconds, what matters most first."""
    parts = [f"{format_number(load.tokens_per_s)} tok/s"] if load.tokens_per_s is not None else []
    parts += [f"{format_number(load.requests_per_s)} req/s"] if load.requests_per_s is not None else []
    if load.ttft_p50 is not None:
        p99 = f" p99 {format_seconds(load.ttft_p99)}" if load.ttft_p99 is not None else ""
        parts.append(f"TTFT p50 {format_seconds(load.ttft_p50)}{p99}")
    if load.itl_p50 is not None:
        p99 = f" p99 {format_seconds(load.itl_p99)}" if load.itl_p99 is not None else ""
        parts.append(f"ITL p50 {format_seconds(load.itl_p50)}{p99}")
    return parts


def counts_text(load: LoadProgressed) -> str:
    """Requests that ended, and of these those that failed."""
    return f"{load.done:,} done" + (f", {load.failed:,} FAILED" if load.failed else "")


def settled_text(load: LoadProgressed) -> str:
    """Whether it has settled."""
    if load.steady:
        return "settled"
    return clean(f"not settled: {load.verdict}") if load.verdict else "not settled yet"


def client_text(load: LoadProgressed) -> str:
    """What the client itself takes."""
    late = max(load.lag, load.late)
    told = f", late by {format_seconds(late)}" if late >= NOTED_LATE_S else ""
    return f"{load.cpu:.2f} core{told}"
