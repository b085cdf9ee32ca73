"""What a pipeline found, on one screen of text: every config with its figures, its gain over the baseline, its quality.

80 columns wide; 24 lines hold the baseline and two others with all that may have to be said of them.
"""

import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

from msgspec import Struct

from infertui.analysis.bench import Bench, bench_report
from infertui.analysis.compare import ComparedFigure, Comparison
from infertui.analysis.compare_text import signs_text
from infertui.analysis.outcome import SIGNS
from infertui.analysis.summary_text import quality_rows
from infertui.measure.comparison import geometric_mean
from infertui.measure.dependence import FEWEST
from infertui.metrics.metric import NOT_AVAILABLE
from infertui.metrics.reads import caveats
from infertui.metrics.registry import metric_of
from infertui.pipeline.plan import rounds_text
from infertui.pipeline.state import PipelineFile
from infertui.results.result import Result
from infertui.text import clean, one_line, shorten
from infertui.units import format_number

WIDTH = 80
_NAME, _CELL = 25, 11
_MOST_NOTES = 3
_FIGURES = (
    ("throughput", "throughput", "tok/s"), ("latency", "latency_mean", "E2E mean"), ("ttft", "ttft_mean", "TTFT mean"),
    ("memory", "vram", "memory"), ("energy", "joules_per_token", "J/token"),
)  # fmt: skip
"""What is told of each config: the figure's key in comparisons, its metric, its heading."""
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


class Found(Struct, frozen=True):
    """The results of a pipeline and what they say. `with_invalid`: no round was valid, so that the others count."""

    results: tuple[Result, ...]
    bench: Bench
    with_invalid: bool = False

    def runs(self, arm: str) -> list[Result]:
        """The runs of an arm that count."""
        ids = {run for one in self.bench.arms if one.name == arm for run in one.runs}
        return [result for result in self.results if clean(result.id) in ids]


def found(results: Sequence[Result]) -> Found:
    """What one result at least says; where every round had an invalid run, what these say, marked so."""
    bench = bench_report(results)
    if bench.used:
        return Found(tuple(results), bench)
    marked = bench_report(results, with_invalid=True)
    return Found(tuple(results), marked, with_invalid=True) if marked.used else Found(tuple(results), bench)


def lines(pipeline: PipelineFile, found: Found, folder: Path, width: int = WIDTH) -> list[str]:
    """The whole screen."""
    bench = found.bench
    told = [*_wrapped(_title(pipeline, found), width), *_verdict(found, width), "", _heading()]
    against = {comparison.second: comparison for comparison in bench.comparisons}
    for at, arm in enumerate(bench.arms):
        told += _arm(_letter(at), arm.name, found, against.get(arm.name), width)
    for at, failed in enumerate(bench.failed, len(bench.arms)):
        told += _wrapped(f"{_letter(at)} {failed.name}: FAILED: {failed.error}", width, "  ")
    told += _marks(pipeline, found, width)
    told += ["", *_wrapped(_legend(found), width)]
    return [*told, f"report: {clean(str(folder / 'report.html'))}"]


def notes(pipeline: PipelineFile) -> Iterator[str]:
    """How it came to be compared so, and what was left out: for the report."""
    if pipeline.arms:
        others = ", ".join(arm.name for arm in pipeline.arms[1:])
        yield f"The baseline is {pipeline.arms[0].name}. Beside it: {others}, {pipeline.chosen_by}."
    for one in pipeline.left_out:
        yield f"Not measured: {one.name}: {one.reason}"


def _title(pipeline: PipelineFile, found: Found) -> str:
    workload = pipeline.base.workload
    device = next((one.loaded.device_name for one in found.results if one.loaded and one.loaded.device_name), "")
    prompts = f"{workload.input_len} tokens" if workload.input_len else f"{workload.prompts} prompts"
    on = f" on {device}" if device else ""
    random = any(one.loaded.random_weights for one in found.results if one.loaded)
    model = pipeline.base.model.id + (" (random weights)" if random else "")
    return f"{model}{on}: batch {workload.batch_size}, {prompts} in, {workload.output_len} out"


def _verdict(found: Found, width: int) -> list[str]:
    bench = found.bench
    rounds = f"{len(bench.used)} of {rounds_text(bench.rounds)} in turn count"
    intervals = ", 95 % intervals over rounds" if len(bench.used) >= FEWEST else ""
    told = [f"{rounds}{intervals}"]
    if found.with_invalid:
        why = next((text for one in found.results for text in one.verdict.invalid), "")
        told += _wrapped(f"EVERY ROUND HAS AN INVALID RUN, and these are its figures: {shorten(why, 100)}", width, "  ")
    return told


def _heading() -> str:
    return " " * _NAME + "".join(heading.rjust(_CELL) for _, _, heading in _FIGURES)


def _arm(letter: str, name: str, found: Found, comparison: Comparison | None, width: int) -> Iterator[str]:
    """Its figures; of those beside the baseline the changes in percent, the speed-up, and what it says."""
    runs = found.runs(name)
    yield f"{letter} {shorten(name, _NAME - 3):<{_NAME - 2}}" + _cells(_values(found, name, runs))
    if comparison is not None:
        figures = {figure.key: figure for figure in comparison.figures}
        yield f"  {'change':<{_NAME - 2}}" + _cells([_change(figures.get(key)) for key, _, _ in _FIGURES])
        yield from _wrapped(f"  {_gain(figures)}", width, "  ")
    if runs:
        yield from _wrapped(f"  quality: {_quality(runs)}", width, "  ")


def _cells(texts: Sequence[str]) -> str:
    return "".join(text.rjust(_CELL) for text in texts)


def _values(found: Found, name: str, runs: Sequence[Result]) -> list[str]:
    """As the comparison has them, so that no figure stands beside a change that is not its own."""
    texts = []
    for key, metric, _ in _FIGURES:
        figure, first = _figure(found.bench, name, key)
        if figure is not None:
            texts.append(figure.text(figure.first if first else figure.second))
            continue
        values = [value for run in runs if (value := metric_of(metric).number(run)) is not None]
        mean = geometric_mean(values) if values and len(values) == len(runs) and min(values) > 0 else None
        texts.append(metric_of(metric).written(mean))
    return texts


def _figure(bench: Bench, name: str, key: str) -> tuple[ComparedFigure | None, bool]:
    """A figure of a comparison that an arm is in, and whether the arm is the first of the two."""
    for comparison in bench.comparisons:
        for first, side in ((False, comparison.second), (True, comparison.first)):
            if side == name:
                return next((figure for figure in comparison.figures if figure.key == key), None), first
    return None, False


def _change(figure: ComparedFigure | None) -> str:
    return NOT_AVAILABLE if figure is None else figure.change_text


def _gain(figures: dict[str, ComparedFigure]) -> str:
    """`speed-up 2.54x (2.50x to 2.58x); reduced: latency by 60.7%, memory by 49.0%`."""
    throughput = figures["throughput"]
    told = [f"speed-up {_factor(throughput)}"]
    names = {"latency": "latency", "ttft": "TTFT", "memory": "memory", "energy": "energy"}
    less = [
        f"{names[key]} by {1 - figure.ratio.value:.1%}"
        for key in names
        if (figure := figures.get(key)) is not None and figure.ratio is not None and figure.outcome == "better"
    ]
    if less:
        told.append(f"reduced for sure: {', '.join(less)}")
    return "; ".join(told)


def _factor(figure: ComparedFigure) -> str:
    ratio = figure.ratio
    if ratio is None:
        return NOT_AVAILABLE
    span = ratio.interval
    between = f" ({format_number(span.low)}x to {format_number(span.high)}x)" if span is not None else ""
    unsure = ", unclear" if figure.sign == SIGNS["unclear"] else ""
    return f"{format_number(ratio.value)}x{between}{unsure}"


def _quality(runs: Sequence[Result]) -> str:
    """What its outputs are worth, of the run that was scored last; why that is not known where it is not."""
    last = runs[-1]
    agreement, perplexity = metric_of("agreement"), metric_of("perplexity")
    share = agreement.write(last)
    if agreement.value(last) is not None:
        told = [f"{share} of reference tokens"]
    else:
        told = ["is the reference" if share == "reference" else f"agreement {share}"]
    why = last.quality.reasons.get("perplexity", "") if last.quality else ""
    value = perplexity.write(last)
    told.append(
        f"perplexity {value}" + (f" ({shorten(why.partition(':')[0], 40)})" if value == NOT_AVAILABLE and why else "")
    )
    beyond = [text for name, text in quality_rows(last, brief=True) if name == "diverged"]
    return clean("; ".join((", ".join(told), *beyond, *caveats(last))))


def _marks(pipeline: PipelineFile, found: Found, width: int) -> Iterator[str]:
    """What has to be known before any of it is believed, the worst first; the rest is in the report."""
    bench = found.bench
    unlike = dict.fromkeys(text for one in bench.comparisons for text in one.unlike)
    marks = [f"NOT COMPARABLE {text}" for text in unlike if not (found.with_invalid and " is invalid: " in text)]
    marks += [f"not measured: {one.name}: {one.reason}" for one in pipeline.left_out
              if one.asked or one.name == pipeline.baseline]  # fmt: skip
    marks += [f"left out {text}" for text in bench.left_out]
    if bench.missing:
        marks.append(f"{bench.missing} runs are missing: the same command measures them")
    for text in marks[:_MOST_NOTES]:
        yield one_line(text, width)
    if len(marks) > _MOST_NOTES:
        yield f"{len(marks) - _MOST_NOTES} more in the report"


def _legend(found: Found) -> str:
    """What the signs mean, and why there is no energy where there is none."""
    told = [signs_text(found.bench.comparisons)] if found.bench.comparisons else []
    power = next((one.power for one in found.results if one.power is not None), None)
    if all(metric_of("joules_per_token").number(one) is None for one in found.results):
        told.append(f"energy n/a: {power.reason if power and power.reason else 'the device tells no power'}")
    return clean("; ".join(told))


def _wrapped(text: str, width: int, indent: str = "") -> list[str]:
    return textwrap.wrap(clean(text), width, subsequent_indent=indent, drop_whitespace=True) or [""]


def _letter(at: int) -> str:
    return _LETTERS[at] if at < len(_LETTERS) else f"#{at}"
