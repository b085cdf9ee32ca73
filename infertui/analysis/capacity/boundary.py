"""Up to which level objectives are kept: a rising curve through what each level showed, and how sure the place is.

The more load, the more of each objective is used up: its use (a mean over its limit, or a share over what is allowed of
it) is taken to rise with the level, or to stay (isotonic regression; Barlow and others 1972). Between levels it is a
straight line of logarithms. The interval comes of drawing every level's use anew as often as it may differ by chance:
means by Student's distribution of their logarithm, shares by the beta distribution with Jeffreys' prior (shared by many
levels), both for as many independent observations as the blocks are worth.
"""

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from infertui.analysis.capacity.observed import ERRORS, LevelSeen, Objective, TermBlocks
from infertui.measure.dependence import certainty, scatter
from infertui.measure.statistics import Interval, two_sided

DRAWS = 400
JEFFREYS, SHARED = 0.5, 2.0
"""Observations beyond a limit, and within it, that are taken for granted at each level, and at all together at most.
Half of one at each of many levels is more than was seen of what is rare: where that comes in bursts, so that each level
is worth a few observations, boundaries were told too low (in 12 of 100 searches, and in none too high)."""
OVERLOAD = 10.0
"""Least use of an objective at a level that is more than a server can do: latencies rise there as long as it lasts."""
_FOUND, _FALSELY = 0.8, 0.05
"""How often a stay finds an overload where there is one, and where there is none."""
_TELLS = 10
"""So many on both sides of a limit tell whether they come in bursts."""
_ALIKE = math.log(1.5)
"""Levels so near one another come in like bursts."""
_EVEN = 0.5
SURE = 0.025
CLIFF = 12.0
"""Percent by which the use of an objective rises with a percent of load, from which the boundary is a cliff."""
_APART = math.log(1.5)
"""Of the uses at both sides of the boundary, from which a straight line between them is only a guess."""
_HUGE = 1e6
Shape = Literal["", "smooth", "cliff"]


class Use(Struct, frozen=True):
    """Of one objective at one level: `value` is 1 where all that is allowed is used.

    `error` is the standard error of a mean's logarithm with `degrees` of freedom; of a share `over` of `count` are the
    independent observations it is worth, of `seen`, and `bursts` of these came together; None: too few to tell.
    """

    value: float
    weight: float
    error: float = 0.0
    degrees: int = 1
    over: float = 0.0
    count: float = 0.0
    allowed: float = 0.0
    seen: float = 0.0
    bursts: float | None = None

    def in_bursts(self, bursts: float) -> "Use":
        """Of as few independent observations as there are where `bursts` of them come together."""
        count = min(self.count, self.seen / max(1.0, bursts))
        return replace(self, count=count, over=self.over * count / self.count, weight=count)

    def drawn(self, rng: random.Random, levels: int = 1) -> float:
        """As it might have come out, at one of so many `levels`."""
        if self.count:
            before = min(JEFFREYS, SHARED / levels)
            return rng.betavariate(self.over + before, max(self.count - self.over, 0.0) + before) / self.allowed
        if not self.error:
            return self.value
        return self.value * math.exp(max(-30.0, min(30.0, self.error * _student(rng, self.degrees))))

    @property
    def over_limit(self) -> float:
        """How likely it is that more is used than allowed, by what this level alone showed."""
        if self.count:
            draws = random.Random(1)  # noqa: S311 - chance of statistics
            return sum(self.drawn(draws) > 1 for _ in range(DRAWS)) / DRAWS
        if not self.error:
            return float(self.value > 1)
        tail = two_sided(math.log(self.value) / self.error, self.degrees) / 2
        return 1 - tail if self.value > 1 else tail


class LevelUses(Struct, frozen=True):
    """All that was seen at one level; an entry of `uses` for each objective, None where nothing is known of it.

    `overloaded` is how likely it is more than the server can do, by how many of the stays found it so.
    """

    level: float
    seconds: float
    requests: int
    stays: int
    overloaded: float
    uses: tuple[Use | None, ...]


class Boundary(Struct, frozen=True):
    """Where the first objective is used up. None: below or above all levels that were tried.

    `passing` and `failing` are the nearest levels that were tried, `interval` is a 95 % one, `binding` the objective,
    and `slope` by how many percent its use rises there with a percent of load.
    """

    level: float | None = None
    interval: Interval | None = None
    passing: float | None = None
    failing: float | None = None
    binding: str = ""
    shape: Shape = ""
    slope: float | None = None


def levels_of(observations: Sequence[LevelSeen], wanted: Sequence[Objective]) -> tuple[LevelUses, ...]:
    """What was seen, by level, ascending; of several stays at one all together, or those that were not disturbed."""
    by_level: dict[float, list[LevelSeen]] = {}
    for each in observations:
        by_level.setdefault(each.level, []).append(each)
    found = []
    for level, all_stays in sorted(by_level.items()):
        stays = [stay for stay in all_stays if not stay.disturbed] or all_stays
        overloaded = _overloaded(sum(stay.overloaded for stay in stays), len(stays))
        uses = [_use(objective, [stay.terms[at] for stay in stays]) for at, objective in enumerate(wanted)]
        found.append(
            LevelUses(
                level,
                sum(stay.seconds for stay in stays),
                sum(stay.requests for stay in stays),
                len(stays),
                overloaded,
                tuple(uses),
            )
        )
    return tuple(_as_dependent(found))


def _as_dependent(levels: Sequence[LevelUses]) -> Iterator[LevelUses]:
    """How much of what is beyond a limit comes in bursts is seen badly at one level, and not at all where it is little:
    it is taken to do so at least as much as at levels like it on average."""
    seen: dict[int, list[tuple[float, float]]] = {}
    for level in levels:
        for number, use in enumerate(level.uses):
            if use is not None and use.bursts is not None and level.overloaded <= _EVEN:
                seen.setdefault(number, []).append((math.log(level.level), use.bursts))
    for level in levels:
        uses = list(level.uses)
        for number, use in enumerate(uses):
            if use is not None and use.count and number in seen:
                near = [bursts for place, bursts in seen[number] if abs(place - math.log(level.level)) < _ALIKE]
                uses[number] = use.in_bursts(sum(near) / len(near)) if near else use
        yield replace(level, uses=tuple(uses))


def boundary_of(levels: Sequence[LevelUses], wanted: Sequence[Objective], *, draws: int = DRAWS) -> Boundary:
    """Where it is, by all levels together."""
    curves = _curves(levels, wanted, None)
    place = _place(levels, curves)
    if place.level is None or place.failing is None:
        return Boundary(passing=place.passing, failing=place.failing, binding=_name(wanted, place))
    rng = random.Random(0)  # noqa: S311 - chance of statistics
    drawn = [_place(levels, _curves(levels, wanted, rng)) for _ in range(draws)]
    least, most = levels[0].level, levels[-1].level
    guess = place.rise > _APART
    lows = sorted((one.passing if guess else one.level) or least for one in drawn)
    highs = sorted((one.failing if guess else one.level) or most for one in drawn)
    interval = None
    if draws:
        low, high = lows[int(SURE * draws)], highs[min(draws - 1, int((1 - SURE) * draws))]
        if guess and place.passing is not None:
            low, high = min(low, place.passing), max(high, place.failing)
        interval = Interval(min(low, place.level), max(high, place.level))
    slope = place.rise / math.log(place.failing / place.passing) if place.passing else None
    shape: Shape = "" if slope is None else "cliff" if slope > CLIFF else "smooth"
    return Boundary(place.level, interval, place.passing, place.failing, _name(wanted, place), shape, slope)


class _Place(Struct, frozen=True):
    level: float | None
    passing: float | None
    failing: float | None
    binding: int
    rise: float


def _name(wanted: Sequence[Objective], place: _Place) -> str:
    return wanted[place.binding].name if place.binding >= 0 else ""


def _place(levels: Sequence[LevelUses], curves: Mapping[int, Sequence[tuple[float, float]]]) -> _Place:
    """Where the first of the curves crosses 1."""
    best = _Place(None, None, None, -1, 0.0)
    passing: float | None = None if not levels else levels[-1].level
    nearest = 0.0
    for number, points in curves.items():
        over = next((at for at, (_, use) in enumerate(points) if use > 1), None)
        if over is None:
            highest = points[-1][1]
            if best.failing is None and highest > nearest:
                nearest, best = highest, _Place(None, passing, None, number, 0.0)
            continue
        high, use_high = points[over]
        if not over:
            found = _Place(None, None, high, number, 0.0)
        else:
            low, use_low = points[over - 1]
            rise = math.log(use_high / use_low)
            share = -math.log(use_low) / rise
            found = _Place(low * (high / low) ** share, low, high, number, rise)
        if best.failing is None or (found.level or 0.0) < (best.level or 0.0):
            best = found
    if best.failing is None and best.binding < 0:
        return _Place(None, passing, None, -1, 0.0)
    return best


def _curves(
    levels: Sequence[LevelUses], wanted: Sequence[Objective], rng: random.Random | None
) -> dict[int, list[tuple[float, float]]]:
    """Of each objective its level and use, as they are or as they might have been, made to rise."""
    curves: dict[int, list[tuple[float, float]]] = {}
    for number in range(len(wanted)):
        points: list[tuple[float, float, float]] = []
        known = sum(level.uses[number] is not None for level in levels)
        for level in levels:
            use = level.uses[number]
            if use is not None:
                value = use.value if rng is None else use.drawn(rng, known)
                points.append((level.level, min(max(value, 1 / _HUGE), _HUGE), use.weight))
        if points:
            share = wanted[number].kind == "share"
            rising = _rising(
                [value if share else math.log(value) for _, value, _ in points], [each[2] for each in points]
            )
            curves[number] = [
                (point[0], value if share else math.exp(value)) for point, value in zip(points, rising, strict=True)
            ]
    over = [level.level for level in levels if level.overloaded > (_EVEN if rng is None else rng.random())]
    overloaded = min(over, default=None)
    if overloaded is not None:
        for number, points_of in curves.items():
            curves[number] = [(level, max(use, OVERLOAD) if level >= overloaded else use) for level, use in points_of]
    return curves


def _rising(values: Sequence[float], weights: Sequence[float]) -> list[float]:
    """The nearest values that never fall: neighbours that do are put together (pool adjacent violators)."""
    pools: list[tuple[float, float, int]] = []
    for value, weight in zip(values, weights, strict=True):
        pool = (value, weight, 1)
        while pools and pools[-1][0] >= pool[0]:
            before = pools.pop()
            together = before[1] + pool[1]
            pool = ((before[0] * before[1] + pool[0] * pool[1]) / together, together, before[2] + pool[2])
        pools.append(pool)
    return [value for value, _, count in pools for _ in range(count)]


def _use(objective: Objective, stays: Sequence[TermBlocks]) -> Use | None:
    above = [each for stay in stays for each in stay.above]
    below = [each for stay in stays for each in stay.below]
    pairs = [(over, of) for over, of in zip(above, below, strict=True) if of > 0]
    if not pairs:
        return None
    total, count = math.fsum(over for over, _ in pairs), math.fsum(of for _, of in pairs)
    variance, degrees, known = _variance(pairs)
    if objective.kind == "mean":
        if total <= 0:
            return None
        error = math.sqrt(variance) if known else 1.0
        return Use(total / count / objective.allowed, 1 / max(error, 1e-4) ** 2, error, max(degrees, 1))
    if objective.name == ERRORS and not total:
        return Use(1 / _HUGE, count)  # none is no sign of some, however few requests there were
    share = total / count
    independent = (1 - share) / share / count if 0 < share < 1 else 0.0
    worth = count * min(1.0, independent / variance) if variance > 0 and independent else count
    # One more, that uses just what is allowed: of few requests none that is beyond the limit tells little.
    value = (total + objective.allowed) / (count + 1) / objective.allowed
    told = min(total, count - total) >= _TELLS
    return Use(
        value,
        worth,
        over=share * worth,
        count=worth,
        allowed=objective.allowed,
        seen=count,
        bursts=count / worth if told else None,
    )


def _variance(pairs: Sequence[tuple[float, float]]) -> tuple[float, int, bool]:
    """Of a ratio of sums, relative to it, its degrees of freedom, and whether there are enough blocks to tell."""
    found = scatter([over for over, _ in pairs], [of for _, of in pairs]) if any(over for over, _ in pairs) else None
    if found is None:
        return 0.0, 1, False
    known = certainty([found])
    return known.variances[0], known.degrees[0], True


def _overloaded(found: int, stays: int) -> float:
    """By Bayes, both as likely beforehand: a stay at a level that is too much shows it, one at another seldom does."""
    if not found:
        return 0.0
    odds = (_FALSELY / _FOUND) ** found * ((1 - _FALSELY) / (1 - _FOUND)) ** (stays - found)
    return 1 / (1 + odds)


def _student(rng: random.Random, degrees: int) -> float:
    return rng.gauss(0, 1) / math.sqrt(rng.gammavariate(degrees / 2, 2 / degrees))
