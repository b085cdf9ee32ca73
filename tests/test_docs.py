"""README and docs: what they take from the program is up to date, commands exist, links lead somewhere."""

import re
from functools import cache
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from markdown_it import MarkdownIt
from msgspec.structs import replace
from support.kept import REPORTS
from support.manual.speeds import speeds
from typer.testing import CliRunner
from write_docs import OPENAPI, ROOT, made, pages, parts

from infertui.api.openapi import openapi
from infertui.cli.main import app
from infertui.measure.validity import Verdict
from infertui.results.result import Result
from infertui.runner.control import RunnerApi

PAGES = pages()
README = ROOT / "README.md"
PART = re.compile(r"<!-- begin: ([^\n]*?) -->\n(.*?)\n<!-- end -->", re.DOTALL)
TAKEN = [(page, what) for page in PAGES for what in parts(page.read_text(encoding="utf-8"))]


def name(page: object) -> str:
    return str(page.relative_to(ROOT)) if isinstance(page, Path) else str(page)


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    for kind in ("CACHE", "CONFIG", "STATE"):
        monkeypatch.setenv(f"XDG_{kind}_HOME", str(tmp_path))


@pytest.mark.parametrize(("page", "what"), TAKEN, ids=name)
def test_what_a_page_takes_from_the_program_is_up_to_date(page: Path, what: str) -> None:
    held = dict(PART.findall(page.read_text(encoding="utf-8")))
    assert held[what] == made(what), "python tests/write_docs.py writes it"


def test_the_description_of_the_interface_is_up_to_date() -> None:
    assert OPENAPI.read_bytes() == openapi(RunnerApi), "python tests/write_docs.py writes it"


@cache
def anchors(page: Path) -> set[str]:
    """Of a page's headings, as forges make them: small letters, no punctuation, hyphens for blanks."""
    tokens = MarkdownIt().parse(page.read_text(encoding="utf-8"))
    heads = [after.content for token, after in pairwise(tokens) if token.type == "heading_open"]
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def links(text: str) -> list[str]:
    """Targets of links and pictures."""
    inline = (child for token in MarkdownIt().enable("table").parse(text) for child in token.children or ())
    found = (child.attrGet("href") or child.attrGet("src") for child in inline if child.type in ("link_open", "image"))
    return [str(target) for target in found]


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    for link in links(page.read_text(encoding="utf-8")):
        if re.match(r"https?://", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_the_files_that_a_page_names_exist(page: Path) -> None:
    for path in re.findall(r"`((?:data|docs|reports/h200|tests|\.ci)/[\w./-]+)`", page.read_text(encoding="utf-8")):
        assert (ROOT / path).exists(), path


def test_every_page_of_docs_is_named_in_the_readme() -> None:
    named = {link.partition("#")[0] for link in links(README.read_text(encoding="utf-8"))}
    assert {str(page.relative_to(ROOT)) for page in (ROOT / "docs").glob("*.md")} <= named


def test_the_readme_is_read_in_five_minutes() -> None:
    assert len(README.read_bytes()) <= 9_000


def test_every_run_that_a_page_shows_is_understood() -> None:
    written = (PART.sub("", page.read_text(encoding="utf-8")) for page in PAGES)
    shown = {line for text in written for line in re.findall(r"^infertui run ([^\n]*?)(?:  .*)?$", text, re.MULTILINE)}
    told = {line for line in shown if "RUN_ID" not in line and "FILE" not in line}
    assert len(told) >= 5
    for line in told:
        done = CliRunner().invoke(app, ["run", *line.split(), "--dry-run"])
        # What this machine lacks for it is told, too; what is not understood ends before that.
        assert re.search(r"^\d+ runs?\b", done.output.splitlines()[-1]), (line, done.output, done.exception)


def test_the_config_that_a_page_shows_is_understood(tmp_path: Path) -> None:
    (text,) = re.findall(r"```toml\n(.*?)```", (ROOT / "docs" / "config.md").read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "shown.toml").write_text(text)
    done = CliRunner().invoke(app, ["run", str(tmp_path / "shown.toml"), "--dry-run"])
    # What this machine lacks for it is told, too; what is not understood ends before that.
    assert re.search(r"^\d+ runs?\b", done.output.splitlines()[-1]), (done.output, done.exception)
    assert done.stdout.count("graph_step") >= 2


def test_a_cell_is_the_median_of_the_valid_runs_of_its_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = (REPORTS / "h200-engines" / "results.jsonl").read_bytes().splitlines()
    fused = msgspec.json.decode(next(line for line in lines if b"bs-1-d54f" in line), type=Result)
    (tmp_path / "capture").mkdir()
    with (tmp_path / "capture" / "results.jsonl").open("wb") as stream:
        for speed, verdict in ((10.0, Verdict()), (20.0, Verdict()), (90.0, Verdict()), (1e6, Verdict(("drift",)))):
            summary = replace(fused.summary, output_throughput=speed)
            stream.write(msgspec.json.encode(replace(fused, summary=summary, verdict=verdict)) + b"\n")
    monkeypatch.setattr("support.manual.speeds.REPORTS", tmp_path)
    (row,) = speeds(["nowhere", "capture"]).splitlines()[2:]
    assert [cell.strip() for cell in row.split("|")][1:-1] == [
        "tinyllama-1.1b", "Transformers, infertui's fused step", "20", "", "", "2026-11-20, `capture`",
    ]  # fmt: skip
