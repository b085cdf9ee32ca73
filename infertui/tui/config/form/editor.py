"""The form under the keys: values stepped through, swept, typed."""

from typing import TYPE_CHECKING

from textual import on
from textual.events import DescendantBlur
from textual.message import Message

from infertui.config.fields import FIELDS, field_of
from infertui.config.parse import FlatValue
from infertui.errors import ConfigError
from infertui.tui.config import engines
from infertui.tui.config.form import values
from infertui.tui.config.form.form import Form
from infertui.tui.config.form.form_list import FormList
from infertui.tui.config.form.groups import ADVANCED, LABELS
from infertui.tui.config.form.options import download_hint
from infertui.tui.config.form.view import FormLayout, FormRow, Typing
from infertui.tui.frame.actions import sign
from infertui.tui.frame.context import AppContext
from infertui.tui.terminal.sanitize import safe
from infertui.tui.widgets.rowlist import GUTTER, RowList

if TYPE_CHECKING:
    from textual.widgets import Input

    from infertui.tui.widgets.prompt import LineInput


class FieldText:
    """What is typed into `row` of the form, judged at every key and taken over at the end.

    `shown` is the text that the line began with as it can be shown: what is left as it was changes nothing, not even a
    value that cannot be shown whole. With `fresh_axis` the field became an axis for this, and `leave` takes that back.
    """

    def __init__(
        self, form: Form, row: FormRow, shown: str, *, fresh_axis: bool = False, resumed: bool = False
    ) -> None:  # fmt: skip
        self.row = row
        self._form = form
        self._shown = shown
        self.fresh_axis = fresh_axis
        self._resumed = resumed

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
        if self.fresh_axis and self._resumed:  # what was undone there would be all that came back
            self._form.unsweep(self.row.path)
        elif self.fresh_axis:
            self._form.undo()


class FormEditor(FormList):
    """Changes the form by what is done to the row with the cursor, and says what will not work with a new value."""

    DEFAULT_CSS = "FormEditor #config-edit { layer: typed; position: absolute; width: 10; height: 1; }"

    class ChoiceWanted(Message):
        """Enter on a field that may have values to choose from; `edit` is for one that has not."""

        def __init__(self, key: str) -> None:
            super().__init__()
            self.key = key

    class Typed(Message):
        """What is being typed is another text, or nothing is any more."""

    def __init__(self, app_context: AppContext, form: Form) -> None:
        super().__init__(app_context, form)
        self._typing: FieldText | None = None
        self._resting = False
        """Whether the line was left half typed the last time, and nobody has gone on with it."""

    @property
    def typing(self) -> Typing | None:
        """What is being typed."""
        lines = self.query("#config-edit") if self._typing is not None else ()
        if self._typing is None or not lines:
            return None
        return Typing(self._typing.row.id, str(getattr(lines[0], "value", "")), self._typing.fresh_axis)

    def draw(self) -> None:
        """Draw the lines, and what is typed over one of them."""
        super().draw()
        if self.view.editing and self.is_attached:
            errors = (index for index, row in enumerate(self.rows) if row.kind == "error")
            self._bring_into_view(max(errors, default=0))
            self.call_after_refresh(self._place_line)

    def put(self, key: str, value: FlatValue) -> None:
        """Give `key` a value, and say what goes with that. Raises ConfigError."""
        assert not isinstance(value, list)  # noqa: S101
        note = self.form.set(key, value)
        if note:
            self.app_context.say(note)
        self._warn(key)

    def _warn(self, key: str) -> None:
        """Say at once what will not work with a value that was chosen all the same."""
        remark = None if self.form.is_swept(key) else self.knowledge.remark(key, self.form.values)
        if remark is None or remark.standing != "warning":
            return
        text = self.form.text(key)
        here = {model.id for model in self.knowledge.models or ()}
        if key == "model.id" and self.knowledge.is_missing(text) and text not in here:
            self.app_context.say(download_hint(text), "warning")
        else:
            self.app_context.say(f"{text}: {remark.text}", "warning")

    # The row with the cursor.

    def step(self, direction: int) -> None:
        """The next choice or number (`direction` 1), or the one before (-1); folds and unfolds headings."""
        row, key = self.row, self.key
        if row is not None and row.kind == "heading":
            self.fold(row.group, folded=direction < 0)
        if not key or (field := field_of(key)) is None:
            return
        if self.form.is_swept(key):
            self.app_context.say(f"This field is an axis: enter edits its values, {self._sweep_sign} ends it.")
            return
        value = self.form.values.get(key, "")
        if isinstance(value, list):
            return
        words = self.knowledge.options(key) or engines.words(self.form.values, key)
        after = values.step(field, value, direction, words)
        if after is None:
            self.app_context.say("This field is free text: enter edits it.")
        elif after != value:
            self.put(key, after)

    def switch(self) -> None:
        """Switch a boolean; fold a heading."""
        row, key = self.row, self.key
        field = field_of(key) if key else None
        if row is not None and row.kind == "heading":
            self.fold(row.group)
        elif field is not None and (field.type in ("boolean", "choice") or key == "device.name"):
            self.step(1)

    def reset(self) -> None:
        """Back to what was loaded; a label of one's own goes away."""
        key = self.key
        if not (key and self.form.reset(key)) and key.startswith("labels."):
            self.form.remove(key)

    def sweep(self) -> None:
        """Make the field an axis and edit its values, or give it its plain value back."""
        key = self.key
        if not key or key not in self.form.values:
            return
        if self.form.is_swept(key):
            self.form.unsweep(key)
            return
        self.form.sweep(key)
        self.edit(fresh_axis=True)

    def arrange_axes(self) -> None:
        """Grid or zip."""
        if self.form.axes():
            self.form.rearrange()
        else:
            self.app_context.say(f"There is no sweep: {self._sweep_sign} makes the field under the cursor an axis.")

    @property
    def _sweep_sign(self) -> str:
        return sign(self.app_context.settings.keys, "config.sweep", "A")

    @on(RowList.Chosen)
    def _chosen(self, event: RowList.Chosen) -> None:
        event.stop()
        row, key = self.row, self.key
        if row is None:
            return
        if row.kind == "heading":
            self.fold(row.group)
        elif (
            (self._resting and row.id == self.view.editing)
            or row.kind == "new-label"
            or (key and self.form.is_swept(key))
        ):
            self.edit()
        elif (field := field_of(key) if key else None) is not None:
            if field.type == "boolean":
                self.step(1)
            else:
                self.post_message(self.ChoiceWanted(key))

    # Typing.

    def resume(self, left: Typing) -> None:
        """Show a line that was left half typed. The keys go there again with enter on its row: until then they mean
        what they always do."""
        if left.row in FIELDS:
            self.go_to(left.row)
        elif left.row not in self.places:
            self.view.toggled |= {ADVANCED: False, LABELS: False}
            self.draw()
        if left.row not in self.places:
            return
        self.list.cursor = self.places[left.row]
        self.edit(fresh_axis=left.fresh_axis, text=left.text)
        self._resting = True

    def edit(self, *, fresh_axis: bool = False, text: str | None = None) -> None:
        """Put a line to type in over the value of the row with the cursor; `text` was typed there before."""
        row = self.row
        if row is not None and self._resting and self.view.editing != row.id:
            self.leave_typing()
            self.call_after_refresh(self.edit, fresh_axis=fresh_axis)  # once the other line is gone
            return
        if row is None or self.view.editing:
            self._resting = False
            self.focus_line()
            return
        self.end_find()
        self.view.editing, self.view.error = row.id, ""
        shown = "" if row.kind == "new-label" else safe(self.form.text(row.path))
        self._typing = FieldText(self.form, row, shown, fresh_axis=fresh_axis, resumed=text is not None)
        from infertui.tui.widgets.prompt import LineInput

        line = LineInput(
            shown if text is None else text,
            placeholder="key = value" if row.kind == "new-label" else "",
            id="config-edit",
        )
        if text is None:
            line.select_all()  # the first key replaces what stands there, left and right go on from it
        else:
            line.cursor_position = len(line.value)
        self.mount(line)
        self._place_line()
        if text is None:
            line.focus()
        self.post_message(self.Typed())

    def focus_line(self) -> None:
        """The keys go to what is being typed, else to the list."""
        typed = self.query("#config-edit, #config-find")
        (typed.first() if typed and not self._resting else self.list).focus()

    @property
    def unfinished(self) -> str:
        """What is wrong with a line that is still being typed; empty for none, or where it could be taken."""
        left = self.typing
        return self._typing.problem(left.text) if left is not None and self._typing is not None else ""

    def leave_typing(self) -> None:
        """Nothing that is being typed counts."""
        self._end_edit(None, refocus=True)
        self.end_find()

    def _place_line(self) -> None:
        lines = self.query("#config-edit")
        if not lines or self.view.editing not in self.places:
            return
        layout = FormLayout(self.list.row_width)
        at = GUTTER + layout.value_at
        row = self.places[self.view.editing] - self.list.top
        area, inside = self.list.region, self.content_region
        line = lines.first()
        line.styles.offset = (area.x - inside.x + at, area.y - inside.y + row)
        line.styles.width = max(4, self.list.row_width - layout.value_at)

    def on_input_changed(self, event: "Input.Changed") -> None:
        """Something was typed."""
        event.stop()
        if event.input.id == "config-find":
            self._find_typed(event.value)
            return
        self.post_message(self.Typed())
        problem = self._typing.problem(event.value) if self._typing else ""
        event.input.set_class(bool(problem), "-invalid")
        if problem != self.view.error:
            self.view.error = problem
            self.draw()

    def on_input_submitted(self, event: "Input.Submitted") -> None:
        """Enter."""
        event.stop()
        if event.input.id == "config-find":
            self.end_find()
        elif self._typing is not None and not self._typing.problem(event.value):
            self._end_edit(event.value, refocus=True)

    def on_line_input_cancelled(self, event: "LineInput.Cancelled") -> None:
        """Esc."""
        event.stop()
        if event.line.id == "config-find":
            self.end_find(back=True)
        else:
            self._end_edit(None, refocus=True)

    def on_descendant_blur(self, event: DescendantBlur) -> None:
        """The focus went elsewhere: what was typed counts if it can, and else waits for it to come back."""
        widget = event.widget
        if not widget.is_attached or self.app.screen is not self.screen:
            return
        if widget.id == "config-edit":
            text, now = str(getattr(widget, "value", "")), self.screen.focused
            stays = now is not None and self in now.ancestors
            if stays or self._typing is None or not self._typing.problem(text):
                self._end_edit(text, refocus=False)
        elif widget.id == "config-find":
            self.end_find(refocus=False)

    def _end_edit(self, text: str | None, *, refocus: bool) -> None:
        """Take over what was typed if it can be, and be done; None leaves everything as it was."""
        typing, self._typing, self._resting = self._typing, None, False
        if typing is None:
            return
        self.view.editing, self.view.error = "", ""
        self.query("#config-edit").remove()
        self.post_message(self.Typed())
        if refocus:
            self.list.focus()
        taken = text is not None and typing.take(text)
        if text is None or typing.problem(text):
            typing.leave()
        self.draw()
        if taken:
            self._warn(typing.row.path)
