"""How charts look: sizes, type, and colours that colour-blind readers tell apart, by light and by dark.

And their files: PNG, SVG for any viewer, SVG that takes its colours from the page around it.
"""

import io
import re
import warnings
import xml.etree.ElementTree as ET
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from infertui.errors import EngineError
from infertui.text import one_line

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


def figure(height: float) -> "Figure":
    """An empty figure of so many inches. It must be made and saved under `RC`."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    made = Figure(figsize=(WIDTH, height), layout="constrained")
    FigureCanvasAgg(made)
    return made


def multiples(count: int, row: float) -> "tuple[Figure, list[Axes], int]":
    """A figure of so many panels, two side by side, in rows of that many inches; the panels, and how many a row has."""
    across = 2 if count > 1 else 1
    down = -(-count // across)
    made = figure(row * down + 0.3)
    cells = list(made.subplots(down, across, squeeze=False).flat)
    for axes in cells[count:]:
        axes.set_visible(False)
    return made, cells[:count], across


def text_of(text: str, width: int) -> str:
    """Foreign text as a chart takes it: one line without control characters, cut to `width` characters."""
    return one_line(text.strip(), width)


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


_SVG = "http://www.w3.org/2000/svg"
_XLINK = "http://www.w3.org/1999/xlink"
_COLOUR = re.compile("#[0-9a-f]{6}", re.IGNORECASE)
_REFERENCE = re.compile(r"url\(#([^)]+)\)")
# Attributes of numbers; the hundredth of a point is enough.
_NUMERIC = frozenset({"d", "x", "y", "x1", "y1", "x2", "y2", "transform", "width", "height"})
_LONG = re.compile(r"-?[0-9]+\.[0-9]{3,}")
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, 'DejaVu Sans', sans-serif"
_COLOURS = 256


class Drawing(Struct, frozen=True):
    """One chart. `svg` is a file of its own on white; `inline` belongs into a page that defines the colours."""

    png: bytes
    svg: str
    inline: str


class MissingMatplotlibError(EngineError):
    """Charts were asked for, and matplotlib is not installed."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"charts need matplotlib, which cannot be imported: {reason}",
            remedy="pip install 'infertui[report]', or write the report without them: --no-charts.",
        )


def require_matplotlib() -> None:
    """Raises MissingMatplotlibError where charts cannot be drawn."""
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise MissingMatplotlibError(str(error)) from error


def render(name: str, alt: str, draw: Callable[[], "Figure"]) -> Drawing:
    """Draw; the same input gives the same bytes. `name` keeps the ids within the SVG apart from other charts'."""
    import matplotlib as mpl

    settings: dict[Any, Any] = {**RC, "svg.hashsalt": name}
    with mpl.rc_context(settings), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")  # a PNG shows a box, an SVG the character
        made = draw()
        made.draw_without_rendering()
        made.set_layout_engine("none")  # laid out, and for both files alike
        png, svg = io.BytesIO(), io.BytesIO()
        made.savefig(png, format="png", metadata={"Software": None})
        made.savefig(svg, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    root = ET.fromstring(svg.getvalue())  # noqa: S314 (our own)
    return Drawing(_reduced(png.getvalue()), _own_file(root, name, alt), _inline(root))


def _reduced(png: bytes) -> bytes:
    """With a palette: a third of the size, and no difference to be seen in a chart."""
    from PIL import Image

    small = io.BytesIO()
    with Image.open(io.BytesIO(png)) as image:
        image.convert("RGB").quantize(_COLOURS, dither=Image.Dither.NONE).save(small, format="PNG", optimize=True)
    return small.getvalue()


def _own_file(root: ET.Element, name: str, alt: str) -> str:
    """Without what names other files or hosts, and with its text as text in whichever font is there."""
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag == f"{{{_SVG}}}metadata":
                parent.remove(child)
    used = {match for element in root.iter() for text in element.attrib.values() for match in _REFERENCE.findall(text)}
    used |= {element.attrib.get(f"{{{_XLINK}}}href", "").removeprefix("#") for element in root.iter()}
    for element in root.iter():
        if element.tag != f"{{{_SVG}}}text":
            element.text = None if not (element.text or "").strip() else element.text
        element.tail = None
        for key in _NUMERIC.intersection(element.attrib):
            element.set(key, _LONG.sub(_rounded, element.attrib[key]))
        if (own := element.attrib.pop("id", "")) in used and own:
            element.set("id", f"{name}-{own}")
        for key, text in list(element.attrib.items()):
            if key == f"{{{_XLINK}}}href":
                element.set(key, f"#{name}-{text.removeprefix('#')}")
            else:
                moved = _REFERENCE.sub(lambda match: f"url(#{name}-{match[1]})", text)
                element.set(key, moved.replace("'DejaVu Sans'", _FONT) if key == "style" else moved)
    root.set("role", "img")
    root.set("aria-label", alt)
    title = ET.Element(f"{{{_SVG}}}title")
    title.text = alt
    root.insert(0, title)
    return _text(root)


def _inline(root: ET.Element) -> str:
    """The same with the page's colours; `root` is the SVG as a file of its own."""
    for element in root.iter():
        for key in ("style", "fill", "stroke"):
            if key in element.attrib:
                element.set(key, _COLOUR.sub(_variable, element.attrib[key]))
    root.attrib.pop("height", None)
    root.attrib.pop("width", None)
    return _text(root)


def _rounded(match: re.Match[str]) -> str:
    return f"{float(match[0]):.2f}".rstrip("0").rstrip(".")


def _variable(match: re.Match[str]) -> str:
    known = VARIABLES.get(match[0].lower())
    return f"var(--{known[0]})" if known else match[0]


def _text(root: ET.Element) -> str:
    ET.register_namespace("", _SVG)
    ET.register_namespace("xlink", _XLINK)
    return ET.tostring(root, encoding="unicode") + "\n"
