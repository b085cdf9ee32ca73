"""The figures of a result as text: the same wording on the screen and on the command line.

What each peak of memory is called, in every table and view: three things that are not to be mixed up.

What is known of a run's outputs, in words: its tokens beside a reference's, and how well it predicts a text.

What to do about a run whose figures must not be believed, in one line.
"""

from collections.abc import Iterator
from typing import Literal

from infertui.analysis.energy import energy_rows
from infertui.analysis.limits import limit_line, limit_lines
from infertui.analysis.load_text import level_text, load_rows
from infertui.measure.itl import Gaps
from infertui.measure.quality import TIE, Quality
from infertui.measure.statistics import Distribution
from infertui.measure.summary import NO_MORE_THAN_NOISE, Summary
from infertui.measure.trend import SHAPES
from infertui.metrics.marks import remedy_of, telling
from infertui.metrics.metric import NOT_AVAILABLE
from infertui.metrics.reads import form, prefill_throughput
from infertui.metrics.wording import interval_in_words, itl_text
from infertui.results.result import Result
from infertui.results.setup import Setup
from infertui.text import clean
from infertui.units import format_bytes, format_number, format_seconds

GPU_PEAK, ALLOCATOR_PEAK, HOST_PEAK = "GPU mem (process)", "allocator peak", "host mem peak (RSS)"
"""Bytes: what the driver says the worker's processes hold, what the library's allocator gave out, what was resident."""


DIVERGED = "DIVERGED"
"""The name of the row that says what is beyond a threshold."""


def quality_rows(result: Result, *, brief: bool = False) -> list[tuple[str, str]]:
    """Name and text of each; with `brief` no reasons but of what the config asks for by name."""
    quality = result.quality
    if quality is None:
        return []
    rows = [(DIVERGED, text) for text in quality.beyond]
    rows += list(_known(result.id, quality, brief=brief))
    for name, reason in quality.reasons.items():
        if reason != _first(quality) and (not brief or _is_asked_for(name, result.setup)):
            rows.append((name.replace("_", " "), f"{NOT_AVAILABLE}: {reason}"))
    return [(clean(name), clean(text)) for name, text in rows]


def _known(run: str, quality: Quality, *, brief: bool) -> Iterator[tuple[str, str]]:
    found = quality.agreement
    whose = "the reference's" if brief else f"those of {quality.reference}"
    if quality.reference and quality.reference == run:
        yield "agreement", _first(quality) or "is the reference"
    elif found is not None and found.share is not None:
        at = found.first_divergence
        where = "" if at is None else f", the first to part at token {at + 1}"
        first = "" if at != 0 else f"; {found.begun_alike} begin with the same token"
        outputs = f"{found.equal} of {found.prompts} outputs the same"
        yield "agreement", f"{found.share:.1%} of tokens are {whose}, {outputs}{where}{first}{_ties(quality)}"
    if quality.bleu is not None:
        yield "BLEU", f"{quality.bleu:.1f} against the reference's outputs (sacrebleu)"
    if quality.perplexity is not None:
        other = quality.reference_perplexity
        change = f" (reference {other:.4g}, {quality.perplexity / other - 1:+.2%})" if other else ""
        how = "" if brief else f", in windows of {quality.window}; by {quality.scored_by}"
        yield (
            "perplexity",
            f"{quality.perplexity:.4g}{change} on {quality.text_tokens:,} tokens of {quality.text}{how}",
        )


def _ties(quality: Quality) -> str:
    """What the logits say of where outputs part."""
    if quality.share_without_ties is None or not quality.gaps:
        return ""
    ties = sum(abs(gap) < TIE for gap in quality.gaps.values())
    least = min(map(abs, quality.gaps.values()))
    return (
        f"; {ties} of the {len(quality.gaps)} partings looked at are ties of the logits ({least:.2g} apart and more), "
        f"{quality.share_without_ties:.1%} up to these"
    )


def _is_asked_for(name: str, setup: Setup) -> bool:
    match name:
        case "agreement":
            return setup.get("quality.reference") not in ("auto", "none")
        case "perplexity":
            asked = setup.get("quality.perplexity")
            return asked == "on" or (asked == "auto" and bool(setup.get("quality.text_file")))
        case "reference_perplexity":
            return True  # that a figure is not compared is never left out in silence
        case "bleu":
            return bool(setup.get("quality.bleu"))
        case _:
            return False


def _first(quality: Quality) -> str:
    """What is said in the place of an agreement of a run that others are compared with."""
    reason = quality.reasons.get("agreement", "")
    return reason if reason.startswith("is the reference") else ""


_PERCENTILES_OF_GAPS: tuple[Literal[50, 90, 99], ...] = (50, 90, 99)


def figures(result: Result, *, brief: bool = False) -> list[tuple[str, str]]:
    """Name and value of every figure that a person wants first, in reading order; `brief`: the limits in one line."""
    summary = result.summary
    rows: list[tuple[str, str]] = []
    if summary.output_throughput is not None:
        rate = f"{format_number(summary.output_throughput)} tok/s"
        rows.append(("output throughput", "  ".join(part for part in (rate, interval_in_words(summary)) if part)))
    rows += [
        ("TTFT", _times(summary.ttft)),
        ("TPOT", _times(summary.tpot)),
        ("E2E latency", _times(summary.latency)),
    ]
    if summary.itl:
        rows.append(("ITL", _gaps(summary.itl)))
    rows += load_rows(result)
    if (speed := prefill_throughput(result)) is not None:
        rows.append(("prefill", f"{format_number(speed)} tok/s"))
    rows += energy_rows(result)
    if result.load is None:  # of a server its own memory is not known
        rows.append(("memory", _memory(result)))
    rows.append(("device", _device(result)))
    rows += ([("roofline", line)] if (line := limit_line(result)) else []) if brief else limit_lines(result)
    rows += quality_rows(result, brief=brief)
    if summary.client_share is not None and 0 <= summary.client_share <= 1:  # of a line that anybody may have written
        rows.append(("harness overhead", _own_share(summary.client_share)))
    if summary.drift is not None:
        rows.append(("drift", _drift(summary)))
    phases = "  ".join(f"{phase} {format_seconds(seconds)}" for phase, seconds in result.phases.items())
    rows.append(("phases", phases or NOT_AVAILABLE))
    rows.append(("requests", _requests(result)))
    if (again := result.recomputed) is not None:
        by = " ".join(part for part in ("infertui", again.infertui, again.git_revision) if part)
        differ = f"{len(again.changed)} figures are not as they were first"
        rows.append(("recomputed", clean(f"{again.at[:10]} by {by}: {differ}")))
    return rows


def _gaps(gaps: Gaps) -> str:
    shown = _mean_and_spread(gaps.mean, gaps.std)
    shown += [f"p{at} {itl_text(gaps, at)}" for at in _PERCENTILES_OF_GAPS if gaps.known(at) is not None]
    shown += [f"max {format_seconds(gaps.maximum)}"] if gaps.maximum is not None else []
    shown += [f"of {gaps.count:,} steps{_several(gaps)}"] if gaps.count else []
    return "  ".join(shown) or NOT_AVAILABLE


def _drift(summary: Summary) -> str:
    """The change by which a run is marked, or that there is none but noise. Of old lines it is that of the halves."""
    if summary.drift_shape == NO_MORE_THAN_NOISE:
        return f"{summary.drift:+.1%}, no more than noise"
    return f"{summary.drift:+.1%} {SHAPES.get(summary.drift_shape, SHAPES['halves'])}"


def _own_share(share: float) -> str:
    """In two significant digits or whole percent: it is far below one, or it matters."""
    if share < 1e-5:
        return "below 0.001 % of the time"
    return f"at least {share * 100:.2g} % of the time" if share < 0.1 else f"at least {share * 100:.0f} % of the time"


def _requests(result: Result) -> str:
    requests, iterations = result.summary.requests, result.summary.iterations
    shown = [f"{requests}" if requests is not None else NOT_AVAILABLE]
    shown += [f"in {iterations} iterations"] if iterations is not None else []
    shown = [" ".join(shown)]
    shown += [f"{failed} failed"] if (failed := result.summary.failed) is not None else []
    shown += [f"{result.summary.cut_off} cut off at the end"] if result.summary.cut_off else []
    return ", ".join(shown)


def headline(result: Result) -> str:
    """One line: what was measured, with what."""
    setup, loaded = result.setup, result.loaded
    parts = [setup.model or "unknown"]
    if loaded:
        versions = " ".join(f"{name} {number}" for name, number in loaded.versions.items())
        if loaded.engine != loaded.engine_requested:
            parts.append(f"FALLBACK, not {loaded.engine_requested}:")
        parts.append(f"{loaded.engine} ({versions})" if versions else loaded.engine)
        parts += [
            form(result) or loaded.dtype,
            f"{loaded.device_name} ({loaded.device})" if loaded.device else loaded.device_name,
        ]
    else:
        parts.append(setup.target.name or "unknown")
    if setup.is_endpoint:
        parts.append(level_text(setup))
    lengths = (("batch", setup.batch_size), ("in", setup.input_len or setup.prompts), ("out", setup.output_len))
    shown = ((name, value) for name, value in lengths if value is not None)
    parts += [", ".join(f"{name} {value}" for name, value in shown), _sampling(setup)]
    return clean("  ".join(part for part in parts if part))


def _sampling(setup: Setup) -> str:
    """How tokens were drawn; empty of greedy runs, which most are, and where it is not known."""
    if not setup.temperature:
        return ""
    limits = (("temperature", 0.0), ("top_k", 0), ("top_p", 1.0))
    found = ((name, setup.get(f"workload.{name}"), none) for name, none in limits)
    return "sampled, " + ", ".join(f"{name} {value}" for name, value, none in found if value not in (None, none))


def verdict_lines(result: Result) -> list[tuple[str, str]]:
    """What speaks against the figures and what a reader should know, each with its level."""
    lines = [("invalid", reason) for reason in result.verdict.invalid]
    notes = result.verdict.notes
    if result.ended_by and not result.summary.iterations:  # no verdict tells it where nothing was measured
        notes = (*notes, f"stopped early: {result.ended_by}")
    lines += [("note", note) for note in notes]
    return [(level, clean(text)) for level, text in lines]


def _several(gaps: Gaps) -> str:
    """A gap is between steps: where these bring several tokens, its reader has to know."""
    return f" of {gaps.tokens_per_step:.2f} tokens" if gaps.tokens_per_step != 1 else ""


def _mean_and_spread(mean: float | None, std: float | None) -> list[str]:
    """Nothing where a file told neither. Clocks tell nanoseconds: a deviation far below is that of rounding."""
    std = None if std is None else round(std, 10)
    if mean is None:
        return [] if std is None else [f"+/- {format_seconds(std)}"]
    return [f"mean {format_seconds(mean)}" + (f" +/- {format_seconds(std)}" if std is not None else "")]


def _times(values: Distribution | None) -> str:
    if values is None:
        return NOT_AVAILABLE
    shown = _mean_and_spread(values.mean, values.std)
    shown += [f"p50 {format_seconds(values.p50)}"] if values.p50 is not None else []
    shown += [
        f"{name} {format_seconds(value)}"
        for name, value in (("p90", values.p90), ("p95", values.p95), ("p99", values.p99))
        if name in values.supported and value is not None
    ]
    if "p99" not in values.supported and values.maximum is not None:
        shown.append(f"max {format_seconds(values.maximum)}" + (f" (n={values.n})" if values.n else ""))
    return "  ".join(shown) or NOT_AVAILABLE


def _memory(result: Result) -> str:
    memory, device = result.summary.memory, result.device
    named = [
        (ALLOCATOR_PEAK, memory.allocated_peak),
        ("reserved", memory.reserved_peak),
        (GPU_PEAK, device.vram_process if device else None),
        ("device peak", device.vram_device_peak if device else None),
        (HOST_PEAK, memory.resident_peak),
    ]
    parts = (device.vram_process_by_gpu if device else None) or {}
    divided = ", ".join(f"GPU {label} {format_bytes(size)}" for label, size in parts.items())
    return (
        "  ".join(
            f"{name} {format_bytes(size)}" + (f" ({divided})" if divided and name == GPU_PEAK else "")
            for name, size in named
            if size is not None
        )
        or NOT_AVAILABLE
    )


def _device(result: Result) -> str:
    device = result.device
    if device is None:
        return NOT_AVAILABLE
    shown = []
    if device.utilization_mean is not None:
        shown.append(f"GPU {device.utilization_mean:.0f} %")
    clocks = _span(device.sm_clock_min, device.sm_clock_max) or _span(device.sm_clock_mean)
    shown += [f"{clocks} MHz"] if clocks else []
    temperatures = _span(device.temperature_min, device.temperature_max)
    shown += [f"{temperatures} C"] if temperatures else []
    if device.throttles:
        shown.append(f"clocks held by {', '.join(device.throttles)}")
    if device.cpu_mean is not None:
        shown.append(f"CPU {device.cpu_mean:.0f} %")
    if device.ram_peak is not None:
        shown.append(f"RAM {format_bytes(device.ram_peak)}")
    return "  ".join(shown) or NOT_AVAILABLE


def _span(*ends: float | None) -> str:
    """`1830-1980`; the one end where a file told no other, empty for none."""
    return "-".join(f"{end:.0f}" for end in ends if end is not None)


def remedy(result: Result) -> str:
    """What to do about an invalid result; empty for a valid one, and where there is nothing to advise."""
    if result.state != "finished" or result.verdict.valid or result.imported:
        return ""
    return remedy_of(telling(result.verdict), load=result.load is not None)
