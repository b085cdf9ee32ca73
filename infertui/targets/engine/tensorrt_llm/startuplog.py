"""What the process that holds the model says of itself while it starts. Pure, but for finding our own log.

TensorRT-LLM loads the model in processes of its own, whose objects cannot be looked at. Their log can: which KV pool
they allocated, which CUDA graphs they captured, what the weights took. It is written where our own output goes.
"""

import os
import re
import stat
from pathlib import Path

from msgspec import Struct

_GIB = 1 << 30
_MOST_BYTES = 16 << 20

_KV_POOL = re.compile(r"Allocated ([\d.]+) GiB for max tokens in paged KV cache \((\d+)\)")
_GRAPH = re.compile(r"CUDA graph warmup for batch size=(\d+)")
_WEIGHTS = re.compile(r"Memory used after loading model weights \(inside torch\)[^:]*: ([\d.]+) GiB")
_BACKEND = re.compile(r"Using LLM with (\w+) backend")
_FEATURES = re.compile(r"AttentionRuntimeFeatures\(chunked_prefill=(\w+), cache_reuse=(\w+)")
_LIMITS = re.compile(r"max_seq_len=(\d+), max_num_requests=(\d+), max_num_tokens=(\d+), max_batch_size=(\d+)")
_BLOCK = re.compile(r"Number of tokens per block: (\d+)")
_SAMPLER = re.compile(r"Using Sampler: (\w+)")
_OVERLAP_OFF = re.compile(r"[Dd]isabl\w+ (?:the )?overlap scheduler[^\n]*")
_INFO = re.compile(r"\[TRT-LLM\] (?:\[RANK \d+\] )?\[I\]")


class StartupLog(Struct, frozen=True):
    """What was said. None or empty is not said. `talks` tells that messages of the level INFO are there at all.

    `kv_bytes` and `kv_tokens` are the KV pool, `graphs` the batch sizes whose CUDA graphs were captured,
    `weight_bytes` what the weights took of one GPU, to 10 MiB.
    """

    talks: bool = False
    backend: str = ""
    kv_bytes: int | None = None
    kv_tokens: int | None = None
    tokens_per_block: int | None = None
    graphs: tuple[int, ...] = ()
    weight_bytes: int | None = None
    chunked_prefill: bool | None = None
    block_reuse: bool | None = None
    max_batch_size: int | None = None
    max_num_tokens: int | None = None
    sampler: str = ""
    overlap_off: str = ""


def parse(text: str) -> StartupLog:
    """Read the log of a start. The last word counts: the KV pool is made twice, small for profiling and then for good.

    Graphs captured for the profiling pool are gone with it.
    """
    pools = list(_KV_POOL.finditer(text))
    final = text[pools[-1].start() :] if pools else text
    features, limits = _last(_FEATURES, text), _last(_LIMITS, text)
    weights, block = _last(_WEIGHTS, text), _last(_BLOCK, text)
    backend, sampler, overlap = _last(_BACKEND, text), _last(_SAMPLER, text), _last(_OVERLAP_OFF, text)
    return StartupLog(
        # The line that names the backend is printed at any level: it does not tell that the others would be.
        talks=any(_INFO.search(line) and not _BACKEND.search(line) for line in text.splitlines()),
        backend=backend[1].lower() if backend else "",
        kv_bytes=round(float(pools[-1][1]) * _GIB) if pools else None,
        kv_tokens=int(pools[-1][2]) if pools else None,
        tokens_per_block=int(block[1]) if block else None,
        graphs=tuple(sorted({int(match[1]) for match in _GRAPH.finditer(final)})),
        weight_bytes=round(float(weights[1]) * _GIB) if weights else None,
        chunked_prefill=features[1] == "True" if features else None,
        block_reuse=features[2] == "True" if features else None,
        max_batch_size=int(limits[4]) if limits else None,
        max_num_tokens=int(limits[3]) if limits else None,
        sampler=sampler[1] if sampler else "",
        overlap_off=overlap[0].strip() if overlap else "",
    )


def _last(pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
    found = None
    for found in pattern.finditer(text):  # noqa: B007 (the last is wanted)
        pass
    return found


class OwnOutput:
    """The file that our standard output goes to, from here on. A terminal or a pipe cannot be read back."""

    def __init__(self) -> None:
        self._path = Path("/proc/self/fd/1")
        self._start = self._size()

    def text(self) -> str:
        """What was written since; empty where it cannot be read."""
        if self._start is None:
            return ""
        try:
            with self._path.open("rb") as log:
                log.seek(self._start)
                return log.read(_MOST_BYTES).decode(errors="replace")
        except OSError:
            return ""

    def _size(self) -> int | None:
        try:
            found = os.stat(self._path)  # noqa: PTH116 (follows to the open file, deleted or not)
        except OSError:
            return None
        return found.st_size if stat.S_ISREG(found.st_mode) else None
