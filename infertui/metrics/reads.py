"""How metrics are read of a result that is more than a field of it. Pure; figures in base units, None is not available.

A result may be a line that an older version or another program wrote, in which much is missing: see `results.row`.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from infertui.integers import whole_number
from infertui.measure.energy import (
    SHORT_ERROR,
    EnergyFigures,
    above_idle,
    counter_error,
    energy_figures,
)
from infertui.measure.summary import NO_MORE_THAN_NOISE, prefill_speed
from infertui.metrics.number_format import form_of
from infertui.targets.engine.executed import executed
from infertui.telemetry.visible import by_uuid
from infertui.text import clean, one_line

if TYPE_CHECKING:
    from infertui.measure.statistics import Distribution
    from infertui.results.result import Result
    from infertui.targets.engine.base import Loaded

_ERROR_LENGTH = 300
DIVERGED = "diverged"
"""The mark of a run whose outputs are not the reference's."""


def error(result: "Result") -> str:
    """Why it did not finish."""
    return one_line(result.error.message, _ERROR_LENGTH) if result.error else ""


# What ran


def engine(result: "Result") -> str:
    """The engine that ran, else the one that was asked for; an imported file need not tell it, and is then empty."""
    name = (result.loaded.engine if result.loaded else "") or engine_asked(result)
    return "" if result.imported and name == "unknown" else name


def engine_asked(result: "Result") -> str:
    """The engine that was asked for; of a server behind a URL nobody knows it before it was looked at."""
    target = result.setup.target
    return "endpoint" if target.kind == "endpoint" else target.name or ""


def in_force(result: "Result", option: str) -> str:
    """The word of an engine option that the engine found in force; empty where it did not say."""
    return result.effective.settings.get(option, "") if result.effective else ""


def ran(result: "Result") -> str:
    """How steps were executed, in the one word that every table has for it; empty where the engine did not say."""
    found = result.effective
    return executed(found.settings.get("mode", ""), found.compiled, found.graphs) if found else ""


def execution(result: "Result") -> str:
    """The same with the engine and its kind of step; what was asked for where the engine did not say."""
    effective, setup = result.effective, result.setup
    word = ran(result) or setup.mode or ""
    step = effective.facts.get("graph_step", "") if effective else ""
    word = "" if word == "auto" else f"{word}, {step} step" if step else word
    name = result.loaded.engine if result.loaded else engine_asked(result)
    return " ".join(part for part in ("" if name == "transformers" and word else name, word) if part)


def form(result: "Result") -> str:
    """Formats of weights and KV cache in one short word, such as `q4_1` or `f32 kv q4_0`; empty: not known."""
    settings = result.effective.settings if result.effective else {}
    return clean(form_of(result.loaded.dtype, settings)) if result.loaded else ""


def input_len(result: "Result") -> str:
    """Prompt tokens asked for, else the name of the prompt set; empty where it is not known."""
    setup = result.setup
    return str(setup.input_len or setup.prompts or "")


def fallback_of(loaded: "Loaded") -> str:
    """Which engine ran instead of which, and why; empty where it was the one that was asked for."""
    if not loaded.engine_requested or loaded.engine == loaded.engine_requested:
        return ""
    reason = loaded.fallback_reason or "no reason is known"
    return clean(f"{loaded.engine} was measured, NOT {loaded.engine_requested}, which cannot be used: {reason}")


def diverged(result: "Result") -> bool:
    """Whether its outputs are beyond what the config allows against the reference's."""
    return result.quality is not None and bool(result.quality.beyond)


def caveats(result: "Result") -> list[str]:
    """What has to stand beside the figures wherever results are listed or compared.

    That they are another engine's, of a run that says something else than its reference, or not infertui's own.
    """
    loaded = result.loaded
    marks = [f"fallback, not {loaded.engine_requested}"] if loaded and fallback_of(loaded) else []
    marks += [DIVERGED] if diverged(result) else []
    if result.imported:
        marks.append(f"imported from {result.imported}: {result.source}")
    elif result.source:
        marks.append(f"external: {result.source}")
    return [clean(mark) for mark in marks]


def told(result: "Result", key: str) -> object | None:
    """The value of a key of the config, or of `summary.NAME`; None where an imported file does not tell it."""
    if key.startswith("summary."):
        found: object = getattr(result.summary, key.removeprefix("summary."))
        return found
    return result.setup.get(key)


def acceptance(counters: Mapping[str, int]) -> float | None:
    """The share of drafted tokens that were accepted; None where none were drafted."""
    drafted = counters.get("drafted_tokens", 0)
    return counters.get("accepted_tokens", 0) / drafted if drafted else None


# Speed


def prefill_throughput(result: "Result") -> float | None:
    """Prompt tokens a second while prompts were processed."""
    summary = result.summary
    return prefill_speed(
        summary.prefill_throughput, prompt_tokens=summary.prompt_tokens, iterations=summary.iterations,
        failed=summary.failed, prefill=summary.prefill,
    )  # fmt: skip


def prompt_tokens_per_request(result: "Result") -> float | None:
    """Of the requests that did not fail."""
    summary = result.summary
    return summary.prompt_tokens / summary.good if summary.good and summary.prompt_tokens is not None else None


def drift(result: "Result") -> float | None:
    """Change of the throughput while measuring; 0 where it is no more than noise."""
    summary = result.summary
    return 0.0 if summary.drift_shape == NO_MORE_THAN_NOISE else summary.drift


def seconds(result: "Result") -> float | None:
    """From the first phase to the last."""
    return sum(result.phases.values()) if result.phases else None


def p99(values: "Distribution | None") -> float | None:
    """None where there are too few observations for it."""
    return values.p99 if values is not None and "p99" in values.supported else None


def peak_throughput(result: "Result") -> float | None:
    """Output tokens a second of the fastest batch; of a run kept without it, where a batch is one request."""
    summary = result.summary
    alone = summary.tps is not None and summary.requests is not None and summary.requests == summary.iterations
    of_request = summary.tps.maximum if alone and summary.tps is not None else None
    return of_request if summary.output_throughput_peak is None else summary.output_throughput_peak


# Memory


def memory(result: "Result") -> tuple[int | None, str]:
    """Bytes that the run took of its device at most, and whose figure that is: `process`, `allocator`, `resident`.

    What the driver says of its processes, else the library's allocator, else what was resident on a CPU.
    """
    peaks, loaded = result.summary.memory, result.loaded
    if result.device is not None and result.device.vram_process is not None:
        return result.device.vram_process, "process"
    if peaks.allocated_peak is not None:
        return peaks.allocated_peak, "allocator"
    on_cpu = loaded is not None and loaded.device == "cpu" and peaks.resident_peak
    return (peaks.resident_peak, "resident") if on_cpu else (None, "")


def gpu_memory(result: "Result") -> int | None:
    """Bytes of the GPU that the run itself held: what the driver says of its processes, else its library's allocator,
    else the buffers that the library has there. None without a GPU."""
    size, of = memory(result)
    if of in ("process", "allocator"):
        return size
    return result.summary.memory.reserved_peak


def vram_share(result: "Result") -> float | None:
    """The part of its GPU's memory that the run itself held, of several GPUs of theirs together."""
    size, loaded = gpu_memory(result), result.loaded
    if size is None or loaded is None or not loaded.device_uuid:
        return None
    several = (result.device.vram_process_by_gpu if result.device else None) or {}
    used = by_uuid(loaded.device_uuid, result.fingerprint.gpus)
    cards = [gpu for gpu in result.fingerprint.gpus if gpu.label in several] if several else [used]
    totals = [card.memory_total for card in cards if card is not None and card.memory_total]
    known = len(totals) == max(1, len(several))  # a part of the cards would make it a share of too little
    return size / sum(totals) if known else None


def gpu_layers(result: "Result") -> int | None:
    """Layers that the engine put on the GPU; None where it did not say."""
    return whole_number((result.loaded.offloaded_layers if result.loaded else "").partition(" ")[0])


def temperature_rise(result: "Result") -> float | None:
    """Degrees from the GPU at rest to its highest while measuring."""
    device = result.device
    if device is None or device.temperature_max is None or device.temperature_idle is None:
        return None
    return device.temperature_max - device.temperature_idle


def gpu_utilization(result: "Result") -> float | None:
    """The mean share of time in which the GPU had work, 0 to 1."""
    percent = result.device.utilization_mean if result.device else None
    return None if percent is None else percent / 100


# Energy


def gross(result: "Result") -> EnergyFigures:
    """Energy per token and per request of all that the device drew; nothing where that is not known."""
    power = result.power
    if power is not None and power.energy_j is None:
        return EnergyFigures(joules_per_token=power.joules_per_token)  # of another program, which told no more
    return _energy_figures(result, power.energy_j if power else None)


def beyond_idle(result: "Result") -> EnergyFigures:
    """The same without what the device would have drawn at rest."""
    power = result.power
    if power is None or power.energy_j is None or power.idle_power_w is None or power.window_s is None:
        return EnergyFigures()
    return _energy_figures(result, above_idle(power.energy_j, power.window_s, power.idle_power_w))


def error_share(result: "Result") -> float | None:
    """How far the energy may be off, as a share. None is not known, as of an integral."""
    power = result.power
    if power is None or not power.energy_j:
        return None
    if power.error_j is not None:
        return power.error_j / power.energy_j
    # Kept before it was told: a counter's follows from the window.
    known = power.source == "counter" and power.domain == "gpu" and power.window_s is not None
    return counter_error(power.window_s or 0.0) if known else None


def energy_is_short(result: "Result") -> bool:
    """Whether the window was too short for its energy."""
    share = error_share(result)
    return share is not None and share > SHORT_ERROR


def _energy_figures(result: "Result", joules: float | None) -> EnergyFigures:
    summary = result.summary
    if joules is None or not summary.output_tokens:
        return EnergyFigures()
    return energy_figures(joules, tokens=summary.output_tokens, requests=max(0, summary.good or 0))
