"""Bytes that cross a GPU's PCIe link and its NVLinks in a second, from counters that only ever grow. Pure."""

from msgspec import Struct

from infertui.measure.clock import NS_PER_S

PCIE_WRAP = 2**32
"""The driver's PCIe counters are 32 bits wide: they start again every 4 GiB."""
KIB = 1024
"""NVLink counters count in these."""
_SHORTEST_NS = 5_000_000
"""The counters stand still for some 0.25 ms at a time: what they grow by in less says little."""
_UNKNOWN_LINK_NS = 30_000_000
_SHARE_OF_WRAP = 0.9
_OLDEST_NVLINK_NS = 10 * NS_PER_S
_LANE_BYTES_PER_S = {1: 0.25e9, 2: 0.5e9, 3: 1e9, 4: 2e9, 5: 4e9, 6: 8e9, 7: 16e9}
"""By PCIe generation, one direction, encoding left out: no lane carries more."""


class LinkCounters(Struct, frozen=True):
    """PCIe bytes and NVLink KiB of one device at `t_ns`, as the GPU sends (tx) and receives (rx) them."""

    t_ns: int
    pcie_rx: int | None = None
    pcie_tx: int | None = None
    nvlink_rx: int | None = None
    nvlink_tx: int | None = None


def longest_ns(generation: int | None, width: int | None) -> int:
    """How far apart two readings of a PCIe counter may lie at most: in a longer time it could start again unseen.

    16 lanes of generation 5 carry 4 GiB in 67 ms.
    """
    lane = _LANE_BYTES_PER_S.get(generation or 0)
    if not lane or not width:
        return _UNKNOWN_LINK_NS
    return int(_SHARE_OF_WRAP * PCIE_WRAP / (lane * width) * NS_PER_S)


def pcie_rates(before: LinkCounters, after: LinkCounters, longest: int) -> tuple[float | None, float | None]:
    """Bytes a second received and sent between two readings that are at most `longest` nanoseconds apart."""
    took = after.t_ns - before.t_ns
    if not _SHORTEST_NS <= took <= longest:
        return None, None
    return (
        _rate(before.pcie_rx, after.pcie_rx, took, wrap=PCIE_WRAP),
        _rate(before.pcie_tx, after.pcie_tx, took, wrap=PCIE_WRAP),
    )


def nvlink_rates(before: LinkCounters, after: LinkCounters) -> tuple[float | None, float | None]:
    """Bytes a second received and sent over all NVLinks; None where a counter went backwards, as after a reset."""
    took = after.t_ns - before.t_ns
    if not 0 < took <= _OLDEST_NVLINK_NS:
        return None, None
    return (
        _rate(before.nvlink_rx, after.nvlink_rx, took, unit=KIB),
        _rate(before.nvlink_tx, after.nvlink_tx, took, unit=KIB),
    )


class Traffic:
    """The traffic of one device: its rates stand from one pair of readings to the next."""

    def __init__(self) -> None:
        self.rates: dict[str, float | None] = {}
        """Bytes a second by field of GpuSample; empty before anything was read."""
        self.begun: LinkCounters | None = None
        self._links: LinkCounters | None = None

    def end(self, now: LinkCounters, longest: int) -> None:
        """Take the reading that follows the one that was `begun`."""
        begun, self.begun = self.begun, None
        before, self._links = self._links, now
        pcie_rx, pcie_tx = pcie_rates(begun, now, longest) if begun else (None, None)
        nvlink_rx, nvlink_tx = nvlink_rates(before, now) if before else (None, None)
        self.rates = {"pcie_rx": pcie_rx, "pcie_tx": pcie_tx, "nvlink_rx": nvlink_rx, "nvlink_tx": nvlink_tx}


def _rate(before: int | None, after: int | None, took_ns: int, *, wrap: int = 0, unit: int = 1) -> float | None:
    if before is None or after is None:
        return None
    grown = (after - before) % wrap if wrap else after - before
    return None if grown < 0 else grown * unit * NS_PER_S / took_ns
