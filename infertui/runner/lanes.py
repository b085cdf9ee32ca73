"""Which device a run takes, and which runs may start beside those under way."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet

from infertui.config.schema import Config
from infertui.engines.base import probe
from infertui.errors import InfertuiError
from infertui.gpu.readings import GpuInfo
from infertui.runner.environment import planned_gpu
from infertui.store.queue import Entry

CPU = "cpu"


def lane_of(config: Config, gpus: tuple[GpuInfo, ...]) -> str:
    """The device that a config runs on, as the name of a lane: `cpu`, `gpu0`, `gpu0:1` of a MIG instance.

    A config that cannot run goes to `cpu`; running it says why.
    """
    try:
        gpu = planned_gpu(config, gpus, probe(config.engine.name))
    except InfertuiError:
        return CPU
    return CPU if gpu is None else lane_name(gpu)


def lane_name(gpu: GpuInfo) -> str:
    """The lane of runs on this device."""
    return f"gpu{gpu.label}"


def startable(waiting: Sequence[Entry], busy: AbstractSet[str], *, cpu_exclusive: bool = True) -> list[Entry]:
    """The waiting entries that may start now, given the lanes under way: one run a lane, in order.

    A run on the CPU has the machine to itself when `cpu_exclusive`: it starts when nothing else runs, nothing starts
    beside it, and what waits behind it does not overtake it.
    """
    starting: list[Entry] = []
    held = set(busy)
    for entry in waiting:
        if entry.lane == CPU and cpu_exclusive:
            if not held:
                starting.append(entry)
            break
        if cpu_exclusive and CPU in held:
            break
        if entry.lane not in held:
            starting.append(entry)
            held.add(entry.lane)
    return starting
