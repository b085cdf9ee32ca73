"""What a search for the most load found, printed: as text with curves, as Markdown, as JSON."""

import sys
from pathlib import Path

from msgspec import Struct

from infertui.analysis.capacity.outcome import CapacityOutcome
from infertui.cli.load.capacity_text import about_text, outcome_lines
from infertui.cli.output import console, say, say_json, warn
from infertui.errors import UsageError
from infertui.report.capacity import capacity_markdown
from infertui.runner.capacity.folder import CapacityFolder, CapacityRecord
from infertui.runner.capacity.host import view_of


class CapacityForm(Struct, frozen=True):
    """How it is printed."""

    as_json: bool = False
    markdown: bool = False
    ascii_only: bool = False

    def __post_init__(self) -> None:
        if self.as_json and self.markdown:
            raise UsageError("--json and --markdown exclude each other")

    @property
    def quiet(self) -> bool:
        """Whether standard output holds the document alone."""
        return self.as_json or self.markdown

    def say(self, record: CapacityRecord, outcome: CapacityOutcome) -> None:
        """All of it."""
        if self.as_json:
            say_json(record)
        elif self.markdown:
            say(capacity_markdown(record.search, about_text(record), record.plan, outcome))
        else:
            width = console().width if sys.stdout.isatty() else None
            for line in outcome_lines(record, outcome, ascii_only=self.ascii_only, width=width):
                say(line)

    def show(self, out: Path, search: str) -> None:
        """One from its folder. Raises UsageError and StoreError."""
        folder = CapacityFolder.open(out, search)
        folder.stays(warn)
        view = view_of(folder)
        if view.outcome is None:
            raise UsageError(f"{folder.path.name} has no stay that is over: nothing is known by it")
        self.say(view.record, view.outcome)
