"""Results as a Markdown table."""

from collections.abc import Iterable, Iterator, Sequence

from infertui.analysis.limits import with_limits
from infertui.metrics.registry import metric_of
from infertui.metrics.table import cells, chosen
from infertui.report.escaping import markdown
from infertui.results.result import Result

_USUAL = (
    "name", "model", "device", "form", "batch_size", "prompt_tokens_per_request", "output_len", "throughput_bounds",
    "ttft", "itl", "joules_per_token", "allocated_peak", "valid",
)  # fmt: skip


def markdown_table(results: Iterable[Result], columns: Sequence[str] = ()) -> str:
    """The lines of `markdown_lines` as one text."""
    return "\n".join(markdown_lines(results, columns))


def markdown_lines(results: Iterable[Result], columns: Sequence[str] = ()) -> Iterator[str]:
    """A GitHub-flavoured table, one row a result, with the columns asked for or the usual ones. Cells are inert text.

    Raises UsageError for a column that there is not.
    """
    shown = chosen(columns) if columns else [metric_of(key) for key in _USUAL]
    derived = any(metric.derived for metric in shown)
    yield f"| {' | '.join(metric.heading for metric in shown)} |"
    yield f"|{' --- |' * len(shown)}"
    for result in results:
        yield f"| {' | '.join(map(markdown, cells(with_limits(result) if derived else result, shown)))} |"
