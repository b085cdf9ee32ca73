"""Power limits and locked clocks of GPUs, for as long as somebody asks for them, and as they were before afterwards.

What was there is kept in a file before anything is changed. It is put back when this is closed; by a process of its own
when whoever changed it is no more, however that ended; and by `restore_left` where that process was killed as well. A
limit outlives the driver's clients, so it would stay for whoever comes next.

NVML does not tell which clocks are locked: what is put back is that none are.

Run as `python -m infertui.telemetry.gpu_settings LIFELINE RECORD` this is that process.
"""

import contextlib
import fcntl
import os
import secrets
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from infertui.endings import ENDING
from infertui.errors import InfertuiError, StoreError
from infertui.integers import Whole
from infertui.paths import state_dir
from infertui.telemetry.readings import CLOCK, POWER, GpuSetting
from infertui.text import clean

_READY, _LEAVE = b"r", b"q"


class GpuSettingError(InfertuiError):
    """A setting of a GPU cannot be read or changed."""

    kind = "gpu-setting"


class GpuWas(Struct, frozen=True):
    """What a GPU was set to: its power limit in milliwatts, None where it has none."""

    uuid: str
    power_mw: Whole | None


class GpuRecord(Struct, frozen=True):
    """What is kept while settings are changed: what was there, and the names of those that are changed."""

    gpus: tuple[GpuWas, ...]
    changed: tuple[str, ...] = ()


def records_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Where what was there is kept while it is changed."""
    return state_dir(environ) / "gpu-settings"


class _Driver:
    """The NVML calls. Every one raises GpuSettingError where it is refused."""

    def __init__(self) -> None:
        import pynvml

        self._nvml: Any = pynvml
        self._call("open the NVIDIA driver library", pynvml.nvmlInit)

    def _call(self, what: str, function: Any, *arguments: object) -> Any:
        try:
            return function(*arguments)
        except self._nvml.NVMLError as error:
            denied = error.value == self._nvml.NVML_ERROR_NO_PERMISSION
            remedy = "The driver lets root alone change settings of a GPU." if denied else ""
            raise GpuSettingError(f"cannot {what}: {clean(str(error))}", remedy=remedy) from None

    def _handle(self, uuid: str) -> Any:
        for index in range(self._call("count the GPUs", self._nvml.nvmlDeviceGetCount)):
            with contextlib.suppress(self._nvml.NVMLError):
                handle = self._nvml.nvmlDeviceGetHandleByIndex(index)
                if self._nvml.nvmlDeviceGetUUID(handle) == uuid:
                    return handle
        raise GpuSettingError(f"there is no GPU {clean(uuid)} whose settings could be changed")

    def was(self, uuid: str) -> GpuWas:
        handle = self._handle(uuid)
        try:
            return GpuWas(uuid, int(self._nvml.nvmlDeviceGetPowerManagementLimit(handle)))
        except self._nvml.NVMLError:
            return GpuWas(uuid, None)

    def limits(self, uuid: str) -> dict[str, tuple[float, float]]:
        handle, found = self._handle(uuid), {}
        with contextlib.suppress(self._nvml.NVMLError):
            low, high = self._nvml.nvmlDeviceGetPowerManagementLimitConstraints(handle)
            found[POWER] = (low / 1000, high / 1000)
        with contextlib.suppress(self._nvml.NVMLError):
            found[CLOCK] = (0.0, float(self._nvml.nvmlDeviceGetMaxClockInfo(handle, self._nvml.NVML_CLOCK_SM)))
        return found

    def set_power(self, uuid: str, milliwatts: int) -> None:
        setter = self._nvml.nvmlDeviceSetPowerManagementLimit
        self._call(f"set the power limit to {milliwatts / 1000:g} W", setter, self._handle(uuid), milliwatts)

    def set_clock(self, uuid: str, mhz: int) -> None:
        handle = self._handle(uuid)
        if mhz:
            self._call(f"lock the SM clock to {mhz} MHz", self._nvml.nvmlDeviceSetGpuLockedClocks, handle, mhz, mhz)
        else:
            self._call("unlock the SM clock", self._nvml.nvmlDeviceResetGpuLockedClocks, handle)

    def restore(self, record: "GpuRecord") -> list[str]:
        """Put back what was there of all that was changed, of each GPU that answers; what could not be."""
        refused: list[str] = []
        for gpu in record.gpus:
            try:
                if CLOCK in record.changed:
                    self.set_clock(gpu.uuid, 0)
            except GpuSettingError as error:
                refused.append(error.message)
            try:
                if POWER in record.changed and gpu.power_mw is not None:
                    self.set_power(gpu.uuid, gpu.power_mw)
            except GpuSettingError as error:
                refused.append(error.message)
        return refused


class GpuSettings:
    """The settings of some GPUs, in the hands of this process. Close it: until then others find them changed."""

    def __init__(self, uuids: Sequence[str], folder: Path | None = None) -> None:
        """Notes what is there, and starts the process that puts it back. Nothing is changed yet.

        Raises GpuSettingError where the driver cannot be used, and StoreError where it cannot be noted.
        """
        place = records_folder() if folder is None else folder
        restore_left(place)  # else what is left changed would count as what was there
        _must_be_alone(place, uuids)
        self._driver = _Driver()
        self._was = tuple(self._driver.was(uuid) for uuid in uuids)
        self._known = [self._driver.limits(uuid) for uuid in uuids]
        self._now: dict[str, float] = {}
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._record = place / f"{os.getpid()}-{secrets.token_hex(4)}.json"
        self._noted = GpuRecord(self._was)
        self._claim = _kept(self._record, self._noted)
        self._watchdog, self._lifeline = self._started()
        threading.Thread(target=self._watch, name="gpu-settings", daemon=True).start()

    @property
    def settings(self) -> tuple[GpuSetting, ...]:
        """Those that every one of the GPUs has, with what they were: of several GPUs the least."""
        found = []
        powers = [gpu.power_mw for gpu in self._was]
        for name in (POWER, CLOCK):
            limits = [known[name] for known in self._known if name in known]
            if len(limits) < len(self._was) or not limits or (name == POWER and None in powers):
                continue
            was = min(power for power in powers if power is not None) / 1000 if name == POWER else 0.0
            found.append(GpuSetting(name, was, max(low for low, _ in limits), min(high for _, high in limits)))
        return tuple(found)

    def apply(self, wanted: Mapping[str, float]) -> None:
        """Set these, and whatever is not among them to what it was. Raises GpuSettingError; then all is as it was."""
        with self._lock:
            if self._closed.is_set() or wanted == self._now:
                return
            self._note(wanted)
            try:
                for gpu in self._was:
                    power = wanted.get(POWER)
                    if power is not None:
                        self._driver.set_power(gpu.uuid, round(power * 1000))
                    elif POWER in self._now and gpu.power_mw is not None:
                        self._driver.set_power(gpu.uuid, gpu.power_mw)
                    if CLOCK in wanted or CLOCK in self._now:
                        self._driver.set_clock(gpu.uuid, round(wanted.get(CLOCK, 0.0)))
            except GpuSettingError:
                self._driver.restore(self._noted)
                self._now = {}
                raise
            self._now = dict(wanted)

    def close(self) -> list[str]:
        """Put back what was there, and let the process that waits for that leave. What could not be put back, which the
        record then still tells."""
        with self._lock:
            if self._closed.is_set():
                return []
            self._closed.set()
            refused = self._driver.restore(self._noted)
            with contextlib.suppress(OSError):
                os.write(self._lifeline, _LEAVE)
            os.close(self._lifeline)
            if not refused:
                self._record.unlink(missing_ok=True)
            self._claim.close()
        return refused

    def _note(self, wanted: Mapping[str, float]) -> None:
        """Say which settings are changed, before they are. Raises StoreError."""
        changed = tuple(sorted({*self._noted.changed, *wanted}))
        if changed != self._noted.changed:
            noted = replace(self._noted, changed=changed)
            _write(self._claim, self._record, noted)
            self._noted = noted

    def _started(self) -> tuple["subprocess.Popen[bytes]", int]:
        reading, writing = os.pipe()
        try:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "infertui.telemetry.gpu_settings", str(reading), str(self._record)],
                pass_fds=(reading,), start_new_session=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )  # fmt: skip
        except OSError as error:
            os.close(writing)
            raise GpuSettingError(f"what puts settings of a GPU back cannot be started: {error.strerror}") from error
        finally:
            os.close(reading)
        assert process.stdout is not None  # noqa: S101
        if process.stdout.read(1) != _READY:
            os.close(writing)
            raise GpuSettingError("what puts settings of a GPU back did not start")
        return process, writing

    def _watch(self) -> None:
        """Start it again where it was killed while settings are changed."""
        while True:
            self._watchdog.wait()
            with self._lock:
                if self._closed.is_set():
                    return
                with contextlib.suppress(OSError):
                    os.close(self._lifeline)
                try:
                    self._watchdog, self._lifeline = self._started()
                except GpuSettingError:
                    self._lifeline = os.open(os.devnull, os.O_WRONLY)
                    return  # it is put back when this is closed, or by the next one


_ROOM = 1 << 14


def _write(file: IO[bytes], record: Path, noted: GpuRecord) -> None:
    """In one piece, in place: the lock is the file's. Raises StoreError."""
    try:
        os.pwrite(file.fileno(), msgspec.json.encode(noted).ljust(_ROOM), 0)
        os.fsync(file.fileno())
    except OSError as error:
        raise StoreError(
            f"{clean(str(record))}: {error.strerror}",
            remedy="What a GPU was set to has to be noted before it is changed.",
        ) from error


def _kept(record: Path, noted: GpuRecord) -> IO[bytes]:
    """Write down what was there, locked for as long as this process lives. Raises StoreError."""
    partial = record.with_suffix(".partial")
    try:
        record.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        claim = partial.open("wb", buffering=0)
        fcntl.flock(claim, fcntl.LOCK_EX)
    except OSError as error:
        raise StoreError(f"{clean(str(record))}: {error.strerror}") from error
    _write(claim, record, noted)
    partial.replace(record)
    return claim


def _must_be_alone(folder: Path, uuids: Sequence[str]) -> None:
    """Raise GpuSettingError where another process has a GPU's settings in its hands: it would put back ours."""
    for record in folder.glob("*.json"):
        noted = _read(record)
        if noted is not None and {gpu.uuid for gpu in noted.gpus} & set(uuids):
            raise GpuSettingError(
                "another tuning session has the settings of that GPU in its hands", remedy="End it first."
            )


def _read(record: Path) -> GpuRecord | None:
    try:
        return msgspec.json.decode(record.read_bytes(), type=GpuRecord)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None


def restore_left(folder: Path | None = None) -> list[str]:
    """Put back what processes that are no more have changed, and nobody put back; what was done, in words."""
    told: list[str] = []
    for record in sorted((records_folder() if folder is None else folder).glob("*.json")):
        with contextlib.suppress(OSError), record.open("rb+") as claim:
            try:
                fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue  # whoever changed it lives
            told += _restored(record)
    return told


def _restored(record: Path) -> list[str]:
    noted = _read(record)
    if noted is None:
        return []
    if not noted.changed:
        record.unlink(missing_ok=True)
        return []
    try:
        refused = _Driver().restore(noted)
    except GpuSettingError as error:
        refused = [error.message]
    if refused:
        return [f"settings of GPUs were not put back: {'; '.join(refused)}"]
    record.unlink(missing_ok=True)
    count = len(noted.gpus)
    return [f"put back what {count} GPU{'' if count == 1 else 's'} was set to: who had changed it is no more"]


def watch(lifeline: int, record: Path) -> None:
    """Wait for the end of the lifeline, and put back what the record says; not where it is told to leave."""
    for number in ENDING:
        signal.signal(number, signal.SIG_IGN)
    os.write(1, _READY)
    with contextlib.suppress(OSError):
        if os.read(lifeline, 1) == _LEAVE:
            return
    _restored(record)


if __name__ == "__main__":
    watch(int(sys.argv[1]), Path(sys.argv[2]))
