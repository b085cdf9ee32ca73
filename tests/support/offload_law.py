"""A GPU and a model whose speed and memory follow a law that is known: what a study should find, by hand arithmetic."""

from msgspec import Struct

from infertui.analysis.offload.card import Card
from infertui.analysis.offload.points import OffloadPoint

MIB = 1 << 20


class Law(Struct, frozen=True):
    """Milliseconds a step: `step_ms`, and for each layer on the CPU or on the GPU. MiB of memory, and how they grow."""

    layers: int
    step_ms: float = 2.0
    cpu_layer_ms: float = 4.0
    gpu_layer_ms: float = 0.4
    base_mib: float = 600.0
    layer_mib: float = 200.0
    total_mib: int = 6 * 1024
    others_mib: int = 0

    @property
    def card(self) -> Card:
        """The card, with the usual ceiling."""
        return Card(self.total_mib * MIB, self.others_mib * MIB)

    def mib(self, layers: int) -> float:
        """Memory that so many layers take."""
        return self.base_mib + layers * self.layer_mib

    def speed(self, layers: int) -> float:
        """Tokens a second of batches of one."""
        return 1000 / (self.step_ms + (self.layers - layers) * self.cpu_layer_ms + layers * self.gpu_layer_ms)

    def point(self, layers: int) -> OffloadPoint:
        """What measuring gives."""
        if self.mib(layers) > self.total_mib - self.others_mib:
            return OffloadPoint(layers, failure="out-of-memory", error="CUDA out of memory")
        size = round(self.mib(layers) * MIB)
        speed = self.speed(layers)
        return OffloadPoint(
            layers, f"run-{layers}", vram=size, vram_share=size / (self.total_mib * MIB), throughput=speed,
            low=speed * 0.99, high=speed * 1.01, seconds_per_token=1 / speed,
        )  # fmt: skip

    def best(self) -> tuple[int, float]:
        """The fastest number of layers within the ceiling and its speed, by trying all."""
        room = 0.85 * self.total_mib - self.others_mib
        allowed = [layers for layers in range(self.layers + 1) if self.mib(layers) <= room]
        found = max(allowed, key=self.speed)
        return found, self.speed(found)
