"""From speed to money: cost per token, fleets for a load, what a gain saves, buying against renting. Pure arithmetic.

Money is in one currency throughout; which, its callers know.
"""

import math

from msgspec import Struct

HOURS_PER_YEAR = 8760.0
MONTHS_PER_YEAR = 12
SECONDS_PER_HOUR = 3600.0
MILLION = 1e6
JOULES_PER_KWH = 3.6e6
# Loads and speeds come from divisions: what is above a whole number by no more than this is that number.
_ROUNDING = 1e-9


class TokenCost(Struct, frozen=True):
    """Cost per million tokens. None is not available.

    `output` charges the whole time to the generated tokens, the usual figure; `blended` to generated and prompt tokens
    alike. `prefill` and `decode` divide the time: what passed until the first token is charged to the prompt tokens,
    the rest to the generated ones. Each of the three ways accounts for all of the time, so they give the same bill.
    """

    output: float
    blended: float | None = None
    prefill: float | None = None
    decode: float | None = None


def token_cost(
    per_hour: float, output_rate: float, *, prompt_rate: float | None = None, prefill_share: float | None = None
) -> TokenCost:
    """Cost of tokens on devices that cost `per_hour` together.

    `output_rate` and `prompt_rate` are tokens a second over the measured time, `prefill_share` the share of that time
    which passed before first tokens: see `prefill_share`. Raises ValueError unless `output_rate` is above 0.
    """
    if not output_rate > 0:
        raise ValueError("a cost per token needs tokens")
    per_second = per_hour / SECONDS_PER_HOUR
    prefill = decode = None
    if prefill_share is not None and prompt_rate:
        prefill = per_second * prefill_share / prompt_rate * MILLION
        decode = per_second * (1 - prefill_share) / output_rate * MILLION
    return TokenCost(
        output=per_second / output_rate * MILLION,
        blended=None if prompt_rate is None else per_second / (output_rate + prompt_rate) * MILLION,
        prefill=prefill,
        decode=decode,
    )


def prefill_share(mean_ttft: float, batches: float, measured_s: float) -> float | None:
    """Share of the measured time that passed until first tokens: TTFT of every static batch over all of the time.

    The first token of a request comes out of its prefill, and its time counts as that. None where the times do not add
    up, as with requests that wait for each other: their TTFTs overlap.
    """
    share = mean_ttft * batches / measured_s if measured_s > 0 else -1.0
    return share if 0 < share < 1 else None


def electricity_cost(joules: float, per_kwh: float, pue: float = 1.0) -> float:
    """Price of so much energy; `pue` is what the building takes for each joule of the machines."""
    return joules / JOULES_PER_KWH * pue * per_kwh


class Fleet(Struct, frozen=True):
    """Devices for a load. `utilisation` is the share of what they can do that the load takes."""

    replicas: int
    gpus: int
    utilisation: float
    per_hour: float | None
    per_year: float | None


def fleet(load: float, capacity: float, *, gpus_each: int, gpu_hour: float | None, headroom: float = 0.0) -> Fleet:
    """What serves `load` when one replica of `gpus_each` GPUs does `capacity` of the same unit.

    `headroom` is the share of every replica that is kept free. Replicas are whole. Raises ValueError for a capacity or
    a load not above 0, and a headroom not in [0, 1).
    """
    if not (load > 0 and capacity > 0 and 0 <= headroom < 1):
        raise ValueError("a fleet needs a load, a capacity, and a headroom below 100 %")
    replicas = max(1, math.ceil(load / (capacity * (1 - headroom)) - _ROUNDING))
    gpus = replicas * gpus_each
    per_hour = None if gpu_hour is None else gpus * gpu_hour
    return Fleet(
        replicas, gpus, load / (replicas * capacity), per_hour, None if per_hour is None else per_hour * HOURS_PER_YEAR
    )


class Saving(Struct, frozen=True):
    """What the same work costs less: as a share of the former cost, a month and a year."""

    share: float
    monthly: float
    yearly: float


def saving(share: float, budget: float) -> Saving:
    """The same work for `share` less, on a monthly `budget`.

    `saving(0.4, 10_000)`: 40 % lower cost is 10,000 x 0.40 x 12 = 48,000 a year.
    """
    return Saving(share, budget * share, budget * share * MONTHS_PER_YEAR)


def share_of_throughput(gain: float) -> float:
    """By what share the same work costs less on hardware that does `gain` more in the same time: 1 - 1 / (1 + gain).

    40 % more throughput is 28.6 % lower cost, not 40 %. Raises ValueError for a gain of -100 % or less.
    """
    if not gain > -1:
        raise ValueError("throughput cannot fall by 100 % or more")
    return 1 - 1 / (1 + gain)


def throughput_of_share(share: float) -> float:
    """The gain in throughput that `share` lower cost takes: 1 / (1 - share) - 1. 40 % lower cost takes 66.7 %.

    Raises ValueError for a share of 100 % or more: nothing costs nothing.
    """
    if not share < 1:
        raise ValueError("cost cannot fall by 100 % or more")
    return 1 / (1 - share) - 1


class Purchase(Struct, frozen=True):
    """Servers that are bought: price of all, years over which it is written off, and what running them takes.

    `power_w` is the mean draw of all of them, day and night; `upkeep` a share of the price that goes a year into space,
    staff and repairs.
    """

    price: float
    years: float
    power_w: float = 0.0
    per_kwh: float = 0.0
    pue: float = 1.0
    upkeep: float = 0.0

    @property
    def written_off(self) -> float:
        """A year's part of the price, straight-line, with nothing left at the end."""
        return self.price / self.years

    @property
    def electricity(self) -> float:
        """A year's electricity: kW x hours x PUE x price of a kWh."""
        return self.power_w / 1000 * HOURS_PER_YEAR * self.pue * self.per_kwh

    @property
    def per_year(self) -> float:
        """What a year costs in all."""
        return self.written_off + self.electricity + self.price * self.upkeep


class Against(Struct, frozen=True):
    """Renting on demand, all hours of the year, beside buying.

    `excess` is by what share renting costs more: on demand / purchase - 1. `break_even_months` is when what was not
    paid in rent has paid for the price; None where it never does. `break_even_hours` is the share of all hours from
    which on buying is the cheaper one; above 1 renting always is.
    """

    on_demand: float
    purchase: float
    excess: float
    break_even_months: float | None
    break_even_hours: float


def against(gpus: int, gpu_hour: float, bought: Purchase) -> Against:
    """Renting `gpus` for `gpu_hour` each, against `bought`. Raises ValueError unless both cost something."""
    on_demand = gpus * gpu_hour * HOURS_PER_YEAR
    if not (on_demand > 0 and bought.per_year > 0):
        raise ValueError("a comparison needs two prices above 0")
    running = bought.per_year - bought.written_off
    left = (on_demand - running) / MONTHS_PER_YEAR
    return Against(
        on_demand=on_demand,
        purchase=bought.per_year,
        excess=on_demand / bought.per_year - 1,
        break_even_months=bought.price / left if left > 0 else None,
        break_even_hours=bought.per_year / on_demand,
    )
