"""What a bench in the queue has shown so far: its whole rounds, paired by throughput. Pure."""

from collections.abc import Iterable, Sequence
from functools import lru_cache

from infertui.analysis.outcome import Figure
from infertui.measure.paired import paired
from infertui.runner.queue_store import Entry
from infertui.text import clean

Rounds = tuple[tuple[float, ...], ...]
"""Output tokens per second, one tuple for each whole round, in the order of the arms."""


def bench_words(entries: Sequence[Entry]) -> list[Figure]:
    """The throughput of every arm but the baseline against it, over the rounds that are whole; named by the arm.

    Rounds with an invalid run do not count, as in the bench's own result. Empty for what is no bench.
    """
    arms = arms_of(entries)
    if len(arms) < 2:
        return []
    return list(_figures(tuple(map(clean, arms)), _rounds(entries, arms)))


def arms_of(entries: Iterable[Entry]) -> tuple[str, ...]:
    """The arms, the baseline first; none for what is no bench."""
    places = [entry.place for entry in entries if entry.place]
    if not places:
        return ()
    return places[0].arms or tuple(
        dict.fromkeys(place.arm for place in sorted(places, key=lambda place: not place.baseline))
    )


def _rounds(entries: Iterable[Entry], arms: Sequence[str]) -> Rounds:
    found: dict[int, dict[str, float]] = {}
    for entry in entries:
        if entry.place and entry.throughput and entry.state == "finished" and entry.valid is not False:
            found.setdefault(entry.place.round, {})[entry.place.arm] = entry.throughput
    return tuple(
        tuple(speeds[arm] for arm in arms) for _, speeds in sorted(found.items()) if all(arm in speeds for arm in arms)
    )


@lru_cache(maxsize=64)
def _figures(arms: tuple[str, ...], rounds: Rounds) -> tuple[Figure, ...]:
    # The queue is drawn again with every step of a run, and its rounds stay as they are meanwhile.
    return tuple(
        Figure(
            arm, None, None, "higher", paired([one[0] for one in rounds], [one[index] for one in rounds]), "number",
            basis="rounds", observations=len(rounds),
        )
        for index, arm in enumerate(arms[1:], 1)
    )  # fmt: skip
