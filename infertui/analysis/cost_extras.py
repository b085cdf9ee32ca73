"""What a gain in throughput, or in cost, comes to on a monthly budget. Pure."""

from msgspec import Struct

from infertui.analysis.money import thousands
from infertui.measure.cost import Saving, saving, share_of_throughput, throughput_of_share


class Gain(Struct, frozen=True):
    """What a gain comes to on a monthly budget, told apart by what it is a gain of.

    More throughput and lower cost are not the same: 40 % more throughput frees 1 - 1/1.4 = 28.6 % of the devices
    (`more_throughput`). On the same budget it does 40 % more work, which would have cost 40 % of the budget before
    (`same_budget`: not spent rather than saved). A cost that is lower by 40 % saves 40 % of it (`lower_cost`), and
    takes 66.7 % more throughput; there is none from 100 % on. The last two are budget x 0.40 x 12 a year.
    """

    gain: float
    budget: float
    currency: str
    more_throughput: Saving
    same_budget: Saving
    lower_cost: Saving | None
    throughput_for_lower_cost: float | None


def gain_of(gain: float, budget: float, currency: str) -> Gain:
    """The ways to read `gain` (0.4 is 40 %) on a monthly `budget`."""
    possible = gain < 1
    same = saving(gain, budget)
    return Gain(
        gain,
        budget,
        currency,
        more_throughput=saving(share_of_throughput(gain), budget),
        same_budget=same,
        lower_cost=same if possible else None,
        throughput_for_lower_cost=throughput_of_share(gain) if possible else None,
    )


def gain_rows(found: Gain) -> list[tuple[str, str]]:
    """Names and values: what more throughput frees, what it does on the same budget, and what lower cost is."""
    percent = f"{found.gain * 100:.4g}%"

    def spelled(saved: Saving) -> str:
        return f"{thousands(saved.monthly, found.currency)} a month, {thousands(saved.yearly, found.currency)} a year"

    freed = found.more_throughput
    rows = [
        (
            f"{percent} more throughput",
            f"the same work for {freed.share:.1%} less (1 - 1/{1 + found.gain:.4g}): saves {spelled(freed)}",
        ),
        ("or on the same budget", f"{percent} more work, which would have cost {spelled(found.same_budget)} before"),
    ]
    if found.lower_cost is not None and found.throughput_for_lower_cost is not None:
        takes = f"it takes {found.throughput_for_lower_cost:.1%} more throughput"
        rows.append((f"{percent} lower cost", f"saves {spelled(found.lower_cost)}; {takes}"))
    return rows
