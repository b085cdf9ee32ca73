"""What the devices draw at rest: the baseline of every figure above idle."""

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from statistics import median

from msgspec import Struct

from infertui.runner.telemetry import power_of
from infertui.telemetry.readings import GpuInfo, GpuSample, Sample

SAMPLES = 4
"""Fewest samples at rest."""
TAIL = 3
"""Fewest of them, the newest, that agree."""
KEPT = 30
AGREEMENT = 0.02
"""How far readings at rest lie apart, as a share of their median: those of an H200 do by 1 to 1.5 %."""
FALL = 0.01
"""By how much the later half of them may lie below the earlier one, as a share."""
CONTEXT_BYTES = 16 << 20
"""A process that only looks at a GPU takes a few MiB of its memory, one that computes there hundreds."""


class Reading(Struct, frozen=True):
    """Power of a device that the driver calls idle, and its clock where that is known."""

    watts: float
    sm_mhz: int | None = None


def at_rest(readings: Sequence[Reading]) -> float | None:
    """Watts at rest: the median of the longest tail of `readings` that agree and no longer fall. None: not yet.

    Idle is what the driver says first: on an H200 the next reading or two are still those of work (118 to 131 W), then
    power falls for another 2 s with the clock, from 82 to 79 W. So readings of one clock alone agree, and their medians
    in halves do not fall.
    """
    if len(readings) < SAMPLES:
        return None
    clocked = any(reading.sm_mhz is not None for reading in readings)
    for start in range(len(readings) - (SAMPLES if clocked else TAIL) + 1):
        tail = readings[start:]
        watts = [reading.watts for reading in tail]
        middle, half = median(watts), len(watts) // 2
        if (
            len({reading.sm_mhz for reading in tail}) == 1
            and max(watts) - min(watts) <= AGREEMENT * middle
            and median(watts[:half]) - median(watts[-half:]) <= FALL * middle
        ):
            return middle
    return None


class IdlePower:
    """Collects samples taken while no worker of ours computes.

    They count only while the driver calls the clocks idle, and from when power itself is at rest: see `at_rest`. A GPU
    that is busy with something else never comes to rest and has no idle power. What was once read at rest stays known
    until it is read again. CPU packages have no such sign: of them it is the median.
    """

    def __init__(self) -> None:
        self._calm: dict[str, deque[Reading]] = {}
        self._known: dict[str, float] = {}
        self._cool: dict[str, float] = {}
        self._free_memory: dict[str, int] = {}
        self._seen: set[str] = set()
        self._restless: set[str] = set()
        self._samples = 0
        self._sampled = asyncio.Event()

    def add(self, sample: Sample, gpus: Sequence[GpuInfo], *, held: Iterable[GpuInfo] = (), host: bool = True) -> None:
        """Take in a sample.

        `gpus` are the devices that no worker of ours has, `held` those that one has: until it computes there, which
        takes memory, they are as idle as before. `host`: no worker lives at all.
        """
        self._samples += 1
        for gpu in gpus:
            reading = _reading(sample, gpu)
            if reading is not None and reading.memory_used is not None:
                self._free_memory[gpu.uuid] = reading.memory_used
            if reading is not None and reading.temperature_c is not None:
                self._cool[gpu.uuid] = min(reading.temperature_c, self._cool.get(gpu.uuid, reading.temperature_c))
            self._seen.add(gpu.uuid)
            self._restless.discard(gpu.uuid)
            if self._takes(sample, gpu) and gpu.uuid not in self._known:
                self._restless.add(gpu.uuid)
        for gpu in held:
            if self.untouched(sample, gpu):
                self._takes(sample, gpu)
            else:
                self._calm.pop(gpu.uuid, None)
        cpu = power_of(sample, ())
        if cpu is not None and host:
            readings = self._calm.setdefault("", deque(maxlen=KEPT))
            readings.append(Reading(cpu))
            if len(readings) >= SAMPLES:
                self._known[""] = median(reading.watts for reading in readings)
        self._sampled.set()
        self._sampled = asyncio.Event()

    def untouched(self, sample: Sample, gpu: GpuInfo) -> bool:
        """Whether no more of a device's memory is taken than when it was free."""
        reading, free = _reading(sample, gpu), self._free_memory.get(gpu.uuid)
        if reading is None or reading.memory_used is None or free is None:
            return False
        return reading.memory_used <= free + CONTEXT_BYTES

    async def settle(self, gpu: GpuInfo | None, timeout_s: float) -> bool:
        """Wait until the device (None: the CPU) is at rest and sampled; False when that takes longer."""
        try:
            async with asyncio.timeout(timeout_s):
                while self._samples < SAMPLES or (gpu is not None and self._unsettled(gpu.uuid)):
                    await self._sampled.wait()
        except TimeoutError:
            return False
        return True

    def watts(self) -> dict[str, float]:
        """Watts at rest by GPU UUID, and under "" of the CPU packages; devices that never rested are missing."""
        return dict(self._known)

    def degrees(self) -> dict[str, float]:
        """The lowest temperature by GPU UUID, in degrees Celsius, while none of our workers had the GPU."""
        return dict(self._cool)

    def _unsettled(self, uuid: str) -> bool:
        return uuid not in self._seen or uuid in self._restless

    def _takes(self, sample: Sample, gpu: GpuInfo) -> bool:
        """Take the reading of one device; whether there was any. Without, there is nothing to wait for."""
        reading = _reading(sample, gpu)
        watts = power_of(sample, [gpu])
        if reading is None or reading.throttle is None or watts is None:
            return False
        if "idle" not in reading.throttle:
            self._calm.pop(gpu.uuid, None)
            return True
        readings = self._calm.setdefault(gpu.uuid, deque(maxlen=KEPT))
        readings.append(Reading(watts, reading.sm_mhz))
        resting = at_rest(tuple(readings))
        if resting is not None:
            self._known[gpu.uuid] = resting
        return True


def idle_before(samples: Iterable[Sample], gpus: Sequence[GpuInfo]) -> dict[str, float]:
    """Watts at rest by UUID of the samples of one run until something computes on the devices; see `IdlePower`."""
    idle = IdlePower()
    watched = list(gpus)
    for number, sample in enumerate(samples):
        if number == 0:
            idle.add(sample, watched, host=False)
            continue
        watched = [gpu for gpu in watched if idle.untouched(sample, gpu)]
        if not watched:
            break
        idle.add(sample, (), held=watched, host=False)
    return idle.watts()


def _reading(sample: Sample, gpu: GpuInfo) -> GpuSample | None:
    return next((reading for reading in sample.gpus if reading.uuid == gpu.uuid), None)
