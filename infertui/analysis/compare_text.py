"""Comparisons as lines of text, as one table for many of them, and as Markdown for a pull request."""

import textwrap
from collections.abc import Iterator, Sequence

from infertui.analysis.bench import Bench, variation_text
from infertui.analysis.compare import Comparison
from infertui.analysis.outcome import EQUAL_WITHIN, ComparedFigure, band_text, p_text
from infertui.metrics.metric import NOT_AVAILABLE
from infertui.text import clean
from infertui.units import format_number

NOT_COMPARABLE = "NOT COMPARABLE"
"""What begins a line, after the margin, that says why a comparison is one of unlike things."""
MARGIN = "  "
WIDTH = 80
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def lines(comparison: Comparison, width: int = WIDTH) -> list[str]:
    """One comparison: what is unlike, what differs, a line for each figure, what the intervals are worth."""
    found = [f"{comparison.second}  against  {comparison.first}"]
    found += [f"{MARGIN}{NOT_COMPARABLE}  {text}" for text in comparison.unlike]
    found += [f"{MARGIN}differs {one.what}: {one.first} -> {one.second}" for one in comparison.differences]
    if not comparison.differences:
        found.append(f"{MARGIN}differs nothing: the same config on the same software")
    figures = comparison.figures
    sides = [(figure.text(figure.first), figure.text(figure.second)) for figure in figures]
    names = max(len(figure.name) for figure in figures)
    left, right = (max(len(side[at]) for side in sides) for at in (0, 1))
    for figure, (one, other) in zip(figures, sides, strict=True):
        rank = f"  (rank test p {_p(figure)})" if figure.ratio and figure.ratio.p is not None else ""
        found.append(f"{MARGIN}{figure.name:<{names}}  {one:>{left}} -> {other:<{right}}  {figure.verdict}{rank}")
    return [*found, *_notes(comparison.notes, width)]


def table(comparisons: Sequence[Comparison], width: int = WIDTH) -> list[str]:
    """Several comparisons with one baseline: the baseline's figures, and a column of ratios for each other run.

    Where the columns do not fit the width, further ones stand in a table below.
    """
    letters = _letters(len(comparisons) + 1)
    found = [f"{letters[0]}  {comparisons[0].first}  (baseline)"]
    found += [f"{letter}  {one.second}" for letter, one in zip(letters[1:], comparisons, strict=True)]
    found += [f"{MARGIN}{NOT_COMPARABLE}  {text}" for text in _unlike(comparisons, letters)]
    found += [f"{MARGIN}differs {text}" for text in _differences(comparisons, letters)]
    if len(found) == len(letters):
        found.append(f"{MARGIN}differs nothing: the same config on the same software")
    names = ["", *_names(comparisons)]
    base = [letters[0], *(figure.text(_baseline(comparisons, at)) for at, figure in enumerate(comparisons[0].figures))]
    fixed = [_column(names, right=False), _column(base, right=True)]
    columns = [
        _column([letter, *(figure.ratio_text for figure in one.figures)], right=False)
        for letter, one in zip(letters[1:], comparisons, strict=True)
    ]
    for page in _pages(fixed, columns, width):
        found += ["", *("  ".join(cells).rstrip() for cells in zip(*fixed, *page, strict=True))]
    notes = dict.fromkeys(note for one in comparisons for note in one.notes)
    return [*found, "", *textwrap.wrap(_legend(comparisons), width), *_notes(tuple(notes), width)]


def _legend(comparisons: Sequence[Comparison]) -> str:
    return f"figure / A's with its 95 % interval; {signs_text(comparisons)}"


def signs_text(comparisons: Sequence[Comparison]) -> str:
    """What the signs mean, with the band that these were judged by."""
    band = next((figure.equal_within for one in comparisons for figure in one.figures), EQUAL_WITHIN)
    return f"+ better  - worse  = equal within {band_text(band)}  ? unclear"


def markdown(comparisons: Sequence[Comparison], title: str = "", notes: Sequence[str] = ()) -> str:
    """A GitHub-flavoured table, a column for each run; every text is inert."""
    letters = _letters(len(comparisons) + 1)
    found = [f"**{escaped(title)}**", ""] if title else []
    marks = [*map(escaped, notes), *(f"**{NOT_COMPARABLE}** {escaped(text)}" for text in _unlike(comparisons, letters))]
    found += [f"> {text}  " for text in marks] + [""] * bool(marks)
    found += [f"- {letters[0]} (baseline): {escaped(comparisons[0].first)}"]
    found += [f"- {letter}: {escaped(one.second)}" for letter, one in zip(letters[1:], comparisons, strict=True)]
    found += [f"- differs {escaped(text)}" for text in _differences(comparisons, letters)]
    found += ["", f"| | {' | '.join(letters)} |", f"|{' --- |' * (len(letters) + 1)}"]
    for at, (name, figure) in enumerate(zip(_names(comparisons), comparisons[0].figures, strict=True)):
        cells = [name, figure.text(_baseline(comparisons, at)), *(_cell(one.figures[at]) for one in comparisons)]
        found.append(f"| {' | '.join(map(escaped, cells))} |")
    said = dict.fromkeys(note for one in comparisons for note in one.notes)
    return "\n".join([*found, *(f"\n{escaped(note)}" for note in said)])


def bench_lines(bench: Bench, width: int = WIDTH) -> list[str]:
    """A bench: its rounds, what was left out and why, its configs, and the paired comparison."""
    found = [bench_title(bench)]
    found += [f"{MARGIN}invalid {text}" for text in bench.invalid]
    found += [f"{MARGIN}left out {text}" for text in bench.left_out]
    found += [f"{MARGIN}{text}" for text in _failed(bench)]
    names = max((len(arm.name) for arm in bench.arms), default=0)
    for at, arm in enumerate(bench.arms):
        speed = NOT_AVAILABLE if arm.throughput is None else f"{format_number(arm.throughput)} tok/s"
        role = "baseline" if at == 0 else ""
        said = ", ".join(filter(None, (speed, variation_text(arm))))
        found.append(f"{MARGIN}{arm.name:<{names}}  {role:<8}  {said}")
    if not bench.comparisons:
        return [*found, f"{MARGIN}No whole round is left to compare."]
    text = lines(bench.comparisons[0], width) if len(bench.comparisons) == 1 else table(bench.comparisons, width)
    return [*found, "", *text]


def bench_title(bench: Bench) -> str:
    """What was done, on one line."""
    rounds = f"{len(bench.used)} of {bench.rounds}" if len(bench.used) != bench.rounds else f"{bench.rounds}"
    return f"{bench.bench}: {rounds} rounds of {len(bench.arms)} configs in turn, order drawn with seed {bench.seed}"


def bench_notes(bench: Bench) -> list[str]:
    """What speaks against it as a whole."""
    return [*(f"invalid {text}" for text in bench.invalid), *rounds_left_out(bench), *_failed(bench)]


def rounds_left_out(bench: Bench) -> list[str]:
    """The rounds that do not count, and why."""
    return [f"left out {text}" for text in bench.left_out]


def _failed(bench: Bench) -> Iterator[str]:
    return (f"failed {arm.name}: {arm.error}" for arm in bench.failed)


def escaped(text: str) -> str:
    """A text as GitHub-flavoured Markdown that shows it as it is."""
    return "".join(f"\\{char}" if char in "\\|`*_[]<>#@~!" else char for char in clean(text))


def _p(figure: ComparedFigure) -> str:
    return p_text(figure.ratio.p) if figure.ratio and figure.ratio.p is not None else ""


def _letters(count: int) -> list[str]:
    return list(_LETTERS[:count]) if count <= len(_LETTERS) else [f"#{number}" for number in range(count)]


def _names(comparisons: Sequence[Comparison]) -> list[str]:
    """Of the figures: by the key where the comparisons call one differently, as other kinds of memory."""
    return [same[0].name if len({figure.name for figure in same}) == 1 else same[0].key
            for same in zip(*(one.figures for one in comparisons), strict=True)]  # fmt: skip


def _baseline(comparisons: Sequence[Comparison], at: int) -> float | None:
    """The baseline's value; a comparison that cannot use it may lack it."""
    return next((one.figures[at].first for one in comparisons if one.figures[at].first is not None), None)


def _unlike(comparisons: Sequence[Comparison], letters: Sequence[str]) -> Iterator[str]:
    """Every mark once, with the runs that it is about where these are not all."""
    marks: dict[str, list[str]] = {}
    for letter, one in zip(letters[1:], comparisons, strict=True):
        for text in one.unlike:
            marks.setdefault(text, []).append(letter)
    named = [(one.second, letter) for letter, one in zip(letters[1:], comparisons, strict=True)]
    named.append((comparisons[0].first, letters[0]))
    for text, whose in marks.items():
        short = next((f"{letter}{text.removeprefix(name)}" for name, letter in named if text.startswith(name)), "")
        alone = len(comparisons) == 1 or len(whose) == len(comparisons)
        yield short or (text if alone else f"{', '.join(whose)}: {text}")


def _differences(comparisons: Sequence[Comparison], letters: Sequence[str]) -> Iterator[str]:
    """Every key once: the baseline's value, then each other's that is not the same."""
    found: dict[str, tuple[str, dict[str, list[str]]]] = {}
    for letter, one in zip(letters[1:], comparisons, strict=True):
        for difference in one.differences:
            _, others = found.setdefault(difference.what, (difference.first, {}))
            others.setdefault(difference.second, []).append(letter)
    for what, (first, others) in found.items():
        if len(comparisons) == 1:
            yield f"{what}: {first} -> {next(iter(others))}"
        else:
            told = ", ".join(f"{value} ({' '.join(whose)})" for value, whose in others.items())
            yield f"{what}: {first} -> {told}"


def _column(cells: Sequence[str], *, right: bool) -> list[str]:
    wide = max(map(len, cells))
    return [cell.rjust(wide) if right else cell.ljust(wide) for cell in cells]


def _pages(fixed: Sequence[Sequence[str]], columns: Sequence[list[str]], width: int) -> list[list[list[str]]]:
    """The columns by tables that fit the width, each with the fixed ones; at least one column a table."""
    taken = sum(len(column[0]) + 2 for column in fixed) - 2
    pages: list[list[list[str]]] = []
    room = -1
    for column in columns:
        needed = len(column[0]) + 2
        if not pages or needed > room:
            pages.append([])
            room = width - taken
        pages[-1].append(column)
        room -= needed
    return pages


def _cell(figure: ComparedFigure) -> str:
    if figure.ratio is None:
        return figure.text(figure.second)
    return f"{figure.text(figure.second)}: {figure.verdict}"


def _notes(notes: Sequence[str], width: int) -> list[str]:
    return [MARGIN + line for note in notes for line in textwrap.wrap(note, width - len(MARGIN))]


__all__ = [
    "bench_lines", "bench_notes", "bench_title", "escaped", "lines", "markdown", "rounds_left_out", "signs_text",
    "table",
]  # fmt: skip
