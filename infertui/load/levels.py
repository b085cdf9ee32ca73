"""The level of a load over time, requests a second or requests in flight: constant, rising in line, in steps. Pure."""

import math
import re
from collections.abc import Iterator

from msgspec import Struct
from msgspec.structs import replace

from infertui.config.endpoint import YEAR_S, LoadConfig
from infertui.errors import ConfigError
from infertui.text import one_line

MOST_STEPS = 1000
MOST_RATE = 1e6
MOST_CONCURRENCY = 65536
_KEY = "load.steps"
_FORM = "LEVEL:SECONDS with commas between, as in 10:30,20:30"
_NUMBER = re.compile(r"[0-9]{1,12}(\.[0-9]{1,12})?|\.[0-9]{1,12}", re.ASCII)


class LevelStep(Struct, frozen=True):
    """A level that holds for so many seconds."""

    level: float
    seconds: float


class LevelSegment(Struct, frozen=True):
    """From `start` on, in seconds: `level` there, which grows by `slope` a second."""

    start: float
    level: float
    slope: float = 0.0

    def mass(self, seconds: float) -> float:
        """The integral of the level over its first `seconds`."""
        return self.level * seconds + self.slope * seconds * seconds / 2


class Levels(Struct, frozen=True):
    """A level, in segments that follow one another from 0 on. `end` in seconds; None: the last has none."""

    segments: tuple[LevelSegment, ...]
    end: float | None = None

    def at(self, seconds: float) -> float:
        """The level at a time; 0 before the start and from the end on."""
        if seconds < 0 or (self.end is not None and seconds >= self.end):
            return 0.0
        last = next(one for one in reversed(self.segments) if one.start <= seconds)
        return last.level + last.slope * (seconds - last.start)

    def integral(self, seconds: float) -> float:
        """Of the level from 0 to a time: of a rate, the requests that are expected by then."""
        return sum(one.mass(min(until, seconds) - one.start) for one, until in self.spans() if one.start < seconds)

    def spans(self) -> Iterator[tuple[LevelSegment, float]]:
        """Each segment with the time at which it ends, which is infinite for the last of levels without end."""
        ends = [one.start for one in self.segments[1:]] + [math.inf if self.end is None else self.end]
        return zip(self.segments, ends, strict=True)

    def changed(self, at: float, level: float) -> "Levels":
        """The same up to a time, and from then on another level, above 0, in place of whatever was to come.

        Where the levels have an end, that stays; from there on nothing changes any more.
        """
        if not (math.isfinite(level) and level > 0):
            raise ValueError(f"a level has to be above 0, and is {level}")
        at = max(at, 0.0)
        if self.end is not None and at >= self.end:
            return self
        kept = tuple(one for one in self.segments if one.start < at)
        return replace(self, segments=(*kept, LevelSegment(at, level)))

    def scaled(self, factor: float) -> "Levels":
        """The same times, and levels that are so many times as high."""
        return replace(
            self,
            segments=tuple(LevelSegment(one.start, one.level * factor, one.slope * factor) for one in self.segments),
        )

    def whole(self) -> Iterator[tuple[float, int]]:
        """The level in whole numbers, rounded up, as the times at which it changes: (seconds, level) from 0 on.

        At the end it is 0. A rise in line goes up by one at a time, and so begins with one.
        """
        before: int | None = None
        for time, level in self._whole():
            if level != before:
                yield time, level
            before = level

    def _whole(self) -> Iterator[tuple[float, int]]:
        for one, until in self.spans():
            if until <= one.start:
                continue
            if not one.slope:
                yield one.start, math.ceil(one.level)
                continue
            top = math.ceil(round(one.level + one.slope * (until - one.start), 6))
            for level in range(math.floor(one.level) + 1, top + 1):
                yield one.start + max(0.0, (level - 1 - one.level) / one.slope), level
        if self.end is not None:
            yield self.end, 0


def is_open(load: LoadConfig) -> bool:
    """Whether requests are due at times of their own, and not when others have ended."""
    return bool(load.request_rate or load.trace)


def in_flight(load: LoadConfig) -> Iterator[tuple[float, int]]:
    """How many requests may be in flight, as (seconds, level) at each change; none: as many as come."""
    if not is_open(load):
        return levels_of(load).whole()
    return iter([(0.0, load.concurrency)] if load.concurrency else [])


def levels_of(load: LoadConfig) -> Levels:
    """What [load] describes: of request_rate where that is set, else of concurrency. Raises ConfigError for steps."""
    if load.steps:
        return _in_steps(parse_steps(load.steps, whole=not load.request_rate))
    top = load.request_rate or float(load.concurrency or 1)
    if not load.ramp_s:
        return Levels((LevelSegment(0.0, top),))
    return Levels((LevelSegment(0.0, 0.0, top / load.ramp_s), LevelSegment(load.ramp_s, top)))


def last_level(load: LoadConfig) -> LevelSegment:
    """The level that is asked for in the end, and since when. Raises ConfigError for steps that cannot be read."""
    return next(one for one in reversed(levels_of(load).segments) if one.level)


def in_flight_asked(load: LoadConfig) -> int | None:
    """Requests in flight that are asked for in the end, or beside a rate or a trace the most; None: as many as come."""
    return load.concurrency or None if is_open(load) else math.ceil(last_level(load).level)


def rate_asked(load: LoadConfig) -> float | None:
    """Requests a second that are asked for in the end; None where they come as others end, or as a trace has them."""
    return last_level(load).level if load.request_rate and not load.trace else None


def _in_steps(steps: tuple[LevelStep, ...]) -> Levels:
    segments, time = [], 0.0
    for step in steps:
        segments.append(LevelSegment(time, step.level))
        time += step.seconds
    return Levels(tuple(segments), time)


def parse_steps(text: str, *, whole: bool) -> tuple[LevelStep, ...]:
    """The steps of `load.steps`; `whole`: levels are requests in flight. Raises ConfigError that names the step.

    A level of 0 is a pause, which not all may be.
    """
    parts = text.split(",")
    if len(parts) > MOST_STEPS:
        raise ConfigError(_KEY, f"has {len(parts):,} steps", allowed=f"at most {MOST_STEPS:,}")
    steps = tuple(_step(part, number, whole) for number, part in enumerate(parts, start=1))
    if not any(step.level for step in steps):
        raise ConfigError(_KEY, "asks for nothing: all levels are 0", allowed="a level above 0 among them")
    return steps


def _step(text: str, number: int, whole: bool) -> LevelStep:
    level, colon, seconds = (part.strip() for part in text.partition(":"))
    if not (colon and _NUMBER.fullmatch(level) and _NUMBER.fullmatch(seconds)):
        raise ConfigError(_KEY, f"step {number} is {one_line(text.strip(), 40)!r}", allowed=_FORM)
    step = LevelStep(float(level), float(seconds))
    most = MOST_CONCURRENCY if whole else MOST_RATE
    if step.level > most or (whole and step.level != int(step.level)):
        raise ConfigError(
            _KEY,
            f"step {number} has the level {level}",
            allowed=f"whole numbers of requests in flight from 0 to {most:,}" if whole else f"rates from 0 to {most:,}",
        )
    if not 0 < step.seconds <= YEAR_S:
        raise ConfigError(_KEY, f"step {number} takes {seconds} s", allowed=f"above 0, at most {YEAR_S:,}")
    return step


def share_of(level: int, part: int, parts: int) -> int:
    """How much of a level of requests in flight falls to one of several parts: the shares of all add up to it."""
    return level // parts + (part < level % parts)
