"""The machine's own readings, over folders made up for the purpose where the real ones would differ."""

import os
from pathlib import Path

import msgspec
import psutil
import pytest

from infertui.telemetry.host import HostReader, container, cpu_joules, host_facts, rapl_joules
from infertui.telemetry.readings import HostCounters, HostFacts


def write(root: Path, **files: str) -> None:
    """Write files given by path, with `__` for `/`."""
    for name, text in files.items():
        put(root, name.replace("__", "/"), text)


def put(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def rapl(root: Path, zone: str, name: str, energy_uj: int, wrap_uj: int = 262143328850) -> None:
    folder = f"sys/class/powercap/{zone}"
    put(root, f"{folder}/name", f"{name}\n")
    put(root, f"{folder}/energy_uj", f"{energy_uj}\n")
    put(root, f"{folder}/max_energy_range_uj", f"{wrap_uj}\n")


def test_this_machine() -> None:
    reader = HostReader()
    first = reader.sample()
    assert first.cpu_percent is None  # a share needs two readings
    assert first.memory_total is not None
    assert first.memory_used is not None
    assert 0 < first.memory_used < first.memory_total
    assert first.load1 is not None


def test_cpu_share_follows_the_counters(monkeypatch: pytest.MonkeyPatch) -> None:
    real = type(psutil.cpu_times())
    zero = dict.fromkeys(real._fields, 0.0)
    readings = [
        real(**{**zero, "user": 10.0, "idle": 90.0}),
        real(**{**zero, "user": 16.0, "guest": 4.0, "idle": 92.0, "iowait": 2.0}),
        real(**{**zero, "user": 16.0, "guest": 4.0, "idle": 92.0, "iowait": 2.0}),
    ]
    monkeypatch.setattr(psutil, "cpu_times", lambda: readings.pop(0))
    reader = HostReader()
    assert reader.sample().cpu_percent is None
    # Guest time is part of user time: 6 s were busy and 4 s idle or waiting.
    assert reader.sample().cpu_percent == pytest.approx(60)
    assert reader.sample().cpu_percent is None  # no time went by


def test_a_proc_that_cannot_be_read_leaves_readings_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise PermissionError("hidden")

    for name in ("cpu_times", "virtual_memory", "swap_memory"):
        monkeypatch.setattr(psutil, name, refuse)
    sample = HostReader().sample()
    assert (sample.cpu_percent, sample.memory_used, sample.memory_total, sample.swap_used) == (None, None, None, None)


def test_cpu_time_of_the_cpus_that_may_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """user nice system idle iowait irq softirq steal guest: waiting is idling, a guest is in user time, and CPU 1 is
    somebody else's."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 2}, raising=False)
    tick = os.sysconf("SC_CLK_TCK")
    lines = ["cpu  9 9 9 9 9 9 9 9 9 9", "cpu0 10 20 30 400 50 1 2 3 7 0", "cpu1 999 0 0 0 0 0 0 0 0 0",
             "cpu2 1 0 0 100 0 0 0 0 0 0", "intr 77"]  # fmt: skip
    put(tmp_path, "proc/stat", "\n".join(lines))
    counters = HostReader(tmp_path).counters()
    assert counters.cpu_busy_s == pytest.approx((66 + 1) / tick)
    assert counters.cpu_total_s == pytest.approx((516 + 101) / tick)


def test_pages_swapped_in_and_out(tmp_path: Path) -> None:
    put(tmp_path, "proc/vmstat", "nr_free_pages 5\npswpin 30\npswpout 12\n")
    assert HostReader(tmp_path).counters().swapped == 42 * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize("content", ["", "pswpin 3\n", "cpu0 1 2\n", "cpu0 0 0 0 0 0 0 0 0\n", "\x1b[31mcpu0 nonsense"])
def test_what_the_kernel_does_not_count_is_not_there(tmp_path: Path, content: str) -> None:
    for name in ("proc/stat", "proc/vmstat") if content else ():
        put(tmp_path, name, content)
    counters = HostReader(tmp_path).counters()
    assert (counters.cpu_busy_s, counters.cpu_total_s, counters.swapped) == (None, None, None)


def test_rapl(tmp_path: Path) -> None:
    rapl(tmp_path, "intel-rapl:0", "package-0", 1_000_000)
    rapl(tmp_path, "intel-rapl:0:0", "dram", 500_000)
    rapl(tmp_path, "intel-rapl:1", "package-1", 2_000_000)
    rapl(tmp_path, "intel-rapl-mmio:0", "package-0", 77)
    rapl(tmp_path, "intel-rapl:2", "psys", 9_000_000)
    reader = HostReader(tmp_path)
    before = reader.counters()
    assert before.energy_uj == {"package-0": 1000000, "package-0/dram": 500000, "package-1": 2000000, "psys": 9000000}
    rapl(tmp_path, "intel-rapl:0", "package-0", 4_000_000)
    rapl(tmp_path, "intel-rapl:1", "package-1", 7_000_000)
    after = reader.counters()
    assert rapl_joules(before, after) == {"package-0": 3.0, "package-0/dram": 0.0, "package-1": 5.0, "psys": 0.0}
    assert cpu_joules(before, after) == 8.0


def test_cpu_power_comes_with_the_second_sample(tmp_path: Path) -> None:
    rapl(tmp_path, "intel-rapl:0", "package-0", 1_000_000)
    reader = HostReader(tmp_path)
    assert reader.sample().cpu_power_w is None
    rapl(tmp_path, "intel-rapl:0", "package-0", 3_000_000)
    power = reader.sample().cpu_power_w
    assert power is not None
    assert power > 0


def test_rapl_wraps_once() -> None:
    before = HostCounters(0, {"package-0": 900, "package-1": 900}, {"package-0": 1000})
    after = HostCounters(1, {"package-0": 100, "package-1": 100}, {"package-0": 1000})
    assert rapl_joules(before, after) == {"package-0": pytest.approx(200e-6)}
    assert cpu_joules(before, after) is None  # one package is unknown, so the sum is


def test_without_readable_rapl(tmp_path: Path) -> None:
    put(tmp_path, "sys/class/powercap/intel-rapl:0/name", "package-0\n")
    put(tmp_path, "sys/class/powercap/intel-rapl:0/energy_uj", "not a number\n")
    reader = HostReader(tmp_path)
    assert reader.counters().energy_uj == {}
    reader.sample()
    assert reader.sample().cpu_power_w is None


def test_memory_of_a_limited_container(tmp_path: Path) -> None:
    put(tmp_path, "proc/self/cgroup", "0::/outer/inner\n")
    put(tmp_path, "sys/fs/cgroup/outer/memory.max", "1048576000\n")
    put(tmp_path, "sys/fs/cgroup/outer/memory.current", "500000000\n")
    put(tmp_path, "sys/fs/cgroup/outer/memory.stat", "anon 1\ninactive_file 100000000\nactive_file 5\n")
    put(tmp_path, "sys/fs/cgroup/outer/cpu.max", "250000 100000\n")
    put(tmp_path, "sys/fs/cgroup/outer/inner/memory.max", "max\n")
    put(tmp_path, "sys/fs/cgroup/outer/inner/cpu.max", "max 100000\n")
    sample = HostReader(tmp_path).sample()
    assert (sample.memory_used, sample.memory_total) == (400000000, 1048576000)
    facts = host_facts(tmp_path, {})
    assert (facts.memory_limit, facts.cpu_quota) == (1048576000, 2.5)


def test_a_container_that_shows_its_own_group_as_the_top(tmp_path: Path) -> None:
    put(tmp_path, "proc/self/cgroup", "0::/not/visible/here\n")
    put(tmp_path, "sys/fs/cgroup/memory.max", "1048576000\n")
    put(tmp_path, "sys/fs/cgroup/memory.current", "1000\n")
    assert HostReader(tmp_path).sample().memory_total == 1048576000


@pytest.mark.parametrize("limit", ["max", "99999999999999999999", str(1 << 62), "", "-1", "nonsense"])
def test_no_memory_limit(tmp_path: Path, limit: str) -> None:
    put(tmp_path, "proc/self/cgroup", "0::/\n")
    put(tmp_path, "sys/fs/cgroup/memory.max", limit)
    assert host_facts(tmp_path, {}).memory_limit is None
    assert HostReader(tmp_path).sample().memory_total == psutil.virtual_memory().total


def test_a_cgroup_path_cannot_lead_elsewhere(tmp_path: Path) -> None:
    put(tmp_path, "proc/self/cgroup", "0::/../../secret\n")
    put(tmp_path, "sys/secret/memory.max", "4096\n")
    assert host_facts(tmp_path, {}).memory_limit is None


def test_facts(tmp_path: Path) -> None:
    write(
        tmp_path,
        proc__cpuinfo="processor\t: 0\nmodel name\t: Some\033[31m CPU @ 2 GHz\nprocessor\t: 1\nmodel name\t: Other\n",
        sys__devices__system__cpu__cpu0__cpufreq__scaling_governor="powersave\n",
    )
    put(tmp_path, "etc/os-release", 'NAME="X"\nPRETTY_NAME="Some Linux 12"\n')
    facts = host_facts(tmp_path, {})
    assert facts.cpu_model == "Some CPU @ 2 GHz"
    assert facts.governor == "powersave"
    assert facts.os == "Some Linux 12"
    assert facts.container is None
    assert facts.logical_cores == psutil.cpu_count()
    assert msgspec.json.decode(msgspec.json.encode(facts), type=HostFacts) == facts


@pytest.mark.parametrize(
    ("files", "environ", "name"),
    [
        ({}, {}, None),
        ({".dockerenv": ""}, {}, "docker"),
        ({"run/.containerenv": ""}, {}, "podman"),
        ({".dockerenv": ""}, {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, "kubernetes"),
        ({}, {"APPTAINER_NAME": "x.sif"}, "apptainer"),
        ({"run/systemd/container": "systemd-nspawn\n"}, {}, "systemd-nspawn"),
        ({}, {"container": "lxc"}, "lxc"),
        ({"proc/1/cgroup": "12:memory:/kubepods/besteffort/pod1\n"}, {}, "kubernetes"),
        ({"proc/1/cgroup": "0::/docker/abc\n"}, {}, "docker"),
        ({"proc/1/cgroup": "0::/init.scope\n"}, {}, None),
    ],
)
def test_container(tmp_path: Path, files: dict[str, str], environ: dict[str, str], name: str | None) -> None:
    for path, text in files.items():
        put(tmp_path, path, text)
    assert container(tmp_path, environ) == name
