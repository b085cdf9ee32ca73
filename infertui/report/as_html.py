"""A document as one HTML file: no script, nothing from elsewhere, charts within."""

import re
from collections.abc import Iterator, Mapping

from infertui.paths import data
from infertui.report.charts.style import VARIABLES
from infertui.report.document import (
    Block,
    Bullets,
    Callout,
    Cell,
    Document,
    Facts,
    Level,
    Paragraph,
    ReportFigure,
    ReportSection,
    ReportTable,
)
from infertui.report.escaping import page

# No origin may be asked for anything: neither scripts, images, fonts nor forms.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
_COMMAND = re.compile("`([^`<>]+)`")
_FEW = 3
_LONG = 18
"""Characters from which a cell is kept from being squeezed into a column of single words."""
_WORDS: dict[Level, str] = {"": "", "good": "", "warning": "Caution: ", "bad": "Warning: "}


def as_html(document: Document, drawings: Mapping[str, str]) -> str:
    """The page. `drawings` holds each chart's inline SVG by its name; a chart without one has its caption alone."""
    style = (data() / "report.css").read_text(encoding="utf-8")
    body = "\n".join(line for section in document.sections for line in _section(section, drawings, 2))
    links = "".join(f'<a href="#{section.key}">{page(section.title)}</a>' for section in document.sections)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<meta name="color-scheme" content="light dark">
<meta name="generator" content="infertui {page(document.infertui)}">
<title>{page(document.title)}</title>
<style>
{_colours()}
{style}</style>
</head>
<body>
<header>
<h1>{page(document.title)}</h1>
<p class="subtitle">{page(document.subtitle)}</p>
<nav aria-label="Sections">{links}</nav>
</header>
<main>
{body}
</main>
</body>
</html>
"""


def _colours() -> str:
    light = " ".join(f"--{name}: {colour};" for colour, (name, _) in VARIABLES.items())
    dark = " ".join(f"--{name}: {colour};" for name, colour in VARIABLES.values())
    return f":root {{ {light} }}\n@media screen and (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}"


def _section(section: ReportSection, drawings: Mapping[str, str], depth: int) -> Iterator[str]:
    if section.folded:
        yield f'<details class="part" id="{page(section.key)}"><summary>{page(section.title)}</summary>'
    else:
        yield f'<section id="{page(section.key)}">'
        yield f"<h{depth}>{page(section.title)}</h{depth}>"
    for block in section.blocks:
        yield from _block(block, drawings)
    for part in section.parts:
        yield from _section(part, drawings, depth + 1)
    yield "</details>" if section.folded else "</section>"


def _block(block: Block, drawings: Mapping[str, str]) -> Iterator[str]:
    match block:
        case Paragraph(text):
            yield f"<p>{_prose(text)}</p>"
        case Callout(level, text, head):
            about = f"<b>{page(head)}</b><br>" if head else ""
            yield f'<p class="callout {level or "note"}">{about}{_WORDS[level]}{_prose(text)}</p>'
        case Bullets(items):
            yield "<ul>" + "".join(f"<li>{_prose(item)}</li>" for item in items) + "</ul>"
        case Facts(rows):
            told = "".join(f"<div><dt>{page(name)}</dt><dd>{page(text)}</dd></div>" for name, text in rows)
            yield f"<dl>{told}</dl>"
        case ReportTable():
            yield from _table(block)
        case ReportFigure():
            yield f'<figure id="chart-{page(block.name)}">'
            yield f"<h3>{page(block.title)}</h3>"
            if block.name in drawings:
                yield f'<div class="chart">{drawings[block.name]}</div>'
            yield f"<figcaption>{page(block.caption)} {_runs(block.runs)}</figcaption>"
            yield "</figure>"


def _prose(text: str) -> str:
    """Escaped text; what stands between backticks is shown as a command."""
    return _COMMAND.sub(r"<code>\1</code>", page(text))


def _table(table: ReportTable) -> Iterator[str]:
    name = page(table.caption or "ReportTable")
    yield f'<div class="scroll" role="region" aria-label="{name}" tabindex="0"><table>'
    heads = "".join(f'<th scope="col"{_side(column.right)}>{page(column.name)}</th>' for column in table.columns)
    yield f"<thead><tr>{heads}</tr></thead><tbody>"
    for row in table.rows:
        cells = zip(row, table.columns, strict=True)
        yield "<tr>" + "".join(_cell(cell, column.right) for cell, column in cells) + "</tr>"
    yield "</tbody></table></div>"
    yield f'<p class="under">{page(table.caption)} {_runs(table.runs)}</p>'


def _cell(cell: Cell, right: bool) -> str:
    names = [name for name in ("right" if right else "", cell.level, "long" if len(cell.text) > _LONG else "") if name]
    marked = f' class="{" ".join(names)}"' if names else ""
    return f"<td{marked}>{page(cell.text)}</td>"


def _side(right: bool) -> str:
    return ' class="right"' if right else ""


def _runs(runs: tuple[str, ...]) -> str:
    if len(runs) <= _FEW:
        return f'<span class="runs">Runs: {", ".join(page(run) for run in runs)}</span>'
    listed = "".join(f"<li>{page(run)}</li>" for run in runs)
    return f'<details class="runs"><summary>{len(runs)} runs</summary><ol>{listed}</ol></details>'
