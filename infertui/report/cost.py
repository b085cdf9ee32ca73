"""What a run costs, in words: the same on the command line and on the screen. Pure.

No price is made up: where one is missing, what it would have given is missing, too, and a sentence says how to give it.
"""

import re
from collections.abc import Mapping, Sequence

from msgspec import Struct

from infertui.config.prices import Prices, ServerPrice
from infertui.errors import UsageError
from infertui.measure.cost import (
    MILLION,
    Against,
    Fleet,
    Purchase,
    Saving,
    TokenCost,
    against,
    electricity_cost,
    fleet,
    prefill_share,
    saving,
    share_of_throughput,
    throughput_of_share,
    token_cost,
)
from infertui.report.energy import beyond_idle, gross, provenance
from infertui.report.identity import in_force, told
from infertui.store.result import Result
from infertui.terminal_text import clean
from infertui.units import format_number

NOT_AVAILABLE = "n/a"
CURRENCY = "USD"
PUE = 1.56
PUE_SOURCE = "the Uptime Institute's survey of 2024 found 1.56 on average"
HEADROOM = 0.2
_UNTOLD = "(not told)"
_NO_SPEED = "it measured no throughput"
_LOAD = re.compile(
    r"([0-9][0-9,_]*(?:\.[0-9]+)?)\s*([kM]?)\s*(tok/s|tokens/s|tps|req/s|requests/s|rps)?", re.IGNORECASE
)
_PERCENT = re.compile(r"([+-]?[0-9]+(?:\.[0-9]+)?)\s*%")


class Load(Struct, frozen=True):
    """What has to be served: generated tokens a second, or requests like the run's."""

    value: float
    requests: bool = False

    def __str__(self) -> str:
        return f"{format_number(self.value)} {'req/s' if self.requests else 'tok/s'}"


class Terms(Struct, frozen=True):
    """What the user gives. None or empty: as listed, or not asked for. `budget` is a month's."""

    gpu_hour: float | None = None
    currency: str = ""
    electricity: float | None = None
    pue: float = PUE
    load: Load | None = None
    headroom: float = HEADROOM
    budget: float | None = None


class Remedies(Struct, frozen=True):
    """How the user gives the price of a GPU-hour, or of a machine's hour, where it is missing."""

    gpu: str
    machine: str


class Price(Struct, frozen=True):
    """A price and where it comes from."""

    value: float
    currency: str
    source: str


class RunCost(Struct, frozen=True):
    """The cost of one run's work. None is not available; `missing` says why the first of it is not, and the remedy.

    `tokens` is per million, `electricity` per million generated tokens, of the energy that was measured.
    """

    id: str
    name: str
    device: str
    gpus: int
    on_gpu: bool
    valid: bool
    output_throughput: float | None
    price: Price | None
    missing: str = ""
    tokens: TokenCost | None = None
    prefill_share: float | None = None
    no_split: str = ""
    """Why prompt and generated tokens cannot be told apart."""
    joules_per_token: float | None = None
    joules_per_token_above_idle: float | None = None
    energy_source: str = ""
    kwh_price: Price | None = None
    electricity: float | None = None
    fleet: Fleet | None = None
    no_fleet: str = ""
    mean_power_w: float | None = None
    gpus_told: bool = True
    """Whether it is known how many there were; where it is not, one is taken."""
    work: str = ""
    """What was generated: tokens of other work are other tokens."""
    ratio: float | None = None
    """Cost of a generated token over the baseline's."""
    unlike: str = ""
    """The baseline's work, where it was another one."""
    saving: Saving | None = None


def parse_load(text: str) -> Load:
    """`2000 tok/s`, `20k tok/s`, `5 req/s`; without a unit tokens. Raises UsageError."""
    match = _LOAD.fullmatch(text.strip())
    value = float(match[1].replace(",", "").replace("_", "")) if match else 0.0
    if match is None or not 0 < value < 1e12:
        raise UsageError(
            f"the load {clean(text)!r} is not understood", remedy='Write it like "2000 tok/s" or "5 req/s".'
        )
    value *= {"k": 1e3, "m": 1e6}.get(match[2].lower(), 1)
    return Load(value, requests=(match[3] or "tok/s").lower() in ("req/s", "requests/s", "rps"))


def parse_percent(text: str, name: str, *, low: float, high: float) -> float:
    """`40%` as 0.4, from `low` to below `high`. Raises UsageError that names the option."""
    match = _PERCENT.fullmatch(text.strip())
    share = float(match[1]) / 100 if match else high
    if not low <= share < high:
        raise UsageError(
            f"{name}: {clean(text)!r} is not understood; allowed: {low:.0%} to less than {high:.0%}",
            remedy=f'Write it like {name} "40%".',
        )
    return share


# Of a run.


def run_cost(result: Result, prices: Prices, terms: Terms) -> RunCost:
    """What this run's tokens cost, and the fleet and electricity that go with it."""
    loaded, summary, power = result.loaded, result.summary, result.power
    device = clean(loaded.device_name) if loaded else ""
    on_gpu = loaded is not None and not loaded.device.startswith("cpu")
    gpus = _gpus_of(result) if on_gpu else 1
    price, missing = _hourly(device, prices, terms, on_gpu=on_gpu)
    rate = _positive(summary.output_throughput)
    if not rate:
        missing = _NO_SPEED
    share, no_split = _share(result)
    total = summary.total_throughput
    tokens = None
    if price and rate:
        prompts = summary.prompt_tokens and result.knows("summary.prompt_tokens")
        prompt_rate = _positive(total - rate) if total is not None and prompts else None
        tokens = token_cost(price.value * gpus, rate, prompt_rate=prompt_rate, prefill_share=share)
    energy, more = gross(result), beyond_idle(result)
    currency = price.currency if price else terms.currency or CURRENCY
    kwh = kwh_price(prices, terms, currency)
    found, no_fleet = _fleet(result, price, gpus, terms)
    return RunCost(
        id=result.id,
        name=clean(result.name),
        device=device,
        gpus=gpus,
        gpus_told=not on_gpu or told(result, "engine.tensor_parallel") is not None,
        on_gpu=on_gpu,
        valid=result.verdict.valid and result.state == "finished",
        output_throughput=rate,
        price=price,
        missing=missing,
        tokens=tokens,
        prefill_share=share,
        no_split=no_split,
        joules_per_token=energy.joules_per_token,
        joules_per_token_above_idle=more.joules_per_token,
        energy_source=provenance(power) if power and power.energy_j is not None else power.reason if power else "",
        kwh_price=kwh,
        electricity=None
        if energy.joules_per_token is None or kwh is None
        else electricity_cost(energy.joules_per_token * MILLION, kwh.value, terms.pue),
        fleet=found,
        no_fleet=no_fleet,
        mean_power_w=power.mean_power_w if power else None,
        work=_work(result),
    )


def _positive(value: float | None) -> float | None:
    """A speed that can be divided by; files of others may hold anything."""
    return value if value is not None and 1e-9 < value < 1e15 else None


def _work(result: Result) -> str:
    model, output = told(result, "model.id"), told(result, "workload.output_len")
    prompts = (told(result, f"workload.{name}") for name in ("input_len", "prompts_file", "prompts"))
    prompt = next((found for found in prompts if found), None)
    return clean(f"{model or _UNTOLD}, in {prompt or _UNTOLD}, out {output or _UNTOLD}")


def speed_cost(throughput: float | None, device: str, prices: Prices, terms: Terms) -> RunCost:
    """The same for one GPU of which only the speed is known, in generated tokens a second."""
    price, missing = _hourly(device, prices, terms, on_gpu=True)
    load, found, no_fleet = terms.load, None, "requests are of a run" if terms.load and terms.load.requests else ""
    if load is not None and throughput and not load.requests:
        hour = price.value if price else None
        found = fleet(load.value, throughput, gpus_each=1, gpu_hour=hour, headroom=terms.headroom)
    return RunCost(
        id="",
        name="",
        device=clean(device),
        gpus=1,
        on_gpu=True,
        valid=True,
        output_throughput=throughput,
        price=price,
        missing=missing,
        tokens=token_cost(price.value, throughput) if price and throughput else None,
        energy_source="a run measures it",
        fleet=found,
        no_fleet=no_fleet,
    )


def beside(cost: RunCost, baseline: RunCost, terms: Terms) -> RunCost:
    """The cost with its ratio to the baseline's, and what that saves on the budget."""
    import msgspec

    if cost.tokens is None or baseline.tokens is None or cost.price is None or baseline.price is None:
        return cost
    if cost.price.currency != baseline.price.currency or not baseline.tokens.output:
        return cost
    ratio = cost.tokens.output / baseline.tokens.output
    same = cost.work == baseline.work and _UNTOLD not in cost.work
    unlike = "" if same else baseline.work
    saved = saving(1 - ratio, terms.budget) if terms.budget is not None and not unlike else None
    return msgspec.structs.replace(cost, ratio=ratio, saving=saved, unlike=unlike)


def kwh_price(prices: Prices, terms: Terms, currency: str) -> Price | None:
    """The price of a kilowatt-hour: as given, else the first listed one in that currency."""
    if terms.electricity is not None:
        return Price(terms.electricity, terms.currency or currency, "as given")
    listed = prices.of_electricity(currency)
    return None if listed is None else Price(listed.price, currency, _source(listed.name, listed.source, listed.date))


def gpu_price(device: str, prices: Prices, currency: str = "") -> Price | None:
    """The listed price of one GPU for an hour; None where there is none in that currency."""
    listed = prices.of_gpu(device)
    if listed is None or (currency and listed.currency != currency):
        return None
    return Price(listed.price, listed.currency, _source("", listed.source, listed.date))


def _hourly(device: str, prices: Prices, terms: Terms, *, on_gpu: bool) -> tuple[Price | None, str]:
    """The price of a GPU's or the machine's hour, or why there is none."""
    if terms.gpu_hour is not None:
        return Price(terms.gpu_hour, terms.currency or CURRENCY, "as given"), ""
    if (price := gpu_price(device, prices, terms.currency)) is not None:
        return price, ""
    if (other := prices.of_gpu(device)) is not None:
        return None, f"{device} has a price in {other.currency}, not in {terms.currency}"
    if not on_gpu:
        return None, "it ran on the CPU, and what that machine costs an hour is not known"
    return None, f"there is no price of {device or 'its GPU'}"


def _source(name: str, source: str, date: str) -> str:
    return ", ".join(part for part in (name, source, date) if part)


def _gpus_of(result: Result) -> int:
    told = in_force(result, "tensor_parallel")
    number = int(told) if told.isdigit() else result.config.engine.tensor_parallel
    return max(1, number)


def _share(result: Result) -> tuple[float | None, str]:
    """The share of the measured time until first tokens, or why it cannot be told."""
    summary = result.summary
    if result.source or result.imported:
        return None, "another program measured it"
    good = (summary.requests - summary.failed) / summary.requests if summary.requests else 0.0
    batches = summary.iterations * good
    if summary.ttft is None:
        return None, "TTFT is not known"
    if summary.itl is None or not batches:
        return None, "there is no decoding to tell it from"
    steps = summary.itl.tokens or summary.itl.count
    if steps > batches * result.config.workload.output_len:
        return None, "its requests prefill while others decode"
    share = prefill_share(summary.ttft.mean, batches, summary.measured_s)
    return share, "" if share is not None else "its TTFTs overlap"


def _fleet(result: Result, price: Price | None, gpus: int, terms: Terms) -> tuple[Fleet | None, str]:
    summary, load = result.summary, terms.load
    if load is None:
        return None, ""
    capacity = summary.output_throughput
    if load.requests:
        good = summary.requests - summary.failed
        known = result.knows("summary.requests") and result.knows("summary.measured_s") and summary.measured_s
        capacity = good / summary.measured_s if known else None
    capacity = _positive(capacity)
    if capacity is None:
        return None, "how many requests a second it did is not known" if load.requests else _NO_SPEED
    hour = price.value if price else None
    return fleet(load.value, capacity, gpus_each=gpus, gpu_hour=hour, headroom=terms.headroom), ""


# In words.


def money(value: float, currency: str) -> str:
    """`34,286 EUR`, `2.50 EUR`, `0.0123 EUR`."""
    return f"{format_number(value)} {currency}"


def rate(price: Price) -> str:
    """A price as it was given or listed, not rounded: `0.1275 USD`, `3.94 USD`."""
    shown = f"{price.value:,.6f}".rstrip("0")
    whole, _, decimals = shown.partition(".")
    return f"{whole}.{decimals:0<2} {price.currency}"


def thousands(value: float, currency: str) -> str:
    """Whole units, for sums of a year: `48,000 EUR`."""
    return f"{value:,.0f} {currency}"


def cost_rows(cost: RunCost, terms: Terms, remedies: Remedies) -> list[tuple[str, str]]:
    """Names and values, in reading order."""
    currency = cost.price.currency if cost.price else terms.currency or CURRENCY
    rows = [("price", _price_words(cost, remedies))]
    if cost.tokens is not None:
        rows += _token_rows(cost, cost.tokens, currency)
    rows.append(("energy", _energy_words(cost)))
    if cost.electricity is not None and cost.kwh_price is not None:
        of = "the GPU alone" if cost.on_gpu else "the CPU packages alone"
        rows.append(
            (
                "electricity",
                f"{money(cost.electricity, cost.kwh_price.currency)} per million output tokens: {of},"
                f" at {rate(cost.kwh_price)}/kWh ({cost.kwh_price.source}),"
                f" PUE {terms.pue:.2f}",
            )
        )
    if terms.load is not None:
        rows.append(("fleet", _fleet_words(cost, terms, currency)))
    if cost.ratio is not None and terms.budget is not None:
        why = "what was generated is not told" if _UNTOLD in cost.unlike else "the baseline did other work"
        other = f"{NOT_AVAILABLE}: {why}"
        rows.append(("saving", saving_words(cost.saving, terms.budget, currency) if cost.saving else other))
    return rows


def missing_words(cost: RunCost, remedies: Remedies) -> str:
    """Why there is no cost, and what to do about it where something can be done."""
    if cost.price is not None or cost.missing == _NO_SPEED:
        return cost.missing
    return f"{cost.missing}; {remedies.gpu if cost.on_gpu else remedies.machine}"


def _price_words(cost: RunCost, remedies: Remedies) -> str:
    if cost.price is None:
        return f"{NOT_AVAILABLE}: {missing_words(cost, remedies)}"
    unit = "GPU-hour" if cost.on_gpu else "machine-hour"
    shown = f"{rate(cost.price)} per {unit} ({cost.price.source})"
    if cost.gpus > 1:
        shown += f", {cost.gpus} GPUs: {money(cost.price.value * cost.gpus, cost.price.currency)} an hour"
    if not cost.gpus_told:
        shown += ", one GPU taken: how many there were is not told"
    return shown


def _token_rows(cost: RunCost, tokens: TokenCost, currency: str) -> list[tuple[str, str]]:
    ratio = f", {cost.ratio:.2f}x the baseline's" if cost.ratio is not None else ""
    if cost.unlike:
        ratio += f", which did OTHER work: {cost.unlike}"
    rows = [("output tokens", f"{money(tokens.output, currency)} per million, all of the time charged to them{ratio}")]
    if tokens.prefill is not None and tokens.decode is not None and cost.prefill_share is not None:
        rows.append(
            (
                "in and out",
                f"{money(tokens.prefill, currency)} per million input tokens and {money(tokens.decode, currency)} per"
                f" million output tokens: {cost.prefill_share:.1%} of the time passed until first tokens",
            )
        )
    if tokens.blended is not None:
        why = f"; they cannot be told apart: {cost.no_split}" if cost.no_split else ""
        rows.append(("blended", f"{money(tokens.blended, currency)} per million tokens, input and output alike{why}"))
    return rows


def _energy_words(cost: RunCost) -> str:
    if cost.joules_per_token is None:
        return NOT_AVAILABLE + (f": {cost.energy_source}" if cost.energy_source else "")
    above = cost.joules_per_token_above_idle
    more = f" ({format_number(above)} above idle)" if above is not None else ""
    source = f": {cost.energy_source}" if cost.energy_source else ""
    return f"{format_number(cost.joules_per_token)} J/tok{more}{source}"


def _fleet_words(cost: RunCost, terms: Terms, currency: str) -> str:
    found = cost.fleet
    if found is None:
        return f"{NOT_AVAILABLE}: {cost.no_fleet}"
    unit = ("GPU" if cost.on_gpu else "machine") + ("s" if found.gpus > 1 else "")
    used = f"{found.utilisation:.0%} of what they can do"
    shown = f"{found.gpus:,} {unit} for {terms.load}, {terms.headroom:.0%} kept free; {used}"
    if found.per_hour is None or found.per_year is None:
        return shown
    return f"{shown}: {money(found.per_hour, currency)} an hour, {thousands(found.per_year, currency)} a year"


def saving_words(found: Saving, budget: float, currency: str) -> str:
    """What is saved of a monthly budget against the baseline."""
    word = "less" if found.share >= 0 else "more"
    return (
        f"the baseline's work for {abs(found.share):.1%} {word}: {thousands(abs(found.monthly), currency)} of"
        f" {thousands(budget, currency)} a month, {thousands(abs(found.yearly), currency)} a year"
    )


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


# Buying.


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
    price = Price(server.price, server.currency, _source("", server.source, server.date))
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
        *([("UNLIKE", unlike)] if other else []),
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


# Lists.

HEADINGS = (
    "run", "device", "price/h", "tok/s", "per M output", "against the first", "per M input", "per M output alone",
    "per M blended", "J/tok", "electricity per M",
)  # fmt: skip


def table(costs: Sequence[RunCost]) -> list[tuple[str, ...]]:
    """A row a run, with the columns of HEADINGS."""
    return [_row(cost) for cost in costs]


def _row(cost: RunCost) -> tuple[str, ...]:
    tokens, currency = cost.tokens, cost.price.currency if cost.price else ""

    def shown(value: float | None, unit: str = currency) -> str:
        return NOT_AVAILABLE if value is None else money(value, unit).strip()

    device = f"{cost.gpus}x {cost.device}" if cost.gpus > 1 else cost.device
    return (
        clean(cost.id) + ("" if cost.valid else " (invalid)"),
        device or NOT_AVAILABLE,
        shown(cost.price.value * cost.gpus if cost.price else None),
        shown(cost.output_throughput, ""),
        shown(tokens.output if tokens else None),
        f"{cost.ratio:.2f}x" if cost.ratio is not None else "-",
        shown(tokens.prefill if tokens else None),
        shown(tokens.decode if tokens else None),
        shown(tokens.blended if tokens else None),
        shown(cost.joules_per_token, ""),
        shown(cost.electricity, cost.kwh_price.currency if cost.kwh_price else ""),
    )


def notes(costs: Sequence[RunCost], remedies: Remedies) -> list[str]:
    """What a reader of the table has to know: prices with their sources, and what is missing."""
    said: dict[str, None] = {}
    for cost in costs:
        if cost.price is not None:
            unit = f"an hour of {cost.device}" if cost.on_gpu else "a machine-hour"
            said[f"{rate(cost.price)} {unit}: {cost.price.source}"] = None
            if not cost.gpus_told:
                said[f"{clean(cost.id)}: one GPU taken, how many there were is not told"] = None
        if cost.missing:
            said[f"{clean(cost.id)}: {missing_words(cost, remedies)}"] = None
        if cost.unlike:
            said[f"{clean(cost.id)}: NOT the first run's work ({cost.work}, not {cost.unlike}): other tokens"] = None
        if cost.electricity is not None and cost.kwh_price:
            said[f"electricity at {rate(cost.kwh_price)}/kWh: {cost.kwh_price.source}"] = None
    return list(said)


def price_lists(prices: Prices) -> Mapping[str, list[tuple[str, ...]]]:
    """All prices by what they are of: name, price, source, date."""
    return {
        "one GPU for an hour, on demand": [
            (one.name, rate(Price(one.price, one.currency, "")), one.source, one.date) for one in prices.gpus
        ],
        "servers": [(one.name, thousands(one.price, one.currency), one.source, one.date) for one in prices.servers],
        "a kilowatt-hour": [
            (one.name, rate(Price(one.price, one.currency, "")), one.source, one.date) for one in prices.electricity
        ],
    }
