import pytest

from infertui.analysis.cost.extras import Offer, deal, deal_rows, offer_of
from infertui.analysis.cost.prices import ServerPrice
from infertui.analysis.cost.total import Price
from infertui.errors import UsageError

SERVER = ServerPrice(
    name="8x H100 SXM", price=310_000, currency="USD", gpus=8, power_w=10_200, gpu_power_w=700, source="quotes"
)


def test_eight_h100_in_words() -> None:
    hour, kwh = Price(3.94, "USD", "as given"), Price(0.1275, "USD", "commercial")
    rows = deal_rows(deal(offer_of(SERVER), hour, kwh, pue=1.56, years=3, upkeep=0), 1.56)
    found = {name.strip(): value for name, value in rows}
    assert found["on demand"] == "276,115 USD a year: 8 GPUs x 3.94 USD x 8,760 h (as given)"
    assert found["purchase"] == "121,105 USD a year"
    assert found["on demand costs"] == "128% more than the purchase"
    assert found["break-even"].startswith("after 14.4 months; rented for less than 44% of the hours")
    assert "10.2 kW (the most that it draws) x 8,760 h x PUE 1.56 x 0.1275 USD/kWh (commercial)" in found["electricity"]
    assert found["upkeep"].startswith("left out")


def test_measured_power_takes_the_place_of_the_gpus_maximum() -> None:
    offer = offer_of(SERVER, 300.0)
    assert offer.watts == 10_200 - 8 * 400
    assert "300 W as measured" in offer.watts_source


def test_a_fleet_is_bought_in_whole_servers() -> None:
    hour = Price(3.94, "USD", "as given")
    found = deal(offer_of(SERVER), hour, None, pue=1.56, years=3, upkeep=0.05, gpus=9)
    assert (found.servers, found.rented) == (2, 9)
    assert found.bought.price == 620_000
    assert found.found.on_demand == pytest.approx(9 * 3.94 * 8760)
    rows = {name.strip(): value for name, value in deal_rows(found, 1.56)}
    assert rows["electricity"] == "left out: a price of electricity in USD is not known"
    assert rows["upkeep"] == "31,000 USD"
    unknown = deal(Offer("it", Price(1, "USD", ""), 8, None, ""), hour, hour, pue=1, years=3, upkeep=0)
    assert dict(deal_rows(unknown, 1))["  electricity"] == "left out: its draw is not known"
    with pytest.raises(UsageError, match="in EUR and USD"):
        deal(offer_of(SERVER), Price(3.94, "EUR", ""), None, pue=1, years=3, upkeep=0)
