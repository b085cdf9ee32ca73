"""What the devices draw at rest: the baseline of every figure above idle."""

import asyncio
from collections.abc import Sequence

from infertui.gpu.readings import GpuInfo, Sample
from infertui.runner.telemetry import power_of

SAMPLES = 4


class IdlePower:
    """Collects samples taken while no worker of ours lives.

    After work a GPU keeps its clocks, and half as much power again, for 2 to 3 s on an H200. So its samples count only
    while the driver calls its clocks idle. A GPU that is busy with something else never comes to rest and has no idle
    power. What was once read at rest stays known. CPU packages have no such sign; their samples all count.
    """

    def __init__(self) -> None:
        self._calm: dict[str, list[float]] = {}
        self._known: dict[str, float] = {}
        self._seen: set[str] = set()
        self._restless: set[str] = set()
        self._samples = 0
        self._sampled = asyncio.Event()

    def add(self, sample: Sample, gpus: Sequence[GpuInfo], *, host: bool = True) -> None:
        """Take in a sample; `gpus` are the devices that no worker of ours holds, `host`: no worker lives at all."""
        self._samples += 1
        for gpu in gpus:
            reading = next((reading for reading in sample.gpus if reading.uuid == gpu.uuid), None)
            watts = power_of(sample, [gpu])
            self._seen.add(gpu.uuid)
            self._restless.discard(gpu.uuid)
            if reading is None or reading.throttle is None or watts is None:
                continue  # it cannot tell, so there is nothing to wait for
            if "idle" in reading.throttle:
                self._rests(gpu.uuid, watts)
            else:
                self._calm.pop(gpu.uuid, None)
            if gpu.uuid not in self._known:
                self._restless.add(gpu.uuid)
        cpu = power_of(sample, ())
        if cpu is not None and host:
            self._rests("", cpu)
        self._sampled.set()
        self._sampled = asyncio.Event()

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
        """Mean watts at rest by GPU UUID, and under "" of the CPU packages; devices that never rested are missing."""
        return dict(self._known)

    def _unsettled(self, uuid: str) -> bool:
        return uuid not in self._seen or uuid in self._restless

    def _rests(self, device: str, watts: float) -> None:
        values = self._calm.setdefault(device, [])
        values.append(watts)
        if len(values) >= SAMPLES:
            self._known[device] = sum(values) / len(values)
