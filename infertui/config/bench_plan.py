"""The plan of a bench: several configs measured in turn, round after round, so that drift hits all alike."""

import random
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from infertui.errors import UsageError
from infertui.text import clean

if TYPE_CHECKING:  # `infertui --help` asks for a number alone
    from infertui.config.schema import Config
    from infertui.config.sweep import Place, Variant

DEFAULT_ROUNDS = 5
FEWEST_ARMS, MOST_RUNS = 2, 10_000


def bench_id(now: datetime) -> str:
    """A name for a bench, unlike that of any other, that sorts by time."""
    import secrets

    return f"bench-{now:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def plan_bench(arms: "Sequence[tuple[str, Config]]", rounds: int, seed: int, bench: str = "") -> "list[Variant]":
    """The runs of a bench in the order in which to measure them; the first arm is the baseline.

    Each round runs every arm once. The order is drawn anew for every other round and mirrored in the one that follows,
    A B then B A: what drifts steadily costs either as much. Every run is a process of its own, also where the loaded
    model could serve two: processes that do the same work differ, and only repeated ones show by how much.

    `arms` are names and configs without a sweep; equal names are numbered. Without `bench` a new name is made for it.
    Raises UsageError for fewer than two arms, less than one round, or more runs than anybody can mean.
    """
    if len(arms) < FEWEST_ARMS:
        raise UsageError(
            f"a bench needs at least {FEWEST_ARMS} configs to compare, not {len(arms)}",
            remedy="Name a second target, or let one vary: --vary engine.mode=eager,compile.",
        )
    from infertui.config.sweep import Place, Variant

    if rounds < 1 or rounds * len(arms) > MOST_RUNS:
        raise UsageError(
            f"a bench of {rounds} rounds with {len(arms)} configs cannot be",
            remedy=f"Take at least 1 round, and at most {MOST_RUNS // len(arms)}: {MOST_RUNS} runs in all.",
        )
    bench = bench or bench_id(datetime.now().astimezone())
    names = distinct([name for name, _ in arms])
    configs = dict(zip(names, (_alone(config) for _, config in arms), strict=True))
    return [
        Variant(
            f"{name} {number + 1}/{rounds}",
            configs[name],
            {},
            Place(bench, name, number, rounds, baseline=name == names[0], arms=names, seed=seed),
        )
        for number, order in enumerate(orders(names, rounds, seed))
        for name in order
    ]


def orders(arms: Sequence[str], rounds: int, seed: int) -> list[tuple[str, ...]]:
    """The order of the arms in every round: drawn for even ones, counted from 0, and mirrored in the odd ones."""
    generator = random.Random(seed)  # noqa: S311 (an order, no secret)
    found: list[tuple[str, ...]] = []
    for number in range(rounds):
        found.append(tuple(reversed(found[-1])) if number % 2 else tuple(generator.sample(list(arms), len(arms))))
    return found


def plan_rest(
    known: "Sequence[Place]",
    done: "Collection[Place]",
    config_of: "Callable[[str], Config | None]",
    rounds: int | None = None,
) -> "list[Variant]":
    """The runs that a bench still lacks, in their order: `known` are the places of its runs, `done` of those to keep.

    `config_of` gives the config of an arm, None where no run of it is known. `rounds` asks for another number of rounds
    than was planned. Raises UsageError for an arm without a config.
    """
    one = known[0]
    arms: list[tuple[str, Config]] = []
    for name in one.arms:
        config = config_of(name)
        if config is None:
            raise UsageError(
                f"{clean(one.bench)} cannot be continued: {clean(name)} was never measured, so its config is not known",
                remedy="Start the bench anew.",
            )
        arms.append((name, config))
    measured = {(place.arm, place.round) for place in done}
    planned = max(place.rounds for place in known) if rounds is None else rounds
    plan = plan_bench(arms, planned, one.seed, one.bench)
    return [variant for variant in plan if variant.place and (variant.place.arm, variant.place.round) not in measured]


def distinct(names: Sequence[str]) -> tuple[str, ...]:
    """The names as they are, with a number where one was given before."""
    found: list[str] = []
    for name in names:
        number, unique = 1, name
        while unique in found:
            number += 1
            unique = f"{name} #{number}"
        found.append(unique)
    return tuple(found)


def _alone(config: "Config") -> "Config":
    """`config` measured in a process of its own."""
    from msgspec.structs import replace

    return replace(config, measurement=replace(config.measurement, fresh_process=True))
