"""A page as Prometheus reads it: the text format, version 0.0.4, written by prometheus-client."""

from collections.abc import Iterator

from prometheus_client import generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from infertui.api.exporter.family import ScrapedPage

CONTENT_TYPE = "text/plain; version=0.0.4"
"""The text is UTF-8, as that version says."""
_TOTAL = "_total"


class _Collected(Collector):
    def __init__(self, page: ScrapedPage) -> None:
        self._page = page

    def collect(self) -> Iterator[Metric]:
        for family, series in self._page.families():
            # The library takes a counter's name without its ending, and writes it again.
            name = family.name.removesuffix(_TOTAL) if family.kind == "counter" else family.name
            metric = Metric(name, family.help, family.kind)
            for one in series:
                metric.add_sample(family.name, one.labels, one.value)
            yield metric


def exposition(page: ScrapedPage) -> bytes:
    """The page's text."""
    return generate_latest(_Collected(page))
