"""What held a run back, by its shares of the ceilings and by what telemetry saw; and what to try next.

Where infertui's own calls took half of the time or more, that is told before anything else. A ceiling holds a run back
where at least half of the time is what the ceiling alone would take. Where none does, a GPU that had nothing to run for
half of the time or more was waiting for its host; one that ran nearly all of the time was held back by its own kernels.
Anything else is not told apart by these figures, and is called unknown.

Whether a load generator sent all that its server could take: what its file tells of the rate that was asked for.
"""

import math
import re

from msgspec import Struct

from infertui.analysis import advice
from infertui.measure.roofline import Bound, Limits
from infertui.metrics.reads import in_force
from infertui.results.result import Result
from infertui.targets.engine.base import Loaded
from infertui.units import format_number

EXPLAINS = 0.5
"""Share of a ceiling from which that is what holds a run back: it explains most of the time."""
IDLE = 50.0
BUSY = 90.0
"""Percent of the time with a kernel running below which a GPU waits, and from which it does not."""
FULL_HOST = 90.0
"""Percent of the CPUs from which the host has none to spare."""
_LEAST_SAMPLES = 3
_FEW = 8
"""Sequences up to which decoding does not come near any device's matrix rate."""
_SHORT_S = 2.0
"""The driver averages utilization over up to a second: in a shorter run its edges weigh."""
_KERNEL_BY_KERNEL = ("", "eager", "static")
_TOO_MUCH = 1.1
_ONE_THREAD = (0.9, 1.2)


class Bottleneck(Struct, frozen=True):
    """What holds a run back, what tells so, and what to try."""

    bound: Bound
    why: str
    next_step: str = ""


class _Seen(Struct, frozen=True):
    """What telemetry saw; None is not known."""

    gpu: float | None
    cpus: float | None
    """CPUs that were busy, on average."""
    cpu_share: float | None
    all_cpus: int | None = None


def bottleneck(result: Result, loaded: Loaded, limits: Limits) -> Bottleneck:
    """What holds the run back."""
    if (own := of_own_calls(result)) is not None:
        return own
    seen = _seen(result, loaded)
    preempted = result.effective.counters.get("preemptions", 0) if result.effective else 0
    if preempted:
        return Bottleneck(
            "KV capacity",
            f"{preempted} sequences lost their place in the KV cache and were computed again",
            "a larger KV cache, a smaller workload.batch_size, or shorter sequences",
        )
    if (split := _split_over_host(loaded)) is not None:
        layers, total = split
        told = f"{total - layers} of {total} layers are computed by the CPU"
        idle = seen.gpu is not None and seen.gpu < IDLE
        return Bottleneck(
            "host" if idle else "unknown",
            "; ".join(part for part in (told, _busy(seen)) if part),
            "engine.llama_cpp.n_gpu_layers=-1, or as many as fit",
        )
    prefill = _prefill_dominates(result)
    phase = "prefill" if prefill else "decode"
    memory, compute = _shares(limits, prefill=prefill)
    shares = _told(phase, memory, compute, limits)
    if max(memory or 0.0, compute or 0.0) > _TOO_MUCH:
        return Bottleneck(
            "unknown",
            f"{shares}: more than the ceiling, so a ceiling is too low or not all of that was read or computed",
            f"infertui calibrate --device {loaded.device} --force" if _calibrates(loaded) else "",
        )
    if max(memory or 0.0, compute or 0.0) >= EXPLAINS:
        if (memory or 0.0) >= (compute or 0.0):
            return Bottleneck("memory bandwidth", shares, _less_to_read(result, loaded, limits, prefill=prefill))
        return Bottleneck("compute", shares, _less_to_compute(result, loaded, prefill=prefill))
    if seen.gpu is not None and seen.gpu < IDLE:
        return _waiting(result, loaded, seen, shares)
    batch = result.setup.batch_size
    few = not prefill and batch is not None and batch <= _FEW
    ruled_out = memory is not None and (compute is not None or few)
    return _neither(result, loaded, seen, shares, ruled_out=ruled_out)


def of_own_calls(result: Result) -> Bottleneck | None:
    """That measuring took most of the time; None where it did not, or that is not known."""
    share = result.summary.client_share
    if share is None or not EXPLAINS <= share <= 1:
        return None
    return Bottleneck(
        "client",
        f"infertui's own calls between the steps took at least {percent(share)} of the time",
        "longer steps: a larger model or longer prompts",
    )


def _seen(result: Result, loaded: Loaded) -> _Seen:
    device, host = result.device, result.fingerprint.host
    if device is None or device.samples < _LEAST_SAMPLES:
        return _Seen(None, None, None)
    share = device.cpu_mean
    cpus = share / 100 * host.logical_cores if share is not None and host.logical_cores else None
    return _Seen(None if loaded.device == "cpu" else device.utilization_mean, cpus, share, host.logical_cores)


def _split_over_host(loaded: Loaded) -> tuple[int, int] | None:
    """Layers on the GPU and in all, where the CPU computes the others."""
    on_gpu, _, total = loaded.offloaded_layers.partition(" of ")
    counts = all(part.isdecimal() and len(part) < 9 for part in (on_gpu, total))
    if loaded.device == "cpu" or not counts or int(on_gpu) >= int(total):
        return None
    return int(on_gpu), int(total)


def _prefill_dominates(result: Result) -> bool:
    ttft, latency = result.summary.ttft, result.summary.latency
    if ttft is None or latency is None or ttft.mean is None or latency.mean is None:
        return False
    return ttft.mean > latency.mean / 2


def _shares(limits: Limits, *, prefill: bool) -> tuple[float | None, float | None]:
    """Shares of the phase's time that memory and matrix units alone would take."""
    if not prefill:
        return limits.mbu, _share(limits.step_operations, limits.step_s, limits.matrix_rate)
    return _share(limits.step_weights, limits.prefill_s, limits.bandwidth), limits.mfu


def _share(amount: float | None, seconds: float | None, rate: float | None) -> float | None:
    return amount / seconds / rate if amount is not None and seconds and rate else None


def _told(phase: str, memory: float | None, compute: float | None, limits: Limits) -> str:
    """The shares in words, each with whose ceiling it refers to."""
    parts = []
    if memory is not None:
        parts.append(f"{percent(memory)} of the {limits.bandwidth_source} memory bandwidth")
    if compute is not None:
        parts.append(f"{percent(compute)} of the {limits.matrix_source} {limits.matrix_format} rate")
    if not parts:
        return f"{phase} is most of the time, its share of the ceilings is not known"
    return f"{phase} is most of the time and reached {' and '.join(parts)}"


def percent(share: float) -> str:
    """A share as people compare it: two significant digits, or whole percent."""
    if share < 0.0005:
        return "below 0.1 %"
    return f"{share * 100:.0f} %" if share >= 0.1 else f"{share * 100:.2g} %"


def _busy(seen: _Seen) -> str:
    """What GPU and CPUs did, in words; empty where neither is known."""
    parts = []
    if seen.gpu is not None:
        parts.append(f"GPU busy {seen.gpu:.0f} % of the time")
    if seen.cpus is not None:
        one = ", as one thread keeps it" if _ONE_THREAD[0] <= seen.cpus <= _ONE_THREAD[1] else ""
        parts.append(f"{seen.cpus:.1f} of {seen.all_cpus} CPUs busy{one}")
    return ", ".join(parts)


def _waiting(result: Result, loaded: Loaded, seen: _Seen, shares: str) -> Bottleneck:
    """A GPU without work for most of the time waits for the host: for its launches, or for whatever else it does."""
    told = f"{_busy(seen)}; {shares}"
    if seen.cpu_share is not None and seen.cpu_share >= FULL_HOST:
        return Bottleneck("host", f"{told}; every CPU was busy", "fewer programs on the host, or more CPUs")
    mode, captured = in_force(result, "mode"), advice.captured(result, loaded)
    batch = f"{advice.larger_batch(result, loaded)}, so that each launch does more"
    if (result.setup.tensor_parallel or 1) > 1:
        batch = f"fewer GPUs (engine.tensor_parallel), if the model fits, or {batch}"
    if loaded.engine == "transformers" and mode in _KERNEL_BY_KERNEL:
        graph = f"{captured}, or " if captured else ""
        why = f"{told}; kernels are launched one by one{f' (mode {mode})' if mode else ''}"
        return Bottleneck("launch overhead", why, graph + batch)
    if mode == "eager":
        next_step = _other_mode(result, loaded)
        return Bottleneck("launch overhead", f"{told}; mode eager", f"{next_step}, or {batch}" if next_step else batch)
    graph = f"{captured}, or " if loaded.engine == "transformers" and captured else ""
    return Bottleneck("host", f"{told}; the GPU waited for the host between its steps", graph + batch)


def _neither(result: Result, loaded: Loaded, seen: _Seen, shares: str, *, ruled_out: bool) -> Bottleneck:
    """Neither a ceiling nor waiting explains most of the time; `ruled_out` says whether both ceilings are known."""
    busy = _busy(seen)
    told = shares + (f"; {busy}" if busy else "")
    if "not known" in shares:
        helps = _calibrates(loaded) and result.ceilings is None
        return Bottleneck("unknown", told, f"infertui calibrate --device {loaded.device}" if helps else "")
    if loaded.device == "cpu":
        return Bottleneck("unknown", told, "device.threads, or another engine")
    if seen.gpu is None:
        return Bottleneck("unknown", f"{told}; whether the GPU waited is not known", "a longer run")
    if seen.gpu < BUSY:
        others = (result.setup.tensor_parallel or 1) > 1
        waits = ", or for the other GPUs, which counts as busy" if others else ""
        why = f"{told}: in part the GPU waited for the host{waits}"
        if (seconds := result.summary.measured_s) is not None and seconds < _SHORT_S:
            why += f", or {seconds:.2g} s are too short for the driver's reading"
        return Bottleneck("unknown", why, _shorter_steps(result, loaded))
    if not ruled_out:
        return Bottleneck("unknown", f"{told}: the GPU did not wait, and not both of its ceilings are known to be far")
    return Bottleneck(
        "kernel efficiency",
        f"{told}: the GPU did not wait, so short or slow kernels take the time",
        _shorter_steps(result, loaded),
    )


def _calibrates(loaded: Loaded) -> bool:
    return re.fullmatch(r"cpu|cuda(:[0-9]{1,3})?", loaded.device) is not None


def _shorter_steps(result: Result, loaded: Loaded) -> str:
    """What makes fewer and better kernels of a step."""
    step, mode, larger = advice.graph_step(result), in_force(result, "mode"), advice.larger_batch(result, loaded)
    if (result.setup.tensor_parallel or 1) > 1:
        return f"fewer GPUs (engine.tensor_parallel), if the model fits; {larger}"
    if loaded.engine == "transformers" and mode == "cudagraph":
        fused = advice.fuses(result, loaded)
        if step == "model":
            return f"engine.transformers.graph_step=compiled{' or fused' if fused else ''}; {larger}"
        if step == "compiled":
            tuning = result.setup.get("engine.transformers.tuning")
            untuned = "" if tuning == "none" else " with engine.transformers.tuning=none"
            better = f"engine.transformers.graph_step=fused{untuned}" if fused else ""
            # Not max-autotune: on an H200 it made 448 tok/s of TinyLlama's 585, coordinate descent 742.
            search = "engine.transformers.tuning=coordinate-descent" if tuning == "none" else ""
            return "; ".join(filter(None, (", or ".join(filter(None, (better, search))), larger)))
        return larger
    if loaded.engine == "transformers":
        return "; ".join(filter(None, (advice.captured(result, loaded), larger)))
    other = _other_mode(result, loaded) if mode == "eager" else ""
    return f"{other}; {larger}" if other else larger


def _other_mode(result: Result, loaded: Loaded) -> str:
    """A mode of the engine that launches less than eager does."""
    words = advice.words(result, loaded, "mode")
    better = next((word for word in ("cudagraph", "compile") if word in words), "")
    return f"engine.mode={better}" if better else ""


def _less_to_read(result: Result, loaded: Loaded, limits: Limits, *, prefill: bool) -> str:
    """How a step reads less, or does more with what it reads."""
    larger = advice.larger_batch(result, loaded)
    if prefill:
        return f"longer prompts or {larger}: the weights are read once for all of their tokens"
    if limits.step_kv is not None and limits.step_weights is not None and limits.step_kv > limits.step_weights:
        fewer_bits = advice.narrower_kv(result, loaded)
        found = f"shorter sequences or a KV cache in fewer bits ({fewer_bits})" if fewer_bits else "shorter sequences"
        return f"{found}: the KV cache is most of what a step reads"
    narrower = _narrower(result, loaded)
    larger += " (weights are read once for all sequences)"
    return f"{narrower} (fewer bytes), or {larger}" if narrower else larger


def _less_to_compute(result: Result, loaded: Loaded, *, prefill: bool) -> str:
    shorter = "shorter prompts" if prefill else "a smaller workload.batch_size for shorter steps"
    # Neither do CPUs take it, nor the fused kernels, which read one scale a row and no activations in 8 bits.
    plain = in_force(result, "quantization") in ("", "none") and advice.graph_step(result) != "fused"
    dynamic = plain and loaded.device != "cpu" and "fp8-dynamic" in advice.words(result, loaded, "quantization")
    narrower = advice.narrower(result, loaded, "fp8-dynamic") if dynamic else ""
    more = "engine.tensor_parallel over more GPUs" if advice.divides(result, loaded) else ""
    return ", ".join(part for part in (narrower, more, shorter) if part)


def _narrower(result: Result, loaded: Loaded) -> str:
    """A quantization that the engine knows, where the weights are not quantized yet."""
    told = in_force(result, "quantization")
    if told not in ("", "none", "f16", "f32", "bf16"):
        return ""
    if advice.graph_step(result) == "fused" and not advice.alone(result):
        return ""  # the fused kernels read quantised weights for one sequence alone
    # Transformers' fp8 is left out: on an H200 it was slower than no quantization, 1,056 tok/s against 1,250.
    wanted = ("int8",) if loaded.engine == "transformers" else ("int8", "fp8", "q8_0")
    return advice.narrower(result, loaded, *wanted)


MARGIN = 0.1
"""How far below the asked rate, as a share of it, the answered one may be where the server kept up.

Two things lower it though the server waits: the last requests are answered after all are sent, and the rate that was
drawn differs from the asked one by chance. A server whose limit lies in this tenth is taken for one that kept up; the
next, higher rate tells the two apart.
"""
FEWEST = 20
"""At even gaps n requests are sent in n - 1 of them: from here on that moves the rate by half the margin or so."""
_ERRORS = 2.0
"""Standard errors of the drawn rate that have to be within the margin, so that 95 % of what is drawn is."""


class Offered(Struct, frozen=True):
    """What a load generator was asked to send.

    `rate` is in requests per second. `variance` is that of the gaps between them over their squared mean: 0 for even
    gaps, 1 for a Poisson process, 1 / shape for gamma; the mean of n gaps has a relative standard error of
    sqrt(variance / n).
    """

    rate: float
    variance: float = 1.0

    @property
    def fewest(self) -> float:
        """Requests from which the drawn rate is near enough to the asked one: 400 of a Poisson process."""
        return max(FEWEST, self.variance * (_ERRORS / MARGIN) ** 2)


def offered(result: Result) -> Offered | None:
    """The rate that an imported file tells; None for a closed loop, or one that sends as fast as it can."""
    if not result.imported or result.loaded is None:
        return None
    told = result.loaded.details
    if strategy := told.get("strategy"):  # guidellm: `rate` is one of requests for these two alone
        rate = _positive(told.get("rate")) if strategy in ("constant", "poisson") else None
        return None if rate is None else Offered(rate, 0.0 if strategy == "constant" else 1.0)
    rate = _positive(told.get("request_rate"))
    if rate is None:
        return None
    if told.get("arrival_pattern") == "constant" or told.get("burstiness") in ("inf", "Infinity"):
        return Offered(rate, 0.0)
    shape = _positive(told.get("burstiness")) or _positive(told.get("arrival_smoothness"))
    return Offered(rate, 1.0 / shape if shape else 1.0)


def of_offered_load(result: Result) -> Bottleneck | None:
    """That the client was the limit, by the rate of the answers; None where it was not, or that cannot be told.

    More answers than requests were asked for contradict the asked rate: then nothing is told either.
    """
    asked, summary = offered(result), result.summary
    good, seconds = summary.good, summary.measured_s
    if asked is None or good is None or seconds is None or good < asked.fewest or seconds <= 0:
        return None
    answered = good / seconds
    if not (1 - MARGIN) * asked.rate <= answered <= (1 + MARGIN) * asked.rate:
        return None
    return Bottleneck(
        "client",
        f"requests were sent at {_rate(asked.rate)} and {_rate(answered)} were answered:"
        " the server was not at its limit",
        "a higher request rate (or inf), until the answered rate stays behind",
    )


def _rate(value: float) -> str:
    return f"{int(value) if value == int(value) else format_number(value)}/s"


def _positive(text: str | None) -> float | None:
    """A finite figure above zero, of what anybody may have written; None for anything else."""
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if 0 < value < math.inf else None
