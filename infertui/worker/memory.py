"""What out-of-memory looks like."""

import re
import resource

import psutil

from infertui.targets.engine.resident import resident
from infertui.text import clean
from infertui.units import format_bytes

# "Tried to allocate 2.00 GiB", "you tried to allocate 1073741824 bytes"
_ASKED = re.compile(r"tried to allocate ([\d.]+) ?(KiB|MiB|GiB|TiB|bytes)", re.IGNORECASE)
_UNITS = {"bytes": 1, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40}


def out_of_memory_details(error: BaseException) -> dict[str, str] | None:
    """The figures behind an out-of-memory error of the host or of CUDA; None when it is another error.

    Recognised by type name (`torch.OutOfMemoryError`, `MemoryError`) and by the text of PyTorch's CPU allocator,
    which raises a plain RuntimeError; so this module imports no backend.
    """
    text = str(error)
    on_device = type(error).__name__ == "OutOfMemoryError" or "CUDA out of memory" in text
    on_host = isinstance(error, MemoryError) or "DefaultCPUAllocator" in text or "can't allocate memory" in text
    if not (on_device or on_host):
        return None
    details = {"where": "GPU" if on_device else "host"}
    if match := _ASKED.search(text):
        details["asked for"] = format_bytes(float(match[1]) * _UNITS[match[2].lower()])
    if on_device:
        details["backend says"] = clean(text)[:600]
        return details
    memory = psutil.virtual_memory()
    details["worker uses"] = format_bytes(resident())
    details["host has free"] = f"{format_bytes(memory.available)} of {format_bytes(memory.total)}"
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit != resource.RLIM_INFINITY:
        details["address space limit"] = format_bytes(limit)
    return details
