"""The charts of a run, put onto plotext figures."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from infertui.measure.clock import NS_PER_S
from infertui.measure.itl import bucket_seconds
from infertui.results.details import RunDetails
from infertui.telemetry.readings import GpuSample, Sample

Figure = Any
Draw = Callable[[Figure, str], None]


def charts(details: RunDetails) -> list[tuple[str, Draw]]:
    """The charts that the run has data for, each with its name."""
    found: list[tuple[str, Draw]] = []
    times = [(point.start, point.latency, point.ttft) for point in details.batches if point.latency is not None]
    speeds = [(point.start, point.tps) for point in details.batches if point.tps is not None]
    if times:
        found.append(("latency", partial(_latency, times)))
    if speeds:
        found.append(("throughput", partial(_throughput, speeds)))
    gaps = details.result.summary.itl if details.result else None
    if gaps and gaps.histogram:
        found.append(("ITL", partial(_gaps, gaps.histogram)))
    if details.telemetry:
        found.append(("telemetry", partial(_telemetry, details)))
    return found


def _latency(points: Sequence[tuple[float, float, float | None]], figure: Figure, marker: str) -> None:
    figure.title("E2E latency and TTFT of every batch, ms")
    figure.scatter([start for start, _, _ in points], [1e3 * e2e for _, e2e, _ in points], marker=marker, label="E2E")
    known = [(start, 1e3 * ttft) for start, _, ttft in points if ttft is not None]
    if known:
        figure.scatter([start for start, _ in known], [ttft for _, ttft in known], marker=marker, label="TTFT")
    figure.ylim(0, None)
    figure.xlabel("s")


def _throughput(points: Sequence[tuple[float, float]], figure: Figure, marker: str) -> None:
    figure.title("output throughput of every batch, tok/s")
    figure.plot([start for start, _ in points], [speed for _, speed in points], marker=marker)
    figure.ylim(0, 1.1 * max(speed for _, speed in points))
    figure.xlabel("s")


def _gaps(histogram: dict[int, int], figure: Figure, marker: str) -> None:
    figure.title("ITL: how many token steps took how many ms")
    buckets = sorted(histogram)
    figure.plot(
        [1e3 * bucket_seconds(bucket) for bucket in buckets], [histogram[bucket] for bucket in buckets], marker=marker
    )
    figure.ylim(0, None)
    figure.xlabel("ms")


def _telemetry(details: RunDetails, figure: Figure, marker: str) -> None:
    uuid = details.result.loaded.device_uuid if details.result and details.result.loaded else ""
    origin = details.telemetry[0].t_ns
    left, right = ("power W", "utilization %") if uuid else ("RAM GiB", "CPU %")
    figure.title(f"{left} (left) and {right} (right)")
    for side, values in (("left", _left), ("right", _right)):
        known = [
            ((sample.t_ns - origin) / NS_PER_S, value)
            for sample in details.telemetry
            if (value := values(sample, uuid)) is not None
        ]
        if known:
            figure.plot([t for t, _ in known], [value for _, value in known], marker=marker, yside=side)
            figure.ylim(0, 100 if side == "right" else 1.1 * max(value for _, value in known), yside=side)
    figure.xlabel("s")


def _left(sample: Sample, uuid: str) -> float | None:
    if gpu := _of(sample, uuid):
        return gpu.power_now_w
    used = sample.host.memory_used
    return None if uuid or used is None else used / 2**30


def _right(sample: Sample, uuid: str) -> float | None:
    if gpu := _of(sample, uuid):
        return gpu.utilization
    return None if uuid else sample.host.cpu_percent


def _of(sample: Sample, uuid: str) -> GpuSample | None:
    return next((gpu for gpu in sample.gpus if gpu.uuid == uuid), None)
