"""Views ask a result for its setup: its config, which an imported run does not have, is for what repeats a run."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import infertui
from infertui.results.result import Result

PACKAGE = Path(infertui.__file__).parent
VIEWS = ("analysis", "cli", "metrics", "report", "tui")
REPEATING = {
    "cli/running/bench.py": "the rest of a bench is measured with the configs of its arms",
    "tui/results/bench.py": "a bench of rows measures their configs again",
}
OF_RESULTS = {
    "result", "first", "second", "one", "other", "known", "reference", "run", "old", "new", "before", "earlier",
    "baseline", "details", "line", "found", "result_of",
}  # fmt: skip
"""What results are called; a config is read of entries, variants and loaded files as well."""


def reads(tree: ast.Module) -> Iterator[str]:
    """Where the config of a result is read, as source text."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in ("config", "own_config"):
            holder = node.value
            if isinstance(holder, ast.Call):
                holder = holder.func
            name = holder.attr if isinstance(holder, ast.Attribute) else getattr(holder, "id", "")
            if node.attr == "own_config" or name in OF_RESULTS:
                yield ast.unparse(node)


def test_views_read_no_config_of_a_result() -> None:
    found = {
        str(path.relative_to(PACKAGE)): said
        for folder in VIEWS
        for path in sorted((PACKAGE / folder).rglob("*.py"))
        if (said := sorted(set(reads(ast.parse(path.read_text("utf-8"))))))
    }
    assert set(found) == set(REPEATING), f"result.setup says what was measured: {found}"


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("result.config.model.id", ["result.config"]),
        ("run.result.config", ["run.result.config"]),
        ("anything.own_config.engine", ["anything.own_config"]),
        ("store.result_of(name).config", ["store.result_of(name).config"]),
        ("entry.config.model, variant.config, load(None).config, result.setup.model", []),
    ],
)
def test_the_look_sees_what_it_should(source: str, found: list[str]) -> None:
    assert list(reads(ast.parse(source))) == found


def test_nobody_asks_whether_a_default_means_something() -> None:
    assert not hasattr(Result, "knows")
    assert not {"unknown"} & set(Result.__struct_fields__)
