"""Which charts a report has, and the values that each of them draws."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeAlias

from msgspec import Struct

from infertui.analysis.decision.curves import curves_of
from infertui.analysis.limits import limits_of
from infertui.metrics.metric import NOT_AVAILABLE
from infertui.metrics.reads import engine, form, ran
from infertui.metrics.registry import metric_of
from infertui.report.charts import bars, curves, iterations, power, strips, tradeoff
from infertui.report.data import Ranking, ReportData, ReportRun, foremost, workload_short
from infertui.report.document import ReportFigure
from infertui.report.series import Batches, TimeSpread
from infertui.results.setup import JUDGED
from infertui.text import clean

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawn

Data: TypeAlias = bars.Bars | strips.Strips | iterations.Courses | power.Traces | tradeoff.Tradeoff | curves.Curves

MOST_ROWS = 40
MOST_PANELS = 6
MOST_COURSES = 12

NAMES = (
    "throughput", "latency", "ttft", "tpot", "iterations", "power", "tradeoff", "curves", "energy", "mbu",
)  # fmt: skip
"""Of all charts that there are; their files are called so."""


class PlannedChart(Struct, frozen=True):
    """A chart before it is drawn: its place in the document, and its values."""

    figure: ReportFigure
    data: Data


def drawer(data: Data) -> "Callable[[], Drawn]":
    """What draws these values."""
    match data:
        case bars.Bars():
            return lambda: bars.draw(data)
        case strips.Strips():
            return lambda: strips.draw(data)
        case iterations.Courses():
            return lambda: iterations.draw(data)
        case power.Traces():
            return lambda: power.draw(data)
        case tradeoff.Tradeoff():
            return lambda: tradeoff.draw(data)
        case curves.Curves():
            return lambda: curves.draw(data)


def charts(material: ReportData) -> list[PlannedChart]:
    """The charts that the runs have values for, in reading order."""
    found = [_throughput(material), _tradeoff(material), _curves(material)]
    found += [
        _distribution(material, name, title, read)
        for name, title, read in (
            ("latency", "E2E latency", lambda one: one.latency),
            ("ttft", "TTFT", lambda one: one.ttft),
            ("tpot", "TPOT", lambda one: one.tpot),
        )
    ]
    found += [_iterations(material), _power(material), _energy(material), _mbu(material)]
    return [chart for chart in found if chart is not None]


def rows_by_contest(material: ReportData, has: Callable[[ReportRun], bool]) -> list[tuple[Ranking, list[ReportRun]]]:
    """The runs that have a value, the fastest first, by contest; not more than a chart can show.

    Winners and baselines are never those that are left out.
    """
    kept = [
        (
            contest,
            sorted((run for run in contest.subjects if has(run)), key=lambda run: (-(run.speed or 0.0), run.number)),
        )
        for contest in material.contests
    ]
    kept = [(contest, runs) for contest, runs in kept if runs]
    # Of several workloads those with one run alone tell nothing by themselves: the others come first.
    kept = kept[:MOST_PANELS]
    share = max(2, MOST_ROWS // max(1, len(kept)))
    spare = MOST_ROWS - sum(min(share, len(runs)) for _, runs in kept)
    shown = []
    for contest, runs in kept:
        room = share + max(0, min(spare, len(runs) - share))
        spare -= max(0, min(spare, len(runs) - share))
        few = runs[:room]
        if contest.baseline in runs and contest.baseline not in few:
            few = [*few[:-1], contest.baseline]
        shown.append((contest, few))
    return sorted(shown, key=lambda entry: entry[0].subjects[0].result.setup.batch_size or 0)


def _throughput(material: ReportData) -> PlannedChart | None:
    def bar(run: ReportRun, contest: Ranking) -> bars.Bar:
        interval = run.result.summary.output_throughput_interval
        low, high = (interval.low, interval.high) if interval else (None, None)
        return _bar(run, contest, run.speed or 0.0, low, high)

    return _bars(
        material, "throughput", "Throughput by configuration", "output tok/s", lambda run: bool(run.speed), bar,
        "Output tokens over the summed wall time of the measured iterations; whiskers are 95 % intervals "
        "over iterations. Each workload has its own scale. Grey: the baseline.",
    )  # fmt: skip


def _energy(material: ReportData) -> PlannedChart | None:
    def joules(run: ReportRun) -> float | None:
        return metric_of("joules_per_token").number(run.result)

    def bar(run: ReportRun, contest: Ranking) -> bars.Bar:
        whole = joules(run) or 0.0
        above = metric_of("joules_per_token_above_idle").number(run.result)
        idle = None if above is None or not 0 <= above <= whole else whole - above
        return _bar(run, contest, whole, None, None, part=idle)

    return _bars(
        material, "energy", "Energy per token", "J per output token (less is better)",
        lambda run: joules(run) is not None, bar,
        "Energy of the device over the measured window by its output tokens, gross; the lighter part is what the "
        "device draws at rest. Where each figure comes from stands with its run.",
    )  # fmt: skip


def _mbu(material: ReportData) -> PlannedChart | None:
    shares = {
        run.result.id: limits.mbu if (limits := limits_of(run.result)) is not None else None
        for run in material.subjects
    }

    def bar(run: ReportRun, contest: Ranking) -> bars.Bar:
        return _bar(run, contest, 100 * (shares[run.result.id] or 0.0), None, None)

    return _bars(
        material, "mbu", "Share of the memory's bandwidth in decoding (MBU)", "MBU, %",
        lambda run: shares[run.result.id] is not None, bar,
        "Bytes that a decode step has to read, weights and KV cache, over its time and the device's bandwidth. Which "
        "bandwidth that is stands with each run.",
        top=100.0,
    )  # fmt: skip


def _bar(
    run: ReportRun, contest: Ranking, value: float, low: float | None, high: float | None, part: float | None = None
) -> bars.Bar:
    place = run.result.bench
    baseline = run is contest.baseline if place is None else place.baseline
    return bars.Bar(
        run=run.id, number=run.number, label=run.label, value=value, low=low, high=high, part=part, mark=run.against,
        baseline=baseline and len(contest.subjects) > 1,
    )  # fmt: skip


def _bars(
    material: ReportData,
    name: str,
    title: str,
    unit: str,
    has: Callable[[ReportRun], bool],
    bar: Callable[[ReportRun, Ranking], bars.Bar],
    caption: str,
    *,
    top: float | None = None,
) -> PlannedChart | None:
    rows = rows_by_contest(material, has)
    if not rows:
        return None
    panels = tuple(bars.Panel(contest.workload, tuple(bar(run, contest) for run in runs)) for contest, runs in rows)
    parted = any(one.part is not None for panel in panels for one in panel.bars)
    data = bars.Bars(
        unit, panels, top, whole="above idle" if parted else "", part="what it draws at rest" if parted else ""
    )
    shown = [run for _, runs in rows for run in runs]
    return _chart(material, name, title, caption, data, shown, has)


def _distribution(
    material: ReportData, name: str, quantity: str, read: Callable[[Batches], TimeSpread | None]
) -> PlannedChart | None:
    spreads = {run.result.id: read(material.batches[run.result.id]) for run in material.subjects}

    def has(run: ReportRun) -> bool:
        return spreads[run.result.id] is not None

    def strip(run: ReportRun, spread: TimeSpread) -> strips.Strip:
        return strips.Strip(
            run.id, run.number, run.label, spread.n, spread.values, spread.median, spread.quantiles, run.against
        )

    rows = rows_by_contest(material, has)
    if not rows:
        return None
    panels = tuple(
        strips.StripPanel(
            contest.workload,
            tuple(strip(run, spread) for run in runs if (spread := spreads[run.result.id]) is not None),
        )
        for contest, runs in rows
    )
    caption = (
        f"Every dot is an iteration (the mean over its requests), the stroke their median. From {strips.FEW} "
        "iterations on: a bar for the middle half, a line from 5 to 95 %, dots for the extremes."
    )
    shown = [run for _, runs in rows for run in runs]
    return _chart(material, name, f"{quantity}: distribution", caption, strips.Strips(quantity, panels), shown, has)


def _iterations(material: ReportData) -> PlannedChart | None:
    def has(run: ReportRun) -> bool:
        return material.batches[run.result.id].latency is not None

    shown = [run for run in foremost(material.subjects, material.contests) if has(run)][:MOST_COURSES]
    if not shown:
        return None
    courses = []
    for run in shown:
        batches = material.batches[run.result.id]
        assert batches.latency is not None  # noqa: S101 (has)
        courses.append(
            iterations.Course(
                run.id,
                run.number,
                run.label,
                workload_short(run.result),
                batches.starts,
                batches.latencies,
                batches.latency.median,
                batches.n,
            )
        )
    caption = (
        "A dot for each iteration, at the time at which it began; the line is the median. Every axis reaches 3 % or "
        "more to either side of it. Of long runs the least and the largest of each stretch are drawn."
    )
    return _chart(
        material, "iterations", "Latency over iterations", caption, iterations.Courses(tuple(courses)), shown, has
    )


def _power(material: ReportData) -> PlannedChart | None:
    shown = [run for run in material.subjects if run.result.id in material.telemetry]
    if not shown:
        return None
    traces = []
    for run in shown:
        seen = material.telemetry[run.result.id]
        traces.append(
            power.Trace(
                run.id, run.number, run.label, seen.times, seen.power, seen.memory, seen.of,
                workload_short(run.result), seen.window,
            )
        )  # fmt: skip
    caption = (
        "Instantaneous power where the driver tells it, and memory in use on the whole device. Shaded: the measured "
        "window, placed by the rate of sampling, which rises when measuring begins, hence to within one sample."
    )
    chart = _chart(
        material, "power", "Power and memory over time", caption, power.Traces(tuple(traces)), shown, lambda _: False
    )
    left = material.traceable - len(shown)
    return chart if left <= 0 else _more(chart, f"{len(shown)} of {material.traceable} runs are shown.")


def _tradeoff(material: ReportData) -> PlannedChart | None:
    def has(run: ReportRun) -> bool:
        return bool(run.speed and metric_of("tpot_mean").number(run.result)) and not run.against

    runs = [run for run in material.subjects if has(run)]
    if len(runs) < 2:
        return None
    models: dict[str, list[ReportRun]] = {}
    for run in runs:
        models.setdefault(run.result.setup.model or NOT_AVAILABLE, []).append(run)
    chosen = sorted(models.items(), key=lambda entry: -len(entry[1]))[:4]
    panels = tuple(
        tradeoff.TradeoffPanel(clean(model), tuple(_lines(found))) for model, found in chosen if len(found) > 1
    )
    if not panels:
        return None
    caption = (
        "Each point is a run, with its number and how many sequences ran at once (b). Lines connect runs that differ "
        f"in that alone; the {tradeoff.MOST} fastest have colours of their own."
    )
    shown = [run for model, found in chosen if len(found) > 1 for run in found]
    return _chart(
        material, "tradeoff", "Throughput against time per token", caption, tradeoff.Tradeoff(panels), shown, has
    )


def _curves(material: ReportData) -> PlannedChart | None:
    """Of every number that a sweep varied, and that has three values or more."""
    results = [run.result for run in material.subjects]
    found = curves_of(results)[:MOST_PANELS]
    if not found:
        return None
    panels = tuple(
        curves.Curve(
            one.heading, clean(one.title),
            tuple(
                curves.CurvePoint(clean(point.run), point.x, point.throughput, point.low, point.high, point.memory)
                for point in one.points
            ),
            one.failed,
        )
        for one in found
    )  # fmt: skip
    shown = {point.run for one in found for point in one.points}
    caption = (
        "Output tok/s (line, 95 % intervals) and memory (dashed) over what was swept, all else being equal; a cross: "
        "no run finished there. Of a value measured several times the last valid run."
    )
    runs = [run for run in material.subjects if run.result.id in shown]
    return _chart(
        material, "curves", "Over what was swept", caption, curves.Curves(panels), runs,
        lambda run: run.result.id in shown,
    )  # fmt: skip


def _lines(runs: Sequence[ReportRun]) -> Iterator[tradeoff.TradeoffLine]:
    """Runs of the same config but for the batch size; they are called by what their lines do not have in common."""
    groups: dict[str, list[ReportRun]] = {}
    for run in runs:
        groups.setdefault(_but_for_batch(run), []).append(run)
    fastest = sorted(groups.values(), key=lambda found: (-max(run.speed or 0.0 for run in found), found[0].number))
    words = [setting_of(found[0]) for found in fastest]
    common = set(words[0]).intersection(*words[1:]) if len(words) > 1 else set()
    for found, said in zip(fastest, words, strict=True):
        found.sort(key=lambda run: (run.result.setup.batch_size or 0, run.number))
        label = " ".join(word for word in said if word not in common) or found[0].label
        yield tradeoff.TradeoffLine(clean(label), tuple(_point(run) for run in found))


def _but_for_batch(run: ReportRun) -> str:
    settings = run.result.setup.all()
    aside = {*JUDGED, "measurement"}
    kept = {key: value for key, value in settings.items() if key.partition(".")[0] not in aside}
    kept.pop("workload.batch_size", None)
    return repr(sorted(kept.items()))


def _point(run: ReportRun) -> tradeoff.Point:
    interval = run.result.summary.output_throughput_interval
    return tradeoff.Point(
        run.id, run.number, metric_of("tpot_mean").number(run.result) or 0.0, run.speed or 0.0,
        interval.low if interval else None, interval.high if interval else None,
        run.result.setup.batch_size,
    )  # fmt: skip


def setting_of(run: ReportRun) -> list[str]:
    """What a run is but for its batch size, in words."""
    result = run.result
    loaded, effective, setup = result.loaded, result.effective, result.setup
    settings = effective.settings if effective else {}
    words = [
        engine(result),
        ran(result) or setup.mode or "",
        effective.facts.get("graph_step", "") if effective else "",
        settings.get("attention", loaded.attention if loaded else ""),
        form(result) or setup.quantization or "",
        settings.get("speculation", setup.speculation or ""),
        "" if loaded else str(setup.get("engine.dtype") or ""),
        f"{loaded.offloaded_layers} layers on the GPU" if loaded and loaded.offloaded_layers else "",
        f"tp {parts}" if (parts := setup.tensor_parallel or 1) > 1 else "",
        loaded.device_name if loaded else "",
        f"in {setup.input_len or setup.prompts} out {setup.output_len}",
    ]
    return list(dict.fromkeys(word for word in words if word and word not in ("none", "auto")))


def _chart(
    material: ReportData,
    name: str,
    title: str,
    caption: str,
    data: Data,
    shown: Sequence[ReportRun],
    has: Callable[[ReportRun], bool],
) -> PlannedChart:
    known, total = sum(1 for run in material.subjects if has(run)), len(material.subjects)
    more = (
        f"{len(shown)} of {known} runs are shown: of each workload the fastest, and the baseline."
        if known > len(shown)
        else ""
    )
    missing = f"Not available for {total - known} of {total} runs." if 0 < known < total else ""
    against = "Hatched or grey: runs that something speaks against." if any(run.against for run in shown) else ""
    synthetic = "All have random weights." if shown and all("synthetic" in run.marks for run in shown) else ""
    ids = tuple(run.id for run in sorted(shown, key=lambda run: run.number))
    alt = f"{title}: {len(ids)} runs, from run {ids[0]}" + (f" to run {ids[-1]}" if len(ids) > 1 else "")
    whole = " ".join(part for part in (caption, more, missing, against, synthetic) if part)
    return PlannedChart(ReportFigure(name, title, whole, alt, ids), data)


def _more(chart: PlannedChart, text: str) -> PlannedChart:
    figure = chart.figure
    return PlannedChart(
        ReportFigure(figure.name, figure.title, f"{figure.caption} {text}", figure.alt, figure.runs), chart.data
    )
