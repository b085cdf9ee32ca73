"""A row of the results table, made from a line of results.jsonl of this version or another."""

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from infertui.measure.statistics import samples_needed
from infertui.measure.summary import NO_MORE_THAN_NOISE, prefill_speed
from infertui.measure.validity import DISTURBING_THROTTLES, NOTED_DRIFT
from infertui.results.number_format import form_of
from infertui.results.setup import Setup
from infertui.results.table import ResultRow, VramOf
from infertui.results.upgrade import SCHEMA, check_schema, decode_result, error_kind
from infertui.targets.engine.executed import executed
from infertui.text import clean, one_line

_ERROR_LENGTH = 300
_ENOUGH_FOR_P99 = samples_needed(99)
_FAILURES = {"out-of-memory": "OOM"}


# What the index needs of a line, and no more: a line has 5 kB, and decoding these fields takes a few microseconds.

_Int = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]


class _Model(Struct, frozen=True, gc=False):
    id: str = ""


class _Engine(Struct, frozen=True, gc=False):
    name: str = ""


class _Workload(Struct, frozen=True, gc=False):
    batch_size: _Int = 0
    output_len: _Int = 0
    input_len: _Int = 0
    prompts: str = ""
    prompts_file: str = ""


class _Config(Struct, frozen=True, gc=False):
    model: _Model = _Model()
    engine: _Engine = _Engine()
    workload: _Workload = _Workload()


class _Fingerprint(Struct, frozen=True, gc=False):
    config_hash: str = ""


class _Verdict(Struct, frozen=True, gc=False):
    invalid: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    marks: tuple[str, ...] = ()


class _Interval(Struct, frozen=True, gc=False):
    low: float | None = None
    high: float | None = None


class _Spread(Struct, frozen=True, gc=False):
    p50: float | None = None
    p99: float | None = None
    supported: tuple[str, ...] = ()

    @property
    def known_p99(self) -> float | None:
        """None where there are too few observations for it."""
        return self.p99 if "p99" in self.supported else None


class _Gaps(Struct, frozen=True, gc=False):
    p50: float | None = None
    p99: float | None = None
    count: _Int = 0
    steps: _Int = 0

    @property
    def known_p99(self) -> float | None:
        """None where there are too few gaps for it; what a file told alone has no count."""
        known = self.steps or self.count
        return self.p99 if not known or known >= _ENOUGH_FOR_P99 else None


class _Memory(Struct, frozen=True, gc=False):
    allocated_peak: _Int | None = None
    resident_peak: _Int | None = None


class _Summary(Struct, frozen=True, gc=False):
    iterations: _Int | None = None
    output_throughput: float | None = None
    output_throughput_interval: _Interval | None = None
    drift: float | None = None
    drift_shape: str = ""
    latency: _Spread | None = None
    ttft: _Spread | None = None
    tpot: _Spread | None = None
    itl: _Gaps | None = None
    prefill: float | None = None
    prefill_throughput: float | None = None
    prompt_tokens: _Int | None = None
    failed: _Int | None = None
    memory: _Memory = _Memory()


class _Loaded(Struct, frozen=True, gc=False):
    engine: str = ""
    engine_requested: str = ""
    dtype: str = ""
    device: str = ""
    device_name: str = ""
    random_weights: bool = False


class _Power(Struct, frozen=True, gc=False):
    mean_power_w: float | None = None
    joules_per_token: float | None = None


class _Device(Struct, frozen=True, gc=False):
    vram_process: _Int | None = None
    throttles: tuple[str, ...] | None = None


class _Evidence(Struct, frozen=True, gc=False):
    levers: dict[str, str] = {}
    compiled: str = ""
    graphs: str = ""


class _Limits(Struct, frozen=True, gc=False):
    mbu: float | None = None
    mfu: float | None = None


class _Agreement(Struct, frozen=True, gc=False):
    share: float | None = None


class _Quality(Struct, frozen=True, gc=False):
    agreement: _Agreement | None = None
    perplexity: float | None = None
    beyond: tuple[str, ...] = ()


class _Error(Struct, frozen=True, gc=False):
    kind: str = ""
    message: str = ""


class ResultLine(Struct, frozen=True, gc=False):
    """A line of results.jsonl, as far as the table needs it. Whatever another version left out is not available."""

    id: Annotated[str, Meta(min_length=1)]
    schema: _Int = 0
    name: str = ""
    state: str = ""
    started: str = ""
    config: _Config | None = None
    fingerprint: _Fingerprint = _Fingerprint()
    verdict: _Verdict = _Verdict()
    summary: _Summary = _Summary()
    phases: dict[str, float] = {}
    loaded: _Loaded | None = None
    power: _Power | None = None
    device: _Device | None = None
    evidence: _Evidence | None = None
    error: _Error | None = None
    limits: _Limits | None = None
    quality: _Quality | None = None
    source: str = ""
    imported: str = ""
    told: dict[str, str | int | float | bool] = {}

    @property
    def lacks_shares(self) -> bool:
        """Whether the line was kept without shares of the limits, and may hold what they follow from."""
        measured = self.loaded is not None and self.loaded.engine != "simulator" and bool(self.summary.iterations)
        return self.limits is None and measured and not self.imported


_lines = msgspec.json.Decoder(ResultLine)


def read_line(line: bytes) -> ResultLine:
    """A line of any schema. Raises what msgspec raises for what is none, and NewerSchemaError."""
    found = _lines.decode(line)
    if found.imported and found.schema < SCHEMA:
        return _lines.decode(msgspec.json.encode(decode_result(line)))
    return found


_NO_SPREAD, _NO_GAPS, _NO_INTERVAL, _NO_LOADED = _Spread(), _Gaps(), _Interval(), _Loaded()
_NO_POWER, _NO_DEVICE, _NO_EVIDENCE = _Power(), _Device(), _Evidence()
_NO_QUALITY, _NO_AGREEMENT, _NO_GAPS = _Quality(), _Agreement(), _Gaps()


def row_of(line: ResultLine, mbu: float | None = None, mfu: float | None = None) -> ResultRow:
    """The row of a result: every text cleaned, every figure as measured. `mbu` and `mfu` are for a line without.

    Raises NewerSchemaError for a line of which this version does not know what it means.
    """
    check_schema(line.schema, line.id)
    summary, setup = line.summary, Setup(line.config, line.told)
    loaded, power, device = line.loaded or _NO_LOADED, line.power or _NO_POWER, line.device or _NO_DEVICE
    evidence = line.evidence or _NO_EVIDENCE
    levers = evidence.levers
    interval, ttft = summary.output_throughput_interval or _NO_INTERVAL, summary.ttft or _NO_SPREAD
    quality = line.quality or _NO_QUALITY
    vram, vram_of = _memory(line, loaded, device)
    itl = summary.itl or _NO_GAPS
    return ResultRow(
        id=clean(line.id),
        name=clean(line.name),
        state=clean(line.state),
        started=clean(line.started),
        model=clean(setup.model or ""),
        engine=_engine(line, setup),
        dtype=clean(loaded.dtype),
        device=clean(loaded.device_name),
        batch_size=setup.batch_size,
        input_len=clean(str(setup.input_len or setup.prompts or "")),
        output_len=setup.output_len,
        valid=not line.verdict.invalid,
        flags=_flags(line, loaded, device),
        config_hash=clean(line.fingerprint.config_hash),
        throughput=summary.output_throughput,
        low=interval.low,
        high=interval.high,
        ttft=ttft.p50,
        ttft_p99=ttft.known_p99,
        tpot=(summary.tpot or _NO_SPREAD).p50,
        itl=itl.p50,
        itl_p99=itl.known_p99,
        latency=(summary.latency or _NO_SPREAD).p50,
        vram=vram,
        vram_of=vram_of,
        power=power.mean_power_w,
        joules_per_token=power.joules_per_token,
        drift=0.0 if summary.drift_shape == NO_MORE_THAN_NOISE else summary.drift,
        iterations=summary.iterations,
        seconds=sum(line.phases.values()) if line.phases else None,
        error=one_line(line.error.message, _ERROR_LENGTH) if line.error else "",
        mode=clean(executed(levers.get("mode", ""), evidence.compiled, evidence.graphs)),
        quantization=clean(levers.get("quantization", "")),
        form=clean(form_of(loaded.dtype, levers)),
        mbu=line.limits.mbu if line.limits else mbu,
        mfu=line.limits.mfu if line.limits else mfu,
        agreement=(quality.agreement or _NO_AGREEMENT).share,
        perplexity=quality.perplexity,
        prefill=prefill_speed(
            summary.prefill_throughput,
            prompt_tokens=summary.prompt_tokens,
            iterations=summary.iterations,
            failed=summary.failed,
            prefill=summary.prefill,
        ),
    )


def _memory(line: ResultLine, loaded: _Loaded, device: _Device) -> tuple[int | None, VramOf]:
    """Bytes that the run took of its device at most, and whose figure that is."""
    memory = line.summary.memory
    if device.vram_process is not None:
        return device.vram_process, "process"
    if memory.allocated_peak is not None:
        return memory.allocated_peak, "allocator"
    return (memory.resident_peak, "resident") if loaded.device == "cpu" and memory.resident_peak else (None, "")


def _engine(line: ResultLine, setup: Setup) -> str:
    """The engine that ran; a file that was imported need not tell it, and the result then calls it unknown."""
    engine = clean((line.loaded or _NO_LOADED).engine or setup.target.name or "")
    return "" if line.imported and engine == "unknown" else engine


def _flags(line: ResultLine, loaded: _Loaded, device: _Device) -> tuple[str, ...]:
    """Short words for what a reader should know before believing a row; the worst first."""
    against = line.verdict.invalid
    flags = []
    if line.state == "failed":
        kind = error_kind(line.error.kind) if line.error else "error"
        flags.append(clean(_FAILURES.get(kind, kind)).replace(" ", "-") or "error")
    elif line.state == "interrupted":
        flags.append("interrupted")
    elif against:
        flags.append("invalid")
    if loaded.engine_requested and loaded.engine != loaded.engine_requested:
        flags.append("fallback")
    if line.imported:
        flags.append("imported")
    elif line.source:
        flags.append("external")
    flags += [clean(mark) for mark in line.verdict.marks] or _marks_of_old(line, device)
    if line.quality and line.quality.beyond:
        flags.append("diverged")
    if loaded.random_weights:
        flags.append("synthetic")
    return tuple(dict.fromkeys(flags))


def _marks_of_old(line: ResultLine, device: _Device) -> list[str]:
    """What a verdict without marks tells in words and figures: it was kept before there were any."""
    against, throttles = line.verdict.invalid, device.throttles or ()
    told = {
        "foreign": any(text.startswith("another process used") for text in against),
        "thermal": any("thermal" in name for name in throttles),
        "throttle": any(name in DISTURBING_THROTTLES and "thermal" not in name for name in throttles),
        "short-output": any(text.startswith("output length not reached") for text in against),
        "gpu-lost": any(text.startswith("telemetry of the GPU was lost") for text in against),
        "power-cap": "power-cap" in throttles,
        "drift": line.summary.drift is not None and abs(line.summary.drift) > NOTED_DRIFT,
        "noisy": any(text.startswith("throughput varied") for text in line.verdict.notes),
    }
    return [mark for mark, holds in told.items() if holds]
