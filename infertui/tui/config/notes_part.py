"""What stands above and below the form: problems, the sweep, what a field means, whether it will fit."""

import textwrap

from rich.text import Text

from infertui.config.fields import field_of
from infertui.errors import ConfigError
from infertui.models.asking import TIMEOUT_S
from infertui.tui.config import engines, verdict
from infertui.tui.config.lines import HINT_FROM, Page, short_limits
from infertui.tui.config.question import Question
from infertui.tui.config.view import NEW_LABEL, Row
from infertui.tui.terminal.sanitize import plain
from infertui.tui.widgets.cells import fit


def above(page: Page, width: int, height: int) -> list[Text]:
    """Contradictions, the sweep, what the form stands for when it is not simply a new run.

    `height` is what the pane has.
    """
    form, palette = page.form, page.look.palette
    lines = _wrapped(page, problem_text(form.problem), width, palette.error, 3) if form.problem else []
    lines += _wrapped(page, verdict.sweep_line(form), width, palette.accent, 2 if height >= 18 else 1)
    if form.entry is not None:
        text = (
            f"editing queue entry {form.entry.id}, {form.entry.label}: {page.look.key('config.run', 'r')} puts it back"
        )
        lines += _wrapped(page, text, width, palette.warning, 2)
    if page.view.difference != "off":
        old = form.base.label if page.view.difference == "base" else "the defaults"
        some = any(form.changed(key, default=page.view.difference == "default") for key in form.all_keys())
        lines += _wrapped(page, f"what differs from {old}" + ("" if some else ": nothing"), width, palette.title, 1)
    elif not lines and form.base.target == "demo" and form.values == form.base.values:
        lines = _wrapped(page, f"press {page.look.key('config.run', 'r')} to run this", width, palette.ok, 1)
    return lines


def below(page: Page, question: Question, row: Row | None, width: int, height: int) -> list[Text]:
    """What the field under the cursor means, and the forecast. `height` is what the pane has."""
    palette = page.look.palette
    most = 2 if height >= 10 else 1
    text, style = about(page, row, width)
    lines = _wrapped(page, text, width, style or palette.muted, most)
    if height >= 14:  # a steady height: the list does not jump while the cursor moves
        lines += [Text() for _ in range(most - len(lines))]
    text, style = forecast_text(page, question)
    return [*lines, *_wrapped(page, text, width, style, most)]


def about(page: Page, row: Row | None, width: int) -> tuple[str, str]:
    """What a row means, and the style to say it in."""
    palette = page.look.palette
    if row is None:
        return "", ""
    if row.kind == "heading":
        return "enter folds and unfolds", palette.muted
    if row.id == NEW_LABEL:
        return "a note of your own, kept with the results: enter, then key = value", palette.muted
    field = field_of(row.path) if row.path else None
    if field is None:
        return row.text, palette.muted
    remark = page.knowledge.remark(row.path, page.form.values)
    if remark is not None and remark.standing == "warning" and not page.form.is_swept(row.path):
        return remark.text, palette.warning
    if page.form.is_swept(row.path):
        how = "zip: together" if page.form.edit_path(row.path).startswith("sweep.zip") else "grid: every combination"
        ends, turns = page.look.key("config.sweep", "A"), page.look.key("config.arrange", "Z")
        text = f"1,2,4 or 0-40+10 or 1-64*2. An axis of the {how}; {ends} ends it, {turns} turns grid and zip"
        return text, palette.muted
    if row.path.startswith("labels."):
        return field.description, palette.muted
    if why := engines.unheeded_because(page.form.values, row.path):
        return f"{field.description}; {why}", palette.muted
    allowed = engines.limits(page.form.values, field)
    limits = short_limits(field, allowed) if width - 2 < HINT_FROM else ""
    meant = engines.comes_to(page.form.values, row.path, page.form.text(row.path))
    said = "; ".join(part for part in (f"here {meant}" if meant else "", limits) if part)
    return field.description + (f" ({said})" if said else ""), palette.muted


_ASKING = f"Transformers is asked once what a model of a new kind is, {TIMEOUT_S:g} s at most"


def forecast_text(page: Page, question: Question) -> tuple[str, str]:
    """The forecast in a line, and its style."""
    palette = page.look.palette
    if page.form.problem is not None:
        return "no estimate: the config contradicts itself", palette.muted
    if question.answer is None:
        waiting = f"estimating: {_ASKING}" if question.slow else "estimating"
        return (f"no estimate: {question.trouble}" if question.trouble else waiting), palette.muted
    runs = page.form.run_count()
    text, standing = verdict.in_one_line(question.answer, runs)
    variant = verdict.heaviest(page.form.variants() or [])
    if runs > 1 and variant is not None:
        text = f"{variant.name}: {text}"
    return text, {"ok": palette.ok, "warning": palette.error, "muted": palette.muted}[standing]


def forecast_lines(page: Page, question: Question) -> list[Text]:
    """Everything that is known of what the form holds, for a screen of its own."""
    form, palette = page.form, page.look.palette
    if (problem := form.problem) is not None:
        return [plain("This cannot run:", palette.error), plain(problem_text(problem), palette.error)]
    runs = form.run_count()
    lines = [plain("valid" if runs == 1 else f"valid: {runs:,} runs", palette.ok)]
    lines += [plain(verdict.sweep_line(form), palette.accent)] if form.axes() else []
    text, style = forecast_text(page, question)
    answer = question.answer
    return [*lines, plain(text, style), Text(), *(plain(line) for line in (answer.lines if answer else ()))]


def problem_text(problem: ConfigError) -> str:
    """A contradiction in a sentence or two."""
    return problem.message + (f". {problem.remedy}" if problem.remedy else "")


def _wrapped(page: Page, text: str, width: int, style: str, most: int) -> list[Text]:
    """`text` on at most `most` lines; the last of them ends in a mark where more was said."""
    if not text:
        return []
    lines = textwrap.wrap(text, max(8, width))
    if len(lines) > most:
        lines[most - 1 :] = [" ".join(lines[most - 1 :])]
    return [fit(line, width, page.look, style=style) for line in lines]
