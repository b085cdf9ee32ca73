"""NVIDIA GPUs through nvidia-ml-py. No other module imports it.

Nothing here raises once the library is open: a call that a device does not support gives None and is not made again
for that device; a device that fell off the bus, and a driver that went away, answer with samples that say so.

Costs on an H200: power, utilization, temperature, clocks and event reasons 1 to 4 us each, memory 7 us, field values 2
to 3 us; a PCIe byte counter 165 us; the energy counter 4 ms, a violation counter 0.75 ms, PCIe throughput 21 ms. So
`sample` takes only the first group, `counters` the third, and nothing takes the last: the PCIe byte counters are read
instead, by `counters`, and by `sample` where `begin_traffic` was called a moment before.
"""

import contextlib
import time
from collections.abc import Iterable, Sequence
from itertools import takewhile
from typing import Any

import pynvml

from infertui.errors import InfertuiError
from infertui.telemetry.readings import GpuCounters, GpuInfo, GpuProcess, GpuSample, throttle_names
from infertui.telemetry.traffic import LinkCounters, Traffic, longest_ns
from infertui.text import clean, shorten

# Codes of nvmlReturn_t; they are part of the library's stable interface, and older bindings lack names for some.
_INVALID_ARGUMENT = 2
_NO_PERMISSION = 4
_UNKNOWN = 999
_NEVER_SUPPORTED = frozenset({_INVALID_ARGUMENT, 3, _NO_PERMISSION, 6, 13, 25, 26})
_LOST = {
    15: "the GPU is lost: it fell off the bus or is otherwise inaccessible",
    16: "the GPU needs a reset",
    28: "the GPU is gone",
}
_DEAD = {
    1: "the NVIDIA driver was shut down",
    9: "the NVIDIA driver is not loaded any more",
    12: "the NVIDIA driver library is gone",
    18: "the NVIDIA driver was replaced while in use: its kernel module and library differ in version",
}
_OPEN_FAILED = {
    4: ("no permission to talk to the NVIDIA driver", "Check the access rights of /dev/nvidia*."),
    9: (
        "the NVIDIA driver is not loaded",
        "Without an NVIDIA GPU this is as it should be. Otherwise check `nvidia-smi` and the kernel log, load the "
        "module (`modprobe nvidia`), or start the container with its GPUs (`--gpus all`).",
    ),
    12: (
        "the NVIDIA driver library libnvidia-ml.so.1 was not found",
        "Without an NVIDIA GPU this is as it should be. Otherwise install the NVIDIA driver, or start the container "
        "with its GPUs (`--gpus all`).",
    ),
    13: ("the NVIDIA driver library is too old", "Update the NVIDIA driver to 525 or newer."),
    15: ("a GPU is lost: it fell off the bus", "See the kernel log for Xid errors; reboot, or reset the GPU."),
    18: (
        "the NVIDIA kernel module and the driver library differ in version",
        "The driver was updated while it was loaded: reboot.",
    ),
    _UNKNOWN: (
        "the NVIDIA driver answers with an unknown error",
        "Check `nvidia-smi` and the kernel log. In a container, the GPU's device files may have been taken away: "
        "restart the container.",
    ),
}  # fmt: skip

# Policies of nvmlDeviceGetViolationStatus.
_VIOLATIONS = {
    "power": 0,
    "thermal": 1,
    "sync-boost": 2,
    "board-limit": 3,
    "low-utilization": 4,
    "reliability": 5,
}
_FIELD_MEMORY_TEMPERATURE = 82
_FIELD_POWER_INSTANT = 186
_FIELD_PCIE_TX_BYTES = 197
_FIELD_PCIE_RX_BYTES = 198
_SAMPLED_FIELDS = (_FIELD_MEMORY_TEMPERATURE, _FIELD_POWER_INSTANT)
_COUNTED_FIELDS = (_FIELD_PCIE_TX_BYTES, _FIELD_PCIE_RX_BYTES)
_FIELD_NVLINK_TX_KIB = 138
_FIELD_NVLINK_RX_KIB = 139
_TRAFFIC_FIELDS = (_FIELD_PCIE_RX_BYTES, _FIELD_PCIE_TX_BYTES, _FIELD_NVLINK_RX_KIB, _FIELD_NVLINK_TX_KIB)
"""In the order of LinkCounters."""
_ALL_LINKS = 2**32 - 1
_SCOPES = {_FIELD_NVLINK_TX_KIB: _ALL_LINKS, _FIELD_NVLINK_RX_KIB: _ALL_LINKS}
_MOST_LINKS = 64
# Members of the value union by nvmlValueType_t.
_VALUE_MEMBERS = ("dVal", "uiVal", "ulVal", "ullVal", "sllVal", "siVal", "usVal")

_GPU_CLOCK_SM, _GPU_CLOCK_MEMORY = 1, 2
_THRESHOLD_SHUTDOWN, _THRESHOLD_SLOWDOWN = 0, 1
_CORE_SENSOR = 0
_MEMORY_INFO_V2 = 0x02000028

# Readings beyond these are sentinels or garbage, and count as missing.
_MAX_POWER_W = 20_000.0
_MAX_TEMPERATURE_C = 200
_MAX_MHZ = 100_000
_ALL_ONES = (2**32 - 1, 2**64 - 1)


class NvmlUnavailableError(InfertuiError):
    """There is no usable NVIDIA driver here; the message says why, the remedy what to do about it."""

    kind = "nvml-unavailable"


class _Device:
    """A device's handle, and what has been learnt about what it can do."""

    __slots__ = ("absent", "absent_fields", "answered", "handle", "info", "lost", "traffic")

    def __init__(self, handle: Any, info: GpuInfo) -> None:
        self.handle = handle
        self.info = info
        self.lost = ""
        self.absent: set[tuple[Any, ...]] = set()
        self.answered: set[tuple[Any, ...]] = set()
        self.absent_fields: set[int] = set()
        self.traffic = Traffic()

    @property
    def longest_ns(self) -> int:
        """How far apart two readings of its PCIe counters may lie."""
        return longest_ns(self.info.pcie_generation, self.info.pcie_width)


class Nvml:
    """The opened library. `open` it once per process and `close` it at the end; all calls are thread-safe."""

    def __init__(self, driver: str | None, cuda_driver: str | None) -> None:
        self.driver = driver
        self.cuda_driver = cuda_driver
        self.dead = ""
        """Why the driver answers no more; empty while it does."""
        self.notes: tuple[str, ...] = ()
        """GPUs that are there but cannot be used, and why."""
        self._devices: dict[str, _Device] = {}
        self._absent: set[str] = set()
        self._closed = False

    @classmethod
    def open(cls) -> "Nvml":
        """Load the library, initialise it and list the devices.

        It can take seconds where persistence mode is off, as the driver then wakes every GPU.
        Raises NvmlUnavailableError with reason and remedy.
        """
        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError as error:
            raise _unavailable(error.value) from None
        nvml = cls(_system("nvmlSystemGetDriverVersion"), _cuda_version(_system("nvmlSystemGetCudaDriverVersion")))
        try:
            nvml._enumerate()
        except pynvml.NVMLError as error:
            nvml.close()
            raise _unavailable(error.value) from None
        return nvml

    def close(self) -> None:
        """Give the library back. Closing twice is harmless."""
        if self._closed:
            return
        self._closed = True
        for device in self._devices.values():
            device.lost = device.lost or "the NVIDIA library was closed"
        with contextlib.suppress(pynvml.NVMLError):  # the driver went away first: nothing is left to give back
            pynvml.nvmlShutdown()

    def devices(self) -> tuple[GpuInfo, ...]:
        """All GPUs in PCI order, each followed by its MIG instances; as they were when the library was opened."""
        return tuple(device.info for device in self._devices.values())

    def sample(self, gpu: GpuInfo) -> GpuSample:
        """Read what is cheap: some 30 us per device. Never raises."""
        device = self._devices[gpu.uuid]
        whole = gpu.parent is None
        values = self._read_sample(device) if whole else {}
        used, total = self._memory(device)
        if device.lost:
            return GpuSample(gpu.index, gpu.uuid, lost=device.lost)
        return GpuSample(gpu.index, gpu.uuid, memory_used=used, memory_total=total, **values)

    def begin_traffic(self) -> None:
        """Let the `sample` of each device that follows within some 50 ms tell its traffic from here on, and those after
        it repeat that: 0.33 ms per device here and there."""
        for device in self._devices.values():
            device.traffic.begun = None if device.info.parent else self._link_counters(device)

    def counters(self, gpus: Iterable[GpuInfo] | None = None) -> tuple[GpuCounters, ...]:
        """Read the growing counters of `gpus` (default: all): about 9 ms per device, so at a window's edges only.

        The energy counters come first, so that their times lie close together whatever else is slow.
        """
        devices = [self._devices[gpu.uuid] for gpu in (self.devices() if gpus is None else gpus)]
        energies: list[tuple[int, int | None]] = []
        for device in devices:
            before = time.monotonic_ns()
            energy = None if device.info.parent else self._call(device, "nvmlDeviceGetTotalEnergyConsumption")
            energies.append(((before + time.monotonic_ns()) // 2, None if energy in _ALL_ONES else energy))
        return tuple(
            self._counters(device, t_ns, energy) for device, (t_ns, energy) in zip(devices, energies, strict=True)
        )

    def processes(self, gpu: GpuInfo) -> tuple[GpuProcess, ...] | None:
        """The processes that compute on a device, by PID; None where the driver does not tell."""
        device = self._devices[gpu.uuid]
        found: dict[int, GpuProcess] = {}
        told = False
        for kind in ("Compute", "MPSCompute"):
            listed = self._call(device, f"nvmlDeviceGet{kind}RunningProcesses_v3")
            told = told or listed is not None
            for entry in listed or ():
                memory = None if entry.usedGpuMemory in (None, *_ALL_ONES) else int(entry.usedGpuMemory)
                found[entry.pid] = GpuProcess(int(entry.pid), _process_name(entry.pid, self._absent), memory)
        return tuple(found[pid] for pid in sorted(found)) if told else None

    def _enumerate(self) -> None:
        notes = []
        for index in range(pynvml.nvmlDeviceGetCount()):
            try:
                handle = pynvml.nvmlDeviceGetHandleByIndex(index)
                uuid = clean(pynvml.nvmlDeviceGetUUID(handle))
            except pynvml.NVMLError as error:
                notes.append(f"GPU {index} cannot be used: {_describe(error.value)}")
                continue
            except UnicodeDecodeError:
                notes.append(f"GPU {index} cannot be used: its UUID is unreadable")
                continue
            device = self._devices[uuid] = _Device(handle, GpuInfo(index, uuid))
            device.info = self._info(device)
            if device.info.mig:
                self._enumerate_mig(device)
        self.notes = tuple(notes)

    def _enumerate_mig(self, parent: _Device) -> None:
        """Instances keep their slot: the numbering may have holes."""
        for slot in range(self._call(parent, "nvmlDeviceGetMaxMigDeviceCount") or 0):
            try:
                handle = pynvml.nvmlDeviceGetMigDeviceHandleByIndex(parent.handle, slot)
                uuid = clean(pynvml.nvmlDeviceGetUUID(handle))
            except (pynvml.NVMLError, UnicodeDecodeError):
                continue
            instance = self._devices[uuid] = _Device(handle, GpuInfo(parent.info.index, uuid))
            instance.info = GpuInfo(
                parent.info.index,
                uuid,
                name=_text(self._call(instance, "nvmlDeviceGetName")) or f"{parent.info.name} MIG {slot}",
                mig=False,
                mig_index=slot,
                parent=parent.info.uuid,
                memory_total=self._memory(instance)[1],
                driver=self.driver,
                cuda_driver=self.cuda_driver,
                compute_capability=parent.info.compute_capability,
                pci_bus_id=parent.info.pci_bus_id,
            )

    def _info(self, device: _Device) -> GpuInfo:
        def ask(name: str, *args: Any) -> Any:
            return self._call(device, name, *args)

        capability = ask("nvmlDeviceGetCudaComputeCapability")
        limits = ask("nvmlDeviceGetPowerManagementLimitConstraints")
        mig = ask("nvmlDeviceGetMigMode")
        ecc = ask("nvmlDeviceGetEccMode")
        persistence = ask("nvmlDeviceGetPersistenceMode")
        pci = ask("nvmlDeviceGetPciInfo_v3")
        limit = ask("nvmlDeviceGetEnforcedPowerLimit")
        return GpuInfo(
            device.info.index,
            device.info.uuid,
            name=_text(ask("nvmlDeviceGetName")) or "NVIDIA GPU",
            mig=None if mig is None else bool(mig[0]),
            memory_total=self._memory(device)[1],
            driver=self.driver,
            cuda_driver=self.cuda_driver,
            compute_capability=f"{capability[0]}.{capability[1]}" if capability else None,
            power_limit_w=_watts(limit if limit is not None else ask("nvmlDeviceGetPowerManagementLimit")),
            power_limit_default_w=_watts(ask("nvmlDeviceGetPowerManagementDefaultLimit")),
            power_limit_max_w=_watts(limits[1]) if limits else None,
            max_sm_mhz=_positive(ask("nvmlDeviceGetMaxClockInfo", _GPU_CLOCK_SM), _MAX_MHZ),
            max_memory_mhz=_positive(ask("nvmlDeviceGetMaxClockInfo", _GPU_CLOCK_MEMORY), _MAX_MHZ),
            memory_bus_bits=_positive(ask("nvmlDeviceGetMemoryBusWidth"), 2**20),
            pcie_generation=_positive(ask("nvmlDeviceGetMaxPcieLinkGeneration"), 100),
            pcie_width=_positive(ask("nvmlDeviceGetMaxPcieLinkWidth"), 256),
            temp_slowdown_c=_positive(
                ask("nvmlDeviceGetTemperatureThreshold", _THRESHOLD_SLOWDOWN), _MAX_TEMPERATURE_C
            ),
            temp_shutdown_c=_positive(
                ask("nvmlDeviceGetTemperatureThreshold", _THRESHOLD_SHUTDOWN), _MAX_TEMPERATURE_C
            ),
            pci_bus_id=_text(pci.busId) if pci else None,
            persistence_mode=None if persistence is None else bool(persistence),
            ecc=None if ecc is None else bool(ecc[0]),
            nvlinks=_up(ask("nvmlDeviceGetNvLinkState", link) for link in range(_MOST_LINKS)),
        )

    def _read_sample(self, device: _Device) -> dict[str, Any]:
        """The readings of a whole GPU, by field of GpuSample."""
        if device.traffic.begun:
            device.traffic.end(self._link_counters(device), device.longest_ns)
        fields = self._fields(device, _SAMPLED_FIELDS)
        utilization = self._call(device, "nvmlDeviceGetUtilizationRates")
        temperature = self._call(device, "nvmlDeviceGetTemperature", _CORE_SENSOR)
        if temperature is None:  # drivers that dropped the plain call
            temperature = self._call(device, "nvmlDeviceGetTemperatureV", _CORE_SENSOR)
        state = self._call(device, "nvmlDeviceGetPerformanceState")
        return {
            "utilization": _share(utilization.gpu) if utilization else None,
            "memory_utilization": _share(utilization.memory) if utilization else None,
            "power_w": _watts(self._call(device, "nvmlDeviceGetPowerUsage")),
            "power_instant_w": _watts(fields.get(_FIELD_POWER_INSTANT)),
            "temperature_c": _degrees(temperature),
            # Boards without the sensor answer 0 instead of "not supported".
            "memory_temperature_c": _degrees(fields.get(_FIELD_MEMORY_TEMPERATURE) or None),
            "sm_mhz": _positive(self._call(device, "nvmlDeviceGetClockInfo", _GPU_CLOCK_SM), _MAX_MHZ),
            "memory_mhz": _positive(self._call(device, "nvmlDeviceGetClockInfo", _GPU_CLOCK_MEMORY), _MAX_MHZ),
            "throttle": self._throttle(device),
            "pstate": state if state is not None and state < 32 else None,  # 32: unknown
            **device.traffic.rates,
        }

    def _link_counters(self, device: _Device) -> LinkCounters:
        t_ns = time.monotonic_ns()
        fields = self._fields(device, _TRAFFIC_FIELDS)
        return LinkCounters(t_ns, *(_count(fields.get(field)) for field in _TRAFFIC_FIELDS))

    def _counters(self, device: _Device, t_ns: int, energy: int | None) -> GpuCounters:
        if device.info.parent:
            return GpuCounters(device.info.uuid, t_ns, lost=device.lost)
        violations = {}
        for name, policy in _VIOLATIONS.items():
            status = self._call(device, "nvmlDeviceGetViolationStatus", policy)
            if status is not None and status.violationTime not in _ALL_ONES:
                violations[name] = int(status.violationTime)
        fields = self._fields(device, _COUNTED_FIELDS)
        throttle = self._throttle(device)
        if device.lost:
            return GpuCounters(device.info.uuid, t_ns, lost=device.lost)
        return GpuCounters(
            device.info.uuid,
            t_ns,
            energy,
            violations,
            _count(fields.get(_FIELD_PCIE_TX_BYTES)),
            _count(fields.get(_FIELD_PCIE_RX_BYTES)),
            throttle,
        )

    def _memory(self, device: _Device) -> tuple[int | None, int | None]:
        """Used and total. The first version of the call counts the driver's own reserve as used, so it comes second."""
        memory = self._call(device, "nvmlDeviceGetMemoryInfo", _MEMORY_INFO_V2)
        if memory is None and ("nvmlDeviceGetMemoryInfo", _MEMORY_INFO_V2) in device.absent:
            memory = self._call(device, "nvmlDeviceGetMemoryInfo")
        if memory is None or not memory.total or memory.total in _ALL_ONES:
            return None, None
        return (int(memory.used) if memory.used <= memory.total else None), int(memory.total)

    def _throttle(self, device: _Device) -> tuple[str, ...] | None:
        mask = self._call(device, "nvmlDeviceGetCurrentClocksEventReasons")
        if mask is None:  # drivers before 535
            mask = self._call(device, "nvmlDeviceGetCurrentClocksThrottleReasons")
        return None if mask is None or mask in _ALL_ONES else throttle_names(mask)

    def _call(self, device: _Device, name: str, *args: Any) -> Any:
        """One reading, or None. Calls that a device never supported are not made again."""
        key = (name, *args)
        if device.lost or key in device.absent:
            return None
        function = getattr(pynvml, name, None)
        if function is None:  # an older binding
            device.absent.add(key)
            return None
        try:
            value = function(device.handle, *args)
        except pynvml.NVMLError as error:
            if not self._broken(device, error.value) and error.value in _NEVER_SUPPORTED and key not in device.answered:
                device.absent.add(key)
            return None
        except UnicodeDecodeError:
            return None
        device.answered.add(key)
        return value

    def _fields(self, device: _Device, ids: Sequence[int]) -> dict[int, int | float]:
        """Field values in one call, without those that are not available."""
        wanted = [field for field in ids if field not in device.absent_fields]
        if device.lost or not wanted:
            return {}
        try:
            answers = pynvml.nvmlDeviceGetFieldValues(
                device.handle, [(field, _SCOPES.get(field, 0)) for field in wanted]
            )
        except pynvml.NVMLError as error:
            if self._broken(device, error.value) or error.value not in _NEVER_SUPPORTED:
                return {}
            if len(wanted) == 1:
                device.absent_fields.add(wanted[0])
                return {}
            # An old driver may refuse all for the sake of one that it does not know.
            return {field: value for single in wanted for field, value in self._fields(device, [single]).items()}
        found: dict[int, int | float] = {}
        for answer in answers:
            if answer.nvmlReturn == 0:
                value = _union_value(answer)
                if value is not None:
                    found[answer.fieldId] = value
            elif not self._broken(device, answer.nvmlReturn) and answer.nvmlReturn in _NEVER_SUPPORTED:
                device.absent_fields.add(answer.fieldId)
        return found

    def _broken(self, device: _Device, code: int) -> bool:
        """Note what `code` says about the device or the driver; whether it says that either is gone."""
        if code in _DEAD:
            self.dead = self.dead or _DEAD[code]
            for each in self._devices.values():
                each.lost = each.lost or self.dead
            device.lost = device.lost or self.dead
            return True
        if code in _LOST:
            for each in (device, *self._devices.values()):
                if each is device or each.info.parent == device.info.uuid:
                    each.lost = each.lost or _LOST[code]
            return True
        return False


def _process_name(pid: int, absent: set[str]) -> str | None:
    if "nvmlSystemGetProcessName" in absent:
        return None
    try:
        path = pynvml.nvmlSystemGetProcessName(pid)
    except pynvml.NVMLError as error:
        if error.value in (3, 13):
            absent.add("nvmlSystemGetProcessName")
        return None
    except UnicodeDecodeError:
        return None
    return shorten(_text(path) or "", 200) or None


def _up(states: Iterable[int | None]) -> int | None:
    """How many links are up; beyond the last there is no state."""
    known = list(takewhile(lambda state: state is not None, states))
    return known.count(1) if known else None


def _unavailable(code: int) -> NvmlUnavailableError:
    reason, remedy = _OPEN_FAILED.get(
        code, (f"the NVIDIA driver cannot be used: {_describe(code)}", "Check `nvidia-smi` and the kernel log.")
    )
    return NvmlUnavailableError(reason, remedy=remedy)


def _describe(code: int) -> str:
    if code in _LOST:
        return _LOST[code]
    if code in _DEAD:
        return _DEAD[code]
    if code == _NO_PERMISSION:
        return "no permission"
    # The binding's own table; looking a code up there can itself call into the library, hence not str(error).
    known: dict[int, str] = pynvml.NVMLError._errcode_to_string
    return clean(known.get(code, f"NVML error {code}"))


def _system(name: str) -> Any:
    try:
        value = getattr(pynvml, name)()
    except (pynvml.NVMLError, UnicodeDecodeError):
        return None
    return clean(value) if isinstance(value, str) else value


def _cuda_version(number: int | None) -> str | None:
    """`13000` is `13.0`, `12040` is `12.4`."""
    return f"{number // 1000}.{number % 1000 // 10}" if number else None


def _text(value: Any) -> str | None:
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    return clean(value).strip() or None if isinstance(value, str) else None


def _union_value(answer: Any) -> int | float | None:
    if not 0 <= answer.valueType < len(_VALUE_MEMBERS):
        return None
    value: int | float | None = getattr(answer.value, _VALUE_MEMBERS[answer.valueType], None)
    return None if value in _ALL_ONES else value


def _watts(milliwatts: float | None) -> float | None:
    """A GPU that answers draws power, so zero is as much a missing reading as a sentinel is."""
    if milliwatts is None or not 0 < milliwatts <= _MAX_POWER_W * 1000:
        return None
    return milliwatts / 1000


def _degrees(value: float | None) -> float | None:
    return float(value) if value is not None and abs(value) <= _MAX_TEMPERATURE_C else None


def _share(value: int) -> float | None:
    return float(value) if 0 <= value <= 100 else None


def _positive(value: int | None, limit: int) -> int | None:
    return int(value) if value is not None and 0 < value <= limit else None


def _count(value: float | None) -> int | None:
    return int(value) if value is not None and value >= 0 else None
