"""Reports made in tests: written in this process, and read back as a browser or a program would."""

from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path

import msgspec
from support.results import make_results, write_folder

from infertui.report.charts.build import PlannedChart
from infertui.report.charts.build import charts as charts_of
from infertui.report.data import ReportData, collect
from infertui.report.files import write_report
from infertui.report.sections import compose
from infertui.results.result import Result
from infertui.results.runs import Store

_VOID = {"meta", "br", "link", "img", "hr", "input"}
HOSTILE = (
    "</title><script>alert(1)</script>\"'|`x`$\\frac{a}{b}$ _b_ [c](javascript:d) <img src=x onerror=e>\n| # $^$ "
    "\x1b[31m\u202egnp.exe\u202c \x00 &amp; https://evil.example @root مرحبا 漢字 " + "long" * 40
)


class Page(HTMLParser):
    """What is in a page: its tags with their attributes, its text, and whether every tag is closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.captions: list[str] = []
        self._open: list[str] = []
        self.unbalanced: list[str] = []
        self.feed(text)
        self.close()
        self.unbalanced += self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "figcaption":
            self.captions.append("")
        if tag not in _VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open.pop() != tag:
            self.unbalanced.append(tag)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)
        if "figcaption" in self._open:
            self.captions[-1] += data

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def made(out: Path, count: int, *, seed: int = 1, folders: bool = True) -> list[Result]:
    """So many results as a reports folder holds them."""
    out.mkdir(parents=True, exist_ok=True)
    results = list(make_results(count, seed=seed))
    with (out / "results.jsonl").open("wb") as stream:
        for result in results:
            stream.write(msgspec.json.encode(result) + b"\n")
            if folders:
                write_folder(out, result)
    return results


def stored(out: Path) -> list[Result]:
    """All results of a folder."""
    return Store(out).results(warn=lambda text: None)


def gathered(out: Path, results: Sequence[Result], *, baseline: str = "") -> ReportData:
    """What a report about them is written from."""
    return collect(results, Store(out).folder_of, baseline=baseline)


def written(
    target: Path, material: ReportData, *, drawn: Sequence[str] | None = None, title: str = "A report"
) -> dict[str, bytes]:
    """A report's files by their names. `drawn` names the charts that are drawn; all of them without it."""
    charts: list[PlannedChart] = [one for one in charts_of(material) if drawn is None or one.figure.name in drawn]
    document = compose(material, charts, title=title, date="2026-03-02")
    paths = write_report(target, document, material, charts, told=lambda text: None)
    return {str(path.relative_to(target)): path.read_bytes() for path in paths}
