"""The lines of the form: which there are, in which order, under which headings.

How the keys of a config are grouped on the form, and which groups start folded.

Rows of the form as text of an exact width: mark, name, value, and what is allowed or where it came from.
"""

import textwrap
from collections.abc import Sequence
from typing import Literal

from msgspec import Struct
from rich.cells import cell_len
from rich.text import Text

from infertui.config.engine_options import TABLES, option_fields
from infertui.config.fields import FIELDS, SECTIONS, Field, field_of, nearest
from infertui.config.schema import Config
from infertui.errors import ConfigError
from infertui.tui.config import engines
from infertui.tui.config.form.form import Form
from infertui.tui.config.form.options import MachineInfo
from infertui.tui.widgets.cells import RenderContext, beside, fit

LABELS, RUNS, ADVANCED = "labels", "runs", "advanced"

# What rarely changes between measurements; every other key stands under its table's name.
_ADVANCED = (
    "model.revision", "model.seed", "model.trust_remote_code", "engine.python", "engine.fallback",
    "workload.temperature", "workload.top_k", "workload.top_p", "workload.seed", "measurement.sample_hz",
    "measurement.load_timeout_s",
    "measurement.step_timeout_s", "measurement.total_timeout_s", "measurement.fresh_process", "device.visible",
    "device.threads", "device.force", "quality.score_timeout_s",
)  # fmt: skip

# Tables that have sane defaults, and many keys.
_FOLDED = ("validity", "quality")


class FieldGroup(Struct, frozen=True):
    """A heading, and the keys under it. `engine` is that to which all of them belong, whose name it has."""

    name: str
    about: str
    keys: tuple[str, ...] = ()
    folded: bool = False
    engine: str = ""


def _groups() -> tuple[FieldGroup, ...]:
    found = []
    for section in SECTIONS[""]:
        keys = tuple(
            path
            for path, field in FIELDS.items()
            if field.section == section and not field.is_table and path not in _ADVANCED
        )
        if keys:
            about = _first_line(Config.__annotations__[section].__doc__)
            found.append(FieldGroup(section, about, keys, folded=section in _FOLDED))
        if section == "engine":
            found += [
                FieldGroup(spec.name, _first_line(spec.options.__doc__), options, engine=spec.name)
                for spec in TABLES.values()
                if (options := tuple(field.path for field in option_fields(spec)))
            ]
    return (
        *found,
        FieldGroup(ADVANCED, "what rarely changes", tuple(path for path in _ADVANCED if path in FIELDS), folded=True),
        FieldGroup(LABELS, "your own notes, kept with the results", folded=True),
        FieldGroup(RUNS, "what the sweep makes", folded=True),
    )


def _first_line(docstring: str | None) -> str:
    about = (docstring or "").partition("\n")[0].rstrip(".")
    named, colon, rest = about.partition(": ")
    about = rest if colon and len(named.split()) <= 3 else about  # the heading names it already
    return about[:1].lower() + about[1:]


def name_of(key: str, group: str) -> str:
    """What a line calls its key: the last part, with the table's name where that alone could be another's."""
    if key.startswith("labels."):
        return key.removeprefix("labels.")
    last = key.rpartition(".")[2]
    twins = sum(other.rpartition(".")[2] == last for other in FIELDS)
    return key if group == ADVANCED and twins > 1 else last


GROUPS = _groups()
GROUP_OF = {key: group.name for group in GROUPS for key in group.keys}


Kind = Literal["heading", "field", "label", "new-label", "error", "run"]
Difference = Literal["off", "base", "default"]
NEW_LABEL = "labels+"
_MOST_ERROR_LINES = 4


class FormRow(Struct, frozen=True):
    """One line. `id` tells it from the others, `path` is the key that it shows, `text` what it says otherwise."""

    id: str
    kind: Kind
    group: str
    path: str = ""
    name: str = ""
    text: str = ""


class View:
    """How the form is looked at: what is folded, found, compared and edited."""

    def __init__(self) -> None:
        self.toggled: dict[str, bool] = {}
        """Groups that were folded (True) or unfolded by hand."""
        self.difference: Difference = "off"
        self.wanted: str | None = None
        """What is being looked for; None when nothing is."""
        self.editing = ""
        """Id of the row with the cursor of text in it."""
        self.error = ""
        """What is wrong with the text that is being edited."""

    def folded(self, group: FieldGroup) -> bool:
        """Whether only the group's heading shows."""
        return self.toggled.get(group.name, group.folded)

    def toggle(self, name: str) -> None:
        """Fold or unfold a group."""
        group = next(group for group in GROUPS if group.name == name)
        self.toggled[name] = not self.folded(group)

    def reveal(self, key: str) -> None:
        """Unfold the group that `key` stands in."""
        self.toggled[group_of(key)] = False

    def next_difference(self) -> None:
        """Everything, what differs from what was loaded, what differs from the defaults, and around."""
        order: Sequence[Difference] = ("off", "base", "default")
        self.difference = order[(order.index(self.difference) + 1) % len(order)]


def group_of(key: str) -> str:
    """The group in which the line of `key` stands."""
    return GROUP_OF.get(key, LABELS)


def build_rows(form: Form, view: View, width: int) -> list[FormRow]:
    """Every row that shows, `width` cells being there for messages."""
    rows: list[FormRow] = []
    for group in GROUPS:
        inside = _inside(form, view, group)
        if view.wanted is not None or view.difference != "off":
            if inside:
                rows += [FormRow(f"#{group.name}", "heading", group.name, text=group.about), *inside]
            continue
        if (group.name == RUNS and not form.axes()) or (group.keys and not inside):
            continue
        rows.append(FormRow(f"#{group.name}", "heading", group.name, text=group.about))
        if not view.folded(group):
            rows += inside
    return _with_error(rows, view, width)


def _inside(form: Form, view: View, group: FieldGroup) -> list[FormRow]:
    if group.name == RUNS:
        plain = view.wanted is None and view.difference == "off"
        variants = (form.variants() or []) if plain and not view.folded(group) else []
        return [FormRow(f"run:{index}", "run", RUNS, text=run.name) for index, run in enumerate(variants) if run.name]
    keys = [key for key in form.all_keys() if key.startswith("labels.")] if group.name == LABELS else list(group.keys)
    if view.wanted is not None:
        keys = [key for key in keys if key in set(found(form, view.wanted))]
    elif view.difference != "off":
        keys = [key for key in keys if form.changed(key, default=view.difference == "default")]
    elif group.name == LABELS:
        keys = [key for key in keys if form.text(key) or key in form.values]
    else:
        keys = shown_keys(form, keys)
    rows = [
        FormRow(key, "label" if group.name == LABELS else "field", group.name, key, name_of(key, group.name))
        for key in keys
    ]
    if group.name == LABELS and view.wanted is None and view.difference == "off":
        rows.append(FormRow(NEW_LABEL, "new-label", LABELS, name="new label", text="key = value"))
    return rows


def shown_keys(form: Form, keys: Sequence[str]) -> list[str]:
    """Those of `keys` that show while nothing is looked for: the engine heeds them, or an error is about them."""
    problem = form.problem
    return [key for key in keys if engines.shows(form.values, key) or concerns(problem, key)]


def concerns(problem: ConfigError | None, key: str) -> bool:
    """Whether an error is about `key`."""
    return problem is not None and (problem.path == key or problem.path.endswith(f'"{key}"'))


def found(form: Form, wanted: str) -> list[str]:
    """The keys that somebody who types `wanted` may mean: by name, else by description, else the nearest.

    What other tools call a key finds it too: `osl` is workload.output_len.
    """
    words = wanted.lower().replace("-", "_").split()
    keys = list(form.all_keys())
    if not words:
        return keys
    by_name = [key for key in keys if all(word in key.lower() for word in words)]
    if by_name:
        return by_name
    by_text = [key for key in keys if all(word.replace("_", " ") in _about(key) for word in words)]
    other = nearest("_".join(words))
    return by_text or ([other] if other in keys else [])


def _about(key: str) -> str:
    field = field_of(key)
    return f"{key.replace('_', ' ')} {field.description}".lower() if field else key


def _with_error(rows: list[FormRow], view: View, width: int) -> list[FormRow]:
    at = next((index for index, row in enumerate(rows) if row.id == view.editing), None)
    if at is None or not view.error:
        return rows
    lines = textwrap.wrap(view.error, max(20, width - 4)) or [view.error]
    errors = [FormRow(f"!{number}", "error", rows[at].group, text=line) for number, line in enumerate(lines)]
    return [*rows[: at + 1], *errors[:_MOST_ERROR_LINES], *rows[at + 1 :]]


_MARK = 2
_NAME = 17
_VALUE, _WIDEST_VALUE = 22, 40
HINT_FROM = 56
"""Cells from which on a line has room for a third column."""


class FormLayout:
    """Where the columns of a line stand when it is `width` cells wide."""

    def __init__(self, width: int) -> None:
        self.name = _NAME if width >= 42 else max(6, min(_NAME, (width - _MARK) * 11 // 25))
        rest = max(1, width - _MARK - self.name - 1)
        self.value = rest if width < HINT_FROM else min(_WIDEST_VALUE, max(_VALUE, rest * 2 // 5))
        self.hint = max(0, rest - self.value - 1)
        self.value_at = _MARK + self.name + 1


class Page:
    """Everything that a line of the form depends on."""

    def __init__(self, form: Form, view: View, knowledge: MachineInfo, look: RenderContext) -> None:
        self.form = form
        self.view = view
        self.knowledge = knowledge
        self.look = look

    def line(self, row: FormRow, width: int) -> Text:
        """A row in `width` cells."""
        match row.kind:
            case "heading":
                return self._heading(row, width)
            case "error":
                return beside(Text(" " * 4), fit(row.text, width - 4, self.look, style=self.look.palette.error))
            case "run":
                return beside(Text(" " * 2), fit(row.text, width - 2, self.look))
            case "new-label":
                layout = FormLayout(width)
                sign = fit(f"+ {row.name}", layout.value_at - 1, self.look, style=self.look.palette.muted)
                return beside(sign, Text(" "), fit(row.text, layout.value, self.look, style=self.look.palette.muted))
            case _:
                return self._field(row, width)

    def _heading(self, row: FormRow, width: int) -> Text:
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

    def _field(self, row: FormRow, width: int) -> Text:
        layout, palette = FormLayout(width), self.look.palette
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
