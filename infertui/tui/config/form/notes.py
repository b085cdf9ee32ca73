"""Lines above and below the form that are as many as there is to say.

What is said about a config before it runs: whether it fits, how long it takes, how many runs it makes.

What stands above and below the form: problems, the sweep, what a field means, whether it will fit.
"""

import textwrap
from collections.abc import Sequence

from rich.cells import cell_len
from rich.text import Text

from infertui.config.fields import field_of
from infertui.config.sweep import Variant
from infertui.errors import ConfigError
from infertui.models.hub.asking import TIMEOUT_S
from infertui.runner.control import Forecast
from infertui.tui.config import engines
from infertui.tui.config.forecast import ForecastRequest
from infertui.tui.config.form.form import Form
from infertui.tui.config.form.options import Standing
from infertui.tui.config.form.view import HINT_FROM, NEW_LABEL, FormRow, Page, short_limits
from infertui.tui.terminal.sanitize import plain
from infertui.tui.widgets.cells import beside, fit
from infertui.tui.widgets.lines import Lines
from infertui.units import format_bytes, format_seconds


class Notes(Lines):
    """Takes the height of its lines, down to none."""

    DEFAULT_CSS = "Notes { width: 1fr; height: 0; }"

    def __init__(self, *, id: str) -> None:  # noqa: A002 (Textual's name)
        super().__init__(id=id)
        self._lines_shown = 0

    def lines(self, width: int, height: int) -> Sequence[Text]:
        """What there is to say in `width` cells, in a pane of `height` lines."""
        raise NotImplementedError

    def compose_lines(self) -> None:
        """Ask what there is to say, and make room for it."""
        parent = self.parent
        width = self.size.width or (parent.size.width if parent is not None and hasattr(parent, "size") else 0)
        if not width:
            return
        lines = list(self.lines(width, parent.size.height if parent is not None and hasattr(parent, "size") else 0))
        if len(lines) != self._lines_shown:
            self._lines_shown = len(lines)
            self.styles.height = self._lines_shown
        self.paint_lines(lines)


_ROOMY, _TIGHT = 14, 10
"""Lines of a pane from which on there is room for more than the first page of the form, and up to which for less."""


def in_one_line(forecast: Forecast, runs: int = 1) -> tuple[str, Standing]:
    """`needs 3.1 GiB of 78.2 GiB free: fits; about 40 s`, and how it stands."""
    words = {True: "fits", False: "does not fit", None: "not known whether it fits"}[forecast.fits]
    if forecast.needed is None:
        memory = forecast.lines[-1] if forecast.lines else "no memory estimate"
        memory = f"does not fit: {memory}" if forecast.fits is False else memory
    elif forecast.free is None:
        memory = f"needs {format_bytes(forecast.needed)}: {words}"
    else:
        words = "may not fit" if forecast.fits is None else words
        memory = f"needs {format_bytes(forecast.needed)} of {format_bytes(forecast.free)} free: {words}"
    time = ""
    if forecast.seconds is not None:
        time = f"; about {format_seconds(forecast.seconds)}{' each' if runs > 1 else ''}"
    standing: Standing = "warning" if forecast.fits is False else "ok" if forecast.fits else "muted"
    return memory + time, standing


def heaviest(variants: Sequence[Variant]) -> Variant | None:
    """The variant to ask about on behalf of a sweep: the one with the most tokens at once, the likeliest not to fit."""
    return max(variants, key=_tokens_at_once, default=None)


def _tokens_at_once(variant: Variant) -> int:
    workload = variant.config.workload
    return workload.batch_size * (workload.input_len + workload.output_len)


def sweep_line(form: Form) -> str:
    """`12 runs (grid): bs=1 isl=128, bs=1 isl=256, ...`; empty without axes."""
    if not form.axes():
        return ""
    count, how = form.run_count(), form.arrangement
    if not count:
        return f"sweep ({how}): cannot run"
    how = "grid and zip" if how == "mixed" else how
    names = ", ".join(variant.name for variant in (form.variants() or [])[:12])
    return f"{count:,} run{'' if count == 1 else 's'} ({how})" + (f": {names}" if names else "")


def above(page: Page, width: int, height: int) -> list[Text]:
    """Contradictions, the sweep, what the form stands for when it is not simply a new run.

    `height` is what the pane has.
    """
    form, palette = page.form, page.look.palette
    lines = _wrapped(page, problem_text(form.problem), width, palette.error, 3) if form.problem else []
    lines += _wrapped(page, sweep_line(form), width, palette.accent, 2 if height >= 18 else 1)
    if form.entry is not None:
        text = (
            f"editing queue entry {form.entry.id}, {form.entry.label}: {page.look.key('config.run', 'r')} puts it back"
        )
        lines += _wrapped(page, text, width, palette.warning, 2)
    if page.view.difference != "off":
        old = form.base.label if page.view.difference == "base" else "the defaults"
        some = any(form.changed(key, default=page.view.difference == "default") for key in form.all_keys())
        lines += _wrapped(page, f"what differs from {old}" + ("" if some else ": nothing"), width, palette.title, 1)
    elif not lines and height >= _ROOMY and form.base.target == "demo" and form.values == form.base.values:
        lines = _wrapped(page, f"press {page.look.key('config.run', 'r')} to run this", width, palette.ok, 1)
    return lines


def below(page: Page, question: ForecastRequest, row: FormRow | None, width: int, height: int) -> list[Text]:
    """What the field under the cursor means, and the forecast. `height` is what the pane has."""
    palette = page.look.palette
    text, style = about(page, row, width)
    said, its_style = forecast_text(page, question)
    if height <= _TIGHT and width >= HINT_FROM:
        right = min(cell_len(said), width // 2)
        left = fit(text, width - right - 2, page.look, style=style or palette.muted)
        return [beside(left, Text("  "), fit(said, right, page.look, style=its_style))]
    most = 2 if height >= _ROOMY else 1
    lines = _wrapped(page, text, width, style or palette.muted, most)
    if height >= _ROOMY:  # a steady height: the list does not jump while the cursor moves
        lines += [Text() for _ in range(most - len(lines))]
    return [*lines, *_wrapped(page, said, width, its_style, most)]


def about(page: Page, row: FormRow | None, width: int) -> tuple[str, str]:
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


def forecast_text(page: Page, question: ForecastRequest) -> tuple[str, str]:
    """The forecast in a line, and its style."""
    palette = page.look.palette
    if page.form.problem is not None:
        return "no estimate: the config contradicts itself", palette.muted
    if question.answer is None:
        waiting = f"estimating: {_ASKING}" if question.slow else "estimating"
        return (f"no estimate: {question.trouble}" if question.trouble else waiting), palette.muted
    runs = page.form.run_count()
    model = page.form.text("model.id")
    if question.answer.needed is None and runs == 1 and page.knowledge.is_missing(model):
        return f"no estimate: {model} is not on this machine", palette.warning
    text, standing = in_one_line(question.answer, runs)
    variant = heaviest(page.form.variants() or [])
    if runs > 1 and variant is not None:
        text = f"{variant.name}: {text}"
    return text, {"ok": palette.ok, "warning": palette.error, "muted": palette.muted}[standing]


def forecast_lines(page: Page, question: ForecastRequest) -> list[Text]:
    """Everything that is known of what the form holds, for a screen of its own."""
    form, palette = page.form, page.look.palette
    if (problem := form.problem) is not None:
        return [plain("This cannot run:", palette.error), plain(problem_text(problem), palette.error)]
    runs = form.run_count()
    lines = [plain("valid" if runs == 1 else f"valid: {runs:,} runs", palette.ok)]
    lines += [plain(sweep_line(form), palette.accent)] if form.axes() else []
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
