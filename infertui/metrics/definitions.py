"""The metrics, and the properties of runs that stand beside them: one entry each, in the order of tables.

An entry says all that any view needs. Where a result holds more than one figure of a kind, each has its own entry with
its statistic in its label: `TTFT p50` and `TTFT mean` are two metrics.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from infertui.metrics import observed, of_loads, reads, wording
from infertui.metrics.metric import EVERYWHERE, Column, ComparisonRow, Metric, Value, View
from infertui.metrics.units import (
    BUCKETED,
    BYTES,
    CELSIUS,
    CHANGE,
    COUNT,
    DURATION,
    FLAG,
    JOULES,
    LENGTH,
    MILLISECONDS,
    MOMENT,
    NUMBER,
    RANGE,
    SECONDS,
    SHARE,
    TEXT,
    TOKENS_PER_SECOND,
    WATTS,
    WORDS,
)

if TYPE_CHECKING:
    from infertui.results.result import Result

_CSV: frozenset[View] = frozenset({"csv"})
_DOCUMENTS: frozenset[View] = frozenset({"markdown"})
_REPORT: frozenset[View] = frozenset({"report"})
_FILTER: frozenset[View] = frozenset({"filter"})
_CHOSEN: frozenset[View] = frozenset({"screen", "filter", "markdown"})
"""Columns that whoever wants them asks for."""
_KEPT: frozenset[View] = _CHOSEN | _CSV
_OFFERED: frozenset[View] = frozenset({"screen", "filter", "csv"})
_REPORTED: frozenset[View] = _CHOSEN | {"report"}
_REPORTED_TOO: frozenset[View] = _REPORTED | _CSV
_LISTED: frozenset[View] = EVERYWHERE - {"report"}
_TEXT: frozenset[View] = _REPORTED | {"text"}
_DOCUMENTED: frozenset[View] = frozenset({"markdown", "report"})
_PEAK: frozenset[View] = _DOCUMENTED | _CSV
_TARGET = ("config.target.kind",)
"""Whether an engine or an endpoint was asked decides which keys of a config hold."""
_GAPS = ("summary.itl.count", "summary.itl.steps")


def _option(name: str) -> "Callable[[Result], Value]":
    return lambda result: reads.in_force(result, name) or None


def _asked(name: str) -> "Callable[[Result], Value]":
    """What was asked for, as far as it is known."""
    return lambda result: getattr(result.setup, name)


def _phase(name: str) -> "Callable[[Result], Value]":
    return lambda result: result.phases.get(name)


METRICS = (
    # Which run it is
    Metric(key="id", label="run", help="the run's id", unit=TEXT, read="id", aliases=("run",), csv="id",
           views=frozenset({"text", "csv", "filter"}), text=Column(0)),
    Metric(key="name", label="name", help="the run's name", unit=TEXT, read="name", document="run",
           views=_KEPT, screen=Column(10, 12, 28)),
    Metric(key="started", label="started", help="when the run began", unit=MOMENT, read="started",
           aliases=("time", "date"), views=_KEPT, screen=Column(9, 11, 19)),
    Metric(key="bench", label="bench", help="the bench that it belongs to", unit=TEXT, read="bench.bench",
           views=_FILTER),
    Metric(key="state", label="state", help="finished, failed or interrupted", unit=TEXT, read="state",
           views=_KEPT, screen=Column(19, 8, 11)),
    Metric(key="valid", label="valid", help="whether nothing speaks against its figures", unit=FLAG,
           read=lambda result: result.verdict.valid, views=_CSV | _DOCUMENTS | _FILTER, show=wording.validity_text),
    Metric(key="flag", label="flags", help="what to know before believing the row", unit=WORDS, read=lambda _: None,
           aliases=("flags",), views=_FILTER),
    Metric(key="reasons", label="reasons", help="what speaks against its figures", unit=TEXT, views=_CSV,
           read=lambda result: "; ".join(result.verdict.invalid)),
    Metric(key="error", label="error", help="why it did not finish", unit=TEXT, read=reads.error,
           needs=("error.message",), aliases=("reason",), views=_FILTER),

    # What ran
    Metric(key="model", label="model", help="the model", unit=TEXT, read=_asked("model"),
           needs=(*_TARGET, "config.model.id", "config.target.model", "config.target.serve", "told"),
           views=_REPORTED_TOO, screen=Column(1, 13, 32), settings=("model.id",)),
    Metric(key="engine_requested", label="engine asked for", help="the engine that was asked for", unit=TEXT,
           read=reads.engine_asked, views=_CSV),
    Metric(key="engine_used", label="engine used", help="the engine that ran", unit=TEXT, read="loaded.engine",
           views=_CSV),
    Metric(key="engine", label="engine", help="the engine that ran it", unit=TEXT, read=reads.engine,
           needs=("loaded.engine", *_TARGET, "config.target.url", "config.engine.name", "imported", "told"),
           views=_TEXT, screen=Column(4, 6, 12), text=Column(2), settings=("engine.name",)),
    Metric(key="source", label="source", help="the program that measured", unit=TEXT, views=_CSV,
           read=lambda result: result.source or "infertui"),
    Metric(key="imported", label="imported from", help="the file that its figures were read from", unit=TEXT,
           read="imported", views=_CSV),
    Metric(key="mode", label="mode", help="how steps were executed, as found in force", unit=TEXT, read=reads.ran,
           needs=("effective.settings", "effective.compiled", "effective.graphs"),
           views=EVERYWHERE - {"markdown"}, screen=Column(4, 6, 14), text=Column(3), settings=("engine.mode",)),
    Metric(key="execution", label="mode", help="the engine, how steps were executed, and its kind of step", unit=TEXT,
           read=reads.execution, views=_DOCUMENTS),
    Metric(key="attention", label="attention", help="kernel of the attention, as found in force", unit=TEXT,
           read=_option("attention"), views=_CSV),
    Metric(key="quantization", label="quantization", help="number format of quantized weights, as found in force",
           unit=TEXT, read=_option("quantization"), needs=("effective.settings",), aliases=("quant",),
           views=_KEPT, screen=Column(11, 5, 11, "quant")),
    Metric(key="speculation", label="speculation", help="how tokens were drafted ahead, as found in force", unit=TEXT,
           read=_option("speculation"), views=_CSV),
    Metric(key="tensor_parallel", label="tensor parallel", help="GPUs that the model was split over", unit=TEXT,
           read=_option("tensor_parallel"), views=_CSV),
    Metric(key="form", label="format", unit=TEXT, read=reads.form, aliases=("format",), csv="format",
           help="number format of the weights, and of a KV cache with fewer bits, as found in force",
           needs=("loaded.dtype", "effective.settings"), screen=Column(4, 4, 11, "fmt"), text=Column(3),
           settings=("engine.dtype", "engine.quantization")),
    Metric(key="dtype", label="dtype", help="number format, as loaded", unit=TEXT, read="loaded.dtype",
           views=_KEPT, screen=Column(4, 5, 5)),
    Metric(key="device", label="device", help="what it ran on", unit=TEXT, read="loaded.device_name", aliases=("gpu",),
           views=_REPORTED_TOO, screen=Column(15, 8, 20), settings=("device.name",)),
    Metric(key="offloaded_layers", label="layers on GPU", help="layers that were put on the GPU", unit=TEXT,
           read="loaded.offloaded_layers", views=_DOCUMENTS),
    Metric(key="gpu_layers", label="GPU layers", help="layers that were put on the GPU, as a number", unit=COUNT,
           read=reads.gpu_layers, needs=("loaded.offloaded_layers",), aliases=("layers",), views=_OFFERED,
           screen=Column(13, 6, 10, "layers")),

    # What it was asked to do
    Metric(key="batch_size", label="batch", help="batch size", unit=COUNT, read=_asked("batch_size"),
           needs=(*_TARGET, "config.workload.batch_size", "told"), aliases=("batch", "b", "bs"),
           screen=Column(2, 3, 5, "b"), text=Column(2, heading="b"), settings=("workload.batch_size",)),
    Metric(key="prompt_tokens_per_request", label="prompt tokens", help="prompt tokens of a request, on average",
           unit=NUMBER, read=reads.prompt_tokens_per_request, statistic="mean", level="request", views=_DOCUMENTS,
           show=wording.prompt_tokens_text),
    Metric(key="input_len", label="in", help="prompt tokens asked for, or the prompt set", unit=LENGTH,
           read=reads.input_len, aliases=("in",), views=_REPORTED, screen=Column(9, 6, 10),
           needs=("config.workload.input_len", "config.workload.prompts", "config.workload.prompts_file", "told"),
           settings=("workload.input_len", "workload.prompts", "workload.prompts_file")),
    Metric(key="output_len", label="out", help="output tokens asked for", unit=COUNT, read=_asked("output_len"),
           needs=("config.workload.output_len", "told"), aliases=("out",), views=_TEXT, document="new tokens",
           report="out", screen=Column(8, 4, 6), text=Column(4), settings=("workload.output_len",)),
    *of_loads.ASKED,
    Metric(key="prompt_tokens", label="prompt tokens in all", help="prompt tokens of all measured batches", unit=COUNT,
           read="summary.prompt_tokens", statistic="total", views=_CSV),
    Metric(key="output_tokens", label="output tokens in all", help="tokens that were generated while measuring",
           unit=COUNT, read="summary.output_tokens", statistic="total", views=_CSV),
    Metric(key="iterations", label="iterations", help="batches measured", unit=COUNT, read="summary.iterations",
           statistic="total", views=_REPORTED_TOO, screen=Column(17, 4, 6, "iter")),
    Metric(key="failed", label="failed", help="requests that failed", unit=COUNT, read="summary.failed",
           statistic="total", views=_CSV),

    # Speed
    Metric(key="throughput", label="tok/s", help="output tokens per second, with its 95 % interval",
           unit=TOKENS_PER_SECOND, read="summary.output_throughput", statistic="ratio", better="higher",
           aliases=("tok/s", "tps"), csv="output_throughput", views=EVERYWHERE - {"markdown", "report"},
           screen=Column(0, 7, 15), text=Column(0), ratio="ratio",
           compared=ComparisonRow("throughput", 0, "throughput, tok/s", observed.throughput)),
    Metric(key="throughput_bounds", label="output tok/s (95 % interval)", help="the same with its interval as words",
           unit=RANGE, read=wording.throughput_text, statistic="ratio", views=_DOCUMENTS),
    Metric(key="throughput_range", label="output tok/s (95 %)", help="the same in less room", unit=RANGE,
           read=lambda result: wording.throughput_text(result, "-"), statistic="ratio", views=_REPORT),
    Metric(key="throughput_interval", label="95 %", help="95 % interval of the throughput", unit=RANGE,
           read=lambda result: wording.interval_text(result.summary, "-"), views=frozenset({"text"}),
           text=Column(6)),
    Metric(key="low", label="tok/s, low", help="lower end of the throughput's 95 % interval", unit=TOKENS_PER_SECOND,
           read="summary.output_throughput_interval.low", csv="output_throughput_low", views=_CSV),
    Metric(key="high", label="tok/s, high", help="upper end of the throughput's 95 % interval", unit=TOKENS_PER_SECOND,
           read="summary.output_throughput_interval.high", csv="output_throughput_high", views=_CSV),
    Metric(key="independence", label="independence", help="what that interval takes for granted of iterations",
           unit=TEXT, read="summary.independence", views=_CSV),
    Metric(key="prefill", label="prefill tok/s", help="prompt tokens per second while prompts are processed",
           unit=TOKENS_PER_SECOND, read=reads.prefill_throughput, statistic="ratio", better="higher",
           needs=("summary.prefill_throughput", "summary.prompt_tokens", "summary.iterations", "summary.failed",
                  "summary.prefill"),
           csv="prefill_throughput", views=_LISTED, screen=Column(14, 13, 13), text=Column(11)),
    Metric(key="peak_throughput", label="peak tok/s", help="output tokens per second of the fastest measured batch",
           unit=TOKENS_PER_SECOND, read=reads.peak_throughput, statistic="peak", better="higher", aliases=("peak",),
           needs=("summary.output_throughput_peak", "summary.tps.maximum", "summary.requests", "summary.iterations"),
           views=_KEPT, screen=Column(14, 10, 10)),
    Metric(key="diverged", label="diverged", help="whether its outputs are not the reference's", unit=FLAG, views=_CSV,
           read=lambda result: reads.diverged(result) if result.quality is not None else None),

    # Of loads on endpoints
    *of_loads.FIGURES,

    # Times
    Metric(key="ttft", label="TTFT p50", help="time to first token, median", unit=MILLISECONDS,
           read="summary.ttft.p50", statistic="p50", level="request", better="lower", csv="p50_ttft_s",
           screen=Column(3, 8, 8), text=Column(5), ratio="ratio_ttft"),
    Metric(key="ttft_p99", label="TTFT p99", help="time to first token, 99th percentile, of 368 requests or more",
           unit=MILLISECONDS, read=lambda result: reads.p99(result.summary.ttft), statistic="p99", level="request",
           better="lower", needs=("summary.ttft.p99", "summary.ttft.supported"), views=_CHOSEN,
           screen=Column(13, 8, 8)),
    Metric(key="tpot", label="TPOT p50", help="time per output token after the first, median", unit=MILLISECONDS,
           read="summary.tpot.p50", statistic="p50", level="request", better="lower", csv="p50_tpot_s",
           screen=Column(5, 8, 8), text=Column(8), ratio="ratio_tpot"),
    Metric(key="latency", label="E2E p50", help="latency from request to last token, median", unit=SECONDS,
           read="summary.latency.p50", statistic="p50", level="request", better="lower", aliases=("e2e",),
           csv="p50_latency_s", views=_REPORTED_TOO, screen=Column(10, 8, 8), ratio="ratio_latency"),
    Metric(key="ttft_mean", label="TTFT mean", help="time to first token, mean", unit=MILLISECONDS,
           read="summary.ttft.mean", statistic="mean", level="request", better="lower", csv="mean_ttft_s",
           views=_CSV | _DOCUMENTS, compared=ComparisonRow("ttft", 2, observe=observed.mean(lambda one: one.ttft))),
    Metric(key="tpot_mean", label="TPOT mean", help="time per output token after the first, mean", unit=MILLISECONDS,
           read="summary.tpot.mean", statistic="mean", level="request", better="lower", csv="mean_tpot_s",
           views=_CSV | _DOCUMENTS,
           compared=ComparisonRow("tpot", 3, observe=observed.mean_time(lambda one: one.tpot))),
    Metric(key="compile", label="compile", help="time in which code was compiled", unit=DURATION,
           read=_phase("compile"), csv="compile_s", views=_CSV | _DOCUMENTS),
    Metric(key="capture", label="capture", help="time in which graphs were captured", unit=DURATION,
           read=_phase("capture"), csv="capture_s", views=_CSV | _DOCUMENTS),
    Metric(key="latency_mean", label="E2E mean", help="latency from request to last token, mean", unit=SECONDS,
           read="summary.latency.mean", statistic="mean", level="request", better="lower", csv="mean_latency_s",
           views=_CSV | _DOCUMENTS,
           compared=ComparisonRow("latency", 1, observe=observed.mean_time(lambda one: one.latency))),
    Metric(key="itl", label="ITL p50", help="inter-token latency, median", unit=BUCKETED, read="summary.itl.p50",
           statistic="p50", level="step", better="lower", csv="p50_itl_s", views=_LISTED, screen=Column(12, 7, 7),
           text=Column(10), show=lambda result: wording.itl_text(result.summary.itl)),
    Metric(key="itl_p99", label="ITL p99", help="inter-token latency, 99th percentile, of 368 steps or more",
           unit=BUCKETED, statistic="p99",
           read=lambda result: result.summary.itl.known_p99 if result.summary.itl else None, level="step",
           better="lower", needs=("summary.itl.p99", *_GAPS), csv="p99_itl_s", views=_KEPT, screen=Column(12, 7, 7),
           show=lambda result: wording.itl_text(result.summary.itl, 99),
           compared=ComparisonRow("itl-p99", 5, paired=False)),
    Metric(key="itl_mean", label="ITL mean", help="inter-token latency, mean", unit=MILLISECONDS,
           read="summary.itl.mean", statistic="mean", level="step", better="lower", views=_DOCUMENTS,
           compared=ComparisonRow("itl", 4, observe=observed.mean_time(lambda one: one.itl))),

    # Energy
    Metric(key="energy_j", label="energy", help="energy of the measured batches, gross, in joules", unit=JOULES,
           read="power.energy_j", statistic="total", views=_CSV),
    Metric(key="joules_per_token", label="J/tok", help="energy per output token; ~ in too short a window", unit=JOULES,
           read="power.joules_per_token", statistic="ratio", better="lower", aliases=("j/tok", "energy"),
           document="J/token", screen=Column(8, 5, 8), text=Column(9), ratio="ratio_energy",
           show=lambda result: wording.joules_text(result, result.power.joules_per_token if result.power else None),
           compared=ComparisonRow("energy", 6, "energy, J/token", observed.energy_over(lambda one: one.tokens),
                             whole=True)),
    Metric(key="joules_per_token_above_idle", label="J/token above idle", unit=JOULES, statistic="ratio",
           help="energy per output token without what the device draws at rest", better="lower",
           read="power.joules_per_token_above_idle", views=_CSV),
    Metric(key="joules_per_request", label="J/request", help="energy per request", unit=JOULES, statistic="ratio",
           read=lambda result: reads.gross(result).joules_per_request, better="lower", views=_CSV | _DOCUMENTS,
           show=lambda result: wording.joules_text(result, reads.gross(result).joules_per_request),
           compared=ComparisonRow("energy-request", 7, "energy, J/request",
                                  observed.energy_over(lambda one: one.requests),
                             whole=True)),
    Metric(key="tokens_per_s_per_w", label="tok/s/W", help="output tokens per second and watt", unit=NUMBER,
           read="power.tokens_per_s_per_w", statistic="ratio",
           better="higher", aliases=("tok/s/w",), views=_KEPT, screen=Column(14, 7, 8)),
    Metric(key="power", label="power", help="mean power while measuring", unit=WATTS, read="power.mean_power_w",
           statistic="mean", aliases=("w",), csv="mean_power_w", views=_KEPT, screen=Column(14, 7, 7)),
    Metric(key="idle_power_w", label="idle power", help="power before anything was computed", unit=WATTS,
           read="power.idle_power_w", views=_CSV),
    Metric(key="energy_error_j", label="energy error", help="how far the energy may be off", unit=JOULES,
           read="power.error_j", views=_CSV),
    Metric(key="energy_source", label="energy source", help="counter, or integral of power samples", unit=TEXT,
           read="power.source", views=_CSV),
    Metric(key="energy_from", label="energy from", help="where the energy comes from, and what it rests on", unit=TEXT,
           read=wording.energy_from, views=_DOCUMENTS),
    Metric(key="energy_window_s", label="energy window", help="time that the energy is of", unit=DURATION,
           read="power.window_s", views=_CSV),
    Metric(key="power_samples", label="power samples", help="samples of the power", unit=COUNT, read="power.samples",
           statistic="total", views=_CSV),
    Metric(key="largest_power_gap_s", label="largest power gap", help="longest time between two of them",
           unit=DURATION, read="power.largest_gap_s", views=_CSV),

    # How near the device's limits
    Metric(key="mbu", label="MBU", help="decode's share of the memory bandwidth: see infertui calibrate", unit=SHARE,
           read="limits.mbu", statistic="ratio", better="higher", views=_REPORTED, screen=Column(12, 6, 6),
           derived=True),
    Metric(key="mfu", label="MFU", help="prefill's share of the matrix rate, at least: see infertui calibrate",
           unit=SHARE, read="limits.mfu", statistic="ratio", better="higher", views=_CHOSEN, screen=Column(13, 6, 6),
           derived=True),
    Metric(key="bound", label="bound by", help="what held the run back", unit=TEXT, read="limits.bound",
           views=_DOCUMENTED, derived=True),

    # Memory
    Metric(key="vram", label="mem GiB", unit=BYTES, read=lambda result: reads.memory(result)[0],
           help="memory: what the run's process holds on the GPU (proc), else the peak of the library's allocator"
           " (alloc), or of what was resident on a CPU (RSS)", better="lower", views=frozenset({"screen", "filter"}),
           needs=("device.vram_process", "summary.memory.allocated_peak", "summary.memory.resident_peak",
                  "loaded.device"),
           screen=Column(6, 9, 10)),
    Metric(key="vram_share", label="VRAM %", help="the part of the GPU's memory that the run itself held", unit=SHARE,
           read=reads.vram_share, statistic="peak", better="lower", views=_KEPT, screen=Column(12, 6, 6),
           needs=("device.vram_process", "device.vram_process_by_gpu", "summary.memory.allocated_peak",
                  "summary.memory.reserved_peak", "summary.memory.resident_peak", "loaded.device",
                  "loaded.device_uuid", "fingerprint.gpus")),
    Metric(key="weight_bytes", label="weights", help="bytes of the weights, as loaded", unit=BYTES,
           read="loaded.weight_bytes", views=_DOCUMENTS),
    Metric(key="vram_process", label="GPU mem (process)", unit=BYTES,
           help="what the run's processes held on the GPU when measuring ended",
           read="device.vram_process", better="lower", views=_PEAK),
    Metric(key="allocated_peak", label="allocator peak", help="what the library's allocator gave out at most",
           unit=BYTES, read="summary.memory.allocated_peak", statistic="peak", better="lower",
           views=_PEAK),
    Metric(key="resident_peak", label="host mem peak (RSS)", help="what was resident on the host at most", unit=BYTES,
           read="summary.memory.resident_peak", statistic="peak", better="lower",
           views=_PEAK),
    Metric(key="vram_device_peak", label="device peak", help="what was in use on the whole GPU at most", unit=BYTES,
           read="device.vram_device_peak", statistic="peak", better="lower", views=_CSV),

    # How busy and how hot the device was
    Metric(key="gpu_utilization", label="GPU util", unit=SHARE, read=reads.gpu_utilization, statistic="mean",
           help="share of the time in which the GPU had work, as NVML counts it; says nothing of how much",
           aliases=("util",), needs=("device.utilization_mean",), views=_KEPT, screen=Column(14, 10, 10)),
    Metric(key="temperature", label="temp max", help="highest temperature of the GPU while measuring", unit=CELSIUS,
           read="device.temperature_max", statistic="peak", better="lower", aliases=("temp",), views=_KEPT,
           screen=Column(15, 10, 10)),
    Metric(key="temperature_rise", label="C over idle", unit=NUMBER, statistic="peak", better="lower",
           help="degrees Celsius from the GPU at rest to its highest while measuring", read=reads.temperature_rise,
           needs=("device.temperature_max", "device.temperature_idle"), views=_KEPT, screen=Column(16, 6, 11)),

    # Whether it can be believed
    Metric(key="drift", label="drift", help="change of throughput while measuring; 0: noise", unit=CHANGE,
           read=reads.drift, needs=("summary.drift", "summary.drift_shape"), views=_CHOSEN, screen=Column(16, 7, 7)),
    Metric(key="agreement", label="agreement", help="share of greedy tokens that are those of the run's reference",
           unit=SHARE, read="quality.agreement.share", statistic="ratio", better="higher", aliases=("agrees",),
           views=_CHOSEN, screen=Column(13, 7, 7, "agree"), show=wording.agreement_text),
    Metric(key="perplexity", label="perplexity", help="perplexity on the text of quality.text_file", unit=NUMBER,
           read="quality.perplexity", better="lower", aliases=("ppl",), views=_CHOSEN, screen=Column(15, 6, 8, "PPL")),
    Metric(key="seconds", label="total", help="duration of the whole run", unit=DURATION, read=reads.seconds,
           needs=("phases",), statistic="total", views=_CHOSEN, screen=Column(18, 7, 8)),
    Metric(key="marks", label="", help="what to know before believing it", unit=TEXT, read=wording.marks_text,
           views=frozenset({"text"}), text=Column(1), absent=""),

    # Where it comes from
    Metric(key="config_hash", label="config hash", help="the same where two configs are", unit=TEXT,
           read="fingerprint.config_hash", aliases=("hash",), views=_CSV | _FILTER),
    Metric(key="infertui", label="infertui", help="version that measured", unit=TEXT, read="fingerprint.infertui",
           views=_CSV),
    Metric(key="git_revision", label="revision", help="its revision", unit=TEXT, read="fingerprint.git_revision",
           views=_CSV),
)  # fmt: skip
