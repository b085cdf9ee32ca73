"""What is known of devices by their name: data/hardware.toml."""

import tomllib
from functools import cache

import msgspec
from msgspec import Struct

from infertui.measure.ceilings import COPY, Ceilings
from infertui.paths import data


class Device(Struct, frozen=True):
    """A line of data/hardware.toml. Bytes per second, and operations per second of dense matrix products."""

    name: str
    memory_bandwidth: float
    source: str
    matrix_rates: dict[str, float] = {}
    copied: float | None = None
    measured: str = ""

    def datasheet(self, what: str) -> float | None:
        """The datasheet's figure for the copy or a number format."""
        return self.memory_bandwidth if what == COPY else self.matrix_rates.get(what)


@cache
def devices() -> tuple[Device, ...]:
    """The devices that are known."""
    table = tomllib.loads((data() / "hardware.toml").read_text(encoding="utf-8"))
    return msgspec.convert(table["device"], tuple[Device, ...])


def device_named(name: str) -> Device | None:
    """The device of which that is the driver's name."""
    return next((device for device in devices() if device.name == name), None)


class Reached(Struct, frozen=True):
    """A figure of a calibration beside the datasheet's. None is not available; `missing` says why it was not measured.

    The copy is in bytes per second, read plus written; products are in operations per second.
    """

    what: str
    measured: float | None
    datasheet: float | None
    share: float | None
    spread: float | None = None
    size: str = ""
    missing: str = ""


def reached(ceilings: Ceilings) -> tuple[Reached, ...]:
    """Every figure that was measured or tried, the copy first."""
    device = device_named(ceilings.device)
    measured: dict[str, float] = {COPY: ceilings.copy_bandwidth, **ceilings.matrix_rates}
    rows = []
    for what in dict.fromkeys((*measured, *ceilings.reasons)):
        value, sheet = measured.get(what), device.datasheet(what) if device else None
        rows.append(
            Reached(
                what,
                measured=value,
                datasheet=sheet,
                share=value / sheet if value is not None and sheet else None,
                spread=ceilings.spreads.get(what),
                size=ceilings.sizes.get(what, ""),
                missing=ceilings.reasons.get(what, ""),
            )
        )
    return tuple(rows)
