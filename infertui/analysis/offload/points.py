"""The measured points of a study, read of ordinary results: one a number of layers."""

from collections.abc import Iterable, Sequence

from msgspec import Struct

from infertui.config.engines.registry import SPECS
from infertui.integers import Whole
from infertui.metrics.reads import error, gpu_memory
from infertui.metrics.registry import metric_of
from infertui.results.result import Result
from infertui.results.upgrade import error_kind
from infertui.text import clean

NO_ROOM = frozenset({"out-of-memory", "does-not-fit"})
"""Kinds of errors that say that the memory was not enough."""


class OffloadPoint(Struct, frozen=True):
    """One number of layers on the GPU, and what was measured with it. None is not available.

    Bytes, shares of 1, seconds, degrees, joules, tokens a second. `vram` is what the run itself held of the GPU,
    `vram_share` the part of the card that this is, `others` what else was in use there, `buffers` what the engine's
    library tells of its own buffers on the GPU. `failure` is the kind of the
    error of a run that failed, and `error` what it says; `doubts` are reasons why a measured one is marked invalid.
    """

    layers: Whole
    run: str = ""
    vram: Whole | None = None
    vram_share: float | None = None
    others: Whole | None = None
    buffers: Whole | None = None
    throughput: float | None = None
    low: float | None = None
    high: float | None = None
    prefill: float | None = None
    seconds_per_token: float | None = None
    gpu_busy: float | None = None
    temperature: float | None = None
    temperature_rise: float | None = None
    tokens_per_s_per_w: float | None = None
    joules_per_token: float | None = None
    failure: str = ""
    error: str = ""
    doubts: tuple[str, ...] = ()

    @property
    def measured(self) -> bool:
        """Whether there is a speed."""
        return not self.failure and self.throughput is not None

    @property
    def no_room(self) -> bool:
        """Whether it failed for want of memory."""
        return self.failure in NO_ROOM


def believed(points: Sequence[OffloadPoint]) -> list[OffloadPoint]:
    """The measured points that are valid; where none is, those that are not."""
    measured = [point for point in points if point.measured]
    return [point for point in measured if not point.doubts] or measured


def layers_key(engine: str) -> str:
    """The key of the config that says how many layers are on the GPU; empty for an engine that has none."""
    spec = SPECS.get(engine)
    return f"engine.{spec.table}.{spec.gpu_layers}" if spec and spec.gpu_layers else ""


def layers_of(result: Result, most: int) -> int | None:
    """Layers that a run was asked to put on the GPU, of `most`; None where its engine has no such option."""
    key = layers_key(result.setup.target.name or "")
    found = result.setup.get(key) if key else None
    if not isinstance(found, int):
        return None
    return most if found < 0 else min(found, most)


def points_of(results: Iterable[Result], most: int) -> list[OffloadPoint]:
    """The points of a study, fewest layers first. Of several runs of one the newest counts, and one that was measured
    before one that was cut off or failed."""
    found: dict[int, OffloadPoint] = {}
    for result in results:
        layers = layers_of(result, most)
        if layers is None or result.state == "interrupted":
            continue
        point = point_of(result, layers)
        before = found.get(layers)
        if before is None or point.measured or not before.measured:
            found[layers] = point
    return [found[layers] for layers in sorted(found)]


def point_of(result: Result, layers: int) -> OffloadPoint:
    """The point that a run is."""
    if result.state == "failed":
        kind = error_kind(result.error.kind) if result.error else "error"
        return OffloadPoint(layers, clean(result.id), failure=clean(kind), error=clean(error(result)) or "it failed")

    def read(key: str) -> float | None:
        return metric_of(key).number(result)

    device = result.device
    peak, own = (device.vram_device_peak, device.vram_process) if device else (None, None)
    return OffloadPoint(
        layers,
        clean(result.id),
        vram=gpu_memory(result),
        vram_share=read("vram_share"),
        others=max(0, peak - own) if peak is not None and own is not None else None,
        buffers=result.summary.memory.reserved_peak,
        throughput=read("throughput"),
        low=read("low"),
        high=read("high"),
        prefill=read("prefill"),
        seconds_per_token=read("tpot"),
        gpu_busy=device.utilization_mean / 100 if device and device.utilization_mean is not None else None,
        temperature=device.temperature_max if device else None,
        temperature_rise=read("temperature_rise"),
        tokens_per_s_per_w=read("tokens_per_s_per_w"),
        joules_per_token=read("joules_per_token"),
        doubts=tuple(clean(text) for text in result.verdict.invalid),
    )
