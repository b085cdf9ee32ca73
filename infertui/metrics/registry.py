"""The registry: one entry a metric, from which every table, filter, file and page takes what it says of it."""

import re
from collections.abc import Iterator

from infertui.metrics.definitions import METRICS
from infertui.metrics.metric import ComparisonRow, Metric, View

_KEY = re.compile(r"[a-z][a-z0-9_]*")
_METRICS: dict[str, Metric] = {}
_NAMES: dict[str, str] = {}


def register(*added: Metric) -> None:
    """Put metrics into the registry, behind those that are there: tables take them in this order.

    To be done before `results.table` is imported, which makes rows and columns of what there is. Raises ValueError for
    a key or an alias that another metric has, and a key that is not of small letters and digits.
    """
    for metric in added:
        if not _KEY.fullmatch(metric.key):
            raise ValueError(f"{metric.key!r} is no key: small letters, digits and _, a letter first")
        own: dict[str, str] = {}
        for name in (metric.key, *metric.aliases):
            if (taken := _NAMES.get(name) or own.get(name)) is not None:
                raise ValueError(f"{name!r} of {metric.key} is a name of {taken} already")
            own[name] = metric.key
        _NAMES.update(own)
        _METRICS[metric.key] = metric


register(*METRICS)


def metrics(view: View | None = None) -> list[Metric]:
    """All, or those of a view, in their order."""
    return [metric for metric in _METRICS.values() if view is None or view in metric.views]


def stored() -> list[Metric]:
    """Those that the index and its rows have, in their order."""
    return [metric for metric in metrics() if metric.stored]


def compared() -> Iterator[tuple[Metric, ComparisonRow]]:
    """Those that runs are compared by, in their order."""
    found = [(metric, metric.compared) for metric in metrics() if metric.compared is not None]
    yield from sorted(found, key=lambda entry: entry[1].order)


def find(name: str) -> Metric | None:
    """The metric of a key or an alias; None where there is no such name."""
    return _METRICS.get(_NAMES.get(name, ""))


def metric_of(key: str) -> Metric:
    """The metric of a key or an alias that there is. Raises KeyError."""
    return _METRICS[_NAMES[key]]


def names() -> dict[str, str]:
    """The key by every name of those that can be filtered by: keys first, then aliases."""
    keys = {metric.key: metric.key for metric in metrics("filter")}
    return keys | {name: key for name, key in _NAMES.items() if key in keys and name not in keys}
