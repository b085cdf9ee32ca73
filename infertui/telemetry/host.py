"""The machine around the GPUs: CPU, memory, load, CPU power, and the facts that belong to a result's fingerprint.

Inside a container with a memory limit (cgroup v2) "memory" means the container's: its limit and what it uses of it.
"""

import os
import platform
import re
import socket
import time
from collections.abc import Mapping
from pathlib import Path

import psutil

from infertui.telemetry.readings import HostCounters, HostFacts, HostSample
from infertui.text import clean, one_line, shorten

_POWERCAP = "sys/class/powercap"
_CGROUP = "sys/fs/cgroup"
# A limit above this is the kernel's way to say "none".
_NO_LIMIT = 1 << 60


class HostReader:
    """Samples of the machine. It keeps the readings before, from which shares and powers follow.

    `root` is where `/proc`, `/sys` and `/run` are looked up, except for what psutil reads.
    """

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root
        self._rapl = _rapl_domains(root)
        self._memory_group = _limited_memory_group(root)
        self._times: tuple[float, float] | None = None
        self._energy: HostCounters | None = None

    def sample(self) -> HostSample:
        """Read everything; the first sample has neither CPU share nor CPU power. Never raises."""
        used, total = self._memory()
        return HostSample(
            cpu_percent=self._cpu_percent(),
            memory_used=used,
            memory_total=total,
            swap_used=_swap_used(),
            load1=_load(),
            cpu_power_w=self._cpu_power(),
        )

    def counters(self) -> HostCounters:
        """Everything that is counted. RAPL's counters may be read by root alone, usually."""
        energy: dict[str, int] = {}
        ranges: dict[str, int] = {}
        t_ns = time.monotonic_ns()
        for name, folder in self._rapl.items():
            value = _number(folder / "energy_uj")
            if value is not None:
                energy[name] = value
                wrap = _number(folder / "max_energy_range_uj")
                if wrap:
                    ranges[name] = wrap
        busy, total = _cpu_seconds(self._root)
        return HostCounters(t_ns, energy, ranges, cpu_busy_s=busy, cpu_total_s=total, swapped=_swapped(self._root))

    def _cpu_percent(self) -> float | None:
        try:
            times = psutil.cpu_times()
        except (OSError, RuntimeError, ValueError, IndexError):
            return None
        # Guest time is contained in user time, and waiting for a disk is idling.
        total = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
        busy = total - times.idle - getattr(times, "iowait", 0.0)
        before, self._times = self._times, (busy, total)
        if before is None or total <= before[1]:
            return None
        return min(100.0, max(0.0, 100.0 * (busy - before[0]) / (total - before[1])))

    def _memory(self) -> tuple[int | None, int | None]:
        if self._memory_group is not None:
            folder, limit = self._memory_group
            used = _number(folder / "memory.current")
            if used is not None:
                # Page cache that the kernel gives up at once is not in use.
                return max(0, used - _statistic(folder / "memory.stat", "inactive_file")), limit
        try:
            memory = psutil.virtual_memory()
        except (OSError, RuntimeError, ValueError):
            return None, None
        return int(memory.total - memory.available), int(memory.total)

    def _cpu_power(self) -> float | None:
        if not self._rapl:
            return None
        before, self._energy = self._energy, self.counters()
        joules = cpu_joules(before, self._energy) if before else None
        if before is None or joules is None or self._energy.t_ns <= before.t_ns:
            return None
        return joules * 1e9 / (self._energy.t_ns - before.t_ns)


def rapl_joules(before: HostCounters, after: HostCounters) -> dict[str, float]:
    """Energy by domain between two readings, through at most one wraparound of a counter.

    A domain whose counter went backwards and has no known range is left out.
    """
    joules = {}
    for name, end in after.energy_uj.items():
        start = before.energy_uj.get(name)
        if start is None:
            continue
        difference = end - start
        if difference < 0:
            difference += after.range_uj.get(name, 0)
        if difference >= 0:
            joules[name] = difference / 1e6
    return joules


def cpu_joules(before: HostCounters, after: HostCounters) -> float | None:
    """Energy of all CPU packages between two readings: their sub-domains are part of them, the rest is not CPU."""
    joules = rapl_joules(before, after)
    packages = [name for name in after.energy_uj if name.startswith("package") and "/" not in name]
    if not packages or any(name not in joules for name in packages):
        return None
    return sum(joules[name] for name in packages)


def host_facts(root: Path = Path("/"), environ: Mapping[str, str] = os.environ) -> HostFacts:
    """Describe the machine. What cannot be found out is None."""
    group = _limited_memory_group(root)
    return HostFacts(
        hostname=clean(socket.gethostname()),
        kernel=clean(platform.release()),
        os=_os_name(root),
        cpu_model=_cpu_model(root),
        physical_cores=psutil.cpu_count(logical=False),
        logical_cores=psutil.cpu_count(),
        affinity_cores=_affinity(),
        cpu_quota=_cpu_quota(root),
        memory_total=_machine_memory(),
        memory_limit=group[1] if group else None,
        governor=_text(root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        container=container(root, environ),
    )


def container(root: Path = Path("/"), environ: Mapping[str, str] = os.environ) -> str | None:
    """Which kind of container this is, or None. The orchestrator wins over the runtime beneath it."""
    if "KUBERNETES_SERVICE_HOST" in environ:
        return "kubernetes"
    for variable, name in (("APPTAINER_NAME", "apptainer"), ("SINGULARITY_NAME", "singularity")):
        if variable in environ:
            return name
    if (root / "run/.containerenv").exists():
        return "podman"
    if (root / ".dockerenv").exists():
        return "docker"
    named = _text(root / "run/systemd/container") or environ.get("container")
    if named:
        return one_line(named, 40)
    groups = _text(root / "proc/1/cgroup", lines=True) or ""
    for mark, name in (("kubepods", "kubernetes"), ("docker", "docker"), ("libpod", "podman"), ("/lxc", "lxc")):
        if mark in groups:
            return name
    return None


def _rapl_domains(root: Path) -> dict[str, Path]:
    """Folders of readable RAPL counters by domain name, sub-domains as `package-0/dram`.

    The memory-mapped twins (`intel-rapl-mmio`) count the same energy and are left out. AMD uses the same names.
    """
    zones: dict[str, str] = {}
    domains: dict[str, Path] = {}
    try:
        folders = sorted(
            (root / _POWERCAP).glob("intel-rapl:*"), key=lambda folder: (folder.name.count(":"), folder.name)
        )
    except OSError:
        return {}
    for folder in folders:
        parent, _, _ = folder.name.rpartition(":")
        name = _text(folder / "name") or folder.name
        zones[folder.name] = name = f"{zones[parent]}/{name}" if parent in zones else name
        if name not in domains and _number(folder / "energy_uj") is not None:
            domains[name] = folder
    return domains


def _own_groups(root: Path) -> list[Path]:
    """This process' cgroup v2 folder and those above it, as far as they are visible from here."""
    listing = _text(root / "proc/self/cgroup", lines=True) or ""
    match = re.search(r"^0::/(.*)$", listing, re.MULTILINE)
    if not match or ".." in match[1].split("/"):
        return []
    top = root / _CGROUP
    own = top / match[1]
    if not own.is_dir():  # inside a container that shows its own group as the top
        own = top
    return [folder for folder in (own, *own.parents) if folder.is_relative_to(top)]


def _limited_memory_group(root: Path) -> tuple[Path, int] | None:
    """The cgroup with the tightest memory limit and that limit; None where nothing limits."""
    limits = [(limit, folder) for folder in _own_groups(root) if (limit := _number(folder / "memory.max")) is not None]
    if not limits:
        return None
    limit, folder = min(limits, key=lambda pair: pair[0])
    machine = _machine_memory()
    if limit >= _NO_LIMIT or (machine is not None and limit >= machine):
        return None
    return folder, limit


def _cpu_quota(root: Path) -> float | None:
    quotas = []
    for folder in _own_groups(root):
        quota, _, period = (_text(folder / "cpu.max") or "").partition(" ")
        if quota.isdecimal() and period.isdecimal() and int(period):
            quotas.append(int(quota) / int(period))
    return min(quotas, default=None)


def _machine_memory() -> int | None:
    try:
        return int(psutil.virtual_memory().total)
    except (OSError, RuntimeError, ValueError):
        return None


def _swap_used() -> int | None:
    try:
        return int(psutil.swap_memory().used)
    except (OSError, RuntimeError, ValueError):
        return None


def _cpu_seconds(root: Path) -> tuple[float | None, float | None]:
    """Busy and all seconds of the CPUs that this process may use, since the machine started; None without /proc/stat.

    Waiting for a disk is idling. What a hypervisor took for others is busy.
    """
    usable = _affinity_set()
    listing = _text(root / "proc/stat", lines=True) or ""
    busy = total = 0
    for name, numbers in re.findall(r"^cpu(\d+) ([\d ]+)$", listing, re.MULTILINE):
        # user nice system idle iowait irq softirq steal; guest time, which follows, is part of user and nice.
        ticks = [int(number) for number in numbers.split()[:8]]
        if len(ticks) > 4 and (usable is None or int(name) in usable):
            total += sum(ticks)
            busy += sum(ticks) - ticks[3] - ticks[4]
    if not total:
        return None, None
    per_second = os.sysconf("SC_CLK_TCK")
    return busy / per_second, total / per_second


def _swapped(root: Path) -> int | None:
    """Bytes swapped in and out since the machine started; None where the kernel does not count them."""
    listing = _text(root / "proc/vmstat", lines=True) or ""
    pages = [int(number) for number in re.findall(r"^pswp(?:in|out) (\d+)$", listing, re.MULTILINE)]
    return sum(pages) * os.sysconf("SC_PAGE_SIZE") if len(pages) == 2 else None


def _affinity_set() -> set[int] | None:
    try:
        return os.sched_getaffinity(0)
    except (AttributeError, OSError):
        return None


def _load() -> float | None:
    try:
        return os.getloadavg()[0]
    except OSError:
        return None


def _affinity() -> int | None:
    usable = _affinity_set()
    return None if usable is None else len(usable)


def _cpu_model(root: Path) -> str | None:
    """x86 has `model name`; of other CPUs the architecture is what can be said."""
    match = re.search(r"^model name\s*:\s*(.+)$", _text(root / "proc/cpuinfo", lines=True) or "", re.MULTILINE)
    return shorten(match[1].strip(), 200) if match else clean(platform.machine()) or None


def _os_name(root: Path) -> str | None:
    match = re.search(r'^PRETTY_NAME="?([^"\n]+)"?$', _text(root / "etc/os-release", lines=True) or "", re.MULTILINE)
    return shorten(match[1].strip(), 200) if match else None


def _statistic(path: Path, key: str) -> int:
    """One value of a file of `key value` lines; 0 where it is not there."""
    match = re.search(rf"^{key} (\d+)$", _text(path, lines=True) or "", re.MULTILINE)
    return int(match[1]) if match else 0


def _number(path: Path) -> int | None:
    text = _text(path)
    return int(text) if text is not None and text.isdecimal() and len(text) < 20 else None


def _text(path: Path, *, lines: bool = False) -> str | None:
    """The beginning of a small file, made safe; None where it cannot be read or is empty."""
    try:
        with path.open("rb") as file:
            content = file.read(1 << 16)
    except OSError:
        return None
    return clean(content.decode(errors="replace"), lines=lines).strip() or None
