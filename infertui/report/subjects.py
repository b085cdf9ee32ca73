"""The runs of a report: each with its number, a label that tells it from the others, and the marks it bears."""

from collections.abc import Callable, Sequence

import msgspec
from msgspec import Struct

from infertui.analysis.effective import form, in_force, ran, told
from infertui.report.charts.style import text_of
from infertui.results.result import Result
from infertui.results.row import ResultLine, row_of
from infertui.text import clean

_LABEL = 72


class Subject(Struct, frozen=True):
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
        return self.result.summary.output_throughput


def subjects(results: Sequence[Result]) -> list[Subject]:
    """The runs numbered from 1 in the order given."""
    labels = _labels(results)
    return [
        Subject(number, label, result, marks_of(result), _against(result))
        for number, (label, result) in enumerate(zip(labels, results, strict=True), start=1)
    ]


def marks_of(result: Result) -> tuple[str, ...]:
    """The marks that the results table shows as well."""
    return row_of(msgspec.json.decode(msgspec.json.encode(result), type=ResultLine)).flags


def workload_of(result: Result) -> tuple[object, ...]:
    """What has to be the same for two runs to be settings of one measurement; None is what a file does not tell."""
    keys = ("model.id", "model.revision", "workload.batch_size", "workload.output_len")
    return (*(told(result, key) for key in keys), prompts_of(result))


def prompts_of(result: Result) -> str:
    """How long the prompts are, or which ones."""
    workload = result.config.workload
    if not result.knows("workload.input_len"):
        return "n/a"
    return str(workload.input_len or workload.prompts_file or workload.prompts)


def engine_of(result: Result) -> str:
    """Which engine ran; the one that was asked for where none was loaded."""
    used = result.loaded.engine if result.loaded else ""
    return used or str(told(result, "engine.name") or "n/a")


def workload_words(result: Result) -> str:
    """The same in words."""
    model, batch, output = (
        told(result, key) or "n/a" for key in ("model.id", "workload.batch_size", "workload.output_len")
    )
    prompts = prompts_of(result)
    return clean(f"{model}, batch {batch}, {prompts}{' tokens' if prompts.isdigit() else ''} in, {output} out")


def workload_short(result: Result) -> str:
    """Model and batch size, for where there is little room."""
    model = str(told(result, "model.id") or "n/a").rsplit("/", 1)[-1].removeprefix("synthetic:")
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
    lambda result: ran(result) or result.config.engine.mode,
    lambda result: f"{step} step" if result.evidence and (step := result.evidence.facts.get("graph_step")) else "",
    lambda result: in_force(result, "attention"),
    form,
    lambda result: in_force(result, "speculation") or result.config.engine.speculation,
    lambda result: (
        f"{result.loaded.offloaded_layers} layers on GPU" if result.loaded and result.loaded.offloaded_layers else ""
    ),
    lambda result: f"tp={result.config.engine.tensor_parallel}",
    lambda result: result.loaded.device_name if result.loaded else result.config.device.name,
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


_NOTHING = ("", "none", "auto", "n/a")
