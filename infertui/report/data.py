"""What a report is written from: runs of a folder, each with a number and a label that tells it from the others, and
who wins among runs of one workload.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from infertui.analysis.bench import Bench, bench_report
from infertui.analysis.compare import ComparedFigure, Comparison, compare, judged
from infertui.analysis.cost.prices import load_prices
from infertui.analysis.decision.decide import Advice, advise
from infertui.analysis.decision.pricing import priced
from infertui.analysis.load_text import level_text
from infertui.analysis.outcome import EQUAL_WITHIN
from infertui.errors import StoreError
from infertui.metrics.metric import NOT_AVAILABLE
from infertui.metrics.reads import engine, form, in_force, ran, told
from infertui.metrics.registry import metric_of
from infertui.report.charts.style import text_of
from infertui.report.series import Batches, Telemetry, read_batches, read_telemetry
from infertui.results.observations import read_observations, requests_lost
from infertui.results.result import Result
from infertui.results.row import ResultLine, row_of
from infertui.targets.endpoint.servers import serving_command
from infertui.text import clean

_LABEL = 72


class ReportRun(Struct, frozen=True):
    """One run. Figures and tables call it by `number` and `label`, and name its id beside."""

    number: int
    label: str
    result: Result
    marks: tuple[str, ...]
    """Short words for what a reader should know before believing it, the worst first."""
    against: str
    """Why it cannot win a comparison; empty where nothing speaks against it."""

    @property
    def id(self) -> str:
        """The run's id, cleaned."""
        return clean(self.result.id)

    @property
    def speed(self) -> float | None:
        """Output tokens per second."""
        return metric_of("throughput").number(self.result)


def subjects(results: Sequence[Result]) -> list[ReportRun]:
    """The runs numbered from 1 in the order given."""
    labels = _labels(results)
    return [
        ReportRun(number, label, result, marks_of(result), _against(result))
        for number, (label, result) in enumerate(zip(labels, results, strict=True), start=1)
    ]


def marks_of(result: Result) -> tuple[str, ...]:
    """The marks that the results table shows as well."""
    return row_of(msgspec.json.decode(msgspec.json.encode(result), type=ResultLine)).flags


def workload_of(result: Result) -> tuple[object, ...]:
    """What has to be the same for two runs to be settings of one measurement; None is what a file does not tell."""
    setup = result.setup
    level = (setup.model, setup.concurrency, setup.request_rate)
    return (*level, *(told(result, key) for key in _SAME), prompts_of(result))


_SAME = (
    "model.revision", "workload.batch_size", "workload.output_len", "load.arrival", "load.trace", "load.steps",
    "load.shared_prefix",
)  # fmt: skip


def _together(result: Result) -> str:
    """How many requests were in flight, in words: a batch, or what a load asked for."""
    setup = result.setup
    if not setup.is_endpoint:
        return f"batch {told(result, 'workload.batch_size') or NOT_AVAILABLE}"
    return level_text(setup)


def prompts_of(result: Result) -> str:
    """How long the prompts are, or which ones."""
    setup = result.setup
    return NOT_AVAILABLE if setup.input_len is None else str(setup.input_len or setup.prompts or NOT_AVAILABLE)


def engine_of(result: Result) -> str:
    """Which engine ran; the one that was asked for where none was loaded."""
    return engine(result) or NOT_AVAILABLE


def workload_words(result: Result) -> str:
    """The same in words."""
    model, output = result.setup.model or NOT_AVAILABLE, told(result, "workload.output_len") or NOT_AVAILABLE
    prompts = prompts_of(result)
    return clean(f"{model}, {_together(result)}, {prompts}{' tokens' if prompts.isdigit() else ''} in, {output} out")


def workload_short(result: Result) -> str:
    """Model and batch size, for where there is little room."""
    model = (result.setup.model or NOT_AVAILABLE).rsplit("/", 1)[-1].removeprefix("synthetic:")
    if result.setup.is_endpoint:
        return clean(f"{model} {_together(result)}")
    return clean(f"{model} b{told(result, 'workload.batch_size') or '?'}")


def _against(result: Result) -> str:
    if result.state != "finished":
        return clean(result.state)
    if not result.verdict.valid:
        return "invalid"
    loaded = result.loaded
    return "fallback" if loaded and loaded.engine_requested not in ("", loaded.engine) else ""


_PARTS: tuple[Callable[[Result], str], ...] = (
    lambda result: engine_of(result),
    lambda result: result.source,
    lambda result: ran(result) or result.setup.mode or "",
    lambda result: f"{step} step" if result.effective and (step := result.effective.facts.get("graph_step")) else "",
    lambda result: in_force(result, "attention"),
    form,
    lambda result: in_force(result, "speculation") or result.setup.speculation or "",
    lambda result: (
        f"{result.loaded.offloaded_layers} layers on GPU" if result.loaded and result.loaded.offloaded_layers else ""
    ),
    lambda result: f"tp={result.setup.tensor_parallel or 1}",
    lambda result: result.loaded.device_name if result.loaded else result.setup.device or "",
)


def _labels(results: Sequence[Result]) -> list[str]:
    """Each run's name, and what sets it apart from others of its workload as far as the name does not say so."""
    groups: dict[tuple[object, ...], list[Result]] = {}
    for result in results:
        groups.setdefault(workload_of(result), []).append(result)
    varying = {
        key: [part for part in _PARTS if len({part(result) for result in group}) > 1] for key, group in groups.items()
    }
    labels = []
    for result in results:
        group, parts = groups[workload_of(result)], varying[workload_of(result)]
        own = [part(result) for part in parts]
        words = [text for text in dict.fromkeys(own) if text not in _NOTHING]
        alone = sum([part(other) for part in parts] == own for other in group) == 1
        namesakes = sum(other.name == result.name for other in group) > 1
        name = [] if words and alone and namesakes else [result.name]
        if result.bench is not None:
            name = [f"{result.bench.arm} round {result.bench.round + 1}"]
        said = [text for text in words if text.lower() not in " ".join(name).lower()]
        labels.append(text_of(", ".join((*name, *said)), _LABEL) or "run")
    return labels


_NOTHING = ("", "none", "auto", NOT_AVAILABLE)


class Candidate(Struct, frozen=True):
    """A run beside the baseline of its contest."""

    subject: ReportRun
    comparison: Comparison


class Ranking(Struct, frozen=True):
    """Runs of one workload. `winner` is the valid one of the highest throughput; None where there is none.

    `second` is the winner beside the next valid run: the lead over it, and whether there is one at all.
    """

    workload: str
    subjects: tuple[ReportRun, ...]
    baseline: ReportRun
    entrants: tuple[Candidate, ...]
    winner: ReportRun | None
    second: Candidate | None
    benched: bool = False
    """All its runs belong to benches, which compare them better: here they are not compared."""


def contests(
    subjects: Sequence[ReportRun],
    folder_of: Callable[[str], Path],
    *,
    baseline: str = "",
    equal_within: float = EQUAL_WITHIN,
    told: Callable[[], None],
) -> list[Ranking]:
    """A contest for each workload, those of many runs first. `told` is called for every run that was compared.

    `baseline` is the id of the run to compare with. Where it is of another workload, or empty, the baseline is the
    bench's, else the first run. `equal_within` is the band in which figures count as equal. Raises StoreError.
    """
    groups: dict[tuple[object, ...], list[ReportRun]] = {}
    for subject in subjects:
        groups.setdefault(workload_of(subject.result), []).append(subject)
    ordered = sorted(groups.values(), key=lambda group: (-len(group), group[0].number))
    return [_contest(group, folder_of, baseline, equal_within, told) for group in ordered]


def throughput(comparison: Comparison) -> ComparedFigure:
    """The comparison's figure that decides."""
    return next(figure for figure in comparison.figures if figure.key == "throughput")


def _contest(
    group: Sequence[ReportRun],
    folder_of: Callable[[str], Path],
    baseline: str,
    equal_within: float,
    told: Callable[[], None],
) -> Ranking:
    finished = [subject for subject in group if subject.result.state == "finished"]
    first = _baseline(group, baseline)
    able = sorted(
        (subject for subject in finished if not subject.against and subject.speed),
        key=lambda subject: -(subject.speed or 0.0),
    )
    benched = all(subject.result.bench is not None for subject in group)
    base = read_observations(folder_of(first.result.id)) if len(group) > 1 and not benched else []
    entrants = []
    second = None
    for subject in finished:
        if subject is first or benched:
            continue
        observed = read_observations(folder_of(subject.result.id))
        found = compare(first.result, subject.result, (base, observed))
        entrants.append(Candidate(subject, judged(found, equal_within)))
        told()
    if len(able) > 1 and not benched:
        winner, other = able[0], able[1]
        sides = (read_observations(folder_of(other.result.id)), read_observations(folder_of(winner.result.id)))
        second = Candidate(other, judged(compare(other.result, winner.result, sides), equal_within))
    return Ranking(
        workload=workload_words(group[0].result),
        subjects=tuple(group),
        baseline=first,
        entrants=tuple(entrants),
        winner=able[0] if able else None,
        second=second,
        benched=benched,
    )


def _baseline(group: Sequence[ReportRun], wanted: str) -> ReportRun:
    for found in (
        [subject for subject in group if subject.result.id == wanted],
        [subject for subject in group if subject.result.bench is not None and subject.result.bench.baseline],
        [subject for subject in group if not subject.against],
    ):
        if found:
            return found[0]
    return group[0]


DETAILED = 60
"""Runs whose details a report shows; all are in its JSON."""
_TRACED = 6


class ReportData(Struct, frozen=True):
    """Everything that the pages and charts are made of. Mappings are by run id."""

    subjects: tuple[ReportRun, ...]
    contests: tuple[Ranking, ...]
    batches: dict[str, Batches]
    telemetry: dict[str, Telemetry]
    """Of the runs that matter most: the winners, the baselines, then the others in order."""
    benches: tuple[Bench, ...] = ()
    traceable: int = 0
    """Runs that telemetry could have been shown of."""
    lost: frozenset[str] = frozenset()
    """Runs whose requests are gone, by id: their figures are what the result kept, and no more can be said of them."""
    untraced: tuple[str, ...] = ()
    """Why telemetry of runs that it would have been shown of cannot be read."""
    advice: Advice = Advice((), ())


def collect(
    results: Sequence[Result],
    folder_of: Callable[[str], Path],
    *,
    baseline: str = "",
    equal_within: float = EQUAL_WITHIN,
    with_invalid: bool = False,
    told: Callable[[str], None] = lambda _: None,
) -> ReportData:
    """Read what the runs' folders hold and compare the runs. `told` is called with what is being done.

    `with_invalid` lets rounds of benches count that have an invalid run.

    Runs without a folder, such as imported ones, have their results alone. Raises StoreError.
    """
    found = subjects(results)
    batches = {}
    for subject in found:
        told(f"reading run {subject.number} of {len(found)}")
        batches[subject.result.id] = read_batches(folder_of(subject.result.id))
    count = 0

    def compared() -> None:
        nonlocal count
        count += 1
        told(f"comparing: {count}")

    settled = contests(found, folder_of, baseline=baseline, equal_within=equal_within, told=compared)
    telemetry: dict[str, Telemetry] = {}
    untraced = []
    for subject in foremost(found, settled):
        if len(telemetry) == _TRACED:
            break
        try:
            read = read_telemetry(folder_of(subject.result.id), subject.result)
        except StoreError as error:  # the run's figures do not rest on it
            untraced.append(f"Run {subject.number} ({subject.label}): no telemetry is shown: {error.message}")
            continue
        if read is not None and any(value is not None for value in (*read.power, *read.memory)):
            telemetry[subject.result.id] = read
    return ReportData(
        subjects=tuple(found),
        contests=tuple(settled),
        batches=batches,
        telemetry=telemetry,
        benches=tuple(_benches(results, equal_within, with_invalid=with_invalid)),
        traceable=sum(1 for run in found if batches[run.result.id].n),
        lost=frozenset(run.result.id for run in found if requests_lost(folder_of(run.result.id), run.result)),
        untraced=tuple(untraced),
        advice=_advice(results, folder_of, baseline, equal_within),
    )


def _advice(results: Sequence[Result], folder_of: Callable[[str], Path], baseline: str, equal_within: float) -> Advice:
    cost, currency, why = priced(results, load_prices())
    return advise(
        results, baseline=baseline, cost=cost, currency=currency, priced=why, equal_within=equal_within,
        out=folder_of(results[0].id).parent.name, is_kept=lambda run: (folder_of(run) / "run.toml").is_file(),
        serve=serving_command,
    )  # fmt: skip


def _benches(results: Sequence[Result], equal_within: float, *, with_invalid: bool) -> Iterator[Bench]:
    groups: dict[str, list[Result]] = {}
    for result in results:
        if result.bench is not None:
            groups.setdefault(result.bench.bench, []).append(result)
    return (bench_report(group, with_invalid=with_invalid, equal_within=equal_within) for group in groups.values())


def foremost(subjects: Sequence[ReportRun], settled: Sequence[Ranking]) -> list[ReportRun]:
    """All runs, those first that a reader asks for first: each contest's winner and baseline."""
    first = [one for contest in settled for one in (contest.winner, contest.baseline) if one is not None]
    numbers = dict.fromkeys(subject.number for subject in (*first, *subjects))
    by_number = {subject.number: subject for subject in subjects}
    return [by_number[number] for number in numbers]
