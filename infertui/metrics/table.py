"""Tables of results: the metrics that a view shows, their headings, and a result's cells under them. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING

from infertui.errors import UsageError
from infertui.metrics.metric import NOT_AVAILABLE, Metric, Value
from infertui.metrics.registry import metrics
from infertui.metrics.varying import (
    IDENTITY,
    AskedSettings,
    Variation,
    Varied,
    asked_of,
    is_setting,
    setting_metric,
    setting_text,
    with_varying,
)
from infertui.text import clean, quoted

if TYPE_CHECKING:
    from infertui.results.result import Result

_ALIKE = 4


def chosen(names: Sequence[str], others: Sequence[Metric] = ()) -> list[Metric]:
    """The columns of a table by their headings or keys, or by keys of the config, as in `workload.seed`; case does not
    matter where nothing differs by it alone. `others` can be named, too.

    Raises UsageError for one that there is not, with those that are called alike.
    """
    known = _names(others)
    found = [(name, known.get(name) or known.get(name.lower()) or _setting(name)) for name in names]
    if unknown := [name for name, metric in found if metric is None]:
        near = get_close_matches(unknown[0].lower(), known, n=12, cutoff=0.5)
        alike = list({known[name].key: known[name].heading for name in near}.values())[:_ALIKE]
        listed = f"Called alike: {', '.join(alike)}. " if alike else ""
        every = ", ".join(metric.heading for metric in metrics("markdown"))
        raise UsageError(
            f"there is no column {quoted(unknown[0], 60)}",
            remedy=f"{listed}Columns: {every}; or a key of the config, as in workload.seed.",
        )
    return [metric for _, metric in found if metric is not None]


def _names(others: Sequence[Metric]) -> dict[str, Metric]:
    """The columns of tables by all that they are called. Where two are called alike, headings of documents go first."""
    offered = [*others, *(metric for metric in metrics() if metric.views & {"markdown", "text", "csv"})]
    found: dict[str, Metric] = {metric.heading: metric for metric in metrics("markdown")}
    for metric in offered:
        for name in (metric.key, *metric.aliases):
            found.setdefault(name, metric)
    for metric in offered:
        for name in (metric.heading, metric.text_heading, metric.csv_heading):
            for written in (name, name.lower()):
                found.setdefault(written, metric)
    return found


def _setting(name: str) -> Metric | None:
    return setting_metric(name) if is_setting(name) else None


def cells(result: "Result", columns: Sequence[Metric]) -> list[str]:
    """What stands under these headings in a document, without control characters."""
    return [clean(metric.write(result)) for metric in columns]


class Rows:
    """Gathers the rows of a table whose columns follow from what varies among them. It holds cells, and no results."""

    def __init__(self, columns: Sequence[Metric], added: Sequence[Metric] = (), *, varying: bool = True) -> None:
        """`added` come behind `columns`; `varying` adds what is not the same in all rows."""
        self._columns = columns
        self._added = [metric for metric in added if metric.key not in {one.key for one in columns}]
        shown = {metric.key for metric in (*columns, *self._added)}
        possible = [one for one in metrics() if (one.settings or one.key in IDENTITY) and one.key not in shown]
        self._held = [*columns, *self._added, *(possible if varying else ())]
        self._variation = Variation() if varying else None
        self._rows: list[tuple[list[str], AskedSettings]] = []

    def take(self, result: "Result") -> None:
        """Add the row of a result."""
        asked = asked_of(result) if self._variation is not None else AskedSettings()
        if self._variation is not None:
            self._variation.take(result, asked)
        self._rows.append((cells(result, self._held), asked))

    def settled(self) -> tuple[list[Metric], list[list[str]]]:
        """The columns, and the cells of each row under them."""
        varied = self._variation.found() if self._variation is not None else ()
        keys = {metric.key for metric in self._added}
        shown = [*(one for one in with_varying(self._columns, varied) if one.key not in keys), *self._added]
        places = {metric.key: at for at, metric in enumerate(self._held)}
        if self._variation is not None:  # else the columns were chosen
            shown = [one for one in shown if not one.where_known or self._is_known(one, places)]

        def cell(metric: Metric, held: list[str], asked: AskedSettings) -> str:
            at = places.get(metric.key)
            return (clean(setting_text(asked.get(metric.key))) or NOT_AVAILABLE) if at is None else held[at]

        return shown, [[cell(metric, held, asked) for metric in shown] for held, asked in self._rows]

    def _is_known(self, metric: Metric, places: Mapping[str, int]) -> bool:
        at = places.get(metric.key)
        return at is None or any(held[at] != metric.absent for held, _ in self._rows)


def csv_columns(varied: Iterable[Varied] = ()) -> list[Metric]:
    """The columns of CSV: the usual ones, and behind them every key of the config that varies among the rows."""
    usual = metrics("csv")
    told = {name for metric in usual for name in (metric.key, *metric.settings)}
    return [*usual, *(setting_metric(one.key, heading=one.key) for one in varied if one.key not in told)]


def csv_header(columns: Sequence[Metric] | None = None) -> list[str]:
    """The first line of CSV."""
    return [metric.csv_heading for metric in (csv_columns() if columns is None else columns)]


def csv_values(result: "Result", columns: Sequence[Metric] | None = None) -> list[object]:
    """The line of a result under `csv_header`, in base units, safe for spreadsheets; empty for what is missing."""
    return [_csv_value(metric.value(result)) for metric in (csv_columns() if columns is None else columns)]


def _csv_value(value: Value) -> object:
    """Empty for what is not available; a leading apostrophe keeps spreadsheets from running a text as a formula."""
    if value is None:
        return ""
    if not isinstance(value, str):
        return value
    text = clean(value)
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text
