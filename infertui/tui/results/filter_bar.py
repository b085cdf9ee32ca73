"""The filter of the Results pane: the line in which it is typed, and what is wrong with it."""

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.widgets import Input, Static

from infertui.metrics.filter import FilterError, parse
from infertui.tui.terminal.sanitize import safe
from infertui.tui.themes import palette
from infertui.tui.widgets.prompt import LineInput


class FilterBar(Vertical):
    """What is typed acts at once, as far as it makes sense. Takes no room unless something is typed."""

    DEFAULT_CSS = """
    FilterBar { height: auto; }
    FilterBar #results-filter { height: 1; display: none; }
    FilterBar #results-filter Static { width: 2; height: 1; }
    FilterBar #results-filter LineInput { width: 1fr; height: 1; }
    FilterBar #results-filter-error { height: auto; display: none; }
    """

    class Changed(Message):
        """`words` is another filter."""

    class Closed(Message):
        """Nothing more is typed: whoever put the bar there gives the focus back."""

    def __init__(self) -> None:
        super().__init__()
        self.words = ""
        """The last filter that made sense."""

    def compose(self) -> ComposeResult:
        """The line, and beneath it what is wrong."""
        with Horizontal(id="results-filter"):
            yield Static("/ ", markup=False)
            yield LineInput(placeholder="llama  batch_size>=4  ttft<50ms  flag:power-cap  !state:failed")
        yield Static("", id="results-filter-error", markup=False)

    def open(self) -> None:
        """Type a filter, beginning with the one there is."""
        self.query_one("#results-filter").display = True
        line = self.query_one(LineInput)
        line.value = self.words
        line.cursor_position = len(line.value)
        line.focus()

    def use(self, text: str) -> None:
        """Filter by `text`; where it makes no sense, say so and keep the filter there is."""
        try:
            parse(text)
        except FilterError as error:
            self._tell(error.message)
            return
        self._tell("")
        self.words = text.strip()
        self.post_message(self.Changed())

    def _tell(self, problem: str) -> None:
        shown = self.query_one("#results-filter-error", Static)
        if problem or shown.display:
            shown.update(Text(safe(problem), style=palette(self.app).error))
            shown.display = bool(problem)

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        event.stop()
        self.use(event.value)

    @on(Input.Submitted)
    def _kept(self, event: Input.Submitted) -> None:
        event.stop()
        self._close()

    @on(LineInput.Cancelled)
    def _cleared(self, event: LineInput.Cancelled) -> None:
        event.stop()
        self.use("")
        self._close()

    def _close(self) -> None:
        self.query_one("#results-filter").display = False
        self._tell("")
        self.post_message(self.Closed())
