"""Figures of runs that have ended: a family for each metric of the registry that the index of results has.

And what a run's output tokens cost, where its GPU has a listed price.
"""

from collections.abc import Iterable

from infertui.analysis.cost.prices import Prices
from infertui.analysis.cost.total import gpu_price
from infertui.api.exporter.family import Family, ScrapedPage
from infertui.measure.cost import token_cost
from infertui.metrics.metric import Metric
from infertui.metrics.registry import stored
from infertui.metrics.units import (
    BUCKETED,
    BYTES,
    CELSIUS,
    DURATION,
    JOULES,
    MILLISECONDS,
    SECONDS,
    SHARE,
    TOKENS_PER_SECOND,
    WATTS,
    Unit,
)
from infertui.results.table import ResultRow
from infertui.runner.scheduling.queue_store import Entry

_SECONDS = (BUCKETED, DURATION, MILLISECONDS, SECONDS)
COST = Family(
    "infertui_result_cost_per_million_output_tokens",
    "Price of an hour of its GPUs, as listed, over the output tokens of an hour; times a million.",
    ("run", "currency"),
)


def family_of(metric: Metric) -> Family:
    """The family of a metric: its key, with its unit where that does not say it."""
    unit = _unit_word(metric.unit)
    name = f"infertui_result_{metric.key}".replace("_per_s_per_w", "_per_second_per_watt")
    told = unit and (unit.removeprefix("_") in metric.key)
    return Family(name if told else f"{name}{unit}", f"{metric.label or metric.key}: {metric.help}.", ("run",))


def metrics_told() -> list[Metric]:
    """Those of the registry that are numbers, in its order."""
    return [metric for metric in stored() if metric.unit.kind in ("count", "figure")]


def add_figures(page: ScrapedPage, rows: Iterable[ResultRow], entries: Iterable[Entry], prices: Prices | None) -> None:
    """What the index says of runs that ended. Without `prices` no cost is told."""
    of_runs = {entry.run: entry for entry in entries}
    families = [(metric.key, family_of(metric)) for metric in metrics_told()]
    for row in rows:
        for key, family in families:
            page.add(family, getattr(row, key), run=row.id)
        if prices is not None and row.id in of_runs:
            _add_cost(page, row, of_runs[row.id], prices)


def _add_cost(page: ScrapedPage, row: ResultRow, entry: Entry, prices: Prices) -> None:
    price = gpu_price(row.device, prices) if row.device and entry.config.target.kind == "engine" else None
    if price is not None and row.throughput:
        cost = token_cost(price.value * entry.config.engine.tensor_parallel, row.throughput)
        page.add(COST, cost.output, run=row.id, currency=price.currency)


def _unit_word(unit: Unit) -> str:
    """What ends the name of a family in this unit: Prometheus wants base units, in words."""
    if any(unit is one for one in _SECONDS):
        return "_seconds"
    words = {
        id(BYTES): "_bytes", id(CELSIUS): "_celsius", id(JOULES): "_joules", id(SHARE): "_ratio",
        id(TOKENS_PER_SECOND): "_tokens_per_second", id(WATTS): "_watts",
    }  # fmt: skip
    return words.get(id(unit), "")
