"""GPUs as DCGM's exporter tells them, so that dashboards for it work, and what it does not tell under our own names.

Names, units and labels are those of its default list. Its counters of XID errors and of energy are not here: the first
needs a wait for events, and the second costs more to read than all the rest together.
"""

from collections.abc import Iterable, Mapping

from infertui.api.exporter.family import Family, ScrapedPage
from infertui.telemetry.readings import THROTTLE_REASONS, GpuInfo, GpuSample, HostFacts, HostSample

_MIB = 2**20
GPU_LABELS = (
    "gpu", "UUID", "pci_bus_id", "device", "modelName", "GPU_I_PROFILE", "GPU_I_ID", "Hostname",
    "DCGM_FI_DRIVER_VERSION",
)  # fmt: skip
"""Of each device, those of DCGM's exporter; `UUID` of a MIG instance is its GPU's. `GPU_I_ID` is its slot."""


def _gpu(name: str, told: str, *labels: str) -> Family:
    return Family(name, told, (*GPU_LABELS, *labels))


UTILIZATION = _gpu("DCGM_FI_DEV_GPU_UTIL", "GPU utilization (in %).")
COPYING = _gpu("DCGM_FI_DEV_MEM_COPY_UTIL", "Memory utilization (in %).")
USED = _gpu("DCGM_FI_DEV_FB_USED", "Framebuffer memory used (in MiB).")
FREE = _gpu("DCGM_FI_DEV_FB_FREE", "Framebuffer memory not used (in MiB), what the driver reserves among it.")
TOTAL = _gpu("DCGM_FI_DEV_FB_TOTAL", "Framebuffer memory (in MiB).")
POWER = _gpu("DCGM_FI_DEV_POWER_USAGE", "Power draw (in W).")
TEMPERATURE = _gpu("DCGM_FI_DEV_GPU_TEMP", "GPU temperature (in C).")
MEMORY_TEMPERATURE = _gpu("DCGM_FI_DEV_MEMORY_TEMP", "Memory temperature (in C).")
SM_CLOCK = _gpu("DCGM_FI_DEV_SM_CLOCK", "SM clock frequency (in MHz).")
MEMORY_CLOCK = _gpu("DCGM_FI_DEV_MEM_CLOCK", "Memory clock frequency (in MHz).")
PSTATE = _gpu("DCGM_FI_DEV_PSTATE", "Performance state, 0 the fastest.")
POWER_NOW = _gpu("infertui_gpu_power_instant_watts", "Power at this moment; DCGM's is an average over a second.")
POWER_LIMIT = _gpu("infertui_gpu_power_limit_watts", "Power limit in force when the driver was opened.")
THROTTLED = _gpu("infertui_gpu_throttled", "1 where this holds the clocks back, 0 where it does not.", "reason")
LOST = _gpu("infertui_gpu_lost", "1 where the GPU answers no more; it has no other readings then.")
PCIE = _gpu("infertui_gpu_pcie_bytes_per_second", "Traffic over PCIe.", "direction")
NVLINK = _gpu("infertui_gpu_nvlink_bytes_per_second", "Traffic over all NVLinks.", "direction")
_HOST = ("Hostname",)
CPU = Family("infertui_host_cpu_ratio", "Share of the time of all CPUs that was used, since the reading before.", _HOST)
MEMORY_USED = Family("infertui_host_memory_used_bytes", "Memory in use, of the machine or the container.", _HOST)
MEMORY = Family("infertui_host_memory_bytes", "Memory of the machine, or that the container may have.", _HOST)
SWAP = Family("infertui_host_swap_used_bytes", "Swap in use.", _HOST)
LOAD1 = Family("infertui_host_load1", "Load average of one minute.", _HOST)
CPU_POWER = Family("infertui_host_cpu_power_watts", "Power of all CPU packages, by RAPL.", _HOST)

OF_GPUS = (
    UTILIZATION, COPYING, USED, FREE, TOTAL, POWER, TEMPERATURE, MEMORY_TEMPERATURE, SM_CLOCK, MEMORY_CLOCK, PSTATE,
    POWER_NOW, POWER_LIMIT, THROTTLED, LOST, PCIE, NVLINK,
)  # fmt: skip
OF_HOST = (CPU, MEMORY_USED, MEMORY, SWAP, LOAD1, CPU_POWER)


def add_gpus(page: ScrapedPage, infos: Iterable[GpuInfo], samples: Iterable[GpuSample], hostname: str) -> None:
    """What was read of devices. One of which there is no sample has no values."""
    known = {info.uuid: info for info in infos}
    for sample in samples:
        if (info := known.get(sample.uuid)) is not None:
            _add_gpu(page, info, sample, _labels(info, known, hostname))


def add_host(page: ScrapedPage, sample: HostSample, facts: HostFacts) -> None:
    """What was read of the machine."""
    host = {"Hostname": facts.hostname}
    page.add(CPU, None if sample.cpu_percent is None else sample.cpu_percent / 100, **host)
    page.add(MEMORY_USED, sample.memory_used, **host)
    page.add(MEMORY, sample.memory_total, **host)
    page.add(SWAP, sample.swap_used, **host)
    page.add(LOAD1, sample.load1, **host)
    page.add(CPU_POWER, sample.cpu_power_w, **host)


def _labels(info: GpuInfo, known: Mapping[str, GpuInfo], hostname: str) -> dict[str, str]:
    whole = known.get(info.parent or "", info)
    labels = {
        "gpu": str(info.index),
        "UUID": info.parent or info.uuid,
        "pci_bus_id": info.pci_bus_id or "",
        "device": f"nvidia{info.index}",
        "modelName": whole.name,
        "Hostname": hostname,
        "DCGM_FI_DRIVER_VERSION": info.driver or "",
    }
    if info.mig_index is not None:
        labels |= {"GPU_I_PROFILE": info.name.rpartition("MIG ")[2], "GPU_I_ID": str(info.mig_index)}
    return labels


def _add_gpu(page: ScrapedPage, info: GpuInfo, sample: GpuSample, labels: dict[str, str]) -> None:
    page.add(LOST, bool(sample.lost), **labels)
    if sample.lost:
        return
    used, total = sample.memory_used, sample.memory_total
    values = {
        UTILIZATION: sample.utilization,
        COPYING: sample.memory_utilization,
        USED: None if used is None else used / _MIB,
        FREE: None if used is None or total is None else (total - used) / _MIB,
        TOTAL: None if total is None else total / _MIB,
        POWER: sample.power_w,
        TEMPERATURE: sample.temperature_c,
        MEMORY_TEMPERATURE: sample.memory_temperature_c,
        SM_CLOCK: sample.sm_mhz,
        MEMORY_CLOCK: sample.memory_mhz,
        PSTATE: sample.pstate,
        POWER_NOW: sample.power_instant_w,
        POWER_LIMIT: info.power_limit_w,
    }
    for family, value in values.items():
        page.add(family, value, **labels)
    for reason in () if sample.throttle is None else (*THROTTLE_REASONS.values(), *sample.throttle):
        page.add(THROTTLED, reason in (sample.throttle or ()), **labels, reason=reason)
    page.add(PCIE, sample.pcie_rx, **labels, direction="in")
    page.add(PCIE, sample.pcie_tx, **labels, direction="out")
    page.add(NVLINK, sample.nvlink_rx, **labels, direction="in")
    page.add(NVLINK, sample.nvlink_tx, **labels, direction="out")
