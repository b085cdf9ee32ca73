"""The document: which configuration wins, by how much, how sure that is, what speaks against it; how figures are
defined.
"""

from collections.abc import Iterator, Sequence

from infertui import __version__
from infertui.analysis.bench import Bench, headline, variation_text
from infertui.analysis.compare import ComparedFigure, Comparison
from infertui.analysis.compare_text import bench_title, rounds_left_out
from infertui.analysis.outcome import p_text
from infertui.metrics.metric import NOT_AVAILABLE
from infertui.metrics.reads import DIVERGED, diverged
from infertui.metrics.wording import interval_in_words
from infertui.report.advice import impacts, recommendations, without_reasons
from infertui.report.charts.build import PlannedChart
from infertui.report.data import Candidate, Ranking, ReportData, ReportRun, throughput
from infertui.report.document import (
    Block,
    Bullets,
    Callout,
    Cell,
    Document,
    Level,
    Paragraph,
    ReportSection,
    ReportTable,
    TableColumn,
)
from infertui.report.run_details import listing, run_details
from infertui.results.observations import REQUESTS
from infertui.results.result import Result
from infertui.text import clean
from infertui.units import format_number

CAUTIONS = "Before you believe it"
_MOST_CONTESTS = 8
_MOST_REASONS = 12


def verdict(material: ReportData) -> ReportSection:
    """The verdict of each bench, the winner of each workload, and a line for every workload where there are several."""
    blocks: list[Block] = [_bench_verdict(bench) for bench in material.benches]
    open_ones = [contest for contest in material.contests if not contest.benched]
    contested = [contest for contest in open_ones if len(contest.subjects) > 1]
    alone = [contest for contest in open_ones if len(contest.subjects) == 1 and contest.winner]
    told = [*contested, *alone][:_MOST_CONTESTS]
    blocks += [
        Callout(_level(contest), " ".join(_said(contest)), contest.workload)
        if contest in contested
        else Callout("", _alone(contest), contest.workload)
        for contest in told
    ]
    if len(open_ones) > 1 and told:
        blocks.append(Paragraph(_several(len(open_ones), shown=len(told))))
        blocks.append(_workloads(open_ones))
    everything = [entrant.comparison for contest in contested for entrant in contest.entrants]
    blocks += [Paragraph(note) for note in _notes(everything)]
    if not blocks:
        blocks.append(Callout("bad", "None of these runs has figures that can be compared."))
    return ReportSection("verdict", "Verdict", tuple(blocks))


def _several(count: int, *, shown: int) -> str:
    rest = f" {shown} are told above," if shown < count else ""
    return (
        f"These runs are of {count} workloads. Runs of different workloads do not compete: each workload has its own"
        f" winner.{rest.capitalize()}{' and all' if rest else ' All'} are listed here."
    )


def _workloads(open_ones: Sequence[Ranking]) -> ReportTable:
    """Every workload with its winner; none is left out, however many there are."""
    heads = (
        TableColumn("workload"), TableColumn("runs", right=True), TableColumn("valid", right=True),
        TableColumn("fastest valid run"), TableColumn("its throughput (95 %)", right=True),
        TableColumn("against its baseline"),
    )  # fmt: skip
    rows = []
    for contest in open_ones:
        winner = contest.winner
        valid = sum(1 for run in contest.subjects if not run.against)
        rows.append(
            (
                Cell(contest.workload), Cell(str(len(contest.subjects))), Cell(str(valid)),
                _winner_cell(winner),
                Cell(_speed(winner) if winner else NOT_AVAILABLE), Cell(_against_baseline(contest)),
            )
        )  # fmt: skip
    runs = tuple(run.id for contest in open_ones for run in contest.subjects)
    return ReportTable(heads, tuple(rows), runs, "Every workload, and its fastest valid run.")


def _winner_cell(winner: ReportRun | None) -> Cell:
    if winner is None:
        return Cell("none", "bad")
    name = f"run {winner.number}, {winner.label}"
    return Cell(f"{name} ({DIVERGED})", "warning") if diverged(winner.result) else Cell(name)


def _against_baseline(contest: Ranking) -> str:
    if contest.winner is None:
        return NOT_AVAILABLE
    if len(contest.subjects) == 1:
        return "the only run"
    found = next((one for one in contest.entrants if one.subject is contest.winner), None)
    return (
        "is the baseline" if found is None else f"run {contest.baseline.number}: {throughput(found.comparison).verdict}"
    )


def _bench_verdict(bench: Bench) -> Callout:
    if not bench.comparisons:
        return Callout("bad", "No whole round is left to compare.", bench_title(bench))
    sure = all(one.figures[0].sign in ("+", "-", "=") for one in bench.comparisons)
    against = bool(bench.left_out or bench.invalid or bench.failed) or any(one.unlike for one in bench.comparisons)
    lines = "; ".join(headline(bench))
    speeds = [f"{arm.name} {format_number(arm.throughput)} tok/s" for arm in bench.arms if arm.throughput is not None]
    return Callout("warning" if against or not sure else "good", f"{', '.join(speeds)}. {bench_title(bench)}.", lines)


def benches(material: ReportData) -> ReportSection | None:
    """Each bench: its configs, what was left out, and the paired comparison."""
    blocks: list[Block] = []
    for bench in material.benches:
        blocks.append(Paragraph(f"{bench_title(bench)}."))
        blocks += [Callout("warning", text) for text in (*_believed_not(material, bench), *rounds_left_out(bench))]
        runs = tuple(run for arm in bench.arms for run in arm.runs)
        arms = tuple(
            (
                Cell(arm.name), Cell("baseline" if at == 0 else ""), Cell(str(len(arm.runs))),
                Cell(NOT_AVAILABLE if arm.throughput is None else format_number(arm.throughput)),
                Cell(variation_text(arm)),
            )
            for at, arm in enumerate(bench.arms)
        )  # fmt: skip
        heads = (
            TableColumn("config"), TableColumn(""), TableColumn("rounds", right=True),
            TableColumn("output tok/s", right=True), TableColumn("from run to run"),
        )  # fmt: skip
        blocks.append(
            ReportTable(heads, arms, runs, f"Configs of {bench.bench}: geometric mean over the rounds that count.")
        )
        if bench.comparisons:
            rows = tuple((Cell(one.second), *_cells(one)) for one in bench.comparisons)
            base = f"{bench.arms[0].name} is the baseline; ratios are paired within rounds."
            blocks.append(ReportTable((TableColumn("config"), *_heads(bench.comparisons)), rows, runs, base))
            blocks += [Paragraph(note) for note in _notes(bench.comparisons)]
            blocks += [_differing(one, one.second) for one in bench.comparisons if one.differences]
    return ReportSection("benches", "Benches", tuple(blocks)) if blocks else None


def _believed_not(material: ReportData, bench: Bench) -> Iterator[str]:
    """Which runs of a bench are invalid or have failed; why is told among the cautions."""
    own = [run for run in material.subjects if run.result.bench and run.result.bench.bench == bench.bench]
    for word in dict.fromkeys(run.against for run in own if run.against):
        numbers = [str(run.number) for run in own if run.against == word]
        runs = f"Run {numbers[0]} is" if len(numbers) == 1 else f"Runs {', '.join(numbers)} are"
        yield f"{runs} {word}: see {CAUTIONS!r}."


def cautions(material: ReportData) -> ReportSection | None:
    """What has to be known before any figure is believed: invalid runs, and comparisons of unlike things."""
    against = [
        f"Run {run.number} ({run.label}) {_why(run)}" for run in material.subjects if run.against or run.result.imported
    ]
    for run in material.subjects:
        if run.result.quality is not None and run.result.quality.beyond:
            against.append(f"Run {run.number} ({run.label}): {'; '.join(run.result.quality.beyond)}")
    against += [
        f"Run {run.number} ({run.label}): {REQUESTS} is gone from its folder: no distribution, no interval of a "
        "comparison and no chart over its batches can be shown"
        for run in material.subjects
        if run.result.id in material.lost
    ]
    against += material.untraced
    said = {text for run in material.subjects if run.against for text in _as_unlike(run.result)}
    unlike: dict[str, list[int]] = {}
    for contest in material.contests:
        for entrant in contest.entrants:
            for text in entrant.comparison.unlike:
                if text not in said:
                    unlike.setdefault(text, []).append(entrant.subject.number)
    for bench in material.benches:
        for one in bench.comparisons:
            for text in one.unlike:
                if text not in said:
                    unlike.setdefault(text, []).append(0)
    told = [text if len(numbers) == 1 else f"{text} ({len(numbers)} comparisons)" for text, numbers in unlike.items()]
    blocks: list[Block] = []
    if against:
        blocks.append(
            Callout(
                "bad", "This speaks against some of the runs:" if len(against) > 1 else "This speaks against a run:"
            )
        )
        blocks.append(_cut(against))
    if told:
        blocks.append(Callout("warning", "Unlike things are compared:"))
        blocks.append(_cut(told))
    return ReportSection("cautions", CAUTIONS, tuple(blocks)) if blocks else None


def comparison(material: ReportData) -> ReportSection | None:
    """Every run beside the baseline of its workload."""
    contested = [contest for contest in material.contests if contest.entrants]
    if not contested:
        return None
    blocks: list[Block] = [
        Paragraph(
            "Each run against the baseline of its workload: by how much it is better or worse, with a 95 % "
            "interval over iterations. Of twenty comparisons of equal things about one will seem to differ."
        )
    ]
    for contest in contested:
        entrants = sorted(contest.entrants, key=_by_speed)
        heads = (TableColumn("#", right=True), TableColumn("run"), *_heads([one.comparison for one in entrants]))
        rows = tuple(_row(contest, entrant) for entrant in entrants)
        runs = (contest.baseline.id, *(entrant.subject.id for entrant in entrants))
        base = contest.baseline
        blocks.append(ReportTable(heads, rows, runs, f"{contest.workload}. Baseline: run {base.number}, {base.label}."))
    return ReportSection("comparison", "Against the baseline", tuple(blocks))


def _heads(comparisons: Sequence[Comparison]) -> tuple[TableColumn, ...]:
    """Of the figures; by their keys where they are not called the same, as other kinds of memory."""
    alike = zip(*(one.figures for one in comparisons), strict=True)
    names = [same[0].name if len({figure.name for figure in same}) == 1 else same[0].key for same in alike]
    return (TableColumn(names[0]), TableColumn("rank test p", right=True), *(TableColumn(name) for name in names[1:]))


def _cells(found: Comparison) -> Iterator[Cell]:
    first = found.figures[0]
    yield _figure_cell(first)
    yield Cell(p_text(first.ratio.p) if first.ratio and first.ratio.p is not None else NOT_AVAILABLE)
    yield from (_figure_cell(figure) for figure in found.figures[1:])


def _figure_cell(figure: ComparedFigure) -> Cell:
    level: Level = "good" if figure.sign == "+" else "warning" if figure.sign == "-" else ""
    return Cell(figure.verdict, level)


def _notes(comparisons: Sequence[Comparison]) -> list[str]:
    return list(dict.fromkeys(note for one in comparisons for note in one.notes))


def _differing(found: Comparison, name: str) -> Bullets:
    listed = [f"{name}: {one.what} {one.first} -> {one.second}" for one in found.differences]
    return _cut(listed)


def _by_speed(entrant: Candidate) -> float:
    return -(entrant.subject.speed or 0.0)


def _row(contest: Ranking, entrant: Candidate) -> tuple[Cell, ...]:
    run = entrant.subject
    label = run.label + (f" ({run.against})" if run.against else "")
    level: Level = "bad" if run.against else "good" if run is contest.winner else ""
    return (Cell(str(run.number)), Cell(label, level), *_cells(entrant.comparison))


def _level(contest: Ranking) -> Level:
    if contest.winner is None:
        return "bad"
    found = next((one for one in contest.entrants if one.subject is contest.winner), None)
    if found is not None and found.comparison.unlike:
        return "warning"
    if contest.winner.result.quality is not None and contest.winner.result.quality.beyond:
        return "warning"
    return "good" if found is None or _differs(found) else "warning"


def _differs(entrant: Candidate) -> bool:
    return throughput(entrant.comparison).outcome in ("better", "worse")


def _said(contest: Ranking) -> Iterator[str]:
    """The verdict on one workload in sentences."""
    winner, baseline = contest.winner, contest.baseline
    if winner is None:
        yield "No valid run has a throughput."
        return
    able = sum(1 for run in contest.subjects if not run.against and run.speed)
    first = f"Run {winner.number}, {winner.label}, "
    yield first + (f"is the fastest of {able} valid runs:" if able > 1 else "is the only valid run:")
    yield f"{_speed(winner)}."
    found = next((one for one in contest.entrants if one.subject is winner), None)
    if found is not None:
        yield f"Against the baseline, run {baseline.number}, {baseline.label}: {throughput(found.comparison).verdict}."
        if found.comparison.unlike:
            yield f"These two are unlike: {'; '.join(without_reasons(found.comparison.unlike)[:3])}."
    elif able > 1:
        yield "It is the baseline."
    if winner.result.quality is not None and winner.result.quality.beyond:
        yield f"But its outputs are not the reference's: {'; '.join(winner.result.quality.beyond)}."
    second = contest.second
    if second is not None and second.subject is not baseline:
        lead = throughput(second.comparison)
        run = second.subject
        if lead.outcome in ("equal", "unclear"):
            word = "is equal to" if lead.outcome == "equal" else "cannot be told apart for sure from"
            yield f"It {word} the second, run {run.number}, {run.label}: {lead.verdict}."
        else:
            yield f"Against the second, run {run.number}, {run.label}: {lead.verdict}."


def _alone(contest: Ranking) -> str:
    run = contest.subjects[0]
    return f"Run {run.number}, {run.label}: {_speed(run)}. There is nothing to compare it with."


def _speed(run: ReportRun) -> str:
    spread = interval_in_words(run.result.summary)
    return f"{format_number(run.speed or 0.0)} tok/s" + (f" ({spread})" if spread else "")


def _as_unlike(result: Result) -> Iterator[str]:
    """How comparisons tell that a run is not to be believed, by its id or the name of its config in a bench."""
    for name in (result.id, *([result.bench.arm] if result.bench else [])):
        yield clean(f"{name} is {result.state}")
        yield from (clean(f"{name} is invalid: {reason}") for reason in result.verdict.invalid)


def _why(run: ReportRun) -> str:
    result = run.result
    if result.state != "finished":
        return f"is {result.state}" + (f": {result.error.message}" if result.error else "")
    if not result.verdict.valid:
        return f"is invalid: {'; '.join(result.verdict.invalid)}"
    if run.against:
        return f"is a {run.against}: {', '.join(result.verdict.notes[:1])}"
    return f"was imported from {result.imported}, and not measured here"


def _cut(lines: Sequence[str]) -> Bullets:
    more = len(lines) - _MOST_REASONS
    return Bullets((*lines[:_MOST_REASONS], *([f"and {more} more: see the table of runs"] if more > 0 else [])))


def method() -> ReportSection:
    """In short sentences, for whoever did not measure."""
    return ReportSection("method", "How the figures are defined", (Bullets(_NOTES),))


_NOTES = (
    "Output throughput: generated tokens over the summed wall time of the measured iterations (static batches, each "
    "from handing it over to the synchronised end). Warm-up, loading, compiling and what lies between do not count.",
    "Its 95 % interval: Student's over iterations, of the ratio's logarithm, and wider where iterations depend on "
    "those before them, which can be seen from 10 on. The requests of one batch share the machine's state, so a "
    "batch is one observation.",
    "TTFT: from handing the batch over to its first token. E2E: to its last token. TPOT: (last - first) over the "
    "tokens after the first. ITL: each gap between token steps.",
    "Comparisons: the signed change from one figure to the other, second / first - 1, with its 95 % interval. Equal: "
    "the whole interval lies within the band that is named. Unclear: it holds 0 and reaches beyond the band, so that "
    "nothing was found, which is not the same as there being nothing.",
    "Energy: the driver's counter over the measured window, else power samples integrated over it; it is the whole "
    "device's. Above idle: less what the device drew at rest before the run, over the same window.",
    "MBU: bytes of weights and KV cache that a decode step has to read, over the step's time and the memory bandwidth "
    "of the device, as calibrated, measured or of the datasheet; which one stands with the run.",
    "Memory: what the driver says the worker's processes hold, else the allocator's peak, else a CPU's resident set.",
    "Valid: everything asked for was done, and nothing that disturbs was seen in the measured window. Thresholds are "
    "in each run's config, [validity].",
    "Marks: synthetic means random weights in a real architecture: its speed is meant, its text means nothing. "
    "Fallback: another engine ran than was asked for. Imported, external: measured by another program.",
    "n/a: not available. It is never shown as zero, and never counted as one.",
    "Every chart and table names the ids of its runs; a run's folder holds its config (run.toml repeats it), every "
    "request and every sample.",
)


def compose(
    material: ReportData, charts: Sequence[PlannedChart], *, title: str, date: str, left_out: Sequence[str] = ()
) -> Document:
    """Put it together. `left_out` says which runs of the folder are not in it."""
    runs, valid = len(material.subjects), sum(1 for run in material.subjects if not run.against)
    found = [verdict(material), cautions(material), listing(material), benches(material), comparison(material)]
    found += [recommendations(material), impacts(material), _figures(charts), run_details(material), method()]
    sections = [section for section in found if section is not None]
    subtitle = f"{runs} {'run' if runs == 1 else 'runs'}, {valid} valid. Figures as of {date}. infertui {__version__}."
    if left_out:
        notes: tuple[Block, ...] = tuple(Paragraph(clean(text)) for text in left_out)
        sections[0] = ReportSection(sections[0].key, sections[0].title, (*sections[0].blocks, *notes))
    return Document(clean(title), clean(date), __version__, subtitle, tuple(sections))


def _figures(charts: Sequence[PlannedChart]) -> ReportSection | None:
    return ReportSection("charts", "Charts", tuple(chart.figure for chart in charts)) if charts else None
