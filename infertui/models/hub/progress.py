"""How far a download of a model is."""

from typing import Literal

from msgspec import Struct


class PullProgress(Struct, frozen=True):
    """How far a download is, in bytes over all its files. `resumed_bytes` of `done_bytes` were there before.

    `file` is the one that gained last; empty before the first byte.
    """

    done_bytes: int
    total_bytes: int
    resumed_bytes: int
    file: str
    files_done: int
    files_total: int


class PullView(Struct, frozen=True):
    """A download as watchers see it; `progress` is None until the hub has told how much it is."""

    model: str
    revision: str = ""
    state: Literal["running", "done", "failed", "cancelled"] = "running"
    progress: PullProgress | None = None
    rate: float | None = None
    """Bytes a second over the last seconds."""
    problem: str = ""
    remedy: str = ""
