"""What a tuning session asks for in a line: a value of a knob, and how long a climb may take."""

from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.markup import escape
from textual.widgets import Static

from infertui.analysis.tuning.knobs import Knob, text_of
from infertui.config.fields import Value, parse_text
from infertui.errors import ConfigError
from infertui.tui.frame.actions import Action, bindings
from infertui.tui.terminal.sanitize import plain, safe
from infertui.tui.themes import palette
from infertui.tui.widgets.dialogs import DIALOG_CSS, LineDialog
from infertui.tui.widgets.prompt import LineInput

BUDGET_S = 120.0
MOST_BUDGET_S = 86400.0


class _KnobDialog:
    """The parts of both."""

    def __init__(self, knob: Knob) -> None:
        self.knob = knob

    def parts(self, title: str, proposed: str) -> ComposeResult:
        """A box with the line, what it means, and the keys."""
        with Vertical(classes="box") as box:
            box.border_title = escape(safe(title))
            words = plain(f"{self.knob.description}; {self.knob.allowed}")
            words.no_wrap = False
            yield Static(words, classes="question", markup=False)
            yield LineInput(proposed)
            yield Static(classes="note", markup=False)
            yield Static(plain("enter take it   esc back"), classes="keys", markup=False)


class ValueScreen(LineDialog["bool | float | str"]):
    """Returns a value that the knob takes, or None."""

    ACTIONS: ClassVar[tuple[Action, ...]] = (Action("tuning-value.back", "escape", "Back", "leave it as it is"),)
    BINDINGS = bindings(ACTIONS)
    CSS_PATH = DIALOG_CSS
    DEFAULT_CSS = "ValueScreen .note { height: auto; min-height: 1; max-height: 4; }"

    def __init__(self, knob: Knob) -> None:
        super().__init__(classes="dialog")
        self._dialog = _KnobDialog(knob)

    def compose(self) -> ComposeResult:
        """The present value, to be typed over."""
        yield from self._dialog.parts(self._dialog.knob.key, text_of(self._dialog.knob.value))

    def on_mount(self) -> None:
        """Type at once."""
        line = self.query_one(LineInput)
        line.focus()
        line.action_select_all()
        self.tell(line.value)

    def understood(self, typed: str) -> tuple[Value | None, Text]:
        """The value, or why it is none."""
        try:
            value = parse_text(self._dialog.knob.key, typed.strip())
        except ConfigError as error:
            return None, plain(f"{error.problem}; {self._dialog.knob.allowed}", palette(self.app).error)
        return value, plain(f"default {text_of(self._dialog.knob.default)}", palette(self.app).muted)

    def tell(self, typed: str) -> Value | None:
        """0 and false are answers, too."""
        answer, text = self.understood(typed)
        text.no_wrap = False
        self.query_one(".note", Static).update(text)
        return answer

    def on_input_submitted(self, event: LineInput.Submitted) -> None:
        """Take the value, which may be 0 or false."""
        event.stop()
        if (answer := self.tell(event.value)) is not None:
            self.dismiss(answer)


class BudgetScreen(LineDialog[float]):
    """Returns the seconds that a climb may take, or None."""

    ACTIONS: ClassVar[tuple[Action, ...]] = (Action("tuning-budget.back", "escape", "Back", "do not climb"),)
    BINDINGS = bindings(ACTIONS)
    CSS_PATH = DIALOG_CSS
    DEFAULT_CSS = "BudgetScreen .note { height: auto; min-height: 1; max-height: 3; }"

    def __init__(self, knob: Knob, proposed: float) -> None:
        super().__init__(classes="dialog")
        self._dialog, self._proposed = _KnobDialog(knob), proposed

    def compose(self) -> ComposeResult:
        """What is proposed."""
        yield from self._dialog.parts(f"Climb along {self._dialog.knob.label}: seconds", f"{self._proposed:g}")

    def on_mount(self) -> None:
        """Type at once."""
        line = self.query_one(LineInput)
        line.focus()
        line.action_select_all()
        self.tell(line.value)

    def understood(self, typed: str) -> tuple[float | None, Text]:
        """The seconds."""
        colours = palette(self.app)
        try:
            seconds = float(typed)
        except ValueError:
            seconds = 0.0
        if not 0 < seconds <= MOST_BUDGET_S:
            return None, plain(f"a number of seconds above 0, at most {MOST_BUDGET_S:g}", colours.error)
        return seconds, plain("it tries values up and down, and stays at the best", colours.muted)
