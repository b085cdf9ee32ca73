"""What a search for the most load found; what is kept of each stay and of the whole."""

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from infertui.analysis.capacity.boundary import Boundary, boundary_of, levels_of
from infertui.analysis.capacity.curve import LevelFigures, knee, pareto, together
from infertui.analysis.capacity.observed import LevelSeen
from infertui.analysis.capacity.search import Ending, SearchPlan
from infertui.integers import Whole

_MOST_NOTES = 8


class Stay(Struct, frozen=True):
    """One stay at a level, a line of levels.jsonl.

    `steady` and `reason` are those of its window, `against` what speaks against its figures, `took_s` how long it took
    with all that it waited for, `seed` that of its prompts, `end` how it ended.
    """

    observation: LevelSeen
    figures: LevelFigures
    steady: bool | None
    reason: str = ""
    against: tuple[str, ...] = ()
    took_s: float = 0.0
    seed: Whole = 0
    end: str = ""


class CapacityOutcome(Struct, frozen=True):
    """`capacity` is the highest level that keeps all objectives, a whole one of concurrency; None: none is known.

    `at_least`: that was the most that was tried, and the boundary is beyond it. `levels` are those of the curve, the
    knee and the Pareto front (by level) among them.
    """

    ending: Ending | Literal["interrupted"]
    capacity: float | None
    boundary: Boundary
    at_least: bool = False
    stays: Whole = 0
    seconds: float = 0.0
    levels: tuple[LevelFigures, ...] = ()
    knee: float | None = None
    pareto: tuple[float, ...] = ()
    notes: tuple[str, ...] = ()


def outcome_of(plan: SearchPlan, stays: Sequence[Stay], ending: Ending | Literal["interrupted"]) -> CapacityOutcome:
    """Of all stays, in their order."""
    levels = levels_of([stay.observation for stay in stays], plan.objectives)
    boundary = boundary_of(levels, plan.objectives)
    figures = together([stay.figures for stay in _counted(stays)])
    beyond = boundary.failing is None and boundary.passing is not None
    capacity = boundary.passing if beyond else boundary.level
    if capacity is not None and plan.kind == "concurrency" and not beyond:
        capacity = float(int(capacity + 1e-9))
    return CapacityOutcome(
        ending=ending,
        capacity=capacity,
        boundary=boundary,
        at_least=beyond,
        stays=len(stays),
        seconds=sum(stay.took_s for stay in stays),
        levels=figures,
        knee=knee(figures),
        pareto=tuple(each.level for each in pareto(figures)),
        notes=_notes(stays),
    )


def _counted(stays: Sequence[Stay]) -> list[Stay]:
    """Those that the boundary goes by: of a level those that were not disturbed, where there are any."""
    clean_levels = {stay.observation.level for stay in stays if not stay.observation.disturbed}
    return [stay for stay in stays if not stay.observation.disturbed or stay.observation.level not in clean_levels]


def _notes(stays: Sequence[Stay]) -> tuple[str, ...]:
    """What speaks against figures: each kind of reason once, by how it begins, with the levels and one whole of it."""
    found: dict[str, tuple[str, set[float]]] = {}
    for stay in stays:
        for reason in stay.against:
            kind = reason.split(":")[0] if ":" in reason else reason.lstrip("0123456789., %")
            found.setdefault(kind, (reason, set()))[1].add(stay.observation.level)
    return tuple(
        f"at {', '.join(f'{level:g}' for level in sorted(levels))}: {reason}"
        + (", for example" if len(levels) > 1 else "")
        for reason, levels in found.values()
    )[:_MOST_NOTES]
