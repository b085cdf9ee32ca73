"""Which device a run takes, and which runs may start beside those under way."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet

from infertui.config.schema import Config
from infertui.errors import InfertuiError
from infertui.runner.execution.loading import Choice, choose, planned_gpus
from infertui.runner.scheduling.queue_store import Entry
from infertui.telemetry.readings import GpuInfo

CPU = "cpu"


def slot_of(config: Config, gpus: tuple[GpuInfo, ...], choice: Choice | None = None) -> str:
    """The device that a config runs on, as the name of a lane: `cpu`, `gpu0`, `gpu0:1` of a MIG instance.

    An endpoint computes elsewhere, or beside whatever else runs here: its run has the machine to itself, as on the CPU.
    A run whose layers are divided takes several: `gpu0+1`. A config that cannot run goes to `cpu`; running it says
    why. Without a `choice` it is made here, which is nothing for an event loop.
    """
    if config.target.kind == "endpoint":
        return CPU
    try:
        used = planned_gpus(config, gpus, choice or choose(config.engine))
    except InfertuiError:
        return CPU
    return "+".join((slot_name(used[0]), *(gpu.label for gpu in used[1:]))) if used else CPU


def slot_name(gpu: GpuInfo) -> str:
    """The lane of runs on this device alone."""
    return f"gpu{gpu.label}"


def devices_of(lane: str) -> frozenset[str]:
    """The lanes of the single devices that a lane takes."""
    first, *others = lane.split("+")
    return frozenset((first, *(f"gpu{label}" for label in others)))


def is_free(lane: str, busy: AbstractSet[str], *, cpu_exclusive: bool = True) -> bool:
    """Whether a lane may be taken at once, given those under way; one on the CPU needs the machine to itself."""
    held = {device for other in busy for device in devices_of(other)}
    if cpu_exclusive and (CPU in held or (lane == CPU and held)):
        return False
    return not devices_of(lane) & held


def startable(
    waiting: Sequence[Entry],
    busy: AbstractSet[str],
    *,
    cpu_exclusive: bool = True,
    benches: AbstractSet[str] = frozenset(),
) -> list[Entry]:
    """The waiting entries that may start now, given the lanes under way: one run a device, in order.

    What waits for several devices is not overtaken by runs that would take one of them.

    A run on the CPU has the machine to itself when `cpu_exclusive`: it starts when nothing else runs, nothing starts
    beside it, and what waits behind it does not overtake it.

    The runs of a bench go one at a time and in their order, also where they take different devices; `benches` are those
    that have a run under way.
    """
    starting: list[Entry] = []
    begun = set(benches)
    held = {device for lane in busy for device in devices_of(lane)}
    for entry in waiting:
        if entry.lane == CPU and cpu_exclusive:
            if not held:
                starting.append(entry)
            break
        if cpu_exclusive and CPU in held:
            break
        bench = entry.place.bench if entry.place else ""
        if not devices_of(entry.lane) & held and bench not in begun:
            starting.append(entry)
        if bench:
            begun.add(bench)
        held |= devices_of(entry.lane)
    return starting
