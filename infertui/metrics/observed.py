"""How metrics are read of a run's measured batches, which is what an interval of a comparison rests on. Pure."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from infertui.measure.comparison import Totals

if TYPE_CHECKING:
    from infertui.results.observations import Observation

    Observe = Callable[[Sequence[Observation]], Totals]


def throughput(observed: "Sequence[Observation]") -> Totals:
    """Tokens over seconds."""
    timed = [(one.tokens, one.seconds, one.stretches) for one in observed if one.seconds]
    return Totals(
        tuple(float(tokens) for tokens, _, _ in timed),
        tuple(seconds for _, seconds, _ in timed),
        tuple(stretches for _, _, stretches in timed),
    )


def energy_over(count: "Callable[[Observation], int]") -> "Observe":
    """Joules over what `count` counts."""

    def energy(observed: "Sequence[Observation]") -> Totals:
        known = [(one.energy_j, count(one)) for one in observed if one.energy_j is not None and count(one)]
        return Totals(tuple(energy for energy, _ in known), tuple(float(number) for _, number in known))

    return energy


def mean(read: "Callable[[Observation], float | None]") -> "Observe":
    """The mean over the batches."""
    return lambda observed: Totals.mean_of([value for one in observed if (value := read(one)) is not None])


def mean_time(read: "Callable[[Observation], float | None]") -> "Observe":
    """The same of what lasts as long as a batch, whose stretches tell how it came about."""

    def mean_of(observed: "Sequence[Observation]") -> Totals:
        known = [(value, one.stretches) for one in observed if (value := read(one)) is not None]
        return Totals.mean_of([value for value, _ in known], tuple(stretches for _, stretches in known))

    return mean_of
