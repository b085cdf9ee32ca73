"""A document as GitHub-flavoured Markdown."""

from collections.abc import Iterator

from infertui.report.document import (
    Block,
    Bullets,
    Callout,
    Document,
    Facts,
    Level,
    Paragraph,
    ReportFigure,
    ReportSection,
    ReportTable,
)
from infertui.report.escaping import markdown, markdown_line, page

_SIGNS: dict[Level, str] = {"": "NOTE", "good": "TIP", "warning": "WARNING", "bad": "CAUTION"}
_FEW = 6


def as_markdown(document: Document) -> str:
    """The whole text; charts are linked as charts/NAME.png."""
    lines = [f"# {markdown_line(document.title)}", "", markdown_line(document.subtitle), ""]
    for section in document.sections:
        lines += _section(section, 2)
    return "\n".join(lines).rstrip() + "\n"


def _section(section: ReportSection, depth: int) -> Iterator[str]:
    if section.folded:
        yield f"<details><summary>{page(section.title)}</summary>"
    else:
        yield f"{'#' * depth} {markdown_line(section.title)}"
    yield ""
    for block in section.blocks:
        yield from _block(block)
        yield ""
    for part in section.parts:
        yield from _section(part, depth + 1)
    if section.folded:
        yield "</details>"
        yield ""


def _block(block: Block) -> Iterator[str]:
    match block:
        case Paragraph(text):
            yield markdown_line(text)
        case Callout(level, text, head):
            yield f"> [!{_SIGNS[level]}]"
            if head:
                yield f"> **{markdown(head)}**<br>"
            yield f"> {markdown_line(text)}"
        case Bullets(items):
            yield from (f"- {markdown_line(item)}" for item in items)
        case Facts(rows):
            yield "| | |"
            yield "| --- | --- |"
            yield from (f"| {markdown(name)} | {markdown(text)} |" for name, text in rows)
        case ReportTable():
            yield from _table(block)
        case ReportFigure():
            yield f"**{markdown(block.title)}**"
            yield ""
            yield f"![{markdown(block.alt)}](charts/{block.name}.png)"
            yield ""
            yield markdown_line(block.caption)
            yield ""
            yield _runs(block.runs)


def _table(table: ReportTable) -> Iterator[str]:
    yield "| " + " | ".join(markdown(column.name) for column in table.columns) + " |"
    yield "|" + "|".join(" ---: " if column.right else " --- " for column in table.columns) + "|"
    for row in table.rows:
        cells = (f"**{markdown(cell.text)}**" if cell.level == "bad" else markdown(cell.text) for cell in row)
        yield "| " + " | ".join(cells) + " |"
    yield ""
    if table.caption:
        yield markdown_line(table.caption)
        yield ""
    yield _runs(table.runs)


def _runs(runs: tuple[str, ...]) -> str:
    if len(runs) <= _FEW:
        return f"<sub>Runs: {', '.join(page(run) for run in runs)}</sub>"
    listed = ", ".join(page(run) for run in runs)
    return f"<details><summary>{len(runs)} runs</summary>{listed}</details>"
