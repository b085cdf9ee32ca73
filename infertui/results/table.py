"""The results table as it is asked for and answered: plain values, which a screen can import at no cost."""

from typing import Literal

from msgspec import Struct

MAX_LIMIT = 1000
"""Rows that a page holds at most."""

Column = Literal[
    "started", "name", "state", "model", "engine", "mode", "form", "quantization", "dtype", "device", "batch_size",
    "input_len", "output_len",
    "throughput", "prefill", "ttft", "ttft_p99", "tpot", "itl", "itl_p99", "latency", "vram", "power",
    "joules_per_token", "drift", "mbu", "mfu", "agreement", "perplexity", "iterations", "seconds",
]  # fmt: skip


VramOf = Literal["", "process", "allocator", "resident"]
"""Which peak `vram` is: of the run's processes on the GPU, of the allocator, or of memory resident on a CPU."""


class ResultRow(Struct, frozen=True):
    """One run in the table. Seconds, bytes, watts, tokens per second; None is not available.

    `ttft`, `tpot`, `itl` and `latency` are medians; a 99th percentile is there where the run has enough observations.
    `low` and `high` bound the throughput's 95 % interval. `flags` are short
    words such as `invalid`, `synthetic`, `power-cap`.
    """

    id: str
    name: str
    state: str
    started: str
    model: str
    engine: str
    dtype: str
    device: str
    batch_size: int | None
    input_len: str
    """Prompt tokens asked for, or the name of the prompt set; empty where it is not known."""
    output_len: int | None
    valid: bool
    flags: tuple[str, ...] = ()
    config_hash: str = ""
    throughput: float | None = None
    low: float | None = None
    high: float | None = None
    ttft: float | None = None
    ttft_p99: float | None = None
    tpot: float | None = None
    itl_p99: float | None = None
    latency: float | None = None
    vram: int | None = None
    power: float | None = None
    joules_per_token: float | None = None
    drift: float | None = None
    iterations: int | None = 0
    seconds: float | None = None
    """From the first phase to the last."""
    error: str = ""
    mode: str = ""
    """How steps were executed and what the weights were held in, as the engine found it; empty where it did not say."""
    quantization: str = ""
    mbu: float | None = None
    """Share of the memory bandwidth in decode; as `mfu` worked out for results that were kept without it."""
    mfu: float | None = None
    """Share of the matrix rate in prefill."""
    agreement: float | None = None
    """Share of greedy tokens that are those of the run's reference."""
    perplexity: float | None = None
    prefill: float | None = None
    """Prompt tokens a second while prompts were processed."""
    form: str = ""
    """Number format of the weights, and of the KV cache where that has fewer bits."""
    itl: float | None = None
    vram_of: VramOf = ""


class ResultQuery(Struct, frozen=True):
    """Which rows: of the folder `out` (absolute), those that `filter` lets through, in order, `limit` from `offset`."""

    out: str
    filter: str = ""
    sort: Column = "started"
    descending: bool = True
    offset: int = 0
    limit: int = 200
    find: str = ""
    """A run that should be on the page: where it matches the filter, `offset` gives way to it."""


class ResultPage(Struct, frozen=True):
    """The rows, and how many there are: in the folder, and that match. `version` changes with the folder's results.

    `offset` is a multiple of the limit where it had to give way to `find`. At most MAX_LIMIT rows come at once.
    """

    total: int
    matching: int
    offset: int
    rows: tuple[ResultRow, ...]
    version: int = 0
    found: int | None = None
    """The place, from 0, of the run that was to be found; None where it does not match."""
    skipped: int = 0
    """Lines of results.jsonl that cannot be read."""
    newer: int = 0
    """Those among them that a newer infertui has written."""
