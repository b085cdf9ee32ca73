"""What a gain in throughput, or in cost, comes to on a monthly budget. Pure.

Buying servers against renting as many GPUs: figures and words. Pure.
"""

from msgspec import Struct

from infertui.analysis.cost.prices import ServerPrice
from infertui.analysis.cost.total import Price, rate, source_of, thousands
from infertui.errors import UsageError
from infertui.measure.cost import Against, Purchase, Saving, against, saving, share_of_throughput, throughput_of_share


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


class Offer(Struct, frozen=True):
    """What there is to buy: one server, with what it draws on average; None where that is not known.

    `gpu` is what its GPUs are; empty where that is not told.
    """

    name: str
    price: Price
    gpus: int
    watts: float | None
    watts_source: str
    gpu: str = ""


def offer_of(server: ServerPrice, gpu_w: float | None = None) -> Offer:
    """A listed server. `gpu_w`, where measured, is what one of its GPUs drew: it replaces that part of the maximum."""
    price = Price(server.price, server.currency, source_of("", server.source, server.date))
    if gpu_w is None or not server.gpu_power_w:
        return Offer(server.name, price, server.gpus, server.power_w, "the most that it draws", server.gpu)
    watts = max(0.0, server.power_w - server.gpus * (server.gpu_power_w - gpu_w))
    told = f"the most that it draws, with GPUs at {gpu_w:.0f} W as measured"
    return Offer(server.name, price, server.gpus, watts, told, server.gpu)


class Deal(Struct, frozen=True):
    """So many servers bought, beside renting as many GPUs as are needed. `gpu`: what is rented, where that is told."""

    offer: Offer
    servers: int
    rented: int
    hour: Price
    kwh: Price | None
    bought: Purchase
    found: Against
    gpu: str = ""


def deal(
    offer: Offer,
    hour: Price,
    kwh: Price | None,
    *,
    pue: float,
    years: float,
    upkeep: float,
    gpus: int | None = None,
    gpu: str = "",
) -> Deal:
    """Compare buying with renting `gpus` on demand, each a `gpu`, else as many as one server has.

    Raises UsageError for prices in different currencies, and for one of 0.
    """
    currencies = {offer.price.currency, hour.currency, *([kwh.currency] if kwh else [])}
    if len(currencies) > 1:
        raise UsageError(
            f"buying and renting cannot be compared: prices are in {' and '.join(sorted(currencies))}",
            remedy="Give them in one currency: --purchase, --gpu-hour, --electricity, --currency.",
        )
    if not (hour.value > 0 and offer.price.value > 0):
        raise UsageError("buying and renting cannot be compared: one of the prices is 0")
    rented = gpus or offer.gpus
    servers = -(-rented // offer.gpus)
    power = offer.watts or 0.0
    bought = Purchase(
        offer.price.value * servers, years, power * servers, kwh.value if kwh else 0.0, pue=pue, upkeep=upkeep
    )
    return Deal(offer, servers, rented, hour, kwh, bought, against(rented, hour.value, bought), gpu)


def deal_rows(deal: Deal, pue: float) -> list[tuple[str, str]]:
    """Names and values: both sides with what they assume, then how they compare."""
    found, bought, currency = deal.found, deal.bought, deal.hour.currency
    if deal.offer.watts is not None and deal.kwh is not None:
        electricity = (
            f"{thousands(bought.electricity, currency)}: {bought.power_w / 1000:.1f} kW ({deal.offer.watts_source})"
            f" x 8,760 h x PUE {pue:.2f} x {rate(deal.kwh)}/kWh ({deal.kwh.source})"
        )
    else:
        what = "its draw" if deal.offer.watts is None else f"a price of electricity in {currency}"
        electricity = f"left out: {what} is not known"
    kept = bought.price * bought.upkeep
    servers = f"{deal.servers} x {deal.offer.name}" if deal.servers > 1 else deal.offer.name
    more = "more" if found.excess >= 0 else "less"
    months = found.break_even_months
    even = f"after {months:.1f} months" if months is not None else "never: running it costs more than renting"
    if found.break_even_hours <= 1:
        even += f"; rented for less than {found.break_even_hours:.0%} of the hours, on demand is the cheaper one"
    other = deal.gpu and deal.offer.gpu and deal.gpu.casefold() != deal.offer.gpu.casefold()
    unlike = f"{deal.gpu} is rented, {deal.offer.gpu} is bought: as many of them do not do the same work"
    return [
        *([("NOT COMPARABLE", unlike)] if other else []),
        (
            "on demand",
            f"{thousands(found.on_demand, currency)} a year: {deal.rented} GPUs x {rate(deal.hour)} x 8,760 h"
            f" ({deal.hour.source})",
        ),
        ("purchase", f"{thousands(found.purchase, currency)} a year"),
        (
            "  written off",
            f"{thousands(bought.written_off, currency)}: {servers} for {thousands(bought.price, currency)} over"
            f" {bought.years:.4g} years, nothing left then ({deal.offer.price.source})",
        ),
        ("  electricity", electricity),
        ("  upkeep", thousands(kept, currency) if kept else "left out: space, staff, repairs, capital"),
        ("on demand costs", f"{abs(found.excess):.0%} {more} than the purchase"),
        ("break-even", even),
    ]
