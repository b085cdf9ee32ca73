"""What is asked of a tuning session, and what it tells whoever watches: plain values."""

from typing import Literal

from msgspec import Struct

from infertui.analysis.tuning.segment import Segment, SegmentRatio
from infertui.config.schema import Config
from infertui.integers import Whole
from infertui.measure.records import Phase
from infertui.telemetry.readings import GpuSetting

TuningStatus = Literal["measuring", "ended"]


class TuningStep(Struct, frozen=True):
    """What a script asks for next: keys and their new values as they are typed; none: once more the same.

    `seconds` of measuring, or of the session where that is None.
    """

    changes: dict[str, str] = {}
    seconds: float | None = None


class TuningRequest(Struct, frozen=True):
    """A tuning session to begin, from `config`, kept in the absolute folder `out`.

    With `steps` it measures one after the other, each for `seconds`, and ends; without it goes on until it is told.
    `until_clear`: no longer than it takes to say how a step compares with the one before. One of which that is not
    clear by then goes on until it is, for `most_seconds` in all at most; 0: it does not. `continues` is the session of
    before that this one goes on with.
    """

    config: Config
    out: str
    title: str = ""
    seconds: float = 0.0
    until_clear: bool = False
    most_seconds: float = 0.0
    steps: tuple[TuningStep, ...] = ()
    continues: str = ""
    gpu_settings: bool = False
    """Whether it may change the power limit and the clocks of its GPUs; they are put back when it ends."""


class TuningPoint(Struct, frozen=True):
    """A moment of a session, for its charts: figures of the batches that ended since the one before it.

    `t` is in seconds from the session's start. Seconds, tokens per second, bytes, watts; None is not available.
    """

    t: float
    segment: Whole
    throughput: float | None = None
    ttft: float | None = None
    ttft_p99: float | None = None
    itl: float | None = None
    itl_p99: float | None = None
    vram: Whole | None = None
    power: float | None = None
    joules_per_token: float | None = None


class TuningLive(Struct, frozen=True):
    """The segment under way, as far as it is measured."""

    number: Whole
    name: str
    began: float
    batches: Whole = 0
    """Of a load on a server: requests that ended."""
    seconds: float = 0.0
    throughput: float | None = None
    previous: SegmentRatio | None = None
    best: SegmentRatio | None = None
    baseline: SegmentRatio | None = None


class TuningView(Struct, frozen=True):
    """A tuning session as whoever watches shows it. `folder` is absolute; `config` is what is being measured.

    `wanted` are changes that were asked for and are waited for: the batch under way ends first. `segments` are the last
    few hundred. `climbing` is the key of a climb. `phase` is what the segment under way is at.
    """

    id: str
    folder: str
    title: str
    config: Config
    status: TuningStatus = "measuring"
    phase: Phase | None = None
    wanted: dict[str, str] = {}
    segments: tuple[Segment, ...] = ()
    live: TuningLive | None = None
    marked: Whole = 0
    """The number of the baseline."""
    climbing: str = ""
    note: str = ""
    """What was said last."""
    error: str = ""
    """Why it ended, where nobody asked for that."""
    gpu: tuple[GpuSetting, ...] = ()
    """Settings of its GPUs that it may change, with what they were."""
