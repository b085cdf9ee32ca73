"""The document: its sections in reading order."""

from collections.abc import Sequence

from infertui import __version__
from infertui.report.charts.build import Chart
from infertui.report.data import Material
from infertui.report.document import Block, Document, Paragraph, Section
from infertui.report.method import method
from infertui.report.particulars import particulars
from infertui.report.run_details import listing
from infertui.report.sections import benches, cautions, comparison, verdict
from infertui.text import clean


def compose(
    material: Material, charts: Sequence[Chart], *, title: str, date: str, left_out: Sequence[str] = ()
) -> Document:
    """Put it together. `left_out` says which runs of the folder are not in it."""
    runs, valid = len(material.subjects), sum(1 for run in material.subjects if not run.against)
    found = [verdict(material), cautions(material), listing(material), benches(material), comparison(material)]
    found += [_figures(charts), particulars(material), method()]
    sections = [section for section in found if section is not None]
    subtitle = f"{runs} {'run' if runs == 1 else 'runs'}, {valid} valid. Figures as of {date}. infertui {__version__}."
    if left_out:
        notes: tuple[Block, ...] = tuple(Paragraph(clean(text)) for text in left_out)
        sections[0] = Section(sections[0].key, sections[0].title, (*sections[0].blocks, *notes))
    return Document(clean(title), clean(date), __version__, subtitle, tuple(sections))


def _figures(charts: Sequence[Chart]) -> Section | None:
    return Section("charts", "Charts", tuple(chart.figure for chart in charts)) if charts else None
