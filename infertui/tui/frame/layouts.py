"""Which panes are where: pure decisions about sizes."""

from typing import Literal

Kind = Literal["wide", "tabs", "compact"]
PaneId = Literal["gpus", "queue", "config", "live", "results", "logs", "cost"]

PANES: tuple[PaneId, ...] = ("gpus", "queue", "config", "live", "results", "logs", "cost")
"""In the order of their numbers, from 1."""
TITLES: dict[PaneId, str] = {
    "gpus": "GPUs", "queue": "Queue", "config": "Config", "live": "Live", "results": "Results", "logs": "Logs",
    "cost": "Cost",
}  # fmt: skip
MIDDLE: tuple[PaneId, ...] = ("queue", "config", "live", "logs", "cost")
"""Those that stand side by side."""
THIRD: tuple[PaneId, ...] = ("live", "logs", "cost")
"""Those that share the third place there."""
TABBED: tuple[PaneId, ...] = ("queue", "config", "live", "results", "logs", "cost")
"""Those that share one place on small screens."""


def kind_of(width: int, height: int) -> Kind:
    """The layout for a terminal of this size."""
    if width < 60 or height < 20:
        return "compact"
    return "wide" if width >= 96 and height >= 28 else "tabs"


def shown(kind: Kind, active: PaneId, *, zoomed: bool, third: PaneId, tab: PaneId) -> frozenset[PaneId]:
    """The panes on the screen.

    `active` has the focus; `third` is the one of THIRD that has their place, `tab` the one that the tabbed place shows.
    """
    if kind == "compact":
        return frozenset({active} if zoomed else ())
    if zoomed:
        return frozenset({active})
    if kind == "tabs":
        return frozenset({"gpus", tab})
    return frozenset({"gpus", "queue", "config", third, "results"})


def gpu_rows(kind: Kind, height: int, wanted: int) -> int:
    """Rows for the GPU pane, frame included, when its content needs `wanted` rows."""
    share = height * 3 // 8 if kind == "wide" else height * 2 // 5
    return max(4, min(wanted + 2, share))


def neighbour(panes: frozenset[PaneId], active: PaneId, by: int) -> PaneId:
    """The pane after (1) or before (-1) the active one, of those shown."""
    order = [pane for pane in PANES if pane in panes]
    if not order:
        return active
    if active not in order:
        return order[0]
    return order[(order.index(active) + by) % len(order)]


def number_of(pane: str) -> str:
    """The key that goes to a pane; empty for one that has none."""
    return str(PANES.index(pane) + 1) if pane in PANES else ""
