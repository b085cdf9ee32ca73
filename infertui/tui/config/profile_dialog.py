"""Asks which numbers of layers on the GPU a study is to measure, and says how many runs that makes."""

from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.markup import escape
from textual.widgets import Static

from infertui.analysis.offload import layers as choices
from infertui.errors import UsageError
from infertui.tui.frame.actions import Action, bindings
from infertui.tui.terminal.capabilities import glyphs
from infertui.tui.terminal.sanitize import plain, safe
from infertui.tui.themes import palette
from infertui.tui.widgets.cells import clock
from infertui.tui.widgets.dialogs import DIALOG_CSS, LineDialog
from infertui.tui.widgets.lines import cut
from infertui.tui.widgets.prompt import LineInput

if TYPE_CHECKING:
    from infertui.runner.control import StudyOutline

QUICK, FULL = "quick", "full"
_NAMED = 12
_WIDTH = 76
"""Of the box, as in dialogs.tcss, its frame and padding included."""


def layers_of_words(typed: str, most: int) -> tuple[int, ...]:
    """The layers that were typed: `quick`, `full`, or a list. Raises UsageError."""
    word = typed.strip().lower()
    if word in (QUICK, FULL):
        return (choices.quick if word == QUICK else choices.full)(most)
    return choices.custom(word, most, where="layers")


def about(layers: tuple[int, ...], seconds: float | None) -> str:
    """How many runs these are, and how long they take if each takes so many seconds."""
    named = ", ".join(str(one) for one in layers[:_NAMED]) + (" and more" if len(layers) > _NAMED else "")
    runs = f"{len(layers)} run{'' if len(layers) == 1 else 's'}: {named}"
    return f"{runs}; about {clock(len(layers) * seconds)}, going by earlier runs" if seconds else runs


class ProfileScreen(LineDialog[tuple[int, ...]]):
    """Returns the layers, or None."""

    ACTIONS: ClassVar[tuple[Action, ...]] = (
        Action("profile.back", "escape", "Back", "queue nothing"),
        Action("profile.other", "down,up", "Other", "quick or full"),
    )
    BINDINGS = bindings(ACTIONS)
    CSS_PATH = DIALOG_CSS
    DEFAULT_CSS = """
    ProfileScreen #profile-place { height: auto; max-height: 4; }
    ProfileScreen #profile-note { height: auto; min-height: 2; max-height: 4; }
    """

    def __init__(self, model: str, outline: "StudyOutline", seconds: float | None) -> None:
        super().__init__(classes="dialog")
        self._model, self._outline, self._seconds = model, outline, seconds

    def compose(self) -> ComposeResult:
        """What there is to choose from, the line to type in, what that makes."""
        signs, colours, most = glyphs(self.app), palette(self.app), self._outline.layers
        room = min(_WIDTH, int(self.app.size.width * 0.98)) - 4
        with Vertical(classes="box") as box:
            box.border_title = escape(safe(f"Profile: layers of {self._model} on the GPU"))
            place = plain(f"{most} layers", colours.title)
            if self._outline.gpu:
                place.append(f" that can be on {safe(self._outline.gpu)}", style=colours.muted)
            else:
                place = plain(f"No layer can be on a GPU: {self._outline.why_none}", colours.warning)
            place.no_wrap = False
            yield Static(place, id="profile-place", markup=False)
            yield Static(plain(""), markup=False)
            for word in (QUICK, FULL):
                line = plain(f"{word:<7}", colours.accent)
                yield Static(
                    cut(line.append(about(layers_of_words(word, most), None)), room, signs.ellipsis), markup=False
                )
            line = plain(f"{'list':<7}", colours.accent).append("as in 0,10,20-40+5; -1 for all")
            yield Static(cut(line, room, signs.ellipsis), markup=False)
            yield Static(plain(""), markup=False)
            yield LineInput(QUICK)
            yield Static(id="profile-note", classes="note", markup=False)
            keys = f"{signs.up}{signs.down} quick or full   enter queue   esc back"
            yield Static(plain(keys), classes="keys", markup=False)

    def on_mount(self) -> None:
        """Type at once, over what is proposed."""
        line = self.query_one(LineInput)
        line.focus()
        line.action_select_all()
        self.tell(line.value)

    def understood(self, typed: str) -> tuple[tuple[int, ...] | None, Text]:
        """The layers, and what they make."""
        colours = palette(self.app)
        try:
            layers = layers_of_words(typed, self._outline.layers)
        except UsageError as error:
            return None, plain(f"{error.message}. {error.remedy}", colours.error)
        if not self._outline.gpu:
            return (0,), plain(f"{about((0,), self._seconds)}; the others would be the same", colours.muted)
        return layers, plain(about(layers, self._seconds), colours.muted)

    def action_other(self) -> None:
        """The other of the two words."""
        line = self.query_one(LineInput)
        line.value = FULL if line.value.strip().lower() == QUICK else QUICK
        line.action_select_all()
