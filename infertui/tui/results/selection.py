"""The runs of the results table that somebody chose: marked ones, and the baseline. Pure."""

from collections.abc import Iterable, Set

from infertui.results.table import ResultRow


class Selection:
    """Which runs an act is on, and which one the others are compared with."""

    def __init__(self, *, baseline_due: bool) -> None:
        self.marked: dict[str, ResultRow] = {}
        """By id, in the order in which they were marked; they need not be on a page that is here."""
        self.baseline: ResultRow | None = None
        self.baseline_due = baseline_due
        """Whether the settings name a baseline that was not looked for yet."""

    def mark(self, runs: Set[str], known: Iterable[ResultRow]) -> None:
        """These are marked now; what was marked before keeps its row, the others' are among the `known`."""
        # In the order in which they were marked: the first may be what the others are compared with.
        rows = self.marked | {row.id: row for row in known if row.id in runs}
        self.marked = {run: row for run, row in rows.items() if run in runs}

    def compare_with(self, row: ResultRow | None, *, due: bool = False) -> None:
        """Another baseline, or none; `due`: it has yet to be looked for."""
        self.baseline, self.baseline_due = row, due

    def targets(self, current: ResultRow | None) -> list[ResultRow]:
        """What an act is on: the marked runs, or the one under the cursor."""
        return list(self.marked.values()) or ([current] if current else [])

    def compared(self, current: ResultRow | None) -> list[ResultRow]:
        """The baseline first, then the marked runs, or the one under the cursor; without a baseline the marked ones."""
        base = [self.baseline] if self.baseline else []
        return [*base, *(row for row in self.targets(current) if not base or row.id != base[0].id)]
