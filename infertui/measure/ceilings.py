"""What a device can do at most, as it was measured on that device."""

from msgspec import Struct


class Ceilings(Struct, frozen=True):
    """Rates that a device reached in calibration; None is not measured.

    `copy_bandwidth` counts bytes read plus bytes written, per second; `matrix_rates` are floating-point (or integer)
    operations per second of a large matrix product by number format, a multiplication and an addition counting as two.
    """

    device: str
    """As the driver, or the CPU, names itself."""
    driver: str
    copy_bandwidth: float
    matrix_rates: dict[str, float]
    measured: str
    """When, ISO 8601 with offset."""
    software: str = ""
    """What ran it, as in `torch 2.11.0+cu130`."""
    threads: int | None = None
    """CPU threads; None on a GPU."""
