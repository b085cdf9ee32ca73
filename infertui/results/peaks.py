"""The ceilings of this machine's devices, as they were calibrated: one file in the user's state directory.

An entry holds for a GPU's UUID and driver, or for a CPU's model and number of threads.
"""

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path

import msgspec
from msgspec import Struct

from infertui import regular_files
from infertui.errors import StoreError
from infertui.measure.roofline import DevicePeaks
from infertui.paths import state_dir
from infertui.results.jsonl import store_error
from infertui.results.runs import write_whole
from infertui.text import clean

_MAX_BYTES = 1 << 20


class _File(Struct, frozen=True):
    ceilings: tuple[DevicePeaks, ...] = ()


def peaks_file(environ: Mapping[str, str] = os.environ) -> Path:
    """Where they are kept."""
    return state_dir(environ) / "ceilings.json"


def read_peaks(environ: Mapping[str, str] = os.environ) -> tuple[DevicePeaks, ...]:
    """All entries; none where there is no file. Raises StoreError for a file that cannot be read."""
    path = peaks_file(environ)
    try:
        return msgspec.json.decode(regular_files.read(path, _MAX_BYTES), type=_File).ceilings
    except FileNotFoundError:
        return ()
    except (regular_files.NotRegularError, regular_files.TooLargeError) as error:
        raise _broken(path, str(error.strerror)) from error
    except OSError as error:
        raise store_error(path, error) from error
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _broken(path, str(error)) from error


def keep_peaks(found: DevicePeaks, environ: Mapping[str, str] = os.environ) -> Path:
    """Keep an entry in the place of an older one of the same device. Returns the file. Raises StoreError."""
    path = peaks_file(environ)
    others: tuple[DevicePeaks, ...] = ()
    with contextlib.suppress(StoreError):  # one that cannot be read gives way
        others = tuple(entry for entry in read_peaks(environ) if not _same(entry, found))
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise store_error(path, error) from error
    write_whole(path, msgspec.json.format(msgspec.json.encode(_File((*others, found))), indent=2) + b"\n")
    return path


def find_peaks(
    entries: tuple[DevicePeaks, ...], *, name: str, uuid: str = "", driver: str = "", threads: int | None = None
) -> DevicePeaks | None:
    """The entry of a device: a GPU by its UUID and driver, or a CPU by its name and number of threads."""
    for entry in entries:
        if uuid and _bare(entry.uuid) == _bare(uuid) and entry.driver == driver:
            return entry
        if not uuid and not entry.uuid and entry.device == name and entry.threads == threads:
            return entry
    return None


def _same(one: DevicePeaks, other: DevicePeaks) -> bool:
    """Whether they are of the same device; its driver may be another: the older one is gone."""
    return (one.device, one.threads, _bare(one.uuid)) == (other.device, other.threads, _bare(other.uuid))


def _bare(uuid: str) -> str:
    return uuid.strip().lower().removeprefix("gpu-").removeprefix("mig-")


def _broken(path: Path, why: str) -> StoreError:
    return StoreError(
        f"{clean(str(path))} cannot be read: {clean(why)[:200]}",
        remedy="Delete it, and say `infertui calibrate` again.",
    )
