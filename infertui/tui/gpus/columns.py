"""How devices are laid out as rows of gauge cells: which columns fit, and how many lines that takes."""

from collections.abc import Sequence

from msgspec import Struct

from infertui.telemetry.readings import GpuInfo
from infertui.tui.gpus.history import QuantityKey
from infertui.tui.widgets.cells import Align

FEW = 2
"""So many devices leave room for their history."""
HISTORY_LINES = 7
TEMP_OF_LIMIT = 10
"""From this width on a temperature stands against the one at which the driver slows the clocks down."""
_MANY = 8
_NARROW = 60
_ROOMY = 96
_WIDEST_ROW = 170
_LONGEST_NAME = 25
_GOOD_SPARK = 24


class GpuColumn(Struct, frozen=True):
    """One gauge column. `width` includes the gap that follows it."""

    key: str
    title: str
    width: int
    align: Align = "left"


class Plan(Struct, frozen=True):
    """How devices are laid out: `across` of them per line, each with these columns, `lines` lines at a time."""

    across: int
    lines: int
    header: bool
    columns: tuple[GpuColumn, ...]


class GaugeKind(Struct, frozen=True):
    """What a column can be: from `least` to `most` cells wide; the lower its `rank`, the sooner it has a place."""

    key: str
    title: str
    least: int
    most: int
    rank: int
    align: Align = "left"


# Figures that change with every reading stand side by side: a jump between two costs more than a few cells.
_WIDE_KINDS = (
    GaugeKind("index", "GPU", 5, 8, 0),
    GaugeKind("name", "name", 8, _LONGEST_NAME, 11),
    GaugeKind("vram-bar", "VRAM", 6, 18, 8),
    GaugeKind("vram", "used/total", 11, 11, 2, "right"),
    GaugeKind("power", "power", 10, 10, 3, "right"),
    GaugeKind("temp", "temp", 7, TEMP_OF_LIMIT, 4, "right"),
    GaugeKind("clock", "MHz", 6, 6, 9, "right"),
    GaugeKind("traffic", "rx/tx", 13, 13, 10, "right"),
    GaugeKind("util", "util", 6, 6, 1, "right"),
    GaugeKind("spark", "", 20, 60, 5),
    GaugeKind("limits", "throttle", 9, 14, 6),
    GaugeKind("run", "run", 8, 40, 12),
)
_NARROW_KINDS = (
    GaugeKind("index", "GPU", 4, 6, 0),
    GaugeKind("vram-used", "VRAM", 7, 7, 1, "right"),
    GaugeKind("watts", "power", 6, 6, 3, "right"),
    GaugeKind("temp", "temp", 6, 6, 5, "right"),
    GaugeKind("util", "util", 5, 6, 2, "right"),
    GaugeKind("spark", "", 5, 40, 4),
    GaugeKind("limits", "thr", 6, 14, 6),
)
_OWN_FIGURE: dict[QuantityKey, str] = {"clock": "clock", "pcie": "traffic", "nvlink": "traffic"}
"""The figure beside the sparkline, of quantities that do not have one anyway."""


def plan(
    width: int, height: int, devices: Sequence[GpuInfo], shown: QuantityKey = "util", *, traffic: bool = False
) -> Plan:
    """The layout of `devices` in so many cells and lines: one per line where they fit, else two, else fewer shown.

    `shown` is the quantity of the sparklines; `traffic`: some device tells what crosses its links.
    """
    count = max(1, len(devices))
    across = 2 if count > height and width >= 2 * 34 else 1
    lines = -(-count // across)
    header = height > lines
    visible = max(1, min(lines, height - header))
    label = max((_label_width(info) for info in devices), default=1)
    name = max((len(short_name(info)) for info in devices), default=0)
    return Plan(
        across, visible, header, _columns(min(_WIDEST_ROW, width // across), label, name, shown, traffic=traffic)
    )


def wanted_lines(width: int, devices: Sequence[GpuInfo]) -> int:
    """Lines for all devices with header and the machine's line, and a history where there are few; at most 18."""
    across = 2 if width < _ROOMY and len(devices) > _MANY and width >= 2 * 34 else 1
    history = HISTORY_LINES if shows_history(width, devices) else 0
    return min(-(-len(devices) // across), 16) + 2 + history


def shows_history(width: int, devices: Sequence[GpuInfo]) -> bool:
    """Whether a history stands below the devices without being asked for: where they leave the room for it."""
    return 0 < len(devices) <= FEW and width >= _ROOMY - 2


def _label_width(info: GpuInfo) -> int:
    return len(info.label) + (info.parent is not None)


def short_name(info: GpuInfo) -> str:
    """What NVIDIA calls it, without saying so."""
    return info.name.removeprefix("NVIDIA ")


def _columns(width: int, label: int, name: int, shown: QuantityKey, *, traffic: bool) -> tuple[GpuColumn, ...]:
    kinds = _WIDE_KINDS if width >= _NARROW else _NARROW_KINDS
    told = [kind for kind in kinds if traffic or kind.key != "traffic"]
    widths: dict[str, int] = {}
    left = width
    for kind in sorted(told, key=lambda kind: 1 if kind.key == _OWN_FIGURE.get(shown) else kind.rank):
        least = min(label + 3, width) if kind.key == "index" else kind.least
        if least <= left:
            widths[kind.key] = least
            left -= least
    # What is left over goes to the names, then round, a cell at a time, so that bars grow alike.
    if "name" in widths:
        longer = max(0, min(name + 1 - widths["name"], _LONGEST_NAME - widths["name"], left // 2))
        widths["name"] += longer
        left -= longer
    for key, good in (("spark", _GOOD_SPARK), ("temp", TEMP_OF_LIMIT)):
        if key in widths and kinds is _WIDE_KINDS:
            longer = max(0, min(good - widths[key], left))
            widths[key] += longer
            left -= longer
    growing = [kind for kind in kinds if kind.key in widths and kind.key not in ("index", "name")]
    while left and (growing := [kind for kind in growing if widths[kind.key] < kind.most]):
        for kind in growing[:left]:
            widths[kind.key] += 1
        left -= min(left, len(growing))
    return tuple(GpuColumn(kind.key, kind.title, widths[kind.key], kind.align) for kind in kinds if kind.key in widths)
