"""What llama.cpp says while it loads: the one place where it tells what it really did. Pure."""

import re
from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from infertui.text import clean, shorten

DEBUG, INFO, WARN, ERROR, CONTINUED = 1, 2, 3, 4, 5
"""Levels of ggml's log."""

_OFFLOADED = re.compile(r"offloaded (\d{1,5})/(\d{1,5}) layers to GPU")
_ASSIGNED = re.compile(r"layer +(\d{1,5}) assigned to device (\S{1,40})")
_BUFFER = re.compile(r"(\S{1,40}) +(model|KV|compute|output) buffer size = +(\d{1,9}\.\d\d) MiB")
_KV_TYPES = re.compile(r"K \((\w{1,16})\): .*V \((\w{1,16})\):")
_FLASH_NODE = re.compile(r"kq_mask.*\((FLASH_ATTN_EXT|SOFT_MAX)\)")
_FLASH_SAID = re.compile(r"(?:Flash Attention|flash_attn)\b[^.]*?\b(enabled|disabled)\b", re.IGNORECASE)
_NO_MEMORY = re.compile(r"out of memory|failed to allocate|unable to allocate|not enough memory", re.IGNORECASE)
_MIB: Final = 1 << 20
_KEPT_ERRORS = 8


class Account(Struct, frozen=True):
    """What the log of one load says. None and empty: it does not say.

    `offloaded` counts layers on a GPU, the output layer being one. `buffers` are bytes by device and purpose, as in
    `("CUDA0", "model")`. `flash` says whether the graph computes attention by a flash kernel.
    """

    offloaded: int | None
    layers: int | None
    buffers: dict[tuple[str, str], int]
    type_k: str
    type_v: str
    flash: bool | None
    errors: tuple[str, ...]

    @property
    def out_of_memory(self) -> str:
        """The line that says so, empty where none does."""
        return next((line for line in self.errors if _NO_MEMORY.search(line)), "")

    def on_devices(self) -> int:
        """Bytes of all buffers that are not in host memory."""
        return sum(size for (device, _), size in self.buffers.items() if not is_host(device))


def is_host(buffer: str) -> bool:
    """Whether a buffer of that name is in host memory: CPU, CPU_Mapped, CPU_REPACK, CUDA_Host."""
    return buffer.startswith("CPU") or buffer.endswith("_Host") or buffer == "BLAS"


def read_log(lines: Iterable[tuple[int, str]]) -> Account:
    """The account that `lines`, each with its level, give of loading a model and making a context."""
    offloaded: int | None = None
    layers: int | None = None
    assigned: dict[int, str] = {}
    buffers: dict[tuple[str, str], int] = {}
    types = ("", "")
    node = said = ""
    errors: list[str] = []
    for level, line in lines:
        if match := _OFFLOADED.search(line):
            offloaded, layers = int(match[1]), int(match[2])
        elif match := _ASSIGNED.search(line):
            assigned[int(match[1])] = match[2]
        elif match := _BUFFER.search(line):
            place = (match[1], match[2])
            buffers[place] = buffers.get(place, 0) + round(float(match[3]) * _MIB)
        elif match := _KV_TYPES.search(line):
            types = (match[1], match[2])
        elif match := _FLASH_NODE.search(line):
            node = match[1]
        elif match := _FLASH_SAID.search(line):
            said = match[1].lower()
        if level >= WARN and level != CONTINUED and (level == ERROR or _NO_MEMORY.search(line)):
            errors = [*errors, shorten(clean(line.strip()), 300)][-_KEPT_ERRORS:]
    if assigned and offloaded is None:
        layers = len(assigned)
        offloaded = sum(1 for device in assigned.values() if not is_host(device))
    flash = node == "FLASH_ATTN_EXT" if node else {"enabled": True, "disabled": False}.get(said)
    return Account(offloaded, layers, buffers, *types, flash=flash, errors=tuple(errors))
