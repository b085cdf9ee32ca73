"""A search for a capacity as lines, rows and charts. Pure: what is known of it in, text out."""

from collections.abc import Hashable
from itertools import pairwise
from typing import Literal

from msgspec import Struct
from rich.text import Text

from infertui.analysis.capacity.curve import LevelFigures
from infertui.analysis.capacity.wording import (
    WHY,
    bracket_text,
    finding_lines,
    found_text,
    level_text,
    number_text,
    seconds_text,
)
from infertui.chart import ChartCurve, ChartMark, ChartPanel, ChartPoint, ResultChart
from infertui.errors import InfertuiError
from infertui.measure.load.slo import SloTerm, parse_slo
from infertui.metrics.metric import NOT_AVAILABLE
from infertui.runner.capacity.state import CapacityView, StayLive, StayShown
from infertui.tui.terminal.sanitize import plain, safe
from infertui.tui.widgets.cells import RenderContext, beside, clock, fit

Drawn = Literal["levels", "pareto"]
_NUMBER, _LEVEL, _VERDICT, _FIGURE = 4, 15, 40, 10
_LEAST_VERDICT = 24
LIVE = "live"


def head_lines(view: CapacityView, width: int, look: RenderContext) -> list[Text]:
    """Where is searched and for what, how far it is, what is known by now."""
    record, colours = view.record, look.palette
    server = ", ".join(part for part in (record.server, record.model) if part)
    lines = [fit(f"{record.url}{f' ({server})' if server else ''}  {record.slo}", width, look, style=colours.title)]
    if view.status == "ended":
        lines += ended_lines(view, width, look)
    else:
        lines.append(fit(progress_text(view), width, look, style=colours.active))
        known = bracket_text(record.plan, view.boundary.passing, view.boundary.failing)
        words = f"it {known}" if known else "nothing is known yet"
        if view.boundary.binding:
            words += f"; {safe(view.boundary.binding)} is the first to be used up"
        lines.append(fit(words, width, look))
    return lines


def ended_lines(view: CapacityView, width: int, look: RenderContext) -> list[Text]:
    """What was found; why it ended, where nobody asked for that."""
    colours = look.palette
    lines = [fit(view.error, width, look, style=colours.error)] if view.error else []
    if view.outcome is None:
        return lines or [fit("nothing was measured", width, look, style=colours.warning)]
    for number, words in enumerate(finding_lines(view.record.plan, view.outcome)):
        note = words.startswith("note: ")
        style = colours.figure if not number else colours.warning if note else ""
        lines.append(fit(words, width, look, style=style))
    return lines


def progress_text(view: CapacityView) -> str:
    """`stay 5 of at most 40, 3:20 of at most 30:00`."""
    if view.status == "probing":
        return "looking at the server"
    plan = view.record.plan
    spent = sum(stay.took_s for stay in view.stays) + (view.live.elapsed if view.live else 0.0)
    done = view.stays[-1].number if view.stays else 0
    number = min(done + 1, plan.most_stays)
    return f"stay {number} of at most {plan.most_stays}, {clock(spent)} of at most {clock(plan.most_seconds)}"


class StayRows:
    """The stays as rows of a list, the newest first, below the one under way."""

    def __init__(self) -> None:
        self.view: CapacityView | None = None
        self.look: RenderContext | None = None

    def row_count(self) -> int:
        """Stays there are."""
        return 0 if self.view is None else len(self.view.stays) + (self.view.live is not None)

    def row_key(self, index: int) -> Hashable:
        """The stay's number."""
        live, stay = self._at(index)
        return LIVE if live is not None else stay.number if stay is not None else None

    def row_text(self, index: int, width: int) -> Text:
        """A stay."""
        assert self.look is not None and self.view is not None  # noqa: S101, PT018
        live, stay = self._at(index)
        if live is not None:
            return live_row(live, self.view, width, self.look)
        assert stay is not None  # noqa: S101
        return stay_row(stay, self.view, width, self.look)

    def _at(self, index: int) -> tuple[StayLive | None, StayShown | None]:
        assert self.view is not None  # noqa: S101
        if self.view.live is not None:
            if not index:
                return self.view.live, None
            index -= 1
        return None, self.view.stays[-1 - index]


def stay_heading(width: int, look: RenderContext) -> Text:
    """The names of the columns."""
    cells = _columns(("#", "level", "verdict", "req/s", "tok/s", "TTFT", "TPOT", "E2E", "W", "waiting", "took"), width)
    return beside(*(fit(text, room, look, style=look.palette.title) for text, room in cells))


def stay_row(stay: StayShown, view: CapacityView, width: int, look: RenderContext) -> Text:
    """A stay that is over."""
    figures, colours = stay.figures, look.palette
    verdict, style = verdict_of(stay, look)
    cells = _columns(
        (
            str(stay.number),
            level_text(view.record.plan.kind, stay.level),
            verdict,
            number_text(figures.request_throughput),
            number_text(figures.output_throughput),
            seconds_text(figures.ttft),
            seconds_text(figures.tpot),
            seconds_text(figures.e2e),
            number_text(figures.waiting),
            number_text(figures.power_w),
            seconds_text(stay.took_s),
        ),
        width,
    )
    styles = [colours.muted, colours.figure, style, *[""] * len(cells)]
    return beside(*(fit(text, room, look, style=one) for (text, room), one in zip(cells, styles, strict=False)))


def verdict_of(stay: StayShown, look: RenderContext) -> tuple[str, str]:
    """What a stay says of its level, and in which style."""
    colours = look.palette
    doubt = " !" if stay.against else ""
    if stay.used is None:
        return f"nothing is known{doubt}", colours.warning
    if stay.end == "overloaded":
        return f"too much for it{doubt}", colours.error
    words = f"{'keeps' if stay.keeps else 'misses'}{doubt} {stay.used:.0%} {safe(stay.binding)}"
    return words, colours.ok if stay.keeps else colours.error


def live_row(live: StayLive, view: CapacityView, width: int, look: RenderContext) -> Text:
    """The one under way."""
    why = f" ({WHY[live.why]})" if WHY[live.why] else ""
    settled = safe(live.reason) or "settled"
    words = f"{clock(live.elapsed)}  {live.requests:,} requests  {settled}"
    head = f"{level_text(view.record.plan.kind, live.level)}{why}"
    cells = [fit(str(live.number), _NUMBER, look, style=look.palette.muted)]
    return beside(*cells, fit(f"{head}  {words}", max(0, width - _NUMBER), look, style=look.palette.active))


def _columns(texts: tuple[str, ...], width: int) -> list[tuple[str, int]]:
    """As many columns as there is room for: the last ones go first, but for how long it took."""
    number, level, verdict, *figures, took = texts
    room = width - _NUMBER - _LEVEL - _LEAST_VERDICT - _FIGURE
    shown = figures[: max(0, room // _FIGURE)]
    spare = max(0, room - _FIGURE * len(shown))
    head = [(number, _NUMBER), (level, _LEVEL)]
    if room < 0:
        return [*head, (verdict, max(0, width - _NUMBER - _LEVEL))]
    return [
        *head,
        (verdict, min(_VERDICT, _LEAST_VERDICT + spare) - 1),
        ("", 1),
        *((text, _FIGURE) for text in shown),
        (took, _FIGURE),
    ]


class _Latency(Struct, frozen=True):
    """A latency that objectives may be about: its name, and what levels tell of it."""

    name: str
    mean: str
    tail: str = ""


_LATENCIES = {
    "ttft": _Latency("TTFT", "ttft", "ttft_p99"),
    "tpot": _Latency("TPOT", "tpot"),
    "itl": _Latency("TPOT", "tpot"),
    "e2e": _Latency("E2E", "e2e"),
}


def level_chart(view: CapacityView, look: RenderContext) -> ResultChart | None:
    """Throughput, and the latencies that objectives are about, over the level, with capacity and knee marked."""
    outcome = view.outcome
    if outcome is None or not outcome.levels:
        return None
    levels = outcome.levels
    speed = ChartPanel(
        "output tok/s", "", (_curve(levels, "output_throughput", 1.0, look.palette.active),), tuple(_marks(view))
    )
    panels = [speed]
    for term in _terms(view):
        latency = _LATENCIES.get(term.latency)
        if latency is None or any(panel.name == latency.name for panel in panels):
            continue
        mean = _curve(levels, latency.mean, 1000.0, look.palette.accent, label="mean" if latency.tail else "")
        tail = [_curve(levels, latency.tail, 1000.0, look.palette.warning, label="p99")] if latency.tail else []
        limit = ChartMark(term.limit_s * 1000, safe(term.text), across=True, kind="limit")
        marks = (limit, *_marks(view, labelled=False))
        panels.append(ChartPanel(latency.name, "ms", (mean, *(one for one in tail if one.points)), marks))
    heading = "requests in flight" if view.record.plan.kind == "concurrency" else "requests/s"
    return ResultChart(tuple(panels), heading)


def pareto_chart(view: CapacityView, look: RenderContext) -> ResultChart | None:
    """Throughput of all against what each user has of it: what is better in nothing apart, knee and capacity marked."""
    outcome = view.outcome
    if outcome is None:
        return None
    known = [each for each in outcome.levels if each.output_throughput is not None and each.tps_user is not None]
    if not known:
        return None
    best = [each for each in known if each.level in outcome.pareto]
    rest = [each for each in known if each.level not in outcome.pareto]
    curves = [ChartCurve(_points(best), style=look.palette.active)]
    curves += [ChartCurve(_points(rest), "worse in both", look.palette.muted, joined=False)] if rest else []
    marks = []
    for level, word in ((outcome.capacity, "limit"), (outcome.knee, "knee")):
        at = _user_speed(known, level) if level is not None else None
        if at is not None:
            kind: Literal["mark", "limit"] = "limit" if word == "limit" else "mark"
            marks.append(ChartMark(at, f"{word} {level:g}", kind=kind))
    panel = ChartPanel("output tok/s", "", tuple(curves), tuple(marks))
    return ResultChart((panel,), "tok/s of each user")


def _user_speed(levels: list[LevelFigures], level: float) -> float | None:
    """Between two levels in line; None beyond them."""
    for low, high in pairwise(levels):
        if low.level <= level <= high.level and low.tps_user is not None and high.tps_user is not None:
            share = (level - low.level) / (high.level - low.level)
            return low.tps_user + share * (high.tps_user - low.tps_user)
    return next((each.tps_user for each in levels if each.level == level), None)


def _points(levels: list[LevelFigures]) -> tuple[ChartPoint, ...]:
    return tuple(
        ChartPoint(float(f"{each.tps_user:.3g}"), each.output_throughput)
        for each in levels
        if each.tps_user is not None
    )


def _curve(levels: tuple[LevelFigures, ...], name: str, scale: float, style: str, *, label: str = "") -> ChartCurve:
    known = [(each.level, getattr(each, name)) for each in levels]
    return ChartCurve(tuple(ChartPoint(at, value * scale) for at, value in known if value is not None), label, style)


def _marks(view: CapacityView, *, labelled: bool = True) -> list[ChartMark]:
    outcome = view.outcome
    if outcome is None:
        return []
    marks = []
    if outcome.capacity is not None and not outcome.at_least:
        at = outcome.boundary.level if outcome.boundary.level is not None else outcome.capacity
        marks.append(ChartMark(at, f"capacity {outcome.capacity:.4g}" if labelled else "", kind="limit"))
    if outcome.knee is not None:
        marks.append(ChartMark(outcome.knee, f"knee {outcome.knee:g}" if labelled else ""))
    return marks


def _terms(view: CapacityView) -> tuple[SloTerm, ...]:
    try:
        return parse_slo(view.record.slo).terms
    except InfertuiError:
        return ()


def tab_separated(view: CapacityView) -> str:
    """The levels for a spreadsheet, in base units."""
    names = LevelFigures.__struct_fields__
    rows = ["\t".join(names)]
    levels = view.outcome.levels if view.outcome else ()
    for level in levels:
        values = [getattr(level, name) for name in names]
        rows.append("\t".join("" if value is None else f"{value:g}" for value in values))
    return "\n".join(rows) + "\n"


def list_line(view: CapacityView) -> tuple[str, str]:
    """A search in a list: its name and objectives, and what was found."""
    record = view.record
    found = found_text(record.plan, view.outcome) if view.outcome else NOT_AVAILABLE
    return view.id, safe(f"{found}  {record.slo}  {record.url}")


def empty_line(look: RenderContext) -> Text:
    """In place of a chart."""
    return plain("There is no curve before a stay is over.", look.palette.muted)
