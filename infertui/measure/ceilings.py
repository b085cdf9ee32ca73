"""What a device can do at most, as it was measured on that device."""

from msgspec import Struct

from infertui.integers import Whole

FORMATS = ("float32", "tf32", "float16", "bfloat16", "float8", "int8")
"""Number formats of a matrix product, in the order in which they are measured and shown."""
COPY = "copy"
"""What the copy is called among the figures of a calibration."""


class Ceilings(Struct, frozen=True):
    """Rates that a device reached in calibration; None is not measured.

    `copy_bandwidth` counts bytes read plus bytes written, per second; `matrix_rates` are floating-point (or integer)
    operations per second of a large matrix product by number format, a multiplication and an addition counting as two.
    Each is the best of several; `spreads` says by how much of it the median was slower, `sizes` what was computed, by
    `copy` and format. `reasons` says why a format was not measured. `disturbed` holds what speaks against the figures,
    `notes` what a reader should know.
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
    threads: Whole | None = None
    """CPU threads; None on a GPU."""
    uuid: str = ""
    """Of a GPU."""
    copy_by_clock: float | None = None
    """The copy's best by the host's clock, on a GPU, where `copy_bandwidth` is by the device's own events."""
    spreads: dict[str, float] = {}
    sizes: dict[str, str] = {}
    reasons: dict[str, str] = {}
    disturbed: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    quick: bool = False
    seconds: float | None = None
    """How long it took."""

    @property
    def words(self) -> str:
        """The device in words: its name, and how many threads of a CPU."""
        return self.device if self.threads is None else f"{self.device}, {self.threads} threads"
