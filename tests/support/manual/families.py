"""The families of figures that Prometheus is told, as tables."""

from collections.abc import Iterable

from infertui.api.exporter.family import Family
from infertui.api.exporter.figures import COST, family_of, metrics_told
from infertui.api.exporter.gpus import GPU_LABELS, OF_GPUS, OF_HOST
from infertui.api.exporter.runs import OF_LOADS, OF_RUNNER, OF_RUNS


def families() -> str:
    """All of them, by what they are of."""
    figures = [*map(family_of, metrics_told()), COST]
    parts = {
        f"GPUs, each with {', '.join(f'`{label}`' for label in GPU_LABELS)}": OF_GPUS,
        "The machine": OF_HOST,
        "Runner and queue": OF_RUNNER,
        "Runs under way, and the last that ended": OF_RUNS,
        "Loads under way": OF_LOADS,
        "Figures of runs that ended": figures,
    }
    return "\n\n".join(f"**{title}**\n\n{_table(found)}" for title, found in parts.items())


def _table(found: Iterable[Family]) -> str:
    lines = ["| name | labels | is |", "| --- | --- | --- |"]
    for one in found:
        shared = GPU_LABELS if one.labels[: len(GPU_LABELS)] == GPU_LABELS else ()  # these are in the title
        own = ", ".join(f"`{label}`" for label in one.labels[len(shared) :])
        lines.append(f"| `{one.name}` | {own} | {one.help} |")
    return "\n".join(lines)
