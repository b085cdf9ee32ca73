"""How charts look: sizes, type, and colours that colour-blind readers tell apart, by light and by dark."""

from typing import TYPE_CHECKING, Any

from infertui.text import clean, shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure
    from matplotlib.ticker import Locator

INK, MUTED, GRID, PAPER, WINDOW = "#1f2328", "#59636e", "#d1d9e0", "#ffffff", "#f7ecc9"
# Okabe and Ito's colours (2008), the two faint ones of them darkened so that all have 3:1 against white.
SERIES = ("#0072b2", "#d55e00", "#009e73", "#a8467f", "#8a6d00", "#5f6b7a")
MARKERS = ("o", "s", "^", "D", "v", "P")
IDLE = "#9cc9e3"
"""A lighter part of the first series."""

VARIABLES = {
    INK: ("ink", "#e6edf3"), MUTED: ("muted", "#9aa4af"), GRID: ("grid", "#3a424c"), PAPER: ("paper", "#0f1318"),
    WINDOW: ("window", "#3b3520"), IDLE: ("idle", "#2b5a7a"),
    SERIES[0]: ("s1", "#5bb4f0"), SERIES[1]: ("s2", "#ff8c4b"), SERIES[2]: ("s3", "#3fd0a4"),
    SERIES[3]: ("s4", "#e79ac6"), SERIES[4]: ("s5", "#e8c547"), SERIES[5]: ("s6", "#a9b4c0"),
}  # fmt: skip
"""Each colour by light: the name of its CSS variable, and the colour by dark."""

WIDTH = 6.0
"""Inches. A figure is 432 points wide: on a phone its smallest type is still near 8 pixels."""
SMALL, NORMAL, HEADING = 9.0, 9.5, 10.5

# text.parse_math: a `$` in a run's name is a dollar sign.
RC: dict[str, Any] = {
    "axes.prop_cycle": f"cycler('color', {list(SERIES)!r})",
    "axes.axisbelow": True, "axes.edgecolor": GRID, "axes.facecolor": "none", "axes.grid": True,
    "axes.labelcolor": MUTED,
    "axes.labelsize": SMALL, "axes.linewidth": 0.8, "axes.spines.right": False, "axes.spines.top": False,
    "axes.titlecolor": INK, "axes.titlelocation": "left", "axes.titlesize": NORMAL, "axes.titleweight": "bold",
    "axes.unicode_minus": True, "figure.dpi": 72, "figure.facecolor": PAPER, "font.family": ["DejaVu Sans"],
    "font.size": NORMAL, "grid.color": GRID, "grid.linewidth": 0.6, "hatch.linewidth": 0.8, "legend.fontsize": SMALL,
    "legend.frameon": False, "legend.labelcolor": INK, "lines.linewidth": 1.4, "savefig.dpi": 144,
    "savefig.facecolor": PAPER, "svg.fonttype": "none", "text.color": INK, "text.parse_math": False,
    "text.usetex": False, "xtick.color": MUTED, "xtick.labelcolor": MUTED, "xtick.labelsize": SMALL,
    "ytick.color": MUTED, "ytick.labelcolor": MUTED, "ytick.labelsize": SMALL,
}  # fmt: skip

TIMES = ((1.0, "s", 1.0), (1e-3, "ms", 1e3), (0.0, "us", 1e6))


def figure(height: float) -> "Figure":
    """An empty figure of so many inches. It must be made and saved under `RC`."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    made = Figure(figsize=(WIDTH, height), layout="constrained")
    FigureCanvasAgg(made)
    return made


def text_of(text: str, width: int) -> str:
    """Foreign text as a chart takes it: one line without control characters, cut to `width` characters."""
    return shorten(clean(text).strip(), width)


def time_unit(seconds: float) -> tuple[str, float]:
    """The unit in which durations up to `seconds` read best, and how many of them a second has."""
    return next((name, factor) for least, name, factor in TIMES if seconds >= least)


def round_ticks(count: int) -> "Locator":
    """At most so many ticks, at round numbers."""
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(nbins=count, steps=[1, 2, 5, 10])


def logarithmic(axis: "Axis") -> None:
    """Ticks of a logarithmic axis at 1, 2 and 5, written out."""
    from matplotlib.ticker import LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0), numticks=10))
    axis.set_minor_formatter(NullFormatter())


def written_out(axis: "Axis") -> None:
    """Numbers with thousands separated, none of them as a power."""
    from matplotlib.ticker import FuncFormatter

    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}" if abs(value) < 1e6 else f"{value:,.0f}"))


def rows_only(axes: "Axes", rows: int) -> None:
    """Give `rows` rows, the first on top, a value axis below and nothing on the left."""
    axes.set_ylim(rows - 0.5, -0.62)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.grid(visible=True, axis="x")
