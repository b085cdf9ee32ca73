"""Rows of the form as text of an exact width: mark, name, value, and what is allowed or where it came from."""

from rich.cells import cell_len
from rich.text import Text

from infertui.config.fields import Field, field_of
from infertui.tui.config import engines
from infertui.tui.config.form import Form
from infertui.tui.config.groups import ADVANCED, GROUPS, LABELS, RUNS
from infertui.tui.config.knowledge import Knowledge
from infertui.tui.config.view import Row, View, concerns, group_of, shown_keys
from infertui.tui.widgets.cells import Look, beside, fit

_MARK = 2
_NAME = 17
_VALUE, _WIDEST_VALUE = 22, 40
HINT_FROM = 56
"""Cells from which on a line has room for a third column."""


class Layout:
    """Where the columns of a line stand when it is `width` cells wide."""

    def __init__(self, width: int) -> None:
        self.name = _NAME if width >= 42 else max(6, min(_NAME, (width - _MARK) * 11 // 25))
        rest = max(1, width - _MARK - self.name - 1)
        self.value = rest if width < HINT_FROM else min(_WIDEST_VALUE, max(_VALUE, rest * 2 // 5))
        self.hint = max(0, rest - self.value - 1)
        self.value_at = _MARK + self.name + 1


class Page:
    """Everything that a line of the form depends on."""

    def __init__(self, form: Form, view: View, knowledge: Knowledge, look: Look) -> None:
        self.form = form
        self.view = view
        self.knowledge = knowledge
        self.look = look

    def line(self, row: Row, width: int) -> Text:
        """A row in `width` cells."""
        match row.kind:
            case "heading":
                return self._heading(row, width)
            case "error":
                return beside(Text(" " * 4), fit(row.text, width - 4, self.look, style=self.look.palette.error))
            case "run":
                return beside(Text(" " * 2), fit(row.text, width - 2, self.look))
            case "new-label":
                layout = Layout(width)
                sign = fit(f"+ {row.name}", layout.value_at - 1, self.look, style=self.look.palette.muted)
                return beside(sign, Text(" "), fit(row.text, layout.value, self.look, style=self.look.palette.muted))
            case _:
                return self._field(row, width)

    def _heading(self, row: Row, width: int) -> Text:
        group = next(group for group in GROUPS if group.name == row.group)
        everything = self.view.wanted is None and self.view.difference == "off"
        folded = everything and self.view.folded(group)
        sign = self.look.glyph("▸", "+") if folded else self.look.glyph("▾", "-")
        keys = (
            shown_keys(self.form, group.keys)
            if row.group != "labels"
            else [key for key in self.form.all_keys() if key.startswith("labels.")]
        )
        changed = sum(self.form.changed(key) for key in keys) if folded else 0
        title = f"{sign} {row.group}"
        problem = self.form.problem
        if folded and problem is not None and group_of(problem.path) == row.group:
            title += " !"
        about = f"{changed} changed" if changed else row.text
        if row.group == RUNS:
            about = f"{self.form.run_count():,} of the sweep" if self.form.run_count() else "the sweep cannot run"
        elif folded and (row.group == ADVANCED or group.engine):
            about = f"{len(keys)} fields" + (f", {changed} changed" if changed else "")
        elif folded and row.group == LABELS:
            about = f"{len(keys)} set" + (f", {changed} changed" if changed else "") if keys else row.text
        palette = self.look.palette
        head = fit(title, min(width, cell_len(title)), self.look, style=palette.title)
        room = width - cell_len(title) - 2
        return beside(head, Text("  "), fit(about, room, self.look, style=palette.muted)) if room > 1 else head

    def _field(self, row: Row, width: int) -> Text:
        layout, palette = Layout(width), self.look.palette
        key = row.path
        default = self.view.difference == "default"
        changed = self.form.changed(key, default=default)
        concerned = concerns(self.form.problem, key)
        mark, style = ("!", palette.error) if concerned else ("*", palette.accent) if changed else (" ", "")
        if self.view.difference != "off":
            arrow = self.look.glyph("→", "->")
            old, new = self.form.old_text(key, default=default), self.form.text(key)
            gone = not new and key not in self.form.values
            text = f"{'(none)' if old is None else old or '(empty)'} {arrow} {'(gone)' if gone else new or '(empty)'}"
            value = fit(text, width - layout.value_at, self.look, style=palette.accent)
            return beside(Text(mark, style=style), Text(" "), fit(row.name, layout.name, self.look), Text(" "), value)
        value_style = palette.error if concerned else self._value_style(key, changed)
        cells = [
            Text(mark, style=style),
            Text(" "),
            fit(row.name, layout.name, self.look),
            Text(" "),
            self._value(key, layout.value, value_style),
        ]
        if layout.hint:
            hint, hint_style = self._hint(key)
            cells += [Text(" "), fit(hint, layout.hint, self.look, style=hint_style)]
        return beside(*cells)

    def _value_style(self, key: str, changed: bool) -> str:
        palette = self.look.palette
        remark = self.knowledge.remark(key, self.form.values)
        if remark is not None and remark.standing == "warning" and not self.form.is_swept(key):
            return palette.warning
        if self.form.is_swept(key):
            return palette.accent
        if not engines.heeded(self.form.values, key):
            return palette.muted
        if changed:
            return palette.accent
        return palette.muted if self.form.origin(key) == "default" else palette.figure

    def _value(self, key: str, width: int, style: str) -> Text:
        text = self.form.text(key)
        if self.form.is_swept(key):
            tail = f" {self.look.glyph('×', 'x')}{self.form.axis_length(key)}"
            room = max(1, min(cell_len(text), width - len(tail)))
            return beside(
                fit(text, room, self.look, style=style),
                fit(tail, max(0, width - room), self.look, style=self.look.palette.title),
            )
        if not text:
            return fit("(empty)" if width >= 7 else "", width, self.look, style=self.look.palette.muted)
        # The end of a path or of a model's id says more than its beginning.
        if key in ("model.id", "workload.prompts_file") and cell_len(text) > width:
            mark = self.look.glyph("…", "~")
            return fit(mark + text[-(width - 1) :], width, self.look, style=style)
        return fit(text, width, self.look, style=style)

    def _hint(self, key: str) -> tuple[str, str]:
        palette = self.look.palette
        if self.form.is_swept(key):
            return f"axis of the {'zip' if self.form.edit_path(key).startswith('sweep.zip') else 'grid'}", palette.muted
        if why := engines.unheeded_because(self.form.values, key):
            return why, palette.muted
        remark = self.knowledge.remark(key, self.form.values)
        if remark is not None and remark.text:
            return remark.text, palette.warning if remark.standing == "warning" else palette.muted
        field, origin = field_of(key), self.form.origin(key)
        if origin == "edited":
            old = self.form.old_text(key)
            origin = "new" if old is None else f"was {old or '(empty)'}"
        limits = short_limits(field, engines.limits(self.form.values, field)) if field is not None else ""
        meant = engines.comes_to(self.form.values, key, self.form.text(key))
        meant = f"comes to {meant}" if meant else ""
        said = [part for part in (origin if origin != "default" else "", meant, limits) if part]
        return "; ".join(said), palette.muted


def short_limits(field: Field, allowed: str = "") -> str:
    """What is allowed (as the field has it, or `allowed`), in as few words as possible; nothing where any text is."""
    text = "" if field.is_table or field.allowed == "text" else (allowed or field.allowed).partition(" (also ")[0]
    for start in ("an integer from ", "a number from ", "an integer ", "a number ", "one of "):
        text = text.removeprefix(start)
    return text
