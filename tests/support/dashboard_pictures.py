"""A picture of a dashboard, of what a Prometheus answers to its queries: Grafana itself is in no package registry."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from infertui.api.exporter.dashboards import DashboardPlan


def draw(plan: DashboardPlan, found: Sequence[Sequence[tuple[str, list[tuple[float, float]]]]], path: Path) -> None:
    """`found` has, for each panel, the name and the points of its series; times are in seconds since 1970."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 8), layout="constrained")
    figure.suptitle(plan.title)
    last = max(at for panel in found for _, points in panel for at, _ in points)
    axes: Any = figure.subplots(3, 3).flat
    for axis, panel, series in zip(axes, plan.panels, found, strict=True):
        axis.set_title(f"{panel.title} [{panel.unit}]", fontsize=9)
        for name, points in series:
            axis.plot([at - last for at, _ in points], [value for _, value in points], label=name[:40] or None)
        axis.set_ylim(bottom=0)
        axis.tick_params(labelsize=7)
        axis.grid(alpha=0.3)
        if len(series) <= 4 and any(name for name, _ in series):
            axis.legend(fontsize=6, loc="lower left")
    figure.supxlabel("seconds", fontsize=8)
    figure.savefig(path, dpi=80)
