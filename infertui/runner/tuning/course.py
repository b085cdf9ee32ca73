"""Which setting a tuning session measures next: as it is told, as its script says, back from what failed, or climbing.

Pure: it holds what was asked for, and is asked after every segment.
"""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from infertui.analysis.tuning.climb import Climb, Tried
from infertui.analysis.tuning.knobs import knobs_of, text_of, turned
from infertui.analysis.tuning.segment import Finding, Segment, against, best_of, by_figures
from infertui.config.fields import Value
from infertui.config.schema import Config
from infertui.errors import UsageError
from infertui.measure.comparison import Totals
from infertui.runner.tuning.folder import KeptTuning
from infertui.telemetry.readings import GpuSetting
from infertui.text import clean

MOST_CLIMB_S = 86400.0
CLIMB_SEGMENT_S = 10.0
"""Seconds that a climb measures each value, at most,"""
CLIMB_SHARE = 4
"""or so manieth a part of its budget, whichever is more."""


class SegmentPlan(Struct, frozen=True):
    """The segment to measure next: `config` with `changes`. Without `seconds` it is measured until something else is
    wanted; `until_clear` for no longer than it takes to say how it compares with segment `versus`, which was chosen
    `among` so many; 0: the one before. Where that is not clear after `seconds`, it goes on for `most_seconds` at most.
    """

    config: Config
    changes: dict[str, str] = {}
    seconds: float = 0.0
    until_clear: bool = False
    most_seconds: float = 0.0
    versus: int = 0
    among: int = 1
    returned: bool = False
    undoing: bool = False
    step: int = 0
    climbing: Value | None = None

    @property
    def fixed(self) -> bool:
        """Whether its length was said beforehand."""
        return self.seconds > 0 and not self.until_clear and not self.lengthens

    @property
    def lengthens(self) -> bool:
        """Whether it goes on where it is not clear."""
        return self.most_seconds > self.seconds > 0

    @property
    def most(self) -> float:
        """Seconds after which it ends by itself; 0: it does not."""
        return max(self.seconds, self.most_seconds) if self.seconds else 0.0

    def over(self, seconds: float, *, clear: bool) -> bool:
        """Whether it has been measured for long enough, which takes `seconds` so far."""
        return clear and (self.until_clear or (self.lengthens and seconds >= self.seconds))


class TuningCourse:
    """Of one session, which begins at `start`."""

    def __init__(self, kept: KeptTuning, start: Config) -> None:
        self._kept = kept
        self.config = self.good = start
        """What is measured, and the last of it that worked."""
        self.gpu: tuple[GpuSetting, ...] = ()
        """Settings of GPUs that may be changed."""
        self.wanted: dict[str, str] = {}
        """Changes that were asked for, and wait for the end of the segment under way."""
        self.stopping = False
        self.error = self.note = ""
        """Why it ends where nobody asked for that, and what there is to say."""
        self._before: list[Config] = []
        self._back = False
        self._climb: Climb | None = None
        self._climb_from = 0.0
        self._tried: list[Tried] = []
        self._tried_segments: list[Segment] = []
        self._next_step = 0

    @property
    def scripted(self) -> bool:
        """Whether it ends by itself."""
        return bool(self._kept.steps)

    @property
    def climbing(self) -> str:
        """The key that is climbed along; empty without a climb."""
        return self._climb.knob.key if self._climb else ""

    @property
    def begins_climb(self) -> bool:
        """Whether the segment under way is to be where a climb starts."""
        return self._climb is not None and not self._tried

    @property
    def asked(self) -> bool:
        """Whether the segment under way is to end."""
        return self.stopping or bool(self.wanted) or self._back

    def with_changes(self, changes: Mapping[str, str]) -> tuple[dict[str, str], Config]:
        """All changes that are wanted with these, and the config that they make. Raises ConfigError, and UsageError
        where they change nothing."""
        wanted = {**self.wanted, **changes}
        config = turned(self.config, wanted, self.gpu)
        if config == self.config:
            raise UsageError("nothing changes: that is what is being measured")
        return wanted, config

    def change(self, wanted: dict[str, str]) -> None:
        """Turn knobs next."""
        self._climb, self.wanted, self._back = None, wanted, False

    def undo(self) -> None:
        """Go back next to the setting before. Raises UsageError where there is none."""
        if not self._before:
            raise UsageError("there is nothing to undo")
        self._climb, self.wanted, self._back = None, {}, True

    def climb(self, key: str, budget_s: float, now: float) -> None:
        """Climb along a knob from here, `now` in seconds. Raises UsageError for what cannot be climbed."""
        knob = next((knob for knob in knobs_of(self.config, self.gpu) if knob.key == key), None)
        if knob is None:
            raise UsageError(f"{clean(key)[:80]} is no knob of this session")
        if not 0 < budget_s <= MOST_CLIMB_S:
            raise UsageError(f"a climb needs a budget of seconds: above 0, at most {MOST_CLIMB_S:g}")
        if self.scripted:
            raise UsageError("a session that follows a script does not climb")
        self._climb, self._tried, self._tried_segments, self._climb_from = Climb(knob, budget_s), [], [], now
        self.wanted, self._back = {}, False

    def end(self) -> None:
        """Nothing is wanted any more."""
        self._climb, self.wanted, self._back = None, {}, False

    def begin(self, segments: Sequence[Segment], good: Config | None) -> SegmentPlan | None:
        """The first segment, after those that an earlier session measured, of which `good` worked last."""
        self.config = self.good = good or self.config
        # A server that was gone may be back, so what failed last is measured again; an engine fails as it did.
        again = self.config.target.kind == "endpoint"
        done = [one.step for one in segments if one.state == "finished" or (one.error and not again)]
        self._next_step = max(done, default=0)
        return self._step() if self.scripted else self._open(self.config)

    def begun(self, before: Config, plan: SegmentPlan, *, first: bool) -> None:
        """A segment of a plan begins, after one of the config `before`."""
        if self.config != before and not plan.returned and not plan.undoing and not first:
            self._before.append(before)

    def following(
        self, plan: SegmentPlan, segments: Sequence[Segment], observed: Mapping[int, Totals], now: float
    ) -> SegmentPlan | None:
        """What to measure after the last of `segments`, which was that of `plan`; None: it is over."""
        segment = segments[-1]
        if segment.state == "finished":
            self.good = self.config
        if self.stopping:
            return None
        if self._climb is not None:
            return self._climbed(self._climb, plan, segment, observed, now)
        if self._back:
            self._back = False
            return self._open(self._before.pop(), undoing=True)
        if self.wanted:
            wanted, self.wanted = self.wanted, {}
            return self._open(self.config if segment.error is None else self.good, wanted)
        if self.scripted:
            if segment.error is not None and segment.step == 1:
                self.error = segment.error.message
                return None
            self.config = self.good
            return self._step()
        if segment.error is not None:
            return self._returned(segment, any(one.state == "finished" for one in segments))
        return SegmentPlan(self.config)

    def _open(self, config: Config, changes: Mapping[str, str] | None = None, *, undoing: bool = False) -> SegmentPlan:
        kept = self._kept
        return SegmentPlan(
            config, dict(changes or {}), kept.seconds, kept.until_clear, kept.most_seconds, undoing=undoing
        )

    def _step(self) -> SegmentPlan | None:
        """The next step of the script; None at its end."""
        kept, index = self._kept, self._next_step
        if index >= len(kept.steps):
            return None
        self._next_step += 1
        step = kept.steps[index]
        seconds = kept.seconds if step.seconds is None else step.seconds
        return SegmentPlan(self.good, step.changes, seconds, kept.until_clear, kept.most_seconds, step=index + 1)

    def _returned(self, segment: Segment, worked: bool) -> SegmentPlan | None:
        """Back to the last setting that worked; nothing where it did not work once more."""
        assert segment.error is not None  # noqa: S101
        if segment.returned or not worked:
            self.error = segment.error.message
            return None
        if self._before and self._before[-1] == self.good:
            self._before.pop()
        return SegmentPlan(self.good, returned=True)

    def _climbed(
        self, climb: Climb, plan: SegmentPlan, segment: Segment, observed: Mapping[int, Totals], now: float
    ) -> SegmentPlan:
        key, before = climb.knob.key, best_of(self._tried_segments)
        finding: Finding = "unclear"
        if before is not None:
            theirs, ours = observed[before.number], observed[segment.number]
            if ours.numerators:
                finding = against(before.number, theirs, ours, fixed=False, among=len(self._tried)).finding
            else:
                finding = by_figures(before, segment.figures).finding
        value = climb.knob.value if plan.climbing is None else plan.climbing
        speed = segment.figures.get("throughput") if segment.error is None else None
        self._tried.append(Tried(value, speed, finding))
        self._tried_segments.append(segment)
        spent = now - self._climb_from
        following = climb.following(self._tried, spent)
        if following is None:
            best = climb.best(self._tried)
            self._climb = None
            self.note = f"climbed along {key}: best at {text_of(best)}"
            return SegmentPlan(self.good, {key: text_of(best)})
        fastest = best_of(self._tried_segments)
        return SegmentPlan(
            self.good,
            {key: text_of(following)},
            min(max(CLIMB_SEGMENT_S, climb.budget_s / CLIMB_SHARE), max(1.0, climb.budget_s - spent)),
            until_clear=True,
            versus=fastest.number if fastest else 0,
            among=len(self._tried),
            climbing=following,
        )
