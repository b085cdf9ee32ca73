"""Prices with where they come from, and amounts of money as they are written. Pure.

No price is made up, and none is converted: where one is missing, a sentence says so.
"""

from collections.abc import Mapping

from msgspec import Struct

from infertui.analysis.prices import Prices
from infertui.analysis.terms import Terms
from infertui.units import format_number

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
