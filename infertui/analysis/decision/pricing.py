"""What a million output tokens of a run cost, by the price of its device's hour. Pure; no price is made up."""

from collections.abc import Callable, Sequence

from infertui.analysis.cost.prices import Prices
from infertui.analysis.cost.total import CURRENCY, Price, Terms, hour_price
from infertui.metrics.registry import metric_of
from infertui.results.result import Result

_HOUR_S = 3600
_MILLION = 1_000_000


def priced(
    results: Sequence[Result], prices: Prices, gpu_hour: float | None = None
) -> tuple[Callable[[Result], float | None], str, str]:
    """What gives the cost of a million output tokens, its currency, and why there is none of some device.

    Prices of another currency than the first are left out: none is converted.
    """
    terms = Terms(gpu_hour=gpu_hour)
    found: dict[str, Price] = {}
    currency, why = "", ""
    for result in results:
        loaded = result.loaded
        if loaded is None or loaded.device_name in found:
            continue
        price, reason = hour_price(loaded.device_name, prices, terms, on_gpu=loaded.device != "cpu")
        if price is None:
            why = why or reason
        elif not currency or price.currency == currency:
            found[loaded.device_name], currency = price, price.currency

    def cost(result: Result) -> float | None:
        speed, loaded = metric_of("throughput").number(result), result.loaded
        price = found.get(loaded.device_name) if loaded is not None else None
        count = max(1, result.setup.tensor_parallel or 1)
        return price.value * count / _HOUR_S / speed * _MILLION if price is not None and speed else None

    return cost, currency or CURRENCY, why
