"""Machines, queues and runs as a mirror holds them, made by hand."""

import math
from collections.abc import Sequence

from support.runs import simulated

from infertui.config.schema import Config
from infertui.measure.itl import summarise_gaps
from infertui.measure.records import Phase
from infertui.runner.control import RunnerFacts, Snapshot
from infertui.runner.events import RunStarted
from infertui.runner.execution.progress import RunProgress
from infertui.runner.scheduling.queue_store import Entry, EntryState
from infertui.targets.engine.base import Loaded
from infertui.telemetry.readings import GpuInfo, GpuSample, HostFacts, HostSample, Sample
from infertui.tui.state import ClientState

GIB = 2**30
S = 1_000_000_000
HOST = HostFacts("gpu-box-07", "linux 6.8", physical_cores=32, logical_cores=64, memory_total=512 * GIB)
HOSTILE = "\x1b]0;owned\x07[/foo][@click=app.quit]x[/]\x9b31m\x00evil"


def uuid(index: int) -> str:
    return f"GPU-{index:08}"


def gpus(count: int, *, mig: int = 0) -> tuple[GpuInfo, ...]:
    """So many GPUs; the first is divided into `mig` instances."""
    found = []
    for index in range(count):
        found.append(
            GpuInfo(
                index, uuid(index), "NVIDIA H100 80GB HBM3", mig=bool(mig and not index), memory_total=80 * GIB,
                power_limit_w=700.0, temp_slowdown_c=87, temp_shutdown_c=92,
            )
        )  # fmt: skip
        if index == 0:
            found += [
                GpuInfo(
                    0, f"MIG-{number}", "NVIDIA H100 80GB HBM3 MIG 1g.10gb", mig=False, mig_index=number,
                    parent=uuid(0), memory_total=10 * GIB,
                )
                for number in range(mig)
            ]  # fmt: skip
    return tuple(found)


def gpu_sample(info: GpuInfo, tick: int = 0, *, busy: bool = True) -> GpuSample:
    """A plausible reading; `tick` moves it a little."""
    if info.parent is not None:
        return GpuSample(info.index, info.uuid, memory_used=2 * GIB, memory_total=10 * GIB)
    wave = math.sin(tick / 3 + info.index)
    return GpuSample(
        index=info.index,
        uuid=info.uuid,
        utilization=min(100.0, round(95 + 4 * wave)) if busy else 0.0,
        memory_used=int((61 + 0.3 * wave) * GIB) if busy else 6 * GIB // 10,
        memory_total=80 * GIB,
        power_w=(510.0 + 25 * wave) if busy else 71.0 + wave,
        temperature_c=round(64 + 2 * wave) if busy else 34.0,
        sm_mhz=1980 if busy else 345,
        throttle=() if busy else ("idle",),
    )


def host_sample(tick: int = 0) -> HostSample:
    return HostSample(12.0 + tick % 5, int(34.5 * GIB), 512 * GIB, 0, 2.31, 120.0)


def sample(infos: Sequence[GpuInfo], tick: int = 0, *, busy: int = 4, lost: Sequence[int] = ()) -> Sample:
    """Everything at second `tick`; the first `busy` GPUs compute, those in `lost` are gone."""
    readings = tuple(
        GpuSample(info.index, info.uuid, lost="GPU is lost (Xid 79)")
        if info.index in lost
        else gpu_sample(info, tick, busy=info.index < busy)
        for info in infos
    )
    return Sample((1000 + tick) * S, readings, host_sample(tick))


def entry(number: int, state: EntryState = "queued", **values: object) -> Entry:
    """An entry of a group of its own, unless `group` says otherwise."""
    config: Config = simulated(workload__batch_size=4)
    known: dict[str, object] = {
        "id": number, "group": number, "title": "demo", "name": "", "config": config, "out": "/reports",
        "submitted": "2026-05-01T09:00:00+00:00", "state": state, "lane": "gpu0",
    }  # fmt: skip
    if state not in ("queued", "cancelled", "skipped"):
        known |= {"run": f"run-{number}", "started": "2026-05-01T09:00:00+00:00"}
    if state not in ("queued", "running"):
        known["ended"] = f"2026-05-01T09:{number:02}:00+00:00"
    if state == "finished":
        known |= {"throughput": 1931.0 + number, "valid": True}
    return Entry(**{**known, **values})  # type: ignore[arg-type]


def sweep(first: int, count: int, *, group: int = 77, running: int | None = None, out: str = "/reports") -> list[Entry]:
    """A sweep of which the entries before `running` have finished."""
    states: list[EntryState] = [
        "queued" if running is None or index > running else "running" if index == running else "finished"
        for index in range(count)
    ]
    return [
        entry(
            first + index, state, group=group, title="demo sweep", name=f"bs={2**index}", estimate_s=45.0, out=out
        )
        for index, state in enumerate(states)
    ]  # fmt: skip


def loaded(device_uuid: str = uuid(0)) -> Loaded:
    return Loaded(
        engine="transformers", engine_requested="transformers", versions={"torch": "2.9"}, device="cuda:0",
        device_name="NVIDIA H100", dtype="bfloat16", attention="sdpa", parameters=10**9, weight_bytes=2 * 10**9,
        vocabulary=50_000, random_weights=False, memory_policy="on demand", device_uuid=device_uuid,
    )  # fmt: skip


def progress(run: str, phase: Phase = "measure", *, ticks: int = 60, batches: int = 3) -> RunProgress:
    """A run that has been measured for a while."""
    steps = [index * 8_000_000 + (index % 7) * 300_000 for index in range(64)]
    measuring = phase == "measure"
    return RunProgress(
        started=RunStarted(run, "demo", f"/reports/{run}", 1, 1, wanted=5, output_len=64, batch_size=4),
        phase=phase,
        loaded=None if phase in ("spawn", "load") else loaded(),
        load_seconds=None if phase in ("spawn", "load") else 4.2,
        warmed_up=2 if measuring else 0,
        measured=batches if measuring else 0,
        measured_tokens=batches * 256 if measuring else 0,
        measured_seconds=batches * 0.6 if measuring else 0.0,
        step=32 if measuring else 0,
        batch=batches if measuring else 0,
        tokens_per_s=1931.0 if measuring else None,
        ttft=0.182 if measuring else None,
        itl=summarise_gaps(steps) if measuring else None,
        rates=[((1000 + tick) * S, 1800 + 120 * math.sin(tick / 4)) for tick in range(ticks)] if measuring else [],
    )


def facts(infos: Sequence[GpuInfo] = (), *, unavailable: str = "") -> RunnerFacts:
    return RunnerFacts("0.1", 1, 4711, HOST, "2026-05-01T08:00:00+00:00", tuple(infos), unavailable)


def client_state(
    infos: Sequence[GpuInfo] = (),
    entries: Sequence[Entry] = (),
    *,
    ticks: int = 90,
    busy: int = 4,
    lost: Sequence[int] = (),
    unavailable: str = "",
    runs: dict[str, RunProgress] | None = None,
    faults: tuple[str, ...] = (),
) -> ClientState:
    """What a screen knows after a snapshot."""
    known = ClientState()
    under_way = {one.run: progress(one.run) for one in entries if one.state == "running"}
    known.take(
        Snapshot(
            number=1,
            runner=facts(infos, unavailable=unavailable),
            paused=False,
            entries=tuple(entries),
            progress=under_way if runs is None else runs,
            samples=tuple(sample(infos, tick, busy=busy, lost=lost) for tick in range(ticks)),
            faults=faults,
        )
    )
    known.connected = True
    return known
