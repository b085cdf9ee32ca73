"""How a runner opens the table over a reports folder: all that do must do so alike, since they share its index file."""

from pathlib import Path

from infertui.analysis.shares import derivation
from infertui.results.index import ResultIndex


def open_table(root: Path, *, cache: Path | None = None) -> ResultIndex:
    """The table over the results in `root`, with shares of the limits also for those that were kept without."""
    return ResultIndex(root, cache=cache, derivation=derivation())
