"""The figures of a result as text: the same wording on the screen and on the command line."""

from typing import Literal

from infertui.analysis.effective import form, told
from infertui.analysis.energy import energy_rows
from infertui.analysis.interval import interval_in_words
from infertui.analysis.limits import limit_line, limit_lines
from infertui.analysis.memory import ALLOCATOR_PEAK, GPU_PEAK, HOST_PEAK
from infertui.analysis.quality import quality_rows
from infertui.analysis.time_text import NOT_AVAILABLE, itl_text
from infertui.measure.itl import Gaps
from infertui.measure.statistics import Distribution
from infertui.measure.summary import NO_MORE_THAN_NOISE, Summary, prefill_speed
from infertui.measure.trend import SHAPES
from infertui.results.result import Result
from infertui.text import clean
from infertui.units import format_bytes, format_number, format_seconds

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
    if (speed := prefill_throughput(result)) is not None:
        rows.append(("prefill", f"{format_number(speed)} tok/s"))
    rows += energy_rows(result)
    rows.append(("memory", _memory(result)))
    rows.append(("device", _device(result)))
    rows += ([("limits", line)] if (line := limit_line(result)) else []) if brief else limit_lines(result)
    rows += quality_rows(result, brief=brief)
    if summary.client_share is not None and 0 <= summary.client_share <= 1:  # of a line that anybody may have written
        rows.append(("measuring itself", _own_share(summary.client_share)))
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


def prefill_throughput(result: Result) -> float | None:
    """Prompt tokens a second of a run; None where that is not available."""
    summary = result.summary
    return prefill_speed(
        summary.prefill_throughput, prompt_tokens=summary.prompt_tokens, iterations=summary.iterations,
        failed=summary.failed, prefill=summary.prefill,
    )  # fmt: skip


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
    requests, iterations = told(result, "summary.requests"), told(result, "summary.iterations")
    shown = [f"{requests}" if requests is not None else NOT_AVAILABLE]
    shown += [f"in {iterations} iterations"] if iterations is not None else []
    shown = [" ".join(shown)]
    shown += [f"{result.summary.failed} failed"] if result.knows("summary.failed") else []
    shown += [f"{result.summary.cut_off} cut off at the end"] if result.summary.cut_off else []
    return ", ".join(shown)


def headline(result: Result) -> str:
    """One line: what was measured, with what."""
    config, loaded = result.config, result.loaded
    parts = [config.model.id]
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
        parts.append(config.engine.name)
    batch, length, file, prompts, osl = (
        told(result, f"workload.{key}") for key in ("batch_size", "input_len", "prompts_file", "prompts", "output_len")
    )
    isl = length or file or prompts
    shown = ((name, value) for name, value in (("batch", batch), ("in", isl), ("out", osl)) if value is not None)
    parts.append(", ".join(f"{name} {value}" for name, value in shown))
    return clean("  ".join(part for part in parts if part))


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
        f"{name} {format_seconds(getattr(values, name))}" for name in ("p90", "p95", "p99") if name in values.supported
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
            f"{name} {format_bytes(size)}" + (f" ({divided})" if divided and name == "process on GPU" else "")
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
    if device.sm_clock_mean is not None:
        shown.append(f"{device.sm_clock_min:.0f}-{device.sm_clock_max:.0f} MHz")
    if device.temperature_max is not None:
        shown.append(f"{device.temperature_min:.0f}-{device.temperature_max:.0f} C")
    if device.throttles:
        shown.append(f"clocks held by {', '.join(device.throttles)}")
    if device.cpu_mean is not None:
        shown.append(f"CPU {device.cpu_mean:.0f} %")
    if device.ram_peak is not None:
        shown.append(f"RAM {format_bytes(device.ram_peak)}")
    return "  ".join(shown) or NOT_AVAILABLE
