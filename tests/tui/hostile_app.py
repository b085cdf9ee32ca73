"""An application that shows a hostile text in every widget that could; run as a program, in a pty, by the tests.

The texts go into the widgets raw, past `safe`, so that what is tested is the last wall.
"""

import json
import sys
from collections.abc import Hashable

from rich.text import Text
from support.stage import Stage
from textual.app import ComposeResult
from textual.containers import Grid, Vertical
from textual.content import Content
from textual.widget import Widget
from textual.widgets import DataTable, Input, Label, Log, OptionList, RichLog, Static, TextArea

from infertui.tui.terminal.diff import ScreenDiff
from infertui.tui.widgets.chart import LineChart, Mark, Series
from infertui.tui.widgets.gauges import GaugeColumn
from infertui.tui.widgets.rowlist import RowList


class Rows:
    def __init__(self, text: str) -> None:
        self.text = text

    def row_count(self) -> int:
        return 2

    def row_key(self, index: int) -> Hashable:
        return index

    def row_text(self, index: int, width: int) -> Text:
        return Text(self.text)


class HostileApp(Stage):
    CSS = """
    Grid { grid-size: 3; grid-rows: 5; }
    .cell { border: ascii white; height: 5; overflow: hidden; }
    .cell > Widget { height: 3; }
    """

    def __init__(self, text: str, *, theme: str, save: bool) -> None:
        super().__init__(theme=theme)
        self.text = text
        self.saver = ScreenDiff() if save else None

    def _display(self, screen: object, renderable: object) -> None:
        if self.saver is not None:
            renderable = self.saver.wrap(renderable, self.size)
        super()._display(screen, renderable)  # type: ignore[arg-type]

    def compose(self) -> ComposeResult:
        text = self.text
        boxes: list[Widget] = [
            Static(text, markup=False),
            Static(Text(text)),
            Label(Content(text)),
            OptionList(Text(text)),
            DataTable[Text](),
            RichLog(),
            Log(),
            Input(text, compact=True, placeholder=text),
            TextArea(text),
            RowList(Rows(text)),
            GaugeColumn(),
            LineChart(),
            Static("titled"),
            Static("titled"),
        ]
        with Grid():
            for box in boxes:
                with Vertical(classes="cell"):
                    yield box

    def on_mount(self) -> None:
        text = self.text
        table = self.query_one(DataTable)
        table.add_column(Text(text))
        table.add_row(Text(text))
        self.query_one(RichLog).write(text)
        self.query_one(RichLog).write(Text(text))
        self.query_one(Log).write_line(text)
        self.query_one(GaugeColumn).set_cells([Text(text)] * 3)
        last = list(self.query(".cell").results(Vertical))[-1]
        last.border_title = Text(text)
        last.border_subtitle = Text(text)
        self.notify(text, title=text, markup=False, timeout=60)
        self.call_after_refresh(self.draw)

    def draw(self) -> None:
        text = self.text
        chart = self.query_one(LineChart)
        chart.set_series([Series([(0, 1), (1, 2)], label=text)], (0, 1), text, text, marks=[Mark(0.5, text)])
        self.call_after_refresh(self.ready)

    def ready(self) -> None:
        self.set_timer(0.02, lambda: self.exit(message="<ready>"))

    def action_pwn(self) -> None:
        self.exit(message="<pwned>")


def main() -> None:
    """Show one text after the other, each in an application of its own."""
    what = json.loads(sys.argv[1])
    for text in what["texts"]:
        app = HostileApp(text, theme=what["theme"], save=what["save"])
        app.run()
        if app.return_code:
            sys.exit(app.return_code)


if __name__ == "__main__":
    main()
