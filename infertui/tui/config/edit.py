"""A line of the form while it is typed into."""

from infertui.errors import ConfigError
from infertui.tui.config import values
from infertui.tui.config.form import Form
from infertui.tui.config.view import Row


class Typing:
    """What is typed into `row` of the form, judged at every key and taken over at the end.

    `shown` is the text that the line began with as it can be shown: what is left as it was changes nothing, not even a
    value that cannot be shown whole. With `fresh_axis` the field became an axis for this, and `leave` takes that back.
    """

    def __init__(self, form: Form, row: Row, shown: str, *, fresh_axis: bool = False) -> None:
        self.row = row
        self._form = form
        self._shown = shown
        self._fresh_axis = fresh_axis

    def problem(self, text: str) -> str:
        """What is wrong with `text`; empty where nothing is."""
        if text == self._shown or (self.row.kind == "new-label" and not text.strip()):
            return ""
        try:
            if self.row.kind == "new-label":
                values.label_of(text)
            else:
                self._form.check(self.row.path, text)
        except ConfigError as error:
            return values.explain(error)
        return ""

    def take(self, text: str) -> bool:
        """Take `text` over; False where there is something wrong with it, or nothing new."""
        if self.problem(text) or text == self._shown or (self.row.kind == "new-label" and not text.strip()):
            return False
        if self.row.kind == "new-label":
            self._form.add_label(text)
        else:
            self._form.set_text(self.row.path, text)
        return True

    def leave(self) -> None:
        """Nothing of it counts."""
        if self._fresh_axis:
            self._form.undo()
