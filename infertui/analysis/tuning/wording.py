"""How a segment of a tuning session is told in words."""

from infertui.analysis.tuning.knobs import text_of
from infertui.analysis.tuning.segment import Segment, SegmentRatio
from infertui.metrics.metric import NOT_AVAILABLE
from infertui.metrics.registry import metric_of
from infertui.text import clean

_SIGNS = {"better": "+", "worse": "-", "equal": "=", "unclear": "?"}


def figure_text(figures: dict[str, float | None], key: str) -> str:
    """A figure of a segment as tables show it."""
    value = figures.get(key)
    return NOT_AVAILABLE if value is None else metric_of(key).written(value)


def throughput_text(segment: Segment) -> str:
    """Its throughput with the 95 % interval, where there is one."""
    value, low, high = (segment.figures.get(key) for key in ("throughput", "low", "high"))
    if value is None:
        return NOT_AVAILABLE
    told = figure_text(segment.figures, "throughput")
    if low is None or high is None:
        return told
    return f"{told} ({metric_of('low').written(low)} to {metric_of('high').written(high)})"


def against_text(found: SegmentRatio | None, *, short: bool = False) -> str:
    """A ratio with its interval and what that says: `x1.342 (1.330 to 1.354) better`; `short`: `x1.342 +`."""
    if found is None or found.ratio is None:
        return NOT_AVAILABLE
    ratio = f"x{found.ratio:.3f}"
    if short:
        return f"{ratio} {_SIGNS[found.finding]}"
    if found.low is None or found.high is None:
        return finding_text(found)
    return f"{ratio} ({found.low:.3f} to {found.high:.3f}) {found.finding}"


def finding_text(found: SegmentRatio) -> str:
    """A ratio and what its interval says: `x1.342 better`."""
    return NOT_AVAILABLE if found.ratio is None else f"x{found.ratio:.3f} {found.finding}"


def change_text(segment: Segment) -> str:
    """What was changed: `batch_size 1 -> 4` is told as `bs=4`; the first segment is where it started."""
    from infertui.config.sweep import short_name

    told = " ".join(f"{short_name(key)}={text_of(value)}" for key, value in segment.changes.items())
    if segment.returned:
        return clean(f"back to {told}" if told else "back")
    return clean(told) or ("start" if segment.number == 1 else "the same")


def segment_line(segment: Segment) -> str:
    """A segment in a line."""
    head = f"{segment.number:>3}  {change_text(segment)}"
    if segment.error is not None:
        return f"{head}: failed: {clean(segment.error.message)}"
    if not segment.measured:
        return f"{head}: ended before it measured"
    line = f"{head}: {throughput_text(segment)} tok/s"
    if segment.previous is not None:
        line += f"; to {segment.previous.segment} {against_text(segment.previous)}"
    if segment.best is not None and (segment.previous is None or segment.best.segment != segment.previous.segment):
        line += f"; to the best, {segment.best.segment}, {against_text(segment.best)}"
    notes = []
    if segment.previous is not None and segment.previous.processes:
        notes.append("loaded anew: processes differ by some percent, too")
    if segment.invalid:
        notes.append(f"INVALID: {clean('; '.join(segment.invalid))}")
    return line + (f" ({'; '.join(notes)})" if notes else "")
