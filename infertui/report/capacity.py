"""What a search for a capacity found as a page of Markdown."""

from infertui.analysis.capacity.outcome import CapacityOutcome
from infertui.analysis.capacity.search import SearchPlan
from infertui.analysis.capacity.wording import finding_lines, table_rows
from infertui.report.escaping import markdown, markdown_line


def capacity_markdown(title: str, about: str, plan: SearchPlan, outcome: CapacityOutcome) -> str:
    """The finding, and a table of its levels."""
    head, *rows = table_rows(outcome)
    lines = [f"# {markdown(title)}", "", markdown_line(about), ""]
    lines += [f"- {markdown_line(line)}" for line in finding_lines(plan, outcome)]
    lines += ["", _row(head), f"|{' --- |' * len(head)}", *(_row(row) for row in rows), ""]
    return "\n".join(lines)


def _row(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(markdown(cell) for cell in cells)} |"
