"""A kept tuning session as a table: a row a segment."""

import json

from support.kept import REPORTS
from support.manual.markdown import table

from infertui.units import format_bytes, format_number


def tuned(folder: str) -> str:
    """A row a segment, in their order; of one that was written twice the last line counts."""
    found = {}
    for line in (REPORTS / folder / "segments.jsonl").read_text().splitlines():
        told = json.loads(line)
        found[told["number"]] = told
    rows = []
    for number, told in sorted(found.items()):
        figures, before = told["figures"], told["previous"]
        rows.append(
            (
                str(number),
                told["name"],
                _with_interval(figures["throughput"], figures["low"], figures["high"]),
                "" if before is None else _with_interval(before["ratio"], before["low"], before["high"]),
                f"{figures['ttft'] * 1000:.3g}",
                f"{figures['itl'] * 1000:.3g}",
                format_bytes(figures["vram"]),
                f"{figures['joules_per_token']:.3f}",
                f"{told['seconds']:.0f}",
            )
        )
    heads = ("", "setting", "tok/s (95 %)", "to the one before", "TTFT, ms", "ITL, ms", "VRAM", "J/token", "seconds")
    return table(heads, rows)


def _with_interval(value: float, low: float | None, high: float | None) -> str:
    span = "" if low is None or high is None else f" ({format_number(low)} to {format_number(high)})"
    return f"{format_number(value)}{span}"
