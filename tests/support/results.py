"""Results by the thousand: plausible, seeded, as a reports folder holds them."""

import random
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import msgspec

from infertui.config.schema import Config, DeviceConfig, EngineConfig, MeasurementConfig, ModelConfig, WorkloadConfig
from infertui.config.toml import write
from infertui.measure.itl import Gaps, summarise_gaps
from infertui.measure.records import EngineMemory, RequestRecord
from infertui.measure.statistics import Distribution, Interval
from infertui.measure.summary import Summary
from infertui.measure.validity import Verdict
from infertui.results.result import DeviceFigures, Error, Fingerprint, PowerFigures, Result
from infertui.results.setup import JUDGED
from infertui.targets.engine.base import Loaded
from infertui.telemetry.readings import GpuInfo, GpuSample, HostFacts, HostSample, Sample

FIRST = datetime(2026, 3, 1, 8, tzinfo=timezone(timedelta(hours=1)))
GPU = "GPU-00000000-0000-0000-0000-000000000000"
_HOST = HostFacts("gpu-box-07", "linux", cpu_model="CPU", physical_cores=16, logical_cores=32, memory_total=1 << 38)
_GPUS = (GpuInfo(0, GPU, "NVIDIA H200", memory_total=141 << 30, driver="580.1", power_limit_w=700.0),)
# Name and size relative to the smallest.
_MODELS = (
    ("synthetic:gpt2-124m", 1.0),
    ("synthetic:tinyllama-1.1b", 6.0),
    ("meta-llama/Llama-3.1-8B-Instruct", 40.0),
    ("Qwen/Qwen2.5-7B", 36.0),
    ("mistralai/Mistral-7B-v0.3", 35.0),
)


def make_results(count: int, *, seed: int = 1) -> Iterator[Result]:
    """So many results, oldest first; the same for the same seed."""
    draw = random.Random(seed)
    started = FIRST
    for number in range(count):
        started += timedelta(seconds=draw.randint(20, 900))
        yield _result(number, started, draw)


def write_results(out: Path, count: int, *, seed: int = 1, folders: int = 0) -> list[str]:
    """Fill `out`/results.jsonl; the newest `folders` runs get their folder as well. Returns the ids, oldest first."""
    out.mkdir(parents=True, exist_ok=True)
    ids = []
    with (out / "results.jsonl").open("ab") as stream:
        for number, result in enumerate(make_results(count, seed=seed)):
            stream.write(msgspec.json.encode(result) + b"\n")
            ids.append(result.id)
            if number >= count - folders:
                write_folder(out, result)
    return ids


def write_folder(out: Path, result: Result, *, with_result: bool = True, seed: int = 1) -> Path:
    """The folder of a run, with everything in it."""
    draw = random.Random(seed)
    folder = out / result.id
    folder.mkdir()
    (folder / "run.toml").write_text(write(result.own_config), encoding="utf-8")
    (folder / "worker.log").write_text("loading weights\nready\n" * 20, encoding="utf-8")
    if with_result:
        (folder / "result.json").write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=2) + b"\n")
    at = 0.0
    with (folder / "requests.jsonl").open("wb") as stream:
        for batch in range(max(1, result.summary.iterations or 0)):
            latency = ((result.summary.latency and result.summary.latency.mean) or 0.5) * draw.uniform(0.95, 1.1)
            for _ in range(result.own_config.workload.batch_size):
                stream.write(msgspec.json.encode(_request(result, batch, at, latency)) + b"\n")
            at += latency
    with (folder / "telemetry.jsonl").open("wb") as stream:
        for tick in range(max(50, int(at * 10) + 40)):
            busy = 30 < tick < at * 10 + 30
            stream.write(msgspec.json.encode(_sample(tick, busy, draw)) + b"\n")
    return folder


def _request(result: Result, batch: int, at: float, latency: float) -> RequestRecord:
    tokens = result.own_config.workload.output_len
    return RequestRecord(
        prompt="Why is the sky blue?", prompt_tokens=20, tokens=tokens, latency=latency, ttft=latency / 10,
        tpot=latency * 0.9 / max(1, tokens - 1), itl=None, tps=tokens / latency, memory_mb=512.0, power_w=300.0,
        energy_j=10.0, start=at, batch=batch,
    )  # fmt: skip


def _sample(tick: int, busy: bool, draw: random.Random) -> Sample:
    power = (420 if busy else 75) + draw.uniform(-15, 15)
    gpu = GpuSample(
        index=0, uuid=GPU, utilization=draw.uniform(80, 99) if busy else 0.0,
        memory_used=(20 << 30) if busy else 1 << 30, memory_total=141 << 30,
        power_w=power, power_instant_w=power, temperature_c=35 + min(tick, 300) / 10, sm_mhz=1980, throttle=(),
    )  # fmt: skip
    return Sample(
        10**12 + tick * 10**8, (gpu,), HostSample(cpu_percent=12.0, memory_used=8 << 30, memory_total=1 << 38)
    )


def _result(number: int, started: datetime, draw: random.Random) -> Result:
    model, size = draw.choice(_MODELS)
    batch, output = draw.choice((1, 2, 4, 8, 16, 32)), draw.choice((32, 64, 128, 256))
    on_cpu, dtype = draw.random() < 0.1, draw.choice(("float16", "bfloat16", "float32"))
    engine = draw.choices(("transformers", "simulator"), (0.9, 0.1))[0]
    config = Config(
        model=ModelConfig(id=model),
        engine=EngineConfig(name=engine),
        workload=WorkloadConfig(
            batch_size=batch, output_len=output, input_len=draw.choice((0, 0, 128, 512, 2048)),
            prompts=draw.choice(("short", "medium", "long")),
        ),
        measurement=MeasurementConfig(iterations=10),
        device=DeviceConfig(name="cpu" if on_cpu else "cuda:0"),
    )  # fmt: skip
    fate = draw.random()
    state, error = "finished", None
    invalid: tuple[str, ...] = ()
    notes: list[str] = []
    if fate < 0.05:
        state = "failed"
        error = Error(
            "out-of-memory",
            f"the GPU ran out of memory during load: {draw.randint(2, 9)}.1 GiB were asked for",
            remedy="Use a smaller batch, shorter sequences, a smaller dtype, or a smaller model.",
            log_tail="torch.OutOfMemoryError: CUDA out of memory.",
        )
    elif fate < 0.07:
        state, error = "failed", Error("killed", "the worker was killed by SIGKILL during load, not by infertui")
    elif fate < 0.09:
        state = "interrupted"
    measured = state == "finished"
    throttles = ("power-cap",) if draw.random() < 0.15 else ()
    if measured and draw.random() < 0.04:
        throttles, invalid = ("hw-thermal",), ("the GPU was throttled: hw-thermal",)
    elif measured and draw.random() < 0.04:
        invalid = ("another process used the GPU: python (4711)",)
    if model.startswith("synthetic:"):
        notes.append("random weights: the speed is the architecture's, the text means nothing")
    step = size * draw.uniform(0.9, 1.3) * (1 + batch / 24) * (8e-3 if on_cpu else 3.5e-4)
    moved = draw.gauss(0, 0.02)
    if abs(moved) > 0.05:
        notes.append(f"throughput drifted by {moved:+.0%} from the first to the second half")
    speed = batch / step
    memory = int(size * (2.5e8 if dtype == "float32" else 1.25e8) * 2 + batch * 3e7)
    watts = draw.uniform(250, 680)
    return Result(
        id=f"{started:%Y%m%d-%H%M%S}-{model.rsplit('/', 1)[-1].removeprefix('synthetic:').lower()[:20]}-{number:04x}",
        name=f"{model.rsplit('/', 1)[-1].removeprefix('synthetic:')} bs={batch}",
        state=state,  # type: ignore[arg-type]
        started=started.isoformat(timespec="milliseconds"),
        config=config,
        fingerprint=Fingerprint(
            "0.1.0", "0123456789ab", "3.11.7", _HOST, _GPUS, "580.1", "13.0", f"{draw.getrandbits(48):012x}",
            {"msgspec": "0.19.0", "numpy": "2.1.0"},
        ),
        verdict=Verdict(invalid if measured else ("nothing was measured",), tuple(notes)),
        summary=_summary(config, speed, step, moved, memory, on_cpu, draw) if measured else _NOTHING,
        phases={"spawn": 0.1, "load": size / 4, "warmup": step * output * 3, "measure": step * output * 10},
        loaded=None
        if state == "failed"
        else Loaded(
            engine=engine, engine_requested=engine, versions={"torch": "2.11.0"}, device="cpu" if on_cpu else "cuda:0",
            device_name="CPU" if on_cpu else "NVIDIA H200", dtype=dtype, attention="sdpa", parameters=int(size * 1.2e8),
            weight_bytes=memory, vocabulary=50257, random_weights=model.startswith("synthetic:"), memory_policy="",
            device_uuid="" if on_cpu else GPU,
        ),
        power=PowerFigures("cpu-package", reason="this machine gives no readable RAPL counter")
        if on_cpu or not measured
        else PowerFigures(
            "gpu", "counter", window_s=step * output * 10, energy_j=watts * step * output * 10, mean_power_w=watts,
            max_power_w=watts * 1.1, idle_power_w=75.0, joules_per_token=watts / speed,
            tokens_per_s_per_w=speed / watts, samples=100,
        ),
        device=None
        if on_cpu or not measured
        else DeviceFigures(vram_device_peak=memory * 2, vram_process=memory + (1 << 29), throttles=throttles),
        error=error,
    )  # fmt: skip


_NOTHING = Summary(iterations=0, requests=0, failed=0, prompt_tokens=0, output_tokens=0, measured_s=0.0)


def _summary(
    config: Config, speed: float, step: float, moved: float, memory: int, on_cpu: bool, draw: random.Random
) -> Summary:
    batch, output = config.workload.batch_size, config.workload.output_len
    ttft, latency = step * draw.uniform(2, 8), step * output
    peak: dict[str, Any] = {"resident_peak": memory + (1 << 30)} if on_cpu else {"allocated_peak": memory}
    return Summary(
        iterations=10, requests=10 * batch, failed=0, prompt_tokens=270 * batch, output_tokens=10 * batch * output,
        measured_s=latency * 10, output_throughput=speed,
        output_throughput_interval=Interval(speed * 0.98, speed * 1.02),
        total_throughput=speed * 1.4, drift=moved, latency=_spread(latency, draw), ttft=_spread(ttft, draw),
        tpot=_spread(step, draw), tps=_spread(speed / batch, draw), itl=_gaps(step, draw), memory=EngineMemory(**peak),
    )  # fmt: skip


def _spread(mean: float, draw: random.Random) -> Distribution:
    wide = mean * draw.uniform(0.01, 0.06)
    return Distribution(
        n=10, mean=mean, median=mean, std=wide, minimum=mean - wide, maximum=mean + 3 * wide, p50=mean,
        p90=mean + wide, p95=mean + 2 * wide, p99=mean + 2.5 * wide, supported=("p50",),
    )  # fmt: skip


def _gaps(step: float, draw: random.Random) -> Gaps:
    stamps = [0]
    for _ in range(60):
        stamps.append(stamps[-1] + int(step * 1e9 * draw.lognormvariate(0, 0.08)))
    found = summarise_gaps(stamps)
    assert found is not None
    return found


def as_imported(result: Result, *untold: str, file: str = "x.jsonl") -> Result:
    """The same as if another program's file had told it, but for the keys of the config and of `summary.` named."""
    told = {
        key: value
        for key, value in result.setup.all().items()
        if key not in untold and isinstance(value, str | int | float) and key.partition(".")[0] not in JUDGED
    }
    counts = {key.removeprefix("summary."): None for key in untold if key.startswith("summary.")}
    summary = msgspec.structs.replace(result.summary, **counts)
    return msgspec.structs.replace(result, imported=file, config=None, told=told, summary=summary)
