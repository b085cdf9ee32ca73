"""What a study of offloading found: its table, the optimum under the ceiling, memory by the layer, where more layers
stop paying, profiles. It is what `profile.json` holds.

The point of diminishing returns is the knee of throughput over layers (`analysis/curve.py`). Speeds are known within
intervals and at measured points alone, so that it has an interval, too: from the first number of layers for which that
may be so, by the intervals and between points, to the first measured one for which it is sure.
"""

from collections.abc import Callable, Sequence
from typing import Literal

from msgspec import Struct

from infertui.analysis.curve import LITTLE, knee
from infertui.analysis.offload.card import Card
from infertui.analysis.offload.coarse import Estimate, memory_line
from infertui.analysis.offload.fit import between, line_through
from infertui.analysis.offload.kept import Profile, ProfileName
from infertui.analysis.offload.points import OffloadPoint, believed
from infertui.analysis.offload.profiles import profiles_of
from infertui.integers import Whole
from infertui.measure.comparison import rates_ratio


class Row(Struct, frozen=True):
    """A point, and how it stands to no layers on the GPU. `times_cpu` is its throughput as a multiple of that one's,
    from `times_low` to `times_high`, `gain` the change as a share; `within_ceiling` None where its memory is not known.
    `estimated` is what the memory estimate says of it, in bytes."""

    point: OffloadPoint
    times_cpu: float | None = None
    gain: float | None = None
    within_ceiling: bool | None = None
    estimated: Whole | None = None
    times_low: float | None = None
    times_high: float | None = None


class LayerMemory(Struct, frozen=True):
    """Bytes of the GPU for each layer: `measured`, the slope of memory over layers, with its standard error (None with
    fewer than three points); `buffers`, that of the buffers that the engine's library tells of; and `of_model`, the
    bytes of all weights over the number of layers."""

    measured: float | None = None
    error: float | None = None
    points: Whole = 0
    of_model: float | None = None
    buffers: float | None = None


class Diminishing(Struct, frozen=True):
    """From how many layers on more of them add less than `less_than`, and the interval of that number."""

    layers: Whole
    low: Whole
    high: Whole
    less_than: float = LITTLE


class Thermal(Struct, frozen=True):
    """Degrees Celsius: the highest while measuring, the largest rise over rest, and the slope over layers with its
    standard error."""

    highest: float | None = None
    rise: float | None = None
    per_layer: float | None = None
    error: float | None = None


class Subject(Struct, frozen=True):
    """What was studied: which model in which form, with which engine, on which GPU."""

    model: str
    engine: str
    revision: str = ""
    quantization: str = "auto"
    dtype: str = "auto"
    gpu: str = ""
    gpu_uuid: str = ""
    layers: Whole = 0
    """Layers that can be on the GPU, the output layer counting as one where it does."""
    weight_bytes: Whole | None = None
    n_ctx: Whole | None = None
    n_batch: Whole | None = None
    positions: Whole | None = None
    batch_size: Whole | None = None
    output_len: Whole | None = None


class OffloadStudy(Struct, frozen=True):
    """A study and what it found. `runs` have been measured or tried, of `exhaustive` that there could be."""

    study: str
    subject: Subject
    card: Card
    rows: tuple[Row, ...] = ()
    optimum: Whole | None = None
    """Layers of the fastest point within the ceiling, of valid runs where there are any; None without a point."""
    beside: tuple[Whole, ...] = ()
    """Layers of the other points within the ceiling that are not slower for sure."""
    layer_memory: LayerMemory = LayerMemory()
    diminishing: Diminishing | None = None
    thermal: Thermal = Thermal()
    profiles: dict[ProfileName, Profile] = {}
    runs: Whole = 0
    exhaustive: Whole = 0
    notes: tuple[str, ...] = ()
    asked: tuple[Whole, ...] = ()
    """The layers that were asked for; empty: from coarse to fine."""
    schema: Literal[1] = 1


def study_of(
    study: str,
    subject: Subject,
    card: Card,
    points: Sequence[OffloadPoint],
    *,
    asked: Sequence[int],
    notes: Sequence[str],
    estimate: Estimate = lambda _: None,
) -> OffloadStudy:
    """What the points, fewest layers first, come to; `estimate` is that of memory."""
    good = [point for point in points if point.measured]
    cpu = next((point for point in good if point.layers == 0), None)
    allowed = believed([point for point in good if point.vram is None or card.fits(point.vram)])
    best = max(allowed, key=lambda point: point.throughput or 0.0, default=None)
    line = memory_line(good)
    told = line_through([(float(p.layers), float(p.buffers)) for p in good if p.buffers is not None and p.layers])
    of_model = subject.weight_bytes / subject.layers if subject.weight_bytes and subject.layers else None
    return OffloadStudy(
        study,
        subject,
        card,
        rows=tuple(_row(point, cpu, card, estimate) for point in points),
        optimum=best.layers if best else None,
        beside=tuple(point.layers for point in allowed if best and point is not best and not _slower(point, best)),
        layer_memory=LayerMemory(
            line.slope if line else None,
            line.error if line else None,
            line.points if line else 0,
            of_model,
            told.slope if told else None,
        ),
        diminishing=diminishing(allowed),
        thermal=_thermal(good),
        profiles=profiles_of(points, card, n_ctx=subject.n_ctx, n_batch=subject.n_batch, positions=subject.positions),
        runs=len(points),
        exhaustive=subject.layers + 1,
        notes=tuple(notes),
        asked=tuple(asked),
    )


def diminishing(points: Sequence[OffloadPoint], less_than: float = LITTLE) -> Diminishing | None:
    """The point of diminishing returns; None with fewer than three points, or where the most layers are needed.

    `low` is where the upper ends of the intervals, straight between points, first come near enough to the lower end of
    what is fastest beyond; `high` is the first point whose lower end is near enough to the upper ends of all beyond.
    """
    ordered = sorted(points, key=lambda point: point.layers)
    first = knee([(point.layers, _middle(point)) for point in ordered], less_than)
    if first is None:
        return None
    at_first = next(at for at, point in enumerate(ordered) if point.layers == first)
    sure = [at for at, one in enumerate(ordered) if _most_beyond(ordered, at, _high) < (1 + less_than) * _low(one)]
    upper = [(float(point.layers), _high(point)) for point in ordered]
    layers = ordered[at_first].layers
    needed = _most_beyond(ordered, at_first - 1, _low) / (1 + less_than) if at_first else 0.0
    low = next(
        (some for some in range(ordered[0].layers, layers + 1) if (between(upper, some) or 0.0) > needed), layers
    )
    return Diminishing(layers, low, ordered[sure[0]].layers if sure else ordered[-1].layers, less_than)


def _most_beyond(ordered: Sequence[OffloadPoint], at: int, end: Callable[[OffloadPoint], float]) -> float:
    return max((end(point) for point in ordered[at + 1 :]), default=0.0)


def _row(point: OffloadPoint, cpu: OffloadPoint | None, card: Card, estimate: Estimate) -> Row:
    ratio = rates_ratio(point, cpu) if point.measured and cpu else None
    span = ratio.interval if ratio and point is not cpu else None
    within = card.fits(point.vram) if point.measured and point.vram is not None and card.total else None
    estimated = estimate(point.layers) if card.total else None
    times, low, high = ratio.value if ratio else None, span.low if span else None, span.high if span else None
    return Row(point, times, None if times is None else times - 1, within, estimated, low, high)


def _slower(point: OffloadPoint, best: OffloadPoint) -> bool:
    ratio = rates_ratio(point, best)
    return ratio is not None and bool(ratio.differs) and ratio.value < 1


def _thermal(points: Sequence[OffloadPoint]) -> Thermal:
    warm = [(float(point.layers), point.temperature) for point in points if point.temperature is not None]
    line = line_through(warm)
    return Thermal(
        max((degrees for _, degrees in warm), default=None),
        max((point.temperature_rise for point in points if point.temperature_rise is not None), default=None),
        line.slope if line else None,
        line.error if line else None,
    )


def _middle(point: OffloadPoint) -> float:
    return point.throughput or 0.0


def _low(point: OffloadPoint) -> float:
    return point.low if point.low is not None else _middle(point)


def _high(point: OffloadPoint) -> float:
    return point.high if point.high is not None else _middle(point)
