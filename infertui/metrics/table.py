"""Tables of results: the metrics that a view shows, their headings, and a result's cells under them. Pure."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from infertui.errors import UsageError
from infertui.metrics.metric import NOT_AVAILABLE, Metric, Value
from infertui.metrics.registry import find, metrics
from infertui.text import clean

if TYPE_CHECKING:
    from infertui.results.result import Result


def chosen(names: Sequence[str]) -> list[Metric]:
    """The columns of a Markdown table by their headings or keys. Raises UsageError for one that there is not."""
    known = {metric.heading: metric for metric in metrics("markdown")}
    found = [(name, known.get(name) or find(name)) for name in names]
    if unknown := [name for name, metric in found if metric is None or "markdown" not in metric.views]:
        raise UsageError(
            f"there is no column {clean(unknown[0])!r} for --markdown", remedy=f"Columns: {', '.join(known)}."
        )
    return [metric for _, metric in found if metric is not None]


def cells(result: "Result", columns: Sequence[Metric]) -> list[str]:
    """What stands under these headings in a document, without control characters."""
    return [clean(metric.write(result)) for metric in columns]


def text_cells(result: "Result") -> list[str]:
    """What stands in the table of `infertui results`."""
    found = [(metric, clean(metric.write(result))) for metric in metrics("text")]
    return [metric.text.absent if text == NOT_AVAILABLE else text for metric, text in found]


def csv_header() -> list[str]:
    """The first line of CSV."""
    return [metric.csv_heading for metric in metrics("csv")]


def csv_values(result: "Result") -> list[object]:
    """The line of a result under `csv_header`, in base units, safe for spreadsheets; empty for what is missing."""
    return [_csv_value(metric.value(result)) for metric in metrics("csv")]


def _csv_value(value: Value) -> object:
    """Empty for what is not available; a leading apostrophe keeps spreadsheets from running a text as a formula."""
    if value is None:
        return ""
    if not isinstance(value, str):
        return value
    text = clean(value)
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text
