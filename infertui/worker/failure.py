"""What a dead or silent worker means, said with the figures. Pure, but for the log's tail and the kernel's counter."""

import signal
from pathlib import Path

import psutil
from msgspec import Struct

from infertui import regular_files
from infertui.errors import EngineError
from infertui.targets.engine.contract import PROCESS_DIED
from infertui.text import clean
from infertui.units import format_bytes
from infertui.worker.protocol import Failure, FailureKind

TAIL_BYTES = 8192
TAIL_LINES = 12


class WorkerError(EngineError):
    """A run's worker failed. `kind` is machine-readable, `details` are the figures, `log_tail` its last words."""

    def __init__(
        self,
        kind: FailureKind,
        message: str,
        *,
        remedy: str = "",
        details: dict[str, str] | None = None,
        log_tail: str = "",
    ) -> None:
        super().__init__(message, remedy=remedy)
        self.kind = kind
        self.details = details or {}
        self.log_tail = log_tail

    @classmethod
    def of(cls, failure: Failure) -> "WorkerError":
        """From the worker's own account."""
        return cls(failure.kind, failure.message, remedy=failure.remedy, details=failure.details)


_LESS = "Use a smaller batch, shorter sequences, a smaller dtype, or a smaller model."


class LastSigns(Struct):
    """What was last known of a worker while it lived."""

    resident: int = 0
    available: int | None = None
    oom_kills: int | None = None


def of_exit(code: int, phase: str, signs: LastSigns, log: Path) -> WorkerError:
    """The error of a worker that ended by itself with this exit code (negative: the signal that killed it)."""
    tail = log_tail(log)
    if code == PROCESS_DIED and _kernel_killed(signs):
        return WorkerError(
            "out-of-memory",
            f"the host ran out of memory during {phase}: the kernel killed a process of the engine",
            remedy=_LESS,
            details={"where": "host"},
            log_tail=tail,
        )
    if code >= 0:
        return WorkerError(
            "crash",
            f"the worker exited with status {code} during {phase}",
            remedy=f"Its last output is in {log}.",
            log_tail=tail,
        )
    name = signal_name(-code)
    if -code == signal.SIGKILL:
        return _of_sigkill(phase, signs, log, tail)
    return WorkerError(
        "crash",
        f"the worker was killed by {name} during {phase}",
        remedy=f"A crash inside the backend or a driver; its last output is in {log}.",
        details={"signal": name},
        log_tail=tail,
    )


def _kernel_killed(signs: LastSigns) -> bool:
    """Whether the kernel has killed for want of memory since these signs."""
    now = oom_kills()
    return now is not None and signs.oom_kills is not None and now > signs.oom_kills


def _of_sigkill(phase: str, signs: LastSigns, log: Path, tail: str) -> WorkerError:
    details = {"signal": "SIGKILL", "worker used": format_bytes(signs.resident)}
    if signs.available is not None:
        details["host had free"] = format_bytes(signs.available)
    kernel_says = _kernel_killed(signs)
    short = signs.available is not None and signs.available < max(signs.resident // 4, 256 << 20)
    if kernel_says or short:
        return WorkerError(
            "out-of-memory",
            f"the host ran out of memory during {phase}: the kernel killed the worker"
            + ("" if kernel_says else " (inferred from what was free)"),
            remedy=_LESS,
            details={"where": "host"} | details,
            log_tail=tail,
        )
    return WorkerError(
        "killed",
        f"the worker was killed by SIGKILL during {phase}, not by infertui",
        remedy=f"Someone or something on this machine killed it; its last output is in {log}.",
        details=details,
        log_tail=tail,
    )


def log_tail(log: Path) -> str:
    """The last lines of the worker's output, safe to show."""
    try:
        text = regular_files.read_part(log, TAIL_BYTES, end=True).decode(errors="replace")
    except OSError:
        return ""
    return "\n".join(clean(text, lines=True).strip().split("\n")[-TAIL_LINES:])


def oom_kills() -> int | None:
    """How often the out-of-memory killer has struck: in our own cgroup where that counts, else on the machine."""
    for path in (*_own_cgroup_events(), Path("/proc/vmstat")):
        try:
            lines = path.read_text(encoding="ascii").split("\n")
        except OSError:
            continue
        counts = [int(line.split()[1]) for line in lines if line.startswith("oom_kill ")]
        if counts:
            return counts[0]
    return None


def _own_cgroup_events() -> list[Path]:
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:
        return []
    groups = [line.removeprefix("0::") for line in lines if line.startswith("0::")]
    return [Path("/sys/fs/cgroup") / group.lstrip("/") / "memory.events" for group in groups]


def host_available() -> int:
    """Bytes of host memory that can be had without swapping."""
    return psutil.virtual_memory().available


def signal_name(number: int) -> str:
    """Its name, or its number where it has none."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
