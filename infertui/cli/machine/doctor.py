"""`infertui doctor`: what can be used here, why not, and what to do about it."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer
from msgspec import Struct

from infertui.cli.output import Painted, say, say_json
from infertui.metrics.metric import NOT_AVAILABLE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from infertui.measure.roofline import DevicePeaks
    from infertui.telemetry.readings import GpuInfo


class Check(Struct, frozen=True):
    """One thing that was looked at."""

    area: Literal["program", "engine", "gpu", "host", "tool", "folder", "container"]
    name: str
    ok: bool
    detail: str
    remedy: str = ""


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="A JSON array of findings.")] = False,
    containers: Annotated[
        bool,
        typer.Option("--container", help="What running in containers takes: on a host what it lacks, in one likewise."),
    ] = False,
) -> None:
    """Say what can be used here, why the rest cannot, and what to do."""
    if containers:
        from infertui.cli.machine.container_checks import examine_containers

        findings = examine_containers()
    else:
        findings = examine()
    if as_json:
        say_json(findings, indent=2)
        return
    from infertui.text import clean

    width = max(len(finding.name) for finding in findings)
    area = ""
    for finding in findings:
        if finding.area != area:
            area = finding.area
            say(Painted(area, bold=True))
        mark = Painted("ok", "green") if finding.ok else Painted("--", "yellow")
        say("  ", mark, f"  {clean(finding.name):<{width}}  {clean(finding.detail)}")
        if finding.remedy:
            say(f"      {'':<{width}}  -> {clean(finding.remedy)}")


def examine() -> list[Check]:
    """Look at everything. Imports no backend."""
    return [*_program(), *_engines(), *_gpus(), *_host(), *_tools(), *_folders()]


def _program() -> list[Check]:
    import platform

    from infertui import __version__

    return [Check("program", "infertui", ok=True, detail=f"{__version__} on Python {platform.python_version()}")]


def _engines() -> list[Check]:
    from infertui.cli.machine.engine_facts import facts
    from infertui.config.engines.registry import PROBLEMS

    findings = []
    for engine in facts(None):
        detail = f"{engine.summary}; {engine.state}"
        detail += f"; in {engine.python}" if engine.python and engine.available else ""
        detail += f"; not run on hardware: {engine.not_run_on_hardware}" if engine.not_run_on_hardware else ""
        remedy = "" if engine.available else engine.remedy
        findings.append(Check("engine", engine.name, ok=engine.available, detail=detail, remedy=remedy))
    remedy = "Install another version of that package, or remove it."
    return findings + [Check("engine", "plug-in", ok=False, detail=text, remedy=remedy) for text in PROBLEMS]


def _gpus() -> list[Check]:
    from infertui.telemetry.nvml import Nvml, NvmlUnavailableError
    from infertui.units import format_bytes

    try:
        nvml = Nvml.open()
    except NvmlUnavailableError as error:
        return [Check("gpu", "NVML", ok=False, detail=error.message, remedy=error.remedy)]
    try:
        findings = []
        for gpu in nvml.devices():
            memory = format_bytes(gpu.memory_total) if gpu.memory_total is not None else "memory n/a"
            capability = gpu.compute_capability or NOT_AVAILABLE
            detail = f"{gpu.name}, {memory}, compute capability {capability}, driver {gpu.driver}"
            findings.append(Check("gpu", f"GPU {gpu.label}", ok=True, detail=detail))
            if not gpu.mig:
                device = f"cuda:{gpu.index}" if gpu.parent is None else "cuda"
                found = _ceilings(name=gpu.name, uuid=gpu.uuid, driver=gpu.driver or "")
                findings.append(_calibrated("gpu", f"GPU {gpu.label} ceilings", found, device))
        findings += [Check("gpu", "note", ok=False, detail=note) for note in nvml.notes]
        findings += _hindrances(nvml.devices())
        return findings or [Check("gpu", "NVML", ok=False, detail="the driver runs but shows no GPU")]
    finally:
        nvml.close()


def _hindrances(gpus: "Sequence[GpuInfo]") -> list[Check]:
    """What keeps engines from the GPUs, and CUDA_VISIBLE_DEVICES where it hides them all."""
    import os

    from infertui.errors import ConfigError
    from infertui.targets.engine.environments import probe_all
    from infertui.telemetry.usable import hindrance
    from infertui.telemetry.visible import visible_from_environment

    found = [
        Check("gpu", probe.engine, ok=False, detail=hindered.reason, remedy=hindered.remedy)
        for probe in probe_all()
        if (hindered := hindrance(probe, gpus))
    ]
    name = "CUDA_VISIBLE_DEVICES"
    try:
        if gpus and not visible_from_environment(os.environ, gpus):
            detail = f"{name}={os.environ.get(name, '')} hides every GPU from runs"
            found.append(Check("gpu", name, ok=False, detail=detail, remedy=f"Unset {name} to use them."))
    except ConfigError as error:
        found.append(Check("gpu", name, ok=False, detail=error.message, remedy=error.remedy))
    return found


def _ceilings(*, name: str, uuid: str = "", driver: str = "") -> "DevicePeaks | None":
    """What was measured of a device; of a CPU with any number of threads."""
    from infertui.errors import StoreError
    from infertui.results.peaks import find_peaks, read_peaks

    try:
        entries = read_peaks()
    except StoreError:
        return None
    if uuid:
        return find_peaks(entries, name=name, uuid=uuid, driver=driver)
    return next((entry for entry in reversed(entries) if not entry.uuid and entry.device == name), None)


def _calibrated(area: Literal["gpu", "host"], name: str, found: "DevicePeaks | None", device: str) -> Check:
    """Whether shares of a device's limits refer to what it was measured at itself."""
    from infertui.units import format_rate

    command = f"infertui calibrate --device {device}"
    if found is None:
        detail = "not calibrated: shares of its limits are of data/hardware.toml, or not available"
        return Check(area, name, ok=False, detail=detail, remedy=command)
    best = max(found.matrix_rates.items(), key=lambda item: item[1], default=None)
    fastest = f", {format_rate(best[1], 'OP/s')} {best[0]}" if best else ""
    detail = f"{format_rate(found.copy_bandwidth, 'B/s')} copied{fastest}, measured {found.measured[:10]}"
    disturbed = f"; disturbed: {found.disturbed[0]}" if found.disturbed else ""
    return Check(area, name, ok=not disturbed, detail=detail + disturbed, remedy=command if disturbed else "")


def _host() -> list[Check]:
    from infertui.telemetry.host import HostReader, host_facts
    from infertui.units import format_bytes

    facts = host_facts()
    memory = format_bytes(facts.memory_total) if facts.memory_total is not None else NOT_AVAILABLE
    cores = f"{facts.affinity_cores} of {facts.logical_cores} CPUs, {memory} RAM"
    findings = [Check("host", "CPU", ok=True, detail=f"{facts.cpu_model or 'unknown'}, {cores}")]
    findings.append(_calibrated("host", "CPU ceilings", _ceilings(name=facts.cpu_model or "CPU"), "cpu"))
    governor = facts.governor
    findings.append(
        Check(
            "host",
            "governor",
            ok=governor in (None, "performance"),
            detail=governor or "not reported (usual in virtual machines)",
            remedy="" if governor in (None, "performance") else "cpupower frequency-set -g performance",
        )
    )
    rapl = bool(HostReader().counters().energy_uj)
    findings.append(
        Check(
            "host",
            "CPU power",
            ok=rapl,
            detail="RAPL is readable" if rapl else "no readable RAPL counter: CPU energy is not available",
            remedy="" if rapl else "On bare metal: chmod a+r /sys/class/powercap/intel-rapl*/energy_uj as root.",
        )
    )
    if facts.container:
        detail = f"{facts.container}; infertui doctor --container tells what it was given"
        findings.append(Check("host", "container", ok=True, detail=detail))
    return findings


def _free_bytes(path: "Path") -> int:
    import shutil

    while path != path.parent:
        try:
            return shutil.disk_usage(path).free
        except OSError:
            path = path.parent
    return 0


def _tools() -> list[Check]:
    import shutil

    purposes = {"nvidia-smi": "not needed; comes with the driver", "git": "records the revision of a checkout"}
    return [
        Check("tool", name, ok=bool(path := shutil.which(name)), detail=f"{path or 'not found'}: {purpose}")
        for name, purpose in purposes.items()
    ]


def _folders() -> list[Check]:
    import os
    from pathlib import Path

    from infertui.models.hub.cache import cache_dir
    from infertui.units import format_bytes

    findings = []
    for name, path in (("reports", Path("reports")), ("model cache", cache_dir())):
        there = path.absolute()
        while not os.path.lexists(there) and there != there.parent:
            there = there.parent
        writable = os.access(there, os.W_OK | os.X_OK)
        free = format_bytes(_free_bytes(there))
        remedy = "" if writable else "Choose another with --out." if name == "reports" else "Set HF_HOME."
        findings.append(Check("folder", name, ok=writable, detail=f"{path}, {free} free", remedy=remedy))
    return findings
