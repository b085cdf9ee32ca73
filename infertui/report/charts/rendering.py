"""From a drawing to files: PNG, SVG for any viewer, and SVG that takes its colours from the page around it."""

import io
import re
import warnings
import xml.etree.ElementTree as ET  # of what matplotlib just wrote, nothing foreign
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from infertui.errors import EngineError
from infertui.report.charts.style import RC, VARIABLES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

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
