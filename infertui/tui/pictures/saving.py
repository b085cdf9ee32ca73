"""Pictures of what is on the screen, in the reports folder: a chart as PNG and SVG, the whole screen as SVG.

A chart is drawn anew from its data. The screen as PNG would take a rasterizer of SVG and its C libraries: browsers and
viewers make one of the SVG.
"""

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infertui.errors import StoreError
from infertui.text import clean, one_line

if TYPE_CHECKING:
    from textual.app import App

    from infertui.chart import ResultChart

FOLDER = "pictures"
_LONGEST, _MOST_TRIES = 48, 1000
# Rich names a font on another host; the fonts after it in the style are those of the reader.
_FONT_FACE = re.compile(r"@font-face\s*\{[^}]*\}\s*")


def chart_at_hand(app: "App[Any]") -> "ResultChart | None":
    """The chart of the screen in front, or of the pane with the focus; None where neither shows one."""
    asked: Callable[[], ResultChart | None] | None = getattr(app.screen, "chart_at_hand", None)
    return _charts_in_view(app) if asked is None else asked()


def _charts_in_view(app: "App[Any]") -> "ResultChart | None":
    """Charts of results, else the live ones, that are in view in the pane with the focus, or on a screen of its own."""
    from infertui.chart import ResultChart
    from infertui.tui.widgets.chart import LineChart
    from infertui.tui.widgets.result_chart import ResultPlot

    focused = app.screen.focused
    panes = [] if focused is None else [one for one in focused.ancestors_with_self if one.has_class("pane")]
    place = panes[0] if panes else app.screen
    for result in place.query(ResultPlot):
        if result.size.height and result.chart is not None:
            return result.chart
    lines = [line.chart for line in place.query(LineChart) if line.size.height]
    panels = tuple(panel for chart in lines if chart is not None for panel in chart.panels)
    return ResultChart(panels, "seconds") if panels else None


def slug(title: str) -> str:
    """A title as a part of a file's name: small letters, digits and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower())[:_LONGEST].strip("-") or "picture"


def save(out: Path, title: str, files: Mapping[str, bytes], *, now: datetime | None = None) -> list[Path]:
    """Write `files`, content by ending, under one new name in the reports folder `out`; nothing is written over.
    Raises StoreError.
    """
    stem = f"{now or datetime.now().astimezone():%Y%m%d-%H%M%S}-{slug(title)}"
    folder = out / FOLDER
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(1, _MOST_TRIES):
            name = stem if number == 1 else f"{stem}-{number}"
            paths = {ending: folder / f"{name}.{ending}" for ending in files}
            if any(path.is_symlink() or path.exists() for path in paths.values()):
                continue
            for ending, path in paths.items():
                with path.open("xb") as file:
                    file.write(files[ending])
            return list(paths.values())
    except OSError as error:
        raise StoreError(f"cannot write a picture into {clean(str(folder))}: {error.strerror or error}") from error
    raise StoreError(f"{clean(str(folder))} holds {_MOST_TRIES:,} pictures of this name")


def draw(chart: "ResultChart", title: str) -> dict[str, bytes]:
    """The chart as PNG and SVG. Takes about a second. Raises MissingMatplotlibError."""
    from infertui.report.charts import levels
    from infertui.report.charts.style import render, require_matplotlib

    require_matplotlib()
    drawn = render(slug(title), one_line(title, 200), lambda: levels.draw(chart))
    return {"png": drawn.png, "svg": drawn.svg.encode()}


def screen_svg(app: "App[Any]", title: str) -> dict[str, bytes]:
    """The screen as it is, in its colours."""
    svg = app.export_screenshot(title=one_line(title, 200))
    return {"svg": _FONT_FACE.sub("", svg).encode("utf-8", "replace")}
