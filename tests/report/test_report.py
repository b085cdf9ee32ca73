"""Whole reports: the page, the Markdown, the data."""

import re
from pathlib import Path

import msgspec
import pytest
from support.kept import RUNS
from support.reported import HOSTILE, Page, gathered, made, stored, written

from infertui.report.as_json import SCHEMA, VERSION, ReportFile
from infertui.report.data import ReportData
from infertui.results.result import Result
from infertui.text import clean

DRAWN = ("throughput", "iterations", "power", "mbu", "tradeoff")
ENGINES, FIRST = Path("reports/h200-engines"), Path("reports/h200")


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> tuple[ReportData, dict[str, bytes]]:
    material = gathered(RUNS, stored(ENGINES)[:35])
    return material, written(tmp_path_factory.mktemp("engines"), material, drawn=DRAWN)


def checked(text: str) -> Page:
    """A page that names nothing outside itself, runs nothing, and is well formed."""
    page = Page(text)
    assert page.unbalanced == []
    assert not page.named("script") + page.named("link") + page.named("iframe") + page.named("img") + page.named("form")
    policies = [meta["content"] for meta in page.named("meta") if meta.get("http-equiv") == "Content-Security-Policy"]
    assert len(policies) == 1
    assert (policies[0] or "").startswith("default-src 'none'; style-src 'unsafe-inline'")
    for tag, attributes in page.tags:
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, name)
            if name in ("href", "xlink:href", "src", "action", "data"):
                assert (value or "").startswith("#"), (tag, name, value)
            if name == "style":
                assert "url(" not in (value or "").replace("url(#", ""), value
    assert "@import" not in text
    assert "//" not in re.sub(
        r"http://www\.w3\.org/[a-z0-9/]+", "", "".join(re.findall(r"<style>.*?</style>", text, re.S))
    )
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(set(ids)) == len(ids)
    links = {(attributes.get("href") or "")[1:] for attributes in page.named("a")}
    assert links <= set(ids)
    return page


def tables(markdown: str) -> list[list[str]]:
    """The lines of each table, unescaped pipes alone counting as bounds."""
    found: list[list[str]] = [[]]
    for line in markdown.splitlines():
        if line.startswith("|"):
            found[-1].append(line)
        elif found[-1]:
            found.append([])
    return [table for table in found if table]


def cells(line: str) -> int:
    return len(re.findall(r"(?<!\\)\|", re.sub(r"\\\\", "", line))) - 1


def test_the_page_stands_alone_and_every_figure_names_its_runs(engines: tuple[ReportData, dict[str, bytes]]) -> None:
    material, files = engines
    page = checked(files["report.html"].decode())
    assert len(page.captions) == len(DRAWN)
    assert len(page.named("svg")) == len(DRAWN)
    ids = [run.id for run in material.subjects]
    assert all(any(run in caption for run in ids) for caption in page.captions)
    text = " ".join(page.texts)
    assert all(run in text for run in ids)
    assert "is the fastest of" in text
    assert "synthetic" in text


def test_charts_are_files_as_well_and_the_text_links_them(engines: tuple[ReportData, dict[str, bytes]]) -> None:
    _, files = engines
    linked = re.findall(r"!\[[^\n]*?\]\((charts/[a-z]+\.png)\)", files["report.md"].decode())
    assert {f"charts/{name}.png" for name in DRAWN} == set(linked)
    assert set(linked) == {name for name in files if name.endswith(".png")}
    assert {name.replace(".svg", ".png") for name in files if name.endswith(".svg")} == set(linked)


def test_markdown_tables_have_as_many_cells_in_every_row(engines: tuple[ReportData, dict[str, bytes]]) -> None:
    material, files = engines
    found = tables(files["report.md"].decode())
    assert all(len({cells(line) for line in table}) == 1 for table in found)
    runs = next(table for table in found if "output tok/s" in table[0])
    assert len(runs) == 2 + len(material.subjects)


def test_the_data_can_be_read_back_whole(engines: tuple[ReportData, dict[str, bytes]]) -> None:
    material, files = engines
    report = msgspec.json.decode(files["report.json"], type=ReportFile)
    assert (report.schema, report.version) == (SCHEMA, VERSION)
    assert [run.result for run in report.runs] == [run.result for run in material.subjects]
    assert len(report.charts) == len(DRAWN)
    ids = {run.result.id for run in report.runs}
    assert all(set(chart.figure.runs) <= ids for chart in report.charts)
    assert sum(len(contest.runs) for contest in report.contests) == len(ids)


def test_the_same_runs_give_the_same_bytes(engines: tuple[ReportData, dict[str, bytes]], tmp_path: Path) -> None:
    few = stored(ENGINES)[:6]
    again, once = (written(tmp_path, gathered(ENGINES, few), drawn=["power"]) for _ in range(2))
    assert again == once
    again = written(tmp_path, engines[0], drawn=["mbu"])
    assert again["charts/mbu.png"] == engines[1]["charts/mbu.png"]
    assert again["charts/mbu.svg"] == engines[1]["charts/mbu.svg"]


def test_a_report_over_a_former_one_leaves_none_of_its_charts(tmp_path: Path) -> None:
    results = stored(FIRST)[:2]
    written(tmp_path, gathered(FIRST, results), drawn=["throughput", "mbu"])
    written(tmp_path, gathered(FIRST, results), drawn=["throughput"])
    assert sorted(path.name for path in (tmp_path / "charts").iterdir()) == ["throughput.png", "throughput.svg"]


def hostile(result: Result) -> Result:
    text = HOSTILE
    config = result.own_config
    config = msgspec.structs.replace(
        config, model=msgspec.structs.replace(config.model, id=text), labels={text: text, "a": text}
    )
    verdict = msgspec.structs.replace(result.verdict, invalid=(text,), notes=(text,))
    loaded = result.loaded and msgspec.structs.replace(
        result.loaded, device_name=text, dtype=text, versions={text: text}, fallback_reason=text, engine_requested=text
    )
    return msgspec.structs.replace(
        result, name=text, config=config, verdict=verdict, loaded=loaded, source=text, imported=text,
    )  # fmt: skip


def test_foreign_text_is_inert_everywhere(tmp_path: Path) -> None:
    results = [result for result in made(tmp_path / "runs", 8) if result.state == "finished"][:3]
    files = written(
        tmp_path / "report", gathered(tmp_path / "runs", [hostile(result) for result in results]),
        drawn=["throughput", "power"], title=HOSTILE,
    )  # fmt: skip
    text = files["report.html"].decode()
    checked(text)
    assert "alert(1)" in text  # shown, as text
    for name in ("report.html", "report.md"):
        assert not set(files[name].decode()) & set("\x00\x1b\u202e"), name
    markdown = files["report.md"].decode()
    assert all(len({cells(line) for line in table}) == 1 for table in tables(markdown))
    markdown = re.sub(r"<summary>[^<]*</summary>", "", markdown)  # within HTML, where Markdown is not read
    bare = re.sub(r"\\.", "", re.sub(r"</?(details|sub|br)>", "", markdown))
    assert "<" not in bare
    assert "](javascript" not in bare
    assert "https://evil" not in bare


def test_telemetry_that_cannot_be_read_takes_nothing_else_along(tmp_path: Path) -> None:
    results = [result for result in made(tmp_path / "runs", 3) if result.state == "finished"]
    telemetry = tmp_path / "runs" / results[0].id / "telemetry.jsonl"
    telemetry.unlink(missing_ok=True)
    telemetry.mkdir()
    material = gathered(tmp_path / "runs", results)
    assert results[0].id in material.batches
    files = written(tmp_path / "report", material, drawn=["throughput"])
    for name in ("report.html", "report.md"):
        assert "no telemetry is shown" in files[name].decode()


def test_marks_stand_on_every_row_that_bears_one(tmp_path: Path) -> None:
    results = made(tmp_path / "runs", 120, folders=False)
    material = gathered(tmp_path / "runs", results)
    files = written(tmp_path / "report", material, drawn=[])
    table = next(table for table in tables(files["report.md"].decode()) if "output tok/s" in table[0])
    assert any(run.against for run in material.subjects)
    for run, line in zip(material.subjects, table[2:], strict=True):
        assert all(clean(mark) in line for mark in run.marks), line
        assert ("INVALID" in line) == (run.against == "invalid")
        if run.result.state != "finished":
            assert f"**{run.result.state}**" in line
    page = checked(files["report.html"].decode())
    assert page.named("svg") == []
