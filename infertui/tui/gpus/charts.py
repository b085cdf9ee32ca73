"""The last minutes of a device, or of the machine, as charts side by side."""

from collections.abc import Sequence
from math import floor

from textual.containers import Horizontal

from infertui.tui.gpus.history import Track
from infertui.tui.widgets.cells import past_span
from infertui.tui.widgets.chart import LineChart, Series

_CHARTS = 4
_CHART_CELLS = 28
_AXIS_CELLS = 6


class HistoryCharts(Horizontal):
    """As many charts as there is room for, on one time axis that ends with the newest reading."""

    DEFAULT_CSS = """
    HistoryCharts { height: 0; width: 1fr; }
    HistoryCharts > LineChart { width: 1fr; height: 1fr; }
    """

    def __init__(self) -> None:
        self._charts = [LineChart() for _ in range(_CHARTS)]
        super().__init__(*self._charts)
        self.rows = 0
        """Lines that it takes."""

    def show_tracks(self, tracks: Sequence[Track], rows: int) -> None:
        """Show the first of `tracks` in so many lines; none: it takes no room."""
        if self.rows != rows:
            self.rows = rows
            self.styles.height = rows
        width = self.size.width or (self.parent.size.width if self.parent else 0)  # type: ignore[attr-defined]
        across = max(1, min(_CHARTS, len(tracks), width // _CHART_CELLS)) if tracks and rows else 0
        ends = [points[at][0] for track in tracks for _, _, points in track.lines if points for at in (0, -1)]
        newest = max(ends, default=0.0)
        span = past_span(newest - min(ends, default=0.0))
        # The newest reading stands in the last column. All move on a column at a time, as each time is a repaint.
        step = span / max(1, width // max(1, across) - _AXIS_CELLS)
        edge = (floor(newest / step) + 1) * step
        for index, chart in enumerate(self._charts):
            if chart.display != (index < across):
                chart.display = index < across
            if index < across:
                track = tracks[index]
                series = [
                    Series([(x - edge, y) for x, y in points], style, name) for name, style, points in track.lines
                ]
                chart.set_series(series, (-span, 0.0), track.name, track.unit, y_range=track.y_range)
