"""A run that has ended, as the Live pane shows it: whether it counts, its figures, and the keys that lead on. Pure."""

from collections.abc import Iterable, Sequence
from textwrap import wrap

from msgspec import Struct
from rich.text import Text

from infertui.analysis.summary_text import headline, remedy, verdict_lines
from infertui.measure.clock import NS_PER_S
from infertui.metrics.marks import why
from infertui.metrics.registry import metric_of
from infertui.metrics.wording import interval_in_words
from infertui.results.details import BatchPoint
from infertui.results.result import Result
from infertui.runner.execution.progress import RunProgress
from infertui.runner.scheduling.queue_store import Entry
from infertui.runner.scheduling.studies import Study, best, fates
from infertui.tui.live.view import Figure
from infertui.tui.terminal.sanitize import safe
from infertui.tui.widgets.cells import RenderContext, beside, fit
from infertui.units import format_number

_FIGURES = ("ttft", "tpot", "itl_p99", "latency", "vram", "power", "joules_per_token", "seconds")
_OF_LOADS = (
    "request_throughput", "goodput", "attainment", "ttft", "ttft_p99", "itl", "itl_p99", "error_rate", "in_flight",
    "power", "seconds",
)  # fmt: skip
_NAMES = {
    "ttft": "TTFT", "ttft_p99": "TTFT99", "tpot": "TPOT", "itl": "ITL", "itl_p99": "ITL99", "latency": "E2E",
    "vram": "mem", "power": "power", "joules_per_token": "J/tok", "seconds": "total", "request_throughput": "req/s",
    "goodput": "good/s", "attainment": "kept", "error_rate": "failed", "in_flight": "flight",
}  # fmt: skip
"""In six cells; TTFT, TPOT, ITL and E2E alone are medians, as while it ran."""
_SHORT = {"ttft_p99": "p99", "goodput": "good", "error_rate": "fail", "in_flight": "open"}
"""In five cells; p99 is that of what it follows."""
_KEYS = (
    ("live.open", "enter", "details"),
    ("live.again", "R", "again"),
    ("live.compare", "c", "compare"),
    ("live.tune", "t", "tune"),
)
_WATCHING = ("live.open", "live.compare")
_MOST_NOTES = 2


class EndedRun(Struct, frozen=True):
    """What is known of it. `entry` is its place in the queue while it has one; `batches` are of one whose course nobody
    saw; `study` is what it was queued with."""

    result: Result
    entry: Entry | None = None
    progress: RunProgress | None = None
    batches: tuple[BatchPoint, ...] = ()
    study: tuple[Entry, ...] = ()

    @property
    def state(self) -> str:
        """As the queue calls it, which knows who ended it."""
        return self.entry.state if self.entry is not None else self.result.state


def title_line(ended: EndedRun, width: int, look: RenderContext) -> Text:
    """`#5 demo bs=4  llama-8b  transformers ...`."""
    entry, result = ended.entry, ended.result
    label = f"#{entry.id} {entry.label}" if entry is not None else result.name or result.id
    title = fit(label, min(len(safe(label)), width), look, style=look.palette.title)
    return beside(title, fit("  " + headline(result), max(0, width - title.cell_len), look, style=look.palette.muted))


def verdict_text(ended: EndedRun, look: RenderContext) -> tuple[str, str]:
    """Whether it counts, with the reason in words, and the style of that."""
    result, colours = ended.result, look.palette
    if ended.state == "failed":
        return f"{look.glyph('✗', 'x')} FAILED: {result.error.message if result.error else 'no reason is known'}", (
            colours.error
        )
    if ended.state != "finished":
        by = f": {result.ended_by}" if result.ended_by and ended.state == "interrupted" else ""
        kept = "; what it measured is kept" if result.measured else ""
        return f"! {ended.state}{by}{kept}", colours.warning
    if not result.verdict.valid:
        return f"! invalid: {why(result.verdict)}", colours.warning
    return f"{look.glyph('✓', '+')} valid", colours.ok


def advice_of(ended: EndedRun) -> str:
    """What to do about it; empty of a good run."""
    result = ended.result
    return result.error.remedy if result.error else remedy(result)


def speed_line(ended: EndedRun, width: int, look: RenderContext) -> Text | None:
    """`976 tok/s  95 % 970 to 982`; None where none was measured."""
    rate = metric_of("throughput").number(ended.result)
    if rate is None:
        return None
    shown = f"{format_number(rate)} tok/s"
    style = look.palette.figure if ended.result.verdict.valid else look.palette.muted
    line = fit(shown, min(len(shown), width), look, style=style)
    spread = interval_in_words(ended.result.summary)
    return beside(line, fit(f"  {spread}" if spread else "", max(0, width - line.cell_len), look))


def study_line(ended: EndedRun, width: int, look: RenderContext) -> Text | None:
    """`all 4: 3 ok, 1 invalid  fastest bs=4 489 tok/s`; None of a run that was queued alone."""
    study = ended.study
    if len(study) < 2:
        return None
    counts = ", ".join(f"{count} {one}" for one, count in fates(study).items())
    said = f"{Study(study).label}, {len(study)} runs: {counts}"
    fastest = best(study)
    if fastest is not None and fastest.throughput is not None:
        said += f"; fastest {fastest.name or f'#{fastest.id}'} {format_number(fastest.throughput)} tok/s"
    return fit(said, width, look)


def outcome_figures(ended: EndedRun) -> list[Figure]:
    """What it measured beside its speed, as far as it is there."""
    found = []
    for key in _OF_LOADS if ended.result.load is not None else _FIGURES:
        metric = metric_of(key)
        if metric.value(ended.result) is not None:
            found.append(Figure(_NAMES[key], metric.write(ended.result), short=_SHORT.get(key, "")))
    return found


def head_lines(ended: EndedRun, width: int, height: int, look: RenderContext) -> list[Text]:
    """Title, verdict with its reason over as many lines as there is room for, what to do, speed, the others with it."""
    speed = speed_line(ended, width, look)
    words, style = verdict_text(ended, look)
    most = max(1, min(4, height - 3))
    lines = [title_line(ended, width, look), *_wrapped(words, width, most, look, style)]
    lines += [] if speed is None else [speed]
    advice = advice_of(ended)
    if advice and height - len(lines) > 3:
        lines += _wrapped(advice, width, min(3, height - len(lines) - 3), look, look.palette.muted)
    study = study_line(ended, width, look)
    if study is not None and height - len(lines) > 2:
        lines.append(study)
    return lines[:height]


def note_texts(ended: EndedRun) -> list[str]:
    """What a reader should know beside the verdict."""
    return [text for level, text in verdict_lines(ended.result) if level == "note"][:_MOST_NOTES]


def key_line(ended: EndedRun, width: int, look: RenderContext, *, read_only: bool) -> Text:
    """`enter details  R again  c compare  t tune`, as far as they have room."""
    line = Text(no_wrap=True, end="")
    for action, shipped, words in _KEYS:
        if action not in _WATCHING and (read_only or ended.result.imported):
            continue
        if action == "live.tune" and ended.result.load is not None:
            continue
        sign = look.key(action, shipped)
        if line.cell_len + len(sign) + len(words) + 3 > width:
            break
        line.append(("  " if line else "") + sign, style=look.palette.accent)
        line.append(f" {words}")
    return line


def before_line(last: Entry | None, width: int, look: RenderContext) -> Text | None:
    """While another one runs: how the run before ended, and the key that shows it."""
    if last is None:
        return None
    speed = "" if last.throughput is None else f" {format_number(last.throughput)} tok/s"
    state = "invalid" if last.valid is False and last.state == "finished" else last.state
    said = f"before: {last.name or last.label}{speed}, {state}  {look.key('live.previous', '[')} shows it"
    return fit(said, width, look, style=look.palette.muted)


def course(ended: EndedRun) -> list[tuple[float, float]]:
    """Tokens a second over the seconds of measuring: as they were seen, else a point a batch."""
    progress = ended.progress
    if progress is None or not progress.rates:
        return [(point.start, point.tps) for point in ended.batches if point.tps is not None]
    origin = next((stamp for stamp, phase in progress.entered if phase == "measure"), progress.rates[0][0])
    return [((stamp - origin) / NS_PER_S, rate) for stamp, rate in progress.rates if stamp >= origin]


def _wrapped(text: str, width: int, most: int, look: RenderContext, style: str) -> list[Text]:
    parts: Sequence[str] = wrap(safe(text), max(10, width), break_on_hyphens=False) or [""]
    if len(parts) > most:
        parts = [*parts[: most - 1], " ".join(parts[most - 1 :])]
    return [fit(part, width, look, style=style) for part in parts]


def latest(entries: Iterable[Entry]) -> Entry | None:
    """The entry that was run and ended last."""
    return max((entry for entry in entries if entry.ended and entry.run), key=lambda entry: entry.ended, default=None)
