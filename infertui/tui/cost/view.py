"""The cost of runs as lines of text: whole sentences where there is room for them, else the figures alone. Pure."""

from collections import Counter
from collections.abc import Sequence

from msgspec import Struct
from rich.text import Text

from infertui.analysis.cost.total import RunCost, Terms, money, rate, thousands
from infertui.analysis.cost.wording import Remedies, cost_rows, missing_words
from infertui.metrics.metric import NOT_AVAILABLE
from infertui.tui.results.ratios import times
from infertui.tui.widgets.cells import RenderContext, beside, entry, fit, paragraph
from infertui.units import format_number

SENTENCES_FROM = 72
"""Cells from which on there is room for sentences."""
_NAME_WIDTH = 12
_STRONG = "output tokens"

Lines = list[Text]


class CostView(Struct, frozen=True):
    """What is to be shown: the run under the cursor or the marked ones, with the words for what is missing."""

    costs: tuple[RunCost, ...]
    terms: Terms
    remedies: Remedies
    baseline: str = ""
    """Name of the run that ratios refer to; empty: none."""


def cost_lines(view: CostView, width: int, height: int, look: RenderContext) -> Lines:
    """As many lines as there is room for."""
    if len(view.costs) > 1:
        return several(view, width, height, look)[:height]
    cost = view.costs[0]
    lines = sentences(cost, view, width, look)
    if width < SENTENCES_FROM or len(lines) > height:
        lines = figures(cost, view, width, height, look)
    return lines[:height]


def sentences(cost: RunCost, view: CostView, width: int, look: RenderContext) -> Lines:
    """Everything, with where it comes from."""
    lines = [_head(cost, width, look), Text()]
    for name, value in cost_rows(cost, view.terms, view.remedies):
        warn = name == "price" and cost.price is None
        style = look.palette.warning if warn else look.palette.figure if name == _STRONG else ""
        lines += entry(name, value, width, look, style=style)
    return [*lines, *(entry("against", view.baseline, width, look) if view.baseline and cost.ratio is not None else [])]


def figures(cost: RunCost, view: CostView, width: int, height: int, look: RenderContext) -> Lines:
    """The figures alone. Where they are too many, those that are wanted least are left out."""
    rows = [_Row(0, [_head(cost, width, look)]), *_token_rows(cost, view, width, look)]
    rows.append(_Row(3, _pair("energy", _energy(cost), width, look)))
    if cost.electricity is not None and cost.kwh_price is not None:
        shown = f"{money(cost.electricity, cost.kwh_price.currency)}/M"
        rows.append(_Row(5, _pair("electricity", [shown], width, look)))
    if view.terms.load is not None:
        rows.append(_Row(1, _pair("fleet", _fleet(cost, view.terms), width, look)))
    if cost.saving is not None and cost.price is not None:
        less = cost.saving.share >= 0
        share = f"{abs(cost.saving.share):.1%} {'less' if less else 'more'}"
        year = f"{thousands(abs(cost.saving.yearly), cost.price.currency)} a year"
        style = look.palette.ok if less else look.palette.warning
        rows.append(_Row(2, _pair("saving", [share, year], width, look, style=style)))
    while len(rows) > 1 and sum(len(row.lines) for row in rows) > height:
        rows.remove(max(rows, key=lambda row: row.rank))
    return [line for row in rows for line in row.lines]


class _Row(Struct, frozen=True):
    """One figure; those of the highest rank give way first."""

    rank: int
    lines: Lines


def _token_rows(cost: RunCost, view: CostView, width: int, look: RenderContext) -> list[_Row]:
    if cost.price is None or cost.tokens is None:
        return [_Row(0, paragraph(missing_words(cost, view.remedies), width, look.palette.warning))]
    tokens, currency = cost.tokens, cost.price.currency
    each = "a GPU-hour" if cost.on_gpu else "an hour"
    many = f" x {cost.gpus}" if cost.gpus > 1 else ""
    ratio = [f"{times(cost.ratio)}{' of OTHER WORK' * bool(cost.unlike)}"] if cost.ratio is not None else []
    output = _pair("output", [f"{money(tokens.output, currency)}/M", *ratio], width, look, style=look.palette.figure)
    rows = [_Row(4, _pair("price", [f"{rate(cost.price)} {each}{many}"], width, look)), _Row(0, output)]
    if tokens.prefill is not None and tokens.decode is not None:
        both = f"{format_number(tokens.prefill)} and {money(tokens.decode, currency)}/M"
        rows.append(_Row(6, _pair("in and out", [both], width, look)))
    if tokens.blended is not None:
        rows.append(_Row(7, _pair("blended", [f"{money(tokens.blended, currency)}/M"], width, look)))
    return rows


def several(view: CostView, width: int, height: int, look: RenderContext) -> Lines:
    """A line a run: what a million generated tokens cost, and against what."""
    room = max(8, width - 24)
    head = beside(
        fit("per million output tokens" if room > 25 else "output, per M", room, look, style=look.palette.muted),
        fit("cost", 14, look, align="right", style=look.palette.muted),
        fit("ratio", 9, look, align="right", style=look.palette.muted),
    )
    lines = [head]
    namesakes = Counter(cost.name for cost in view.costs)
    for cost in view.costs:
        known = cost.tokens is not None and cost.price is not None
        shown = money(cost.tokens.output, cost.price.currency) if cost.tokens and cost.price else NOT_AVAILABLE
        ratio = f"{times(cost.ratio)}{'!' * bool(cost.unlike)}" if cost.ratio is not None else NOT_AVAILABLE
        name = (cost.name if namesakes[cost.name] == 1 else cost.id) + ("" if cost.valid else " (invalid)")
        lines.append(
            beside(
                fit(name, room, look, style="" if cost.valid else look.palette.warning),
                fit(shown, 14, look, align="right", style=look.palette.figure if known else look.palette.muted),
                fit(ratio, 9, look, align="right"),
            )
        )
    if len(lines) > height > 1:
        left = len(lines) - height + 1
        return [*lines[: height - 1], fit(f"and {left:,} more", width, look, style=look.palette.muted)]
    if any(cost.unlike for cost in view.costs):
        lines += paragraph("! other work than the baseline's: other tokens", width, look.palette.warning)
    for reason in dict.fromkeys(missing_words(cost, view.remedies) for cost in view.costs if cost.missing):
        lines += paragraph(reason, width, look.palette.warning)
    return lines


def nothing_lines(words: Sequence[str], width: int, look: RenderContext) -> Lines:
    """What there is to say where there is no cost."""
    return [line for text in words for line in paragraph(text, width, look.palette.muted)]


def _head(cost: RunCost, width: int, look: RenderContext) -> Text:
    name = f"{cost.name}  {f'{cost.gpus}x ' if cost.gpus > 1 else ''}{cost.device}"
    mark = "" if cost.valid else "  (invalid)"
    return fit(f"{name}{mark}", width, look, style=look.palette.title if cost.valid else look.palette.warning)


def _pair(name: str, parts: Sequence[str], width: int, look: RenderContext, *, style: str = "") -> Lines:
    """A name and what belongs to it: on one line where it fits there, else a line for each part."""
    names, room = min(width, _NAME_WIDTH), max(1, width - _NAME_WIDTH)
    joined = ", ".join(parts)
    shown = [joined] if len(joined) <= room else list(parts)
    return [
        beside(fit(left, names, look, style=look.palette.muted), fit(part, room, look, style=style))
        for left, part in zip([name, *[""] * (len(shown) - 1)], shown, strict=True)
    ]


def _energy(cost: RunCost) -> list[str]:
    if cost.joules_per_token is None:
        return [NOT_AVAILABLE]
    above = cost.joules_per_token_above_idle
    more = [f"{format_number(above)} above idle"] if above is not None else []
    return [f"{format_number(cost.joules_per_token)} J/tok", *more]


def _fleet(cost: RunCost, terms: Terms) -> list[str]:
    found = cost.fleet
    if found is None:
        return [f"{NOT_AVAILABLE}: {cost.no_fleet}"]
    unit = ("GPU" if cost.on_gpu else "machine") + ("s" if found.gpus > 1 else "")
    shown = [f"{found.gpus:,} {unit} for {terms.load}"]
    if found.per_year is not None and cost.price is not None:
        shown.append(f"{thousands(found.per_year, cost.price.currency)} a year")
    return shown
