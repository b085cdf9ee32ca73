"""How near a run came to what its device can do: shares of memory bandwidth and matrix rate, and what held it back.

Shares of the limits for lines of results.jsonl that were kept before there were any: what the table asks for.
"""

import hashlib
import math
from functools import cache

import msgspec
from msgspec.structs import replace

from infertui.analysis.bottleneck import Bottleneck, bottleneck, of_offered_load, of_own_calls
from infertui.analysis.roofline import ListedDevice, Work, device_named, work_of
from infertui.errors import InfertuiError
from infertui.measure.roofline import DevicePeaks, Limits, Source
from infertui.metrics.metric import NOT_AVAILABLE
from infertui.metrics.registry import stored
from infertui.models.resolve import SYNTHETIC, resolve, synthetic_names
from infertui.models.shapes import ModelShape
from infertui.paths import data
from infertui.results.index import Derivation, code_hash
from infertui.results.result import Result
from infertui.results.upgrade import decode_result
from infertui.targets.engine.base import Loaded
from infertui.text import clean
from infertui.units import format_bytes, format_number, format_rate, format_seconds


def limits_of(result: Result) -> Limits | None:
    """The limits that a result was kept with; of one of before they were, those that follow from what it holds."""
    return result.limits or derive(result, shape=shipped_shape(result.setup.model))


def with_limits(result: Result) -> Result:
    """The result with its limits: metrics read these, and do not derive them."""
    return result if result.limits else replace(result, limits=limits_of(result))


def derive(result: Result, *, shape: ModelShape | None = None) -> Limits | None:
    """The shares of a result's device, by its `ceilings`, else by data/hardware.toml.

    `shape` is the model's. None where there is nothing to say: the simulator computes nothing, and figures that come
    from other programs' files do not tell what was loaded. Of both it can be told alone that the client held them back.
    """
    loaded = result.loaded
    try:
        if loaded is None:
            return None
        if result.imported:
            return _client_alone(of_offered_load(result), "the file does not tell what was loaded")
        if loaded.engine == "simulator":
            return _client_alone(of_own_calls(result), "the simulator reads and computes nothing")
        if not result.summary.iterations:
            return None
        limits = _derived(result, loaded, shape)
    except ArithmeticError:
        return _CONTRADICTORY
    return limits if _sound(limits) else _CONTRADICTORY


def _client_alone(found: Bottleneck | None, reason: str) -> Limits | None:
    """The bound of a run that has no shares."""
    if found is None:
        return None
    return Limits(
        bound=found.bound, why=clean(found.why), next_step=found.next_step, reasons={"mbu": reason, "mfu": reason}
    )


_NONSENSE = "the figures of this result contradict each other"
_CONTRADICTORY = Limits(why=_NONSENSE, reasons={"mbu": _NONSENSE, "mfu": _NONSENSE})
"""Of a line that anybody may have written."""


def _sound(limits: Limits) -> bool:
    figures = (getattr(limits, name) for name in limits.__struct_fields__)
    return all(math.isfinite(value) and value >= 0 for value in figures if isinstance(value, float | int))


def _derived(result: Result, loaded: Loaded, shape: ModelShape | None) -> Limits:
    work = work_of(result, loaded, shape)
    device = device_named(loaded.device_name)
    bandwidth, bandwidth_source = _bandwidth(result.ceilings, device)
    rate, rate_source = _matrix_rate(result.ceilings, device, work.format)
    if bandwidth is not None:
        bandwidth *= work.devices
    if rate is not None:
        rate *= work.devices
    reasons = dict(work.reasons)
    if bandwidth is None:
        reasons.setdefault("mbu", "the memory bandwidth of the device is not known: `infertui calibrate` measures it")
    if rate is None:
        of = f" for {work.format}" if work.format else ""
        reasons.setdefault("mfu", f"the device's matrix rate{of} is not known: `infertui calibrate` measures it")
    limits = Limits(
        bandwidth=bandwidth,
        bandwidth_source=bandwidth_source,
        matrix_rate=rate,
        matrix_source=rate_source,
        step_s=work.step_s,
        step_operations=work.step_operations,
        prefill_s=work.prefill_s,
        prefill_operations=work.prefill_operations,
        matrix_format=work.format,
        reasons=reasons,
    )
    limits = _with_shares(limits, work)
    found = bottleneck(result, loaded, limits)
    return replace(limits, bound=found.bound, why=clean(found.why), next_step=clean(found.next_step))


def _with_shares(limits: Limits, work: Work) -> Limits:
    if work.reads is not None:
        limits = replace(limits, step_weights=work.reads.weights, step_kv=work.reads.kv)
        if limits.bandwidth and work.step_s:
            limits = replace(
                limits,
                mbu=work.reads.share(work.step_s, limits.bandwidth),
                decode_limit=work.reads.limit(limits.bandwidth),
            )
    if work.prefill_operations is not None and work.prefill_s and limits.matrix_rate and "mfu" not in work.reasons:
        limits = replace(limits, mfu=work.prefill_operations / work.prefill_s / limits.matrix_rate)
    return limits


def _bandwidth(ceilings: DevicePeaks | None, device: ListedDevice | None) -> tuple[float | None, Source | None]:
    if ceilings is not None:
        return ceilings.copy_bandwidth, "calibrated"
    if device is None:
        return None, None
    return (device.copied, "measured") if device.copied else (device.memory_bandwidth, "datasheet")


def _matrix_rate(
    ceilings: DevicePeaks | None, device: ListedDevice | None, kind: str
) -> tuple[float | None, Source | None]:
    if ceilings is not None and kind in ceilings.matrix_rates:
        return ceilings.matrix_rates[kind], "calibrated"
    if device is not None and kind in device.matrix_rates:
        return device.matrix_rates[kind], "datasheet"
    return None, None


@cache
def _shipped() -> frozenset[str]:
    return frozenset(synthetic_names())


@cache
def _shape_of(model: str) -> ModelShape | None:
    try:
        return resolve(model).shape
    except InfertuiError:
        return None


def shipped_shape(model: str | None) -> ModelShape | None:
    """The shape of a synthetic model that ships with infertui; None for any other, which may have changed since."""
    return (
        _shape_of(model)
        if model and model.startswith(SYNTHETIC) and model.removeprefix(SYNTHETIC) in _shipped()
        else None
    )


def limit_lines(result: Result) -> list[tuple[str, str]]:
    """Name and text of what a reader wants to know of the limits, in reading order; nothing where nothing is known."""
    limits, loaded = limits_of(result), result.loaded
    if limits is None or loaded is None:
        return []
    rows = [("MBU", mbu_text(limits)), ("MFU", mfu_text(limits))]
    if result.ceilings is not None and result.ceilings.disturbed:
        rows.append(("ceilings", f"disturbed when they were calibrated: {'; '.join(result.ceilings.disturbed)}"))
    if limits.bound != "unknown" or limits.why:
        rows.append(("bound by", f"{limits.bound}: {limits.why}" if limits.why else limits.bound))
    if limits.next_step:
        rows.append(("next", limits.next_step))
    return [(name, clean(text)) for name, text in rows]


def limit_line(result: Result) -> str:
    """Everything in one line; empty where nothing is known."""
    limits = limits_of(result)
    if limits is None:
        return ""
    shares = [
        f"{name} {share_text(share)}" for name, share in (("MBU", limits.mbu), ("MFU", limits.mfu)) if share is not None
    ]
    bound = f"bound by {limits.bound}" if limits.bound != "unknown" else "bound unknown" if shares else ""
    next_step = f"next: {limits.next_step}" if limits.next_step else ""
    return clean("  ".join(part for part in (*shares, bound, next_step) if part))


def share_text(share: float | None) -> str:
    """A share of a ceiling."""
    return NOT_AVAILABLE if share is None else f"{share:.1%}"


def mbu_text(limits: Limits) -> str:
    """Decode's share of the memory bandwidth, with what it is made of."""
    if limits.mbu is None or limits.bandwidth is None or limits.step_weights is None or limits.decode_limit is None:
        return f"{NOT_AVAILABLE}: {limits.reasons.get('mbu', 'not known')}"
    return (
        f"{share_text(limits.mbu)} of {format_rate(limits.bandwidth, 'B/s')} ({limits.bandwidth_source}) in decode:"
        f" a step of {format_seconds(limits.step_s or 0.0)} reads {format_bytes(round(limits.step_weights))} of weights"
        f" and {format_bytes(round(limits.step_kv or 0.0))} of KV cache;"
        f" the limit is {format_number(limits.decode_limit)} tok/s"
    )


def mfu_text(limits: Limits) -> str:
    """Prefill's share of the matrix rate, with what it is made of."""
    if limits.mfu is None or limits.matrix_rate is None or limits.prefill_operations is None:
        return f"{NOT_AVAILABLE}: {limits.reasons.get('mfu', 'not known')}"
    rate, operations = format_rate(limits.matrix_rate, "FLOP/s"), format_rate(limits.prefill_operations, "FLOP")
    return (
        f"at least {share_text(limits.mfu)} of {rate} ({limits.matrix_source}, {limits.matrix_format}) in prefill:"
        f" {operations} in {format_seconds(limits.prefill_s or 0.0)},"
        f" the first choice of a token and the host's part included"
    )


def shares_of_line(line: bytes) -> dict[str, float | None]:
    """The metrics that follow from others of a line, as every other view of the result has them; None else.

    The line is decoded whole, which takes three times as long as its row. Anybody may have written it.
    """
    try:
        result = with_limits(decode_result(line))
    except (msgspec.DecodeError, ValueError, RecursionError):
        return {}
    return {metric.key: metric.number(result) for metric in stored() if metric.derived}


DERIVED_BY = ("analysis/*.py", "measure/*.py", "metrics/*.py", "models/*.py", "models/memory/*.py", "paths.py",
              "regular_files.py", "results/result.py", "results/setup.py", "results/upgrade.py", "text.py")  # fmt: skip
"""The code that works these out."""


@cache
def derivation() -> Derivation:
    """How the table comes by them. Its version is that of data/hardware.toml, whose figures they are shares of, and of
    the code that works them out."""
    table = (data() / "hardware.toml").read_bytes()
    return Derivation(hashlib.sha256(table + code_hash(DERIVED_BY).encode()).hexdigest()[:16], shares_of_line)
