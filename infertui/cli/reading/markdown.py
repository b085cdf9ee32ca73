"""Results as a Markdown table."""

from collections.abc import Iterable, Iterator, Sequence

from infertui.analysis.limits import with_limits
from infertui.metrics.metric import Metric
from infertui.metrics.registry import metric_of
from infertui.metrics.table import Rows, cells, chosen
from infertui.report.escaping import markdown
from infertui.results.result import Result

_USUAL = (
    "name", "model", "device", "form", "batch_size", "prompt_tokens_per_request", "output_len", "throughput_bounds",
    "ttft", "itl", "joules_per_token", "allocated_peak", "valid",
)  # fmt: skip


def markdown_table(results: Iterable[Result], columns: Sequence[str] = ()) -> str:
    """A table with the columns asked for, or the usual ones and what varies. Raises UsageError for one there is not."""
    shown = chosen(columns) if columns else None
    derived = any(metric.derived for metric in shown or ())
    return "\n".join(lines_of(map(with_limits, results) if derived else results, shown))


def lines_of(
    results: Iterable[Result], own: Sequence[Metric] | None = None, added: Sequence[Metric] = ()
) -> Iterator[str]:
    """A GitHub-flavoured table, one row a result: the columns `own`, else the usual ones with what varies, and `added`.

    Cells are inert text.
    """
    if own is not None:
        columns = [*own, *added]
        yield from _head(columns)
        yield from (_line(cells(result, columns)) for result in results)
        return
    rows = Rows([metric_of(key) for key in _USUAL], added)
    for result in results:
        rows.take(result)
    columns, found = rows.settled()
    yield from _head(columns)
    yield from map(_line, found)


def _head(columns: Sequence[Metric]) -> Iterator[str]:
    yield f"| {' | '.join(markdown(metric.heading) for metric in columns)} |"
    yield f"|{' --- |' * len(columns)}"


def _line(row: Sequence[str]) -> str:
    return f"| {' | '.join(map(markdown, row))} |"
