"""Which class is which pane."""

from importlib import import_module

from infertui.tui.frame.layouts import PaneId
from infertui.tui.widgets.pane import Pane

PANE_CLASSES: dict[PaneId, str] = {
    "gpus": "GpusPane", "queue": "QueuePane", "config": "ConfigPane", "live": "LivePane", "results": "ResultsPane",
    "logs": "LogsPane", "cost": "CostPane",
}  # fmt: skip


def import_panes() -> dict[PaneId, type[Pane]]:
    """The panes' classes. Takes a while: the first paint does without, and a thread keeps keys heard meanwhile."""
    return {place: getattr(import_module(f"infertui.tui.{place}.pane"), name) for place, name in PANE_CLASSES.items()}
