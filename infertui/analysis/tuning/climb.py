"""Climbing along one knob: which value to try next, from those that were tried. Pure.

From where it stands it goes up; while a step is clearly better it goes on that way. Where the first step up is not, it
goes down instead. It ends where a step is not clearly better, at the end of what is allowed, or with its budget, at the
best value that was tried.
"""

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from infertui.analysis.tuning.knobs import Knob, stepped
from infertui.analysis.tuning.segment import Finding
from infertui.config.fields import Value


class Tried(Struct, frozen=True):
    """A value that was measured: its throughput, None where it failed, and whether that is better than the best of
    those before."""

    value: Value
    throughput: float | None
    finding: Finding


class Climb(Struct, frozen=True):
    """A climb along `knob`, whose value is where it begins, for `budget_s` at most."""

    knob: Knob
    budget_s: float

    def following(self, tried: Sequence[Tried], spent_s: float) -> Value | None:
        """The value to measure next; None when it is over. `tried` begins with where the climb began."""
        if not tried or spent_s >= self.budget_s:
            return None
        at = start = tried[0].value
        direction = -1 if self._step(start, 1) is None else 1
        for one in tried[1:]:
            if one.finding == "better" and one.throughput is not None:
                at = one.value
            elif direction == 1 and at == start:
                direction = -1  # the first step up gained nothing
            else:
                return None
        return self._step(at, direction)

    def _step(self, at: Value, direction: int) -> Value | None:
        return stepped(replace(self.knob, value=at), direction)

    def best(self, tried: Sequence[Tried]) -> Value:
        """Where it ends: the value of highest throughput that was tried."""
        known = [one for one in tried if one.throughput is not None]
        return max(known, key=lambda one: one.throughput or 0.0).value if known else self.knob.value
