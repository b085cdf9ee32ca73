"""What the work of a run costs. Pure.

No price is made up: where one is missing, what it would have given is missing, too, and a reason says why.

What the user gives to work out a cost: prices, a load, a budget. With the forms in which they are typed. Pure.

Prices with where they come from, and amounts of money as they are written. Pure.

No price is made up, and none is converted: where one is missing, a sentence says so.
"""

import re
from collections.abc import Mapping

from msgspec import Struct
from msgspec.structs import replace

from infertui.analysis.cost.prices import Prices
from infertui.errors import UsageError
from infertui.integers import whole_number
from infertui.measure.cost import (
    MILLION,
    Fleet,
    Saving,
    TokenCost,
    electricity_cost,
    fleet,
    prefill_share,
    saving,
    token_cost,
)
from infertui.metrics.reads import beyond_idle, gross, in_force, told
from infertui.metrics.wording import provenance
from infertui.results.result import Result
from infertui.text import clean, one_line
from infertui.units import format_number

PUE = 1.56
PUE_SOURCE = "the Uptime Institute's survey of 2024 found 1.56 on average"
HEADROOM = 0.2
_LOAD = re.compile(
    r"([0-9][0-9,_]*(?:\.[0-9]+)?)\s*([kM]?)\s*(tok/s|tokens/s|tps|req/s|requests/s|rps)?", re.IGNORECASE
)
_PERCENT = re.compile(r"([+-]?[0-9]+(?:\.[0-9]+)?)\s*%")


class Demand(Struct, frozen=True):
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
    load: Demand | None = None
    headroom: float = HEADROOM
    budget: float | None = None


def parse_load(text: str) -> Demand:
    """`2000 tok/s`, `20k tok/s`, `5 req/s`; without a unit tokens. Raises UsageError."""
    match = _LOAD.fullmatch(text.strip())
    value = float(match[1].replace(",", "").replace("_", "")) if match else 0.0
    if match is None or not 0 < value < 1e12:
        raise UsageError(
            f"the load {one_line(text, 80)!r} is not understood",
            remedy='Write it like "2000 tok/s" or "5 req/s".',
        )
    value *= {"k": 1e3, "m": 1e6}.get(match[2].lower(), 1)
    return Demand(value, requests=(match[3] or "tok/s").lower() in ("req/s", "requests/s", "rps"))


def parse_percent(text: str, name: str, *, low: float, high: float) -> float:
    """`40%` as 0.4, from `low` to below `high`. Raises UsageError that names the option."""
    match = _PERCENT.fullmatch(text.strip())
    share = float(match[1]) / 100 if match else high
    if not low <= share < high:
        raise UsageError(
            f"{name}: {one_line(text, 80)!r} is not understood; allowed: {low:.0%} to less than {high:.0%}",
            remedy=f'Write it like {name} "40%".',
        )
    return share


CURRENCY = "USD"


class Price(Struct, frozen=True):
    """A price and where it comes from."""

    value: float
    currency: str
    source: str


def kwh_price(prices: Prices, terms: Terms, currency: str) -> Price | None:
    """The price of a kilowatt-hour: as given, else the first listed one in that currency."""
    if terms.electricity is not None:
        return Price(terms.electricity, terms.currency or currency, "as given")
    listed = prices.of_electricity(currency)
    return None if listed is None else Price(listed.price, currency, source_of(listed.name, listed.source, listed.date))


def gpu_price(device: str, prices: Prices, currency: str = "") -> Price | None:
    """The listed price of one GPU for an hour; None where there is none in that currency."""
    listed = prices.of_gpu(device)
    if listed is None or (currency and listed.currency != currency):
        return None
    return Price(listed.price, listed.currency, source_of("", listed.source, listed.date))


def hour_price(device: str, prices: Prices, terms: Terms, *, on_gpu: bool) -> tuple[Price | None, str]:
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


def source_of(name: str, source: str, date: str) -> str:
    """Name, source and date of a listed price, as far as they are told."""
    return ", ".join(part for part in (name, source, date) if part)


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


UNTOLD = "(not told)"
"""Stands in `RunCost.work` for what an imported file does not tell."""
NO_SPEED = "it measured no throughput"
"""A `RunCost.missing` against which no price helps."""


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


def run_cost(result: Result, prices: Prices, terms: Terms) -> RunCost:
    """What this run's tokens cost, and the fleet and electricity that go with it."""
    loaded, summary, power = result.loaded, result.summary, result.power
    device = clean(loaded.device_name) if loaded else ""
    on_gpu = loaded is not None and not loaded.device.startswith("cpu")
    gpus = _gpus_of(result) if on_gpu else 1
    price, missing = hour_price(device, prices, terms, on_gpu=on_gpu)
    rate = _positive(summary.output_throughput)
    if not rate:
        missing = NO_SPEED
    share, no_split = _share(result)
    total = summary.total_throughput
    tokens = None
    if price and rate:
        prompt_rate = _positive(total - rate) if total is not None and summary.prompt_tokens else None
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


def speed_cost(throughput: float | None, device: str, prices: Prices, terms: Terms) -> RunCost:
    """The same for one GPU of which only the speed is known, in generated tokens a second."""
    price, missing = hour_price(device, prices, terms, on_gpu=True)
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
    if cost.tokens is None or baseline.tokens is None or cost.price is None or baseline.price is None:
        return cost
    if cost.price.currency != baseline.price.currency or not baseline.tokens.output:
        return cost
    ratio = cost.tokens.output / baseline.tokens.output
    same = cost.work == baseline.work and UNTOLD not in cost.work
    unlike = "" if same else baseline.work
    saved = saving(1 - ratio, terms.budget) if terms.budget is not None and not unlike else None
    return replace(cost, ratio=ratio, saving=saved, unlike=unlike)


def _positive(value: float | None) -> float | None:
    """A speed that can be divided by; files of others may hold anything."""
    return value if value is not None and 1e-9 < value < 1e15 else None


def _work(result: Result) -> str:
    setup = result.setup
    prompt = setup.input_len or setup.prompts
    return clean(f"{setup.model or UNTOLD}, in {prompt or UNTOLD}, out {setup.output_len or UNTOLD}")


def _gpus_of(result: Result) -> int:
    told = in_force(result, "tensor_parallel")
    number = whole_number(told)
    return max(1, (result.setup.tensor_parallel or 1) if number is None else number)


def _share(result: Result) -> tuple[float | None, str]:
    """The share of the measured time until first tokens, or why it cannot be told."""
    summary = result.summary
    if result.source or result.imported:
        return None, "another program measured it"
    good = (summary.good or 0) / summary.requests if summary.requests else 0.0
    batches = (summary.iterations or 0) * good
    if summary.ttft is None or summary.ttft.mean is None:
        return None, "TTFT is not known"
    if summary.itl is None or not batches:
        return None, "there is no decoding to tell it from"
    steps = summary.itl.tokens or summary.itl.count
    if steps > batches * (result.setup.output_len or 0):
        return None, "its requests prefill while others decode"
    share = prefill_share(summary.ttft.mean, batches, summary.measured_s or 0.0)
    return share, "" if share is not None else "its TTFTs overlap"


def _fleet(result: Result, price: Price | None, gpus: int, terms: Terms) -> tuple[Fleet | None, str]:
    summary, load = result.summary, terms.load
    if load is None:
        return None, ""
    capacity = summary.output_throughput
    if load.requests:
        good = summary.good
        capacity = good / summary.measured_s if good is not None and summary.measured_s else None
    capacity = _positive(capacity)
    if capacity is None:
        return None, "how many requests a second it did is not known" if load.requests else NO_SPEED
    hour = price.value if price else None
    return fleet(load.value, capacity, gpus_each=gpus, gpu_hour=hour, headroom=terms.headroom), ""
