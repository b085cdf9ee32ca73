"""Which level is tried next, and when the search is over: by what was seen alone, so that it can go on at any time."""

import math
from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from infertui.analysis.capacity.boundary import SURE, Boundary, LevelUses, boundary_of, levels_of
from infertui.analysis.capacity.observed import LevelSeen, Objective

LevelKind = Literal["concurrency", "rate"]
Why = Literal["", "bracket", "narrow", "sure", "again"]
Ending = Literal["", "found", "least", "most", "stays", "time"]
"""Why a search is over: the boundary is known as well as asked; even the least level keeps no objectives, or the most
keeps all; so many stays, or so much time, were spent."""
INSIDE = 0.3
"""A new level keeps this share of the way, by logarithms, to the levels on both sides of it."""
_AFTER = 2
"""So many stays beyond the boundary in a row are followed by one at the last level that passed."""
_SURE_FROM = 2
"""Stays at a level from which nothing more is expected of it than time brings."""


class SearchPlan(Struct, frozen=True):
    """What is looked for, where, and how well.

    The boundary is known where its interval reaches no further from it than `tolerance`, a share of it. `concurrency`
    takes whole levels.
    """

    kind: LevelKind
    objectives: tuple[Objective, ...]
    start: float = 1.0
    least: float = 1.0
    most: float = 4096.0
    tolerance: float = 0.05
    most_stays: int = 40
    most_seconds: float = 3600.0


class NextStep(Struct, frozen=True):
    """Where to go, and why; or why the search is over. `boundary` is what is known by now."""

    level: float | None
    why: Why
    ending: Ending
    boundary: Boundary


def next_step(plan: SearchPlan, observations: Sequence[LevelSeen], spent_s: float) -> NextStep:
    """By all that was seen, in the order in which it was."""
    levels = levels_of(observations, plan.objectives)
    if not levels:
        return NextStep(_rounded(plan, plan.start), "bracket", "", Boundary())
    rough = boundary_of(levels, plan.objectives, draws=0)
    level, why, ending = _towards(plan, levels, rough, observations)
    boundary = rough
    if why in ("sure", "again") or ending or _spent(plan, observations, spent_s):
        boundary = boundary_of(levels, plan.objectives)
    if why == "sure" and _known(plan, boundary):
        return NextStep(None, "", "found", boundary)
    if ending:
        return NextStep(None, "", ending, boundary)
    over = _spent(plan, observations, spent_s)
    if over:
        return NextStep(None, "", over, boundary)
    if why == "sure":
        level = _least_sure(levels, boundary, plan)
    return NextStep(level, why, "", boundary)


def _spent(plan: SearchPlan, observations: Sequence[LevelSeen], spent_s: float) -> Ending:
    if len(observations) >= plan.most_stays:
        return "stays"
    return "time" if spent_s >= plan.most_seconds else ""


def _towards(
    plan: SearchPlan, levels: Sequence[LevelUses], rough: Boundary, observations: Sequence[LevelSeen]
) -> tuple[float | None, Why, Ending]:
    passing, failing = rough.passing, rough.failing
    if failing is None:
        highest = levels[-1]
        if highest.level < plan.most:
            return _rounded(plan, min(2 * highest.level, plan.most)), "bracket", ""
        return (None, "", "most") if _clear(highest, fails=False) else (highest.level, "again", "")
    if passing is None:
        lowest = levels[0]
        if lowest.level > plan.least:
            return _rounded(plan, max(lowest.level / 2, plan.least)), "bracket", ""
        return (None, "", "least") if _clear(lowest, fails=True) else (lowest.level, "again", "")
    between = _between(plan, passing, failing, rough.level or math.sqrt(passing * failing))
    if between is None:
        return None, "sure", ""
    last = [each.level for each in observations[-_AFTER:]]
    if len(last) == _AFTER and min(last) >= failing and _stays(levels, passing) < _SURE_FROM:
        return passing, "again", ""
    return between, "narrow", ""


def _stays(levels: Sequence[LevelUses], wanted: float) -> int:
    return next((each.stays for each in levels if each.level == wanted), 0)


def _between(plan: SearchPlan, passing: float, failing: float, crossing: float) -> float | None:
    """A level of which something new is learnt; None where the two are as near as they have to be."""
    whole = plan.kind == "concurrency"
    if failing / passing <= 1 + plan.tolerance or (whole and failing - passing <= 1):
        return None
    share = math.log(crossing / passing) / math.log(failing / passing)
    level = passing * (failing / passing) ** min(max(share, INSIDE), 1 - INSIDE)
    return float(min(max(round(level), passing + 1), failing - 1)) if whole else float(f"{level:.4g}")


def _known(plan: SearchPlan, boundary: Boundary) -> bool:
    """Whether the interval is narrow enough."""
    if boundary.interval is None or boundary.level is None:
        return False
    low, high = boundary.interval.low, boundary.interval.high
    step = 1.0 if plan.kind == "concurrency" else 0.0
    return max(high - boundary.level, boundary.level - low) <= max(plan.tolerance * boundary.level, step)


def _least_sure(levels: Sequence[LevelUses], boundary: Boundary, plan: SearchPlan) -> float:
    """Of the levels on both sides of the boundary the one of which it is least known on which side it is.

    One that was stayed at for long is known as well as can be.
    """
    near = [each for each in levels if each.level in (boundary.passing, boundary.failing)]
    return min(near, key=lambda each: (abs(_likely_over(each) - 0.5) > 0.5 - SURE, each.seconds)).level


def _likely_over(level: LevelUses) -> float:
    """How likely it is that some objective is not kept, by what this level alone showed."""
    uses = max((use.over_limit for use in level.uses if use is not None), default=0.5)
    return max(uses, level.overloaded)


def _clear(level: LevelUses, *, fails: bool) -> bool:
    over = _likely_over(level)
    return over > 1 - SURE if fails else over < SURE


def _rounded(plan: SearchPlan, level: float) -> float:
    return float(max(1, round(level))) if plan.kind == "concurrency" else float(f"{level:.4g}")
