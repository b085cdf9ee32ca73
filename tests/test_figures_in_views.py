"""Views take figures of the registry, where each is named and read once, and of no other place."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import infertui
from infertui.metrics.registry import metrics

PACKAGE = Path(infertui.__file__).parent
VIEWS = ("api", "cli", "report", "tui")
HOLDERS = ("summary", "power", "device")
FIGURES = frozenset(path for metric in metrics() for path in metric.paths if path.partition(".")[0] in HOLDERS)


def reads(tree: ast.Module) -> Iterator[str]:
    """The figures that are read of a result, or of a variable that is called as its part is."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            names = ast.unparse(node).split(".")
            starts = [at for at, name in enumerate(names) if name in HOLDERS]
            yield from (path for at in starts if (path := ".".join(names[at:])) in FIGURES)


def test_views_read_no_figure_past_the_registry() -> None:
    found = {
        str(path.relative_to(PACKAGE)): said
        for folder in VIEWS
        for path in sorted((PACKAGE / folder).rglob("*.py"))
        if (said := set(reads(ast.parse(path.read_text("utf-8")))))
    }
    assert not found, "metrics.registry.metric_of(KEY) reads and writes these"


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("result.summary.ttft.p50", ["summary.ttft.p50"]),
        ("self.run.result.summary.output_throughput", ["summary.output_throughput"]),
        ("summary = run.result.summary\nsummary.tpot.mean or 0.0", ["summary.tpot.mean"]),
        ("runs[0].result.power.joules_per_token", ["power.joules_per_token"]),
        ("store.result_of(name).device.vram_process", ["device.vram_process"]),
        ("result.summary.ttft, result.summary, result.power, progress.iterations, row.throughput", []),
    ],
)
def test_the_look_sees_what_it_should(source: str, found: list[str]) -> None:
    assert list(reads(ast.parse(source))) == found
