"""Results as a Markdown table."""

from collections.abc import Callable, Iterable, Iterator, Sequence

from infertui.analysis.effective import caveats, form, in_force, ran, told
from infertui.analysis.energy import energy_from, gross, joules_text
from infertui.analysis.limits import limits_of, share_text
from infertui.analysis.summary_text import ALLOCATOR_PEAK, PEAKS, interval_text, prefill_throughput
from infertui.analysis.time_text import NOT_AVAILABLE, itl_text, median_text
from infertui.errors import UsageError
from infertui.report.escaping import markdown
from infertui.results.result import Result
from infertui.text import clean
from infertui.units import format_bytes, format_number, format_seconds


def markdown_table(results: Iterable[Result], columns: Sequence[str] = ()) -> str:
    """The lines of `markdown_lines` as one text."""
    return "\n".join(markdown_lines(results, columns))


def markdown_lines(results: Iterable[Result], columns: Sequence[str] = ()) -> Iterator[str]:
    """A GitHub-flavoured table, one row a result, with the columns asked for or the usual ones. Cells are inert text.

    Raises UsageError for a column that there is not.
    """
    names = columns or USUAL
    if unknown := [name for name in names if name not in COLUMNS]:
        raise UsageError(
            f"there is no column {clean(unknown[0])!r} for --markdown", remedy=f"Columns: {', '.join(COLUMNS)}."
        )
    yield f"| {' | '.join(names)} |"
    yield f"|{' --- |' * len(names)}"
    for result in results:
        yield f"| {' | '.join(markdown(COLUMNS[name](result)) for name in names)} |"


def _speed(result: Result) -> str:
    summary = result.summary
    if summary.output_throughput is None:
        return NOT_AVAILABLE
    speed = format_number(summary.output_throughput)
    return speed + (f" ({spread})" if (spread := interval_text(summary)) else "")


def _valid(result: Result) -> str:
    if result.state != "finished":
        return result.state
    said = "yes" if result.verdict.valid else "no: " + "; ".join(result.verdict.invalid)
    return "; ".join((said, *caveats(result)))


def _prompt_tokens(result: Result) -> str:
    summary = result.summary
    good = summary.good
    if not good or summary.prompt_tokens is None:
        return NOT_AVAILABLE
    return f"{summary.prompt_tokens / good:.0f}"


def _mode(result: Result) -> str:
    """How steps were executed, by what was found in force; what the engine calls it without evidence."""
    evidence, setup = result.evidence, result.setup
    mode = ran(result) or setup.mode or ""
    step = evidence.facts.get("graph_step", "") if evidence else ""
    mode = "" if mode == "auto" else f"{mode}, {step} step" if step else mode
    name = result.loaded.engine if result.loaded else setup.target.name or ""
    return " ".join(part for part in ("" if name == "transformers" and mode else name, mode) if part)


def _bandwidth(result: Result) -> str:
    limits = limits_of(result)
    return share_text(limits.mbu if limits else None)


def _compute(result: Result) -> str:
    limits = limits_of(result)
    return share_text(limits.mfu if limits else None)


def _bound(result: Result) -> str:
    limits = limits_of(result)
    return limits.bound if limits else NOT_AVAILABLE


def _agreement(result: Result) -> str:
    """The share of its reference's tokens that it has, or that it is the reference."""
    quality = result.quality
    if quality is not None and quality.reference and quality.reference == result.id:
        return "reference"
    return _or_not(quality.agreement.share if quality and quality.agreement else None, "{:.1%}".format)


def _or_not(value: float | None, form: Callable[[float], str]) -> str:
    return NOT_AVAILABLE if value is None else form(value)


def _phase(name: str) -> Callable[[Result], str]:
    return lambda result: format_seconds(result.phases[name]) if name in result.phases else "-"


def _quantization(result: Result) -> str:
    return in_force(result, "quantization") or NOT_AVAILABLE


def _median(name: str) -> Callable[[Result], str]:
    return lambda result: median_text(getattr(result.summary, name))


def _mean(name: str) -> Callable[[Result], str]:
    def read(result: Result) -> str:
        found = getattr(result.summary, name)
        return NOT_AVAILABLE if found is None or found.mean is None else format_seconds(found.mean)

    return read


def _peak(name: str) -> Callable[[Result], str]:
    return lambda result: _or_not(PEAKS[name](result), format_bytes)


_TIMES = {"TTFT": "ttft", "TPOT": "tpot", "E2E": "latency"}
COLUMNS: dict[str, Callable[[Result], str]] = {
    "run": lambda result: result.name,
    "model": lambda result: str(told(result, "model.id") or NOT_AVAILABLE),
    "engine": lambda result: result.loaded.engine if result.loaded else NOT_AVAILABLE,
    "mode": _mode,
    "device": lambda result: (result.loaded.device_name if result.loaded else "") or NOT_AVAILABLE,
    "format": lambda result: form(result) or NOT_AVAILABLE,
    "dtype": lambda result: (result.loaded.dtype if result.loaded else "") or NOT_AVAILABLE,
    "quantization": _quantization,
    "layers on GPU": lambda result: (result.loaded.offloaded_layers if result.loaded else "") or NOT_AVAILABLE,
    "batch": lambda result: str(told(result, "workload.batch_size") or NOT_AVAILABLE),
    "prompt tokens": _prompt_tokens,
    "new tokens": lambda result: str(told(result, "workload.output_len") or NOT_AVAILABLE),
    "output tok/s (95 % interval)": _speed,
    "prefill tok/s": lambda result: _or_not(prefill_throughput(result), format_number),
    **{f"{name} p50": _median(key) for name, key in _TIMES.items()},
    **{f"{name} mean": _mean(key) for name, key in _TIMES.items()},
    "ITL p50": lambda result: itl_text(result.summary.itl),
    "ITL p99": lambda result: itl_text(result.summary.itl, 99),
    "ITL mean": _mean("itl"),
    "MBU": _bandwidth,
    "MFU": _compute,
    "bound by": _bound,
    "agreement": _agreement,
    "perplexity": lambda result: _or_not(result.quality.perplexity if result.quality else None, format_number),
    "compile": _phase("compile"),
    "capture": _phase("capture"),
    "J/token": lambda result: joules_text(result, result.power.joules_per_token if result.power else None),
    "J/request": lambda result: joules_text(result, gross(result).joules_per_request),
    "tok/s/W": lambda result: _or_not(gross(result).tokens_per_s_per_w, format_number),
    "energy from": lambda result: energy_from(result) or NOT_AVAILABLE,
    "weights": lambda result: _or_not(result.loaded.weight_bytes if result.loaded else None, format_bytes),
    **{name: _peak(name) for name in PEAKS},
    "valid": _valid,
}
"""What a table can show, by its heading."""

USUAL = (
    "run", "model", "device", "format", "batch", "prompt tokens", "new tokens",
    "output tok/s (95 % interval)", "TTFT p50", "ITL p50", "J/token", ALLOCATOR_PEAK, "valid",
)  # fmt: skip
