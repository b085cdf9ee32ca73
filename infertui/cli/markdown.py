"""Results as a Markdown table."""

from collections.abc import Sequence

from infertui.report.figures import NOT_AVAILABLE
from infertui.store.result import Result
from infertui.terminal_text import clean
from infertui.units import format_bytes, format_number, format_seconds

HEADER = (
    "run", "model", "device", "dtype", "batch", "prompt tokens", "new tokens",
    "output tok/s (95 % interval)", "TTFT", "ITL p50", "J/token", "allocator peak", "valid",
)  # fmt: skip


def markdown_table(results: Sequence[Result]) -> str:
    """A GitHub-flavoured table, one row a result. Cells are inert text."""
    lines = [f"| {' | '.join(HEADER)} |", f"|{' --- |' * len(HEADER)}"]
    lines += [f"| {' | '.join(map(_cell, _row(result)))} |" for result in results]
    return "\n".join(lines)


def _row(result: Result) -> list[str]:
    summary, power, workload = result.summary, result.power, result.config.workload
    interval = summary.output_throughput_interval
    speed = NOT_AVAILABLE
    if summary.output_throughput is not None:
        speed = format_number(summary.output_throughput)
        speed += f" ({format_number(interval.low)} to {format_number(interval.high)})" if interval else ""
    joules = power.joules_per_token if power else None
    peak = summary.memory.allocated_peak
    valid = "yes" if result.verdict.valid else "no: " + "; ".join(result.verdict.invalid)
    return [
        result.name,
        result.config.model.id,
        result.loaded.device_name if result.loaded else NOT_AVAILABLE,
        result.loaded.dtype if result.loaded else NOT_AVAILABLE,
        str(workload.batch_size),
        _prompt_tokens(result),
        str(workload.output_len),
        speed,
        format_seconds(summary.ttft.mean) if summary.ttft else NOT_AVAILABLE,
        format_seconds(summary.itl.p50) if summary.itl else NOT_AVAILABLE,
        format_number(joules) if joules is not None else NOT_AVAILABLE,
        format_bytes(peak) if peak is not None else NOT_AVAILABLE,
        valid if result.state == "finished" else result.state,
    ]


def _prompt_tokens(result: Result) -> str:
    summary = result.summary
    good = summary.requests - summary.failed
    return f"{summary.prompt_tokens / good:.0f}" if good else NOT_AVAILABLE


def _cell(text: str) -> str:
    return "".join(f"\\{char}" if char in "\\|`*_[]<>" else char for char in clean(text))
