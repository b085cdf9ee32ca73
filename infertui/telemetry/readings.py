"""What is read from GPUs and the host, as plain values.

`None` always means "not available": the device, the driver or the permissions give no such reading. It is never
replaced by zero. Times are `time.monotonic_ns()`, memory is in bytes, power in watts, clocks in MHz, temperatures in
degrees Celsius, shares in percent of 0 to 100.
"""

from msgspec import Struct

from infertui.integers import Whole

# Bits of NVML's clock event ("throttle") mask; names as this program shows them.
THROTTLE_REASONS: dict[int, str] = {
    0x001: "idle",
    0x002: "clock-setting",
    0x004: "power-cap",
    0x008: "hw-slowdown",
    0x010: "sync-boost",
    0x020: "sw-thermal",
    0x040: "hw-thermal",
    0x080: "hw-power-brake",
    0x100: "display-clock",
    0x200: "board-limit",
    0x400: "reliability",
}


def throttle_names(mask: int) -> tuple[str, ...]:
    """The reasons in a clock event mask; a bit without a name shows as `unknown-0x…`."""
    names = [name for bit, name in THROTTLE_REASONS.items() if mask & bit]
    if rest := mask & ~sum(THROTTLE_REASONS):
        names.append(f"unknown-{rest:#x}")
    return tuple(names)


class GpuInfo(Struct, frozen=True):
    """What does not change while a program runs. A MIG instance is a device of its own with a `parent`."""

    index: Whole
    """NVML's index, which is PCI order; of a MIG instance: its parent's."""
    uuid: str
    """`GPU-…` or `MIG-…`."""
    name: str = ""
    mig: bool | None = None
    """Whether the GPU is divided into MIG instances; False of an instance itself; None where there is no MIG."""
    mig_index: Whole | None = None
    """Number of a MIG instance within its parent; None for a whole GPU."""
    parent: str | None = None
    """UUID of the GPU that a MIG instance is a part of."""
    memory_total: Whole | None = None
    driver: str | None = None
    cuda_driver: str | None = None
    """Newest CUDA version that the driver supports, such as `13.0`."""
    compute_capability: str | None = None
    """Such as `9.0`."""
    power_limit_w: float | None = None
    power_limit_default_w: float | None = None
    power_limit_max_w: float | None = None
    max_sm_mhz: Whole | None = None
    max_memory_mhz: Whole | None = None
    memory_bus_bits: Whole | None = None
    pcie_generation: Whole | None = None
    """Highest that the slot and the GPU can do together; the link runs slower when idle."""
    pcie_width: Whole | None = None
    temp_slowdown_c: Whole | None = None
    temp_shutdown_c: Whole | None = None
    pci_bus_id: str | None = None
    persistence_mode: bool | None = None
    ecc: bool | None = None
    nvlinks: Whole | None = None
    """NVLinks that were up when the driver was opened; None: it has none."""

    @property
    def label(self) -> str:
        """Short name of the device: `0`, or `0:1` for the second MIG instance of GPU 0."""
        return str(self.index) if self.mig_index is None else f"{self.index}:{self.mig_index}"


class GpuSample(Struct, frozen=True):
    """One reading of one device. With `lost` not empty no other reading is available, and `lost` says why."""

    index: Whole
    uuid: str
    utilization: float | None = None
    """Share of the driver's last sampling period (1/6 to 1 s) in which any kernel ran; it is not occupancy."""
    memory_utilization: float | None = None
    memory_used: Whole | None = None
    memory_total: Whole | None = None
    power_w: float | None = None
    """The driver's plain reading: an average over one second on most boards since Ampere."""
    power_instant_w: float | None = None
    temperature_c: float | None = None
    memory_temperature_c: float | None = None
    sm_mhz: Whole | None = None
    memory_mhz: Whole | None = None
    throttle: tuple[str, ...] | None = None
    """Why the clocks are where they are; empty: nothing holds them back."""
    pstate: Whole | None = None
    lost: str = ""
    pcie_rx: float | None = None
    """Bytes a second that the GPU receives over PCIe: over some 20 ms, looked at once a second at most."""
    pcie_tx: float | None = None
    """Those that it sends."""
    nvlink_rx: float | None = None
    """Bytes a second that it receives over all its NVLinks, since the reading a second before."""
    nvlink_tx: float | None = None

    @property
    def power_now_w(self) -> float | None:
        """The instantaneous power where the driver tells it, else its average."""
        return self.power_w if self.power_instant_w is None else self.power_instant_w


class HostSample(Struct, frozen=True):
    """One reading of the machine, or of the container where that has a memory limit of its own."""

    cpu_percent: float | None = None
    """Of all CPUs, since the sample before; None for the first."""
    memory_used: Whole | None = None
    memory_total: Whole | None = None
    swap_used: Whole | None = None
    load1: float | None = None
    cpu_power_w: float | None = None
    """All CPU packages by RAPL, since the sample before."""


class Sample(Struct, frozen=True):
    """Everything read at one tick; `t_ns` is taken before the first reading."""

    t_ns: Whole
    gpus: tuple[GpuSample, ...] = ()
    host: HostSample = HostSample()


class GpuCounters(Struct, frozen=True):
    """Counters that only ever grow, of one device. Differences between two of these are what counts."""

    uuid: str
    t_ns: int
    """When the energy counter was read."""
    energy_mj: int | None = None
    """Millijoules since the driver was loaded."""
    violation_ns: dict[str, int] = {}
    """Nanoseconds for which the clocks were held down, by policy: power, thermal, sync-boost, ..."""
    pcie_tx_bytes: int | None = None
    pcie_rx_bytes: int | None = None
    """The driver's counters are 32 bits wide: they start again every 4 GiB."""
    throttle: tuple[str, ...] | None = None
    lost: str = ""


class HostCounters(Struct, frozen=True):
    """Counters of the machine that only ever grow."""

    t_ns: int
    energy_uj: dict[str, int] = {}
    """RAPL energy by domain (`package-0`, `package-0/dram`, ...) in microjoules, and where each wraps."""
    range_uj: dict[str, int] = {}
    cpu_busy_s: float | None = None
    """Seconds that the CPUs which this process may use were not idle, together, and those that went by on them."""
    cpu_total_s: float | None = None
    swapped: int | None = None
    """Bytes swapped in and out since the machine was started, the sum."""


class Counters(Struct, frozen=True):
    """All counters at one edge of a measured window."""

    t_ns: int
    gpus: tuple[GpuCounters, ...] = ()
    host: HostCounters = HostCounters(0)


class GpuProcess(Struct, frozen=True):
    """A process that computes on a GPU. In a container without the host's PID namespace `pid` is the host's, and what
    the operating system would tell of it is not known.
    """

    pid: int
    name: str | None = None
    memory_used: int | None = None
    user: str | None = None
    age_s: float | None = None
    """Seconds since it was started."""
    command: str | None = None
    """The command line in one line."""
    run: str = ""
    """The run of this runner that it belongs to; empty: somebody else's."""


class HostFacts(Struct, frozen=True):
    """The machine, as far as it bears on a result."""

    hostname: str
    kernel: str
    os: str | None = None
    cpu_model: str | None = None
    physical_cores: Whole | None = None
    logical_cores: Whole | None = None
    affinity_cores: Whole | None = None
    """Logical CPUs that this process may run on."""
    cpu_quota: float | None = None
    """CPUs' worth of time that the cgroup allows; None: no limit."""
    memory_total: Whole | None = None
    memory_limit: Whole | None = None
    """Memory that the cgroup allows; None: no limit."""
    governor: str | None = None
    container: str | None = None
    """docker, podman, kubernetes, lxc, ...; None: not in a container."""


class Fault(Struct, frozen=True):
    """Something that went wrong with a device, the driver or the sampling itself while it ran."""

    t_ns: int
    message: str
    uuid: str = ""
    """The device concerned; empty: all of them, or none."""


POWER, CLOCK = "power_limit_w", "sm_clock_mhz"
"""Settings of a GPU by their names: watts, and the megahertz that the SM clock is locked to, 0: it is not."""


SERVER = "server."
"""Of settings of a server that is loaded."""


class GpuSetting(Struct, frozen=True):
    """A setting that can be changed: what it was, and its limits, of all GPUs that are meant together.

    `place` begins its key: `server.` of one of a server, which has a `description`, and that server's words where it is
    `refused`.
    """

    name: str
    was: float
    low: float
    high: float
    place: str = "gpu."
    whole: bool = False
    description: str = ""
    refused: str = ""

    @property
    def key(self) -> str:
        """By which it is turned."""
        return f"{self.place}{self.name}"
