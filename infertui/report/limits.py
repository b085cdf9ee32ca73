"""The share of the device's memory bandwidth that a run's decoding reached."""

import tomllib
from functools import cache

import msgspec
from msgspec import Struct

from infertui.measure.roofline import DecodeReads, mean_context
from infertui.resources import data
from infertui.store.result import Result


class Device(Struct, frozen=True):
    """A line of data/hardware.toml."""

    name: str
    memory_bandwidth: float
    source: str
    copied: float | None = None
    measured: str = ""

    @property
    def bandwidth(self) -> float:
        """Bytes per second to compare with: as measured, or of the datasheet."""
        return self.copied or self.memory_bandwidth

    @property
    def kind(self) -> str:
        """Which of the two that is."""
        return "measured" if self.copied else "datasheet"


class DecodeLimit(Struct, frozen=True):
    """How near a run came: `share` is its MBU, `limit` the tokens per second at a share of 1."""

    device: Device
    reads: DecodeReads
    share: float
    limit: float


@cache
def devices() -> tuple[Device, ...]:
    """The devices that are known."""
    table = tomllib.loads((data() / "hardware.toml").read_text(encoding="utf-8"))
    return msgspec.convert(table["device"], tuple[Device, ...])


def device_named(name: str) -> Device | None:
    """The device whose name begins the driver's name for it; the longest one."""
    found = [device for device in devices() if name.startswith(device.name)]
    return max(found, key=lambda device: len(device.name), default=None)


def decode_limit(result: Result) -> DecodeLimit | None:
    """How near decoding came to the memory's limit; None where the device or what it reads is not known.

    The step time is the mean TPOT, which with speculation covers several tokens a step: then there is none.
    """
    loaded, summary = result.loaded, result.summary
    if loaded is None or loaded.weight_bytes is None or loaded.lookup_bytes is None or loaded.kv_token_bytes is None:
        return None
    device = device_named(loaded.device_name)
    good = summary.requests - summary.failed
    several = summary.itl is not None and summary.itl.tokens_per_step != 1
    if device is None or summary.tpot is None or not good or several or result.config.engine.tensor_parallel > 1:
        return None
    reads = DecodeReads(
        weights=loaded.weight_bytes - loaded.lookup_bytes,
        kv_per_token=loaded.kv_token_bytes,
        batch_size=result.config.workload.batch_size,
        context=mean_context(summary.prompt_tokens / good, summary.output_tokens / good),
    )
    return DecodeLimit(device, reads, reads.share(summary.tpot.mean, device.bandwidth), reads.limit(device.bandwidth))
