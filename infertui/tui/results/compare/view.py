"""Runs side by side as lines of text: verdict and figures first, then what speaks against them and what differs. Pure;
foreign text is cleaned on the way.

Runs go by letters, A being the baseline. Two runs have their verdicts in full; of more, a table shows what fits beside
each other, and the one in focus is told in full below it.
"""

import textwrap
from collections.abc import Iterator, Sequence

from rich.cells import cell_len
from rich.text import Text

from infertui.analysis.compare import ComparedFigure
from infertui.analysis.compare_text import signs_text
from infertui.analysis.outcome import p_text
from infertui.metrics.metric import NOT_AVAILABLE
from infertui.tui.results.compare.intervals import axis, picture, span_of, style_of
from infertui.tui.results.compare.scene import Scene
from infertui.tui.results.ratios import times
from infertui.tui.terminal.sanitize import plain, safe
from infertui.tui.widgets.cells import RenderContext, beside, entry, fit, paragraph

Lines = list[Text]
_FOLDED, _FOLDED_LOW, _LOW = 6, 3, 30
"""Differences that are shown before the rest is asked for, and on screens with fewer than so many lines."""
_BEYOND = 7
_VALUE = 10
_COLUMN = 19
_GAP = 2
_PICTURE_LEAST = 41
"""Cells that a picture does not give up for longer verdicts."""
_PICTURE_BESIDE = 116
"""Cells from which the pictures stand beside the verdicts; below, they have lines of their own."""
_P_BESIDE = 140
_P = 7
_RATIO = 9
_COMPACT_LEAST = 2 * _VALUE + _RATIO + _GAP + 19
"""Cells beside the names that a line with values, ratio and picture takes."""
_SIGN_WORDS = (("+", "better"), ("-", "worse"), ("=", "equal"), ("?", "unclear"))
_WORDS = 36
"""Cells that the longest usual verdict needs."""


def letter(index: int) -> str:
    """What a side is called: A is the baseline."""
    return chr(ord("A") + index) if index < 26 else f"#{index}"


def document(scene: Scene, width: int, height: int, look: RenderContext) -> Lines:
    """The whole comparison, for so many cells; on low screens fewer differences are unfolded."""
    lines: Lines = []
    if scene.title:
        lines += [*paragraph(scene.title, width, look.palette.title), Text()]
    lines += [*_legend(scene, width, look), Text()]
    if not scene.found:
        caveats = [*_remarks(scene, width, look), *_alarms(scene, width, look)]
        empty = paragraph("There is nothing to compare yet.", width, look.palette.muted)
        return [*lines, *caveats, *([Text()] if caveats else []), *empty]
    lines += _outcome(scene, width, look)
    if len(scene.found) > 1:
        lines += [*_table(scene, width, look), Text()]
        heading = Text(no_wrap=True, end="")
        heading.append(f"{letter(scene.focus)} against A", style=look.palette.title)
        lines.append(heading.append(f"  {safe(scene.sides[scene.focus].name)}", style=look.palette.muted))
    narrow = width < _PICTURE_BESIDE and _drawn(scene) and width >= _COMPACT_LEAST + _names(scene)
    lines += [*(_compact if narrow else verdicts)(scene, width, look), Text()]
    if caveats := [*_remarks(scene, width, look), *_alarms(scene, width, look)]:
        lines += [*caveats, Text()]
    lines += [*_differences(scene, width, _FOLDED if height >= _LOW else _FOLDED_LOW, look)]
    if narrow:
        lines += [Text(), *_in_words(scene, width, look)]
    notes = dict.fromkeys(note for comparison in scene.found for note in comparison.notes)
    for note in notes:
        lines += [Text(), *paragraph(note, min(width, 110), look.palette.muted)]
    return lines


def _outcome(scene: Scene, width: int, look: RenderContext) -> Lines:
    """The first figure's verdict, how the others came out, and whether that may be believed: a line or two."""
    comparison = scene.found[scene.focus - 1]
    line = Text()
    if scene.remarks or any(one.unlike for one in scene.found):
        line.append(" SEE BELOW ", style=f"{look.palette.warning} reverse").append("  ")
    known = [figure for figure in comparison.figures if figure.ratio is not None]
    line.append(f"{letter(scene.focus)} against A: ", style=look.palette.title)
    if not known:
        line.append("no figure of both is known", style=look.palette.muted)
    for figure in known[:1]:
        line.append(f"{safe(figure.name)} {figure.verdict}", style=style_of(figure, look))
    if len(known) > 1:
        counts = {word: sum(figure.sign == sign for figure in known) for sign, word in _SIGN_WORDS}
        told = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
        line.append(f"; of {len(known)} figures {told}", style=look.palette.muted)
    return [*_wrapped(line, max(10, width)), Text()]


def _wrapped(line: Text, width: int) -> Lines:
    """The line over as many as it needs, its styles kept."""
    found, at = [], 0
    for part in textwrap.wrap(line.plain, width, break_on_hyphens=False):
        at = line.plain.index(part, at)
        found.append(line[at : at + len(part)])
        at += len(part)
    return found


def _drawn(scene: Scene) -> bool:
    return any(figure.ratio is not None for figure in scene.found[scene.focus - 1].figures)


def _compact(scene: Scene, width: int, look: RenderContext) -> Lines:
    """A line a figure: both values, the ratio with its sign, its picture. Words come later."""
    figures = scene.found[scene.focus - 1].figures
    names, span = _names(scene), span_of(figures)
    room = min(61, width - names - 2 * _VALUE - _RATIO - _GAP)
    strong = look.palette.title
    lines = [
        beside(
            fit("FIGURES" if len(scene.found) == 1 else "", names, look, style=strong),
            fit("A", _VALUE, look, align="right", style=strong),
            fit(letter(scene.focus), _VALUE, look, align="right", style=strong),
            fit("x of A  ", _RATIO, look, align="right", style=strong), Text(" " * _GAP), axis(span, room, look),
        )
    ]  # fmt: skip
    for figure in figures:
        ratio = "" if figure.ratio is None else times(figure.ratio.value)
        told = f"{ratio} {figure.sign or ' '}"
        cells = [
            fit(figure.name, names, look, style=look.palette.muted),
            fit(figure.text(figure.first), _VALUE, look, align="right"),
            fit(figure.text(figure.second), _VALUE, look, align="right", style=look.palette.figure),
            fit(told, _RATIO, look, align="right", style=style_of(figure, look)),
        ]
        if figure.ratio is not None:
            cells += [Text(" " * _GAP), picture(figure, span, room, look)]
        lines.append(beside(*cells))
    return [*lines, *_extras_of_two(scene, names, _VALUE, look)]


def _in_words(scene: Scene, width: int, look: RenderContext) -> Lines:
    """The verdict of each figure, with its interval."""
    names = _names(scene)
    lines = [plain("IN WORDS", look.palette.title)]
    for figure in scene.found[scene.focus - 1].figures:
        if figure.ratio is not None:
            lines += entry(figure.name, figure.verdict, width, look, style=style_of(figure, look), room=names)
    return lines


def columns_that_fit(scene: Scene, width: int) -> int:
    """How many of the others the table shows beside each other."""
    room = width - _names(scene) - _VALUE
    count = room // _COLUMN
    return max(1, count if count >= len(scene.found) else (room - _BEYOND) // _COLUMN)


# Who is who


def _legend(scene: Scene, width: int, look: RenderContext) -> Lines:
    """A line a side: its letter, what it is, whether it may be believed."""
    colours, lines = look.palette, []
    for index, side in enumerate(scene.sides):
        here = len(scene.sides) > 2 and index == scene.focus
        line = Text(no_wrap=True, end="")
        line.append(look.glyph("▸", ">") if here else " ", style=colours.accent)
        line.append(f"{letter(index)} ", style=colours.accent if here else colours.title)
        if side.against:
            line.append(f"{look.glyph('✗', 'x')} {safe(side.against)}  ", style=colours.error)
        if index == 0:
            line.append("baseline  ", style=colours.muted)
        for text, style in ((side.name, colours.figure), (side.what, "")):
            room, shown = width - line.cell_len, safe(text)
            if shown and room > 4:
                line.append_text(fit(shown, min(cell_len(shown), room), look, style=style)).append("  ")
        line.truncate(width)  # of the blanks at its end
        room = width - line.cell_len
        if len(side.run) <= room:  # ids are long: a whole one, or none
            line.append_text(fit(side.run, room, look, style=colours.muted, align="right"))
        lines.append(line)
    return lines


# What makes them unlike, and what differs


def _remarks(scene: Scene, width: int, look: RenderContext) -> Lines:
    return [line for text in scene.remarks for line in _marked(" NOTE ", text, width, look)]


def _alarms(scene: Scene, width: int, look: RenderContext) -> Lines:
    """Why they are not the same measurement with another setting; said once for all sides that it is true of."""
    whose: dict[str, list[int]] = {}
    for index, comparison in enumerate(scene.found, 1):
        for text in comparison.unlike:
            whose.setdefault(text, []).append(index)
    lines: Lines = []
    for text, sides in whose.items():
        short = _with_letters(text, scene)
        named = short != text or len(sides) == len(scene.found)
        who = "" if named else f"{' '.join(map(letter, sides))}: "
        lines += _marked(" NOT COMPARABLE ", who + short, width, look)
    return lines


def _marked(mark: str, text: str, width: int, look: RenderContext) -> Lines:
    """Loud without colour, too."""
    style = look.palette.warning
    label, blank = Text(mark, style=f"{style} reverse"), Text(" " * len(mark))
    pieces = paragraph(text, width - len(mark) - 2, style)
    return [beside(blank if number else label, Text("  "), piece) for number, piece in enumerate(pieces)]


def _with_letters(text: str, scene: Scene) -> str:
    """Ids are long, and the letters are known."""
    others = sorted(list(enumerate(scene.sides))[1:], key=lambda one: -len(one[1].id))
    for index, side in [(0, scene.sides[0]), *others]:
        for before in ("", f"{letter(0)} and "):  # what both lack names both, the baseline first
            own = before + side.id
            if text == own or text.startswith((f"{own} ", f"{own}:")):
                text = before + letter(index) + text.removeprefix(own)
    return text


def _differences(scene: Scene, width: int, most: int, look: RenderContext) -> Lines:
    """The keys and facts that are not the same everywhere, with the value of each side."""
    known: dict[str, dict[int, str]] = {}
    for index, comparison in enumerate(scene.found, 1):
        for one in comparison.differences:
            values = known.setdefault(one.what, {0: one.first})
            values[index] = one.second
    title = Text(no_wrap=True, end="").append("WHAT DIFFERS", style=look.palette.title)
    if not known:
        return [title.append("  nothing: the same config on the same software", style=look.palette.muted)]
    shown = dict(list(known.items())[: None if scene.unfolded else most])
    names = min(max(cell_len(safe(short_key(what))) for what in shown) + 2, width // 3)
    lines: Lines = [title]
    if len(scene.sides) == 2:
        for what, values in shown.items():
            text = f"{values[0] or '(none)'} {look.glyph('→', '->')} {values[1] or '(none)'}"
            lines += entry(short_key(what), text, width, look, room=names)
    else:
        lines.append(_letters(scene, names, width, look))
        lines += [_row_of_values(what, values, scene, names, width, look) for what, values in shown.items()]
    if len(shown) < len(known):
        key, dots = look.key("compare.differences", "d"), look.glyph("…", "...")
        lines.append(plain(f"{dots} {len(known) - len(shown)} more: {key} shows all", look.palette.accent))
    return lines


def short_key(what: str) -> str:
    """A key of the config by its last parts: `transformers.tuning`; what is none as it is."""
    return what.removeprefix("engine.").removeprefix("workload.").removeprefix("measurement.") if "." in what else what


def _letters(scene: Scene, names: int, width: int, look: RenderContext) -> Text:
    """The letters above the values of each side."""
    cells = [Text(" " * names)]
    for index in _shown(scene, width):
        style = look.palette.accent if index == scene.focus else look.palette.muted
        cells.append(fit(letter(index), _value_room(scene, names, width), look, style=style))
    return beside(*cells, _beyond(scene, width, look))


def _value_room(scene: Scene, names: int, width: int) -> int:
    """Cells for the value of one side, where what lies beyond the edge is told as well."""
    return (width - names - _BEYOND) // len(_shown(scene, width))


def _row_of_values(
    what: str, values: dict[int, str], scene: Scene, names: int, width: int, look: RenderContext
) -> Text:
    room = _value_room(scene, names, width)
    cells = [fit(short_key(what), names - 1, look, style=look.palette.muted), Text(" ")]
    for index in _shown(scene, width):
        same = index > 0 and index not in values
        text = "= A" if same else values.get(index, "") or "(none)"
        style = look.palette.muted if same or index == 0 else ""
        cells += [fit(text.removeprefix("synthetic:"), room - 1, look, style=style), Text(" ")]
    return beside(*cells)


def _shown(scene: Scene, width: int) -> list[int]:
    """The baseline, and those of the others that the table shows."""
    count = columns_that_fit(scene, width)
    return [0, *range(scene.first, min(len(scene.sides), scene.first + count))]


# Figures


def _table(scene: Scene, width: int, look: RenderContext) -> Lines:
    """A line a quantity: the baseline's value, and value, ratio and sign of as many others as there is room for."""
    names, shown = _names(scene), _shown(scene, width)
    header = [fit("FIGURES", names, look, style=look.palette.title)]
    header.append(fit("A", _VALUE, look, style=look.palette.title, align="right"))
    for index in shown[1:]:
        style = look.palette.accent if index == scene.focus else look.palette.title
        header.append(fit(f"{letter(index)}  x of A  ", _COLUMN, look, style=style, align="right"))
    lines = [beside(*header, _beyond(scene, width, look))]
    for figures in zip(*(comparison.figures for comparison in scene.found), strict=True):
        base = next((figure for figure in figures if figure.first is not None), figures[0])
        name = base.name if len({figure.name for figure in figures}) == 1 else base.key
        cells = [fit(name, names, look, style=look.palette.muted)]
        cells.append(fit(base.text(base.first), _VALUE, look, align="right"))
        cells += [_cell(figures[index - 1], look) for index in shown[1:]]
        lines.append(beside(*cells))
    for extra in _extra_names(scene):
        values = [scene.sides[index].extras.get(extra, NOT_AVAILABLE) for index in shown]
        cells = [fit(extra, names, look, style=look.palette.muted), fit(values[0], _VALUE, look, align="right")]
        for value in values[1:]:
            cells += [fit(value, _VALUE, look, align="right"), Text(" " * (_COLUMN - _VALUE))]
        lines.append(beside(*cells))
    return [*lines, *paragraph(signs_text(scene.found), width, look.palette.muted)]


def _extra_names(scene: Scene) -> list[str]:
    return list(dict.fromkeys(name for side in scene.sides for name in side.extras))


def _cell(figure: ComparedFigure, look: RenderContext) -> Text:
    ratio = "" if figure.ratio is None else times(figure.ratio.value)
    value = fit(figure.text(figure.second), _VALUE, look, align="right")
    found = fit(f"{ratio} {figure.sign or ' '}", _COLUMN - _VALUE, look, style=style_of(figure, look), align="right")
    return beside(value, found)


def _beyond(scene: Scene, width: int, look: RenderContext) -> Text:
    """That there are more runs to the left or right."""
    last = _shown(scene, width)[-1]
    parts = []
    if scene.first > 1:
        parts.append(f"{look.glyph('◄', '<')}{scene.first - 1}")
    if last < len(scene.sides) - 1:
        parts.append(f"{len(scene.sides) - 1 - last}{look.glyph('►', '>')}")
    return Text(" ".join(["", *parts]) if parts else "", style=look.palette.accent)


def verdicts(scene: Scene, width: int, look: RenderContext) -> Lines:
    """Both values and the verdict in words of every quantity, with pictures beside or below."""
    figures = scene.found[scene.focus - 1].figures
    names, values = _names(scene), _VALUE + _GAP
    drawn = any(figure.ratio is not None for figure in figures)
    beside_them = drawn and width >= _PICTURE_BESIDE
    shown_p = drawn and width >= _P_BESIDE
    span = span_of(figures)
    room = width - names - 2 * values - 3 * _GAP - _P * shown_p
    longest = max((len(figure.verdict) + 1 for figure in figures), default=0)
    wanted = max(_WORDS, min(longest, room - _PICTURE_LEAST))
    picture_room = min(61, room - wanted) if beside_them else 0
    words = width - names - 2 * values - _GAP - (picture_room + _GAP if beside_them else 0) - (_P + _GAP) * shown_p
    strong, muted = look.palette.title, look.palette.muted
    header = [
        fit("FIGURES" if len(scene.found) == 1 else "", names, look, style=strong),
        fit("A", values, look, align="right", style=strong),
        fit(letter(scene.focus), values, look, align="right", style=strong),
        fit("  VERDICT", _GAP + words, look, style=strong),
    ]
    if shown_p:
        header += [Text(" " * _GAP), fit("rank p", _P, look, align="right", style=muted)]
    if beside_them:
        header += [Text(" " * _GAP), axis(span, picture_room, look)]
    lines = [beside(*header)]
    for figure in figures:
        pieces = paragraph(figure.verdict, words, style_of(figure, look))
        cells = [
            fit(figure.name, names, look, style=muted),
            fit(figure.text(figure.first), values, look, align="right"),
            fit(figure.text(figure.second), values, look, align="right", style=look.palette.figure),
            Text(" " * _GAP),
            fit(pieces[0].plain, words, look, style=style_of(figure, look)),
        ]
        if shown_p:
            p = figure.ratio.p if figure.ratio else None
            cells += [Text(" " * _GAP), fit("" if p is None else p_text(p), _P, look, align="right", style=muted)]
        if beside_them:
            cells += [Text(" " * _GAP), picture(figure, span, picture_room, look)]
        lines.append(beside(*cells))
        lines += [beside(Text(" " * (names + 2 * values + _GAP)), more) for more in pieces[1:]]
    lines += _extras_of_two(scene, names, values, look)
    return lines if beside_them or not drawn else [*lines, *_pictures(figures, names, width, look)]


def _extras_of_two(scene: Scene, names: int, values: int, look: RenderContext) -> Lines:
    """Figures without a ratio; of more than two sides the table has them."""
    lines: Lines = []
    for extra in _extra_names(scene) if len(scene.found) == 1 else ():
        shown = [fit(side.extras.get(extra, NOT_AVAILABLE), values, look, align="right") for side in scene.sides]
        lines.append(beside(fit(extra, names, look, style=look.palette.muted), *shown))
    return lines


def _pictures(figures: Sequence[ComparedFigure], names: int, width: int, look: RenderContext) -> Lines:
    """Pictures on lines of their own, of what has a ratio."""
    room, span = max(11, min(61, width - names - _GAP)), span_of(figures)
    lines: Lines = [Text(), beside(Text(" " * (names + _GAP)), axis(span, room, look))]
    for figure in figures:
        if figure.ratio is not None:
            name = fit(figure.name, names, look, style=look.palette.muted)
            lines.append(beside(name, Text(" " * _GAP), picture(figure, span, room, look)))
    return lines


def _names(scene: Scene) -> int:
    """Cells of the first column."""
    names: Iterator[str] = (figure.name for comparison in scene.found for figure in comparison.figures)
    return max(16, *(len(name) + 1 for name in names))
