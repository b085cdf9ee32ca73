"""What a search for a capacity tells whoever watches, while it goes on and from its folder: plain values."""

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from infertui.analysis.capacity.boundary import Boundary, levels_of
from infertui.analysis.capacity.curve import LevelFigures
from infertui.analysis.capacity.outcome import CapacityOutcome, Stay
from infertui.analysis.capacity.search import SearchPlan, Why
from infertui.integers import Whole
from infertui.runner.capacity.folder import CapacityRecord

CapacityStatus = Literal["probing", "searching", "ended"]
MOST_TOLD = 200
"""Stays that whoever watches is told at a time: the last ones; all are in the search's folder."""


class StayShown(Struct, frozen=True):
    """A stay that is over. `number` counts from 1; `keeps`: whether its level keeps the objectives, by this stay alone;
    `binding` is the one of which most is used, `used` how much; `end` says how it ended, `against` what speaks against
    its figures."""

    number: Whole
    level: float
    keeps: bool
    binding: str
    used: float | None
    end: str
    took_s: float
    figures: LevelFigures
    against: str = ""


class StayLive(Struct, frozen=True):
    """The stay under way: why it is at this level, for how many seconds, and why it is not settled."""

    number: Whole
    level: float
    why: Why
    elapsed: float
    in_flight: Whole
    requests: Whole
    reason: str


class CapacityView(Struct, frozen=True):
    """A search as it is shown. `folder` is absolute. `record` has what is known by now as its outcome.

    `boundary` is what the search knows while it goes on. `error` says why it ended, where nobody asked for that.
    """

    id: str
    folder: str
    record: CapacityRecord
    status: CapacityStatus = "ended"
    stays: tuple[StayShown, ...] = ()
    live: StayLive | None = None
    boundary: Boundary = Boundary()
    error: str = ""

    @property
    def outcome(self) -> CapacityOutcome | None:
        """What is known by now."""
        return self.record.outcome


def shown_stays(plan: SearchPlan, stays: Sequence[Stay]) -> tuple[StayShown, ...]:
    """The last of them."""
    return tuple(shown_stay(plan, stay, number) for number, stay in enumerate(stays, 1))[-MOST_TOLD:]


def shown_stay(plan: SearchPlan, stay: Stay, number: int) -> StayShown:
    """What one of them showed."""
    (level,) = levels_of([stay.observation], plan.objectives)
    used = [(use.value, wanted.name) for use, wanted in zip(level.uses, plan.objectives, strict=True) if use]
    worst, name = max(used, default=(None, ""))
    return StayShown(
        number=number,
        level=stay.observation.level,
        keeps=worst is not None and worst <= 1 and not stay.observation.overloaded,
        binding=name,
        used=worst,
        end=stay.end,
        took_s=stay.took_s,
        figures=stay.figures,
        against=stay.against[0] if stay.against else "",
    )
