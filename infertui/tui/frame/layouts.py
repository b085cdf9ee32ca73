"""Which panes are where: pure decisions about sizes."""

from typing import Literal

from msgspec import Struct

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


WIDE, TABS, FULL_TABS = (96, 28), (40, 10), 20
"""Columns and lines from which panes stand side by side, and from which they have tabs; lines from which the GPUs stand
above the tabs and not among them."""
_GROWS = 120
"""Columns from which the pane that is worked in is larger than the others."""
_LEAST_COLUMNS, _LEAST_ROWS = 32, 6
"""What is left to each of the others."""


def kind_of(width: int, height: int) -> Kind:
    """The layout for a terminal of this size."""
    if width >= WIDE[0] and height >= WIDE[1]:
        return "wide"
    return "tabs" if width >= TABS[0] and height >= TABS[1] else "compact"


class Arrangement(Struct, frozen=True):
    """Which panes are in view and how large. None: what is left, or an equal share of it."""

    kind: Kind
    shown: frozenset[PaneId]
    tabs: tuple[PaneId, ...] = ()
    """Those that have tabs; none: there is no line for them."""
    gpu_rows: int | None = None
    middle_rows: int | None = None
    widths: dict[PaneId, int] = {}
    """Columns of those in the middle."""
    low: bool = False
    """So few lines that a frame is its title alone."""


def arrange(
    width: int,
    height: int,
    active: PaneId,
    *,
    zoomed: bool,
    third: PaneId,
    tab: PaneId,
    large: PaneId | None = None,
    gpu_lines: int = 2,
) -> Arrangement:
    """The panes on a screen of this size, header and footer being a line each.

    `active` has the focus; `third` is the one of THIRD that has their place, `tab` the one that the tabbed place shows.
    `large` gets the room where there is some to give: the active one, or what happens just now; None: none does.
    `gpu_lines` are what the GPUs need.
    """
    kind = kind_of(width, height)
    low = height < FULL_TABS
    if kind == "compact" or zoomed:
        return Arrangement(kind, frozenset({active} if zoomed else ()), low=low)
    if kind == "tabs":
        if low:
            return Arrangement(kind, frozenset({active}), PANES, low=True)
        return Arrangement(kind, frozenset({"gpus", tab}), TABBED, gpu_rows=_gpu_rows(height * 5 // 12, gpu_lines))
    grown = large if width >= _GROWS else None
    gpus = _gpu_rows(height // 2 if grown == "gpus" else height * 3 // 8, gpu_lines)
    rest = height - 2 - gpus
    middle: tuple[PaneId, ...] = ("queue", "config", third)
    rows: int | None = None
    widths: dict[PaneId, int] = {}
    if grown in middle or grown == "results":
        other = max(_LEAST_ROWS, rest // 3)
        rows = other if grown == "results" else rest - other
    if grown in middle:
        other = max(_LEAST_COLUMNS, width // 4)
        widths = {pane: width - 2 * other if pane == grown else other for pane in middle}
    return Arrangement(kind, frozenset({"gpus", *middle, "results"}), (), gpus, rows, widths)


def _gpu_rows(most: int, lines: int) -> int:
    """Rows for the GPU pane, frame included; a single line has no frame."""
    return 1 if lines == 1 else max(4, min(lines + 2, most))


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
