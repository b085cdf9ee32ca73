"""The table over results that were kept before shares of the limits were: it has them all the same."""

from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace
from support.results import make_results
from typer.testing import CliRunner

from infertui.analysis import limits as shares
from infertui.analysis.limits import limits_of, share_text
from infertui.cli.main import app
from infertui.measure.roofline import Limits
from infertui.results.index import Derivation, ResultIndex
from infertui.results.result import Result
from infertui.results.runs import Store
from infertui.results.table import ResultPage, ResultQuery
from infertui.runner.execution.references import find_reference
from infertui.runner.queries import Reports, open_table

KEPT = Path(__file__).parents[2] / "reports"
OLD = ("h200", "h200-engines")


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A folder with every line of the kept reports that is of before there were limits."""
    folder = tmp_path / "reports"
    folder.mkdir()
    lines = [line for name in OLD for line in (KEPT / name / "results.jsonl").read_bytes().splitlines(keepends=True)]
    old = [line for line in lines if msgspec.json.decode(line, type=Result).limits is None]
    (folder / "results.jsonl").write_bytes(b"".join(old))
    return folder


def kept(out: Path) -> list[Result]:
    return [msgspec.json.decode(line, type=Result) for line in (out / "results.jsonl").read_bytes().splitlines()]


def table(out: Path, **query: object) -> ResultPage:
    return Reports().page(ResultQuery(str(out), limit=1000, **query))  # type: ignore[arg-type]


def markdown(out: Path) -> list[tuple[str, str]]:
    """MBU and MFU of each run, in the file's order, as `infertui results --markdown` prints them."""
    told = CliRunner().invoke(app, ["results", "--out", str(out), "--markdown", "--columns", "engine,MBU,valid,MFU"])
    assert told.exit_code == 0, told.output
    cells = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in told.stdout.splitlines()[2:]]
    return [(mbu, mfu) for _, mbu, _, mfu in cells]


def test_the_table_has_the_shares_that_markdown_prints(out: Path) -> None:
    results = kept(out)
    assert all(result.limits is None for result in results), "these are no results of before"
    rows = {row.id: (share_text(row.mbu), share_text(row.mfu)) for row in table(out).rows}
    assert [rows[result.id] for result in results] == markdown(out)
    assert len(rows) == len(results) == 73
    assert sum(mbu != "n/a" for mbu, _ in rows.values()) == 66
    assert sum(mfu != "n/a" for _, mfu in rows.values()) == 65


def test_a_hand_worked_one(out: Path) -> None:
    """Llama 8B, fused, batch 1: what tests/analysis/test_limits.py works out."""
    (row,) = (row for row in table(out).rows if row.id.endswith("3c24"))
    assert row.mbu == pytest.approx(0.857, abs=1e-3)


def test_they_sort_and_filter(out: Path) -> None:
    shares = {result.id: limits.mbu for result in kept(out) if (limits := limits_of(result))}
    known = sorted((share for share in shares.values() if share is not None), reverse=True)
    rows = table(out, sort="mbu").rows
    assert [row.mbu for row in rows][: len(known)] == known
    assert {row.mbu for row in rows[len(known) :]} == {None}
    above = {row.id for row in table(out, filter="mbu>50").rows}
    assert above == {run for run, share in shares.items() if share is not None and share > 0.5}
    assert 0 < len(above) < len(shares)
    found = table(out, filter="mfu>=1% mfu<4%")
    assert 0 < found.matching < len(shares)
    assert all(row.mfu is not None and 0.01 <= row.mfu < 0.04 for row in found.rows)


def test_what_does_not_follow_stays_not_available(out: Path) -> None:
    one = next(result for result in kept(out) if result.id.endswith("3c24"))
    assert one.loaded
    results = [
        replace(one, id="simulated", loaded=replace(one.loaded, engine="simulator")),
        replace(one, id="imported", imported="bench.json"),
        replace(one, id="unloaded", state="failed", loaded=None),
        replace(one, id="unmeasured", summary=replace(one.summary, iterations=0)),
        replace(one, id="unknown-device", loaded=replace(one.loaded, device_name="a card of tomorrow")),
        replace(one, id="said", limits=Limits(mbu=0.123)),
        replace(one, id="said-nothing", limits=Limits()),
    ]
    whole = msgspec.json.encode(replace(one, id="another-version"))
    lines = [*map(msgspec.json.encode, results), whole.replace(b'"finished"', b'"postponed"', 1)]
    (out / "results.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    rows = {row.id: (row.mbu, row.mfu) for row in table(out).rows}
    assert rows.pop("said") == (0.123, None)
    assert rows == dict.fromkeys(
        ("simulated", "imported", "unloaded", "unmeasured", "unknown-device", "said-nothing", "another-version"),
        (None, None),
    )


def test_a_table_of_before_is_made_again_once(out: Path, tmp_path: Path) -> None:
    """One without shares, as an earlier version made it; and one whose shares are of other figures of the devices."""
    asked: list[bytes] = []

    def noted(line: bytes) -> Mapping[str, float | None]:
        asked.append(line)
        return shares.shares_of_line(line)

    def mbus(version: str) -> set[float | None]:
        index = ResultIndex(out, derivation=Derivation(version, noted))
        page = index.page(ResultQuery(str(out), limit=1000))
        index.close()
        return {row.mbu for row in page.rows}

    plain = ResultIndex(out)
    assert {row.mbu for row in plain.page(ResultQuery(str(out), limit=1000)).rows} == {None}
    plain.close()
    assert len(mbus("one")) > 50
    assert len(asked) == 73
    assert len(mbus("one")) > 50
    assert len(asked) == 73, "what is in place is not worked out again"
    with (out / "results.jsonl").open("ab") as stream:
        stream.write(msgspec.json.encode(replace(kept(out)[0], id="one-more")) + b"\n")
    mbus("one")
    assert len(asked) == 74, "only the new line"
    mbus("two")
    assert len(asked) == 74 + 74


def test_only_lines_without_shares_are_decoded_whole(out: Path) -> None:
    asked: list[bytes] = []

    def noted(line: bytes) -> Mapping[str, float | None]:
        asked.append(line)
        return {}

    results = list(make_results(200))
    with (out / "results.jsonl").open("wb") as stream:
        for number, result in enumerate(results):
            limits = Limits(mbu=0.5) if number % 2 else None
            stream.write(msgspec.json.encode(replace(result, limits=limits)) + b"\n")
    index = ResultIndex(out, derivation=Derivation("v", noted))
    assert index.page(ResultQuery(str(out))).total == 200
    index.close()
    awaited = {
        result.id
        for result in results[::2]
        if result.state == "finished" and result.loaded and result.loaded.engine != "simulator"
    }
    assert {msgspec.json.decode(line)["id"] for line in asked} == awaited
    assert 0 < len(awaited) < 100


def test_whoever_looks_for_a_reference_leaves_the_table_as_it_is(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It asks the same index file, and must not make it again without the shares."""
    before = table(out).version
    find_reference(kept(out)[-1], Store(out))
    asked: list[bytes] = []
    monkeypatch.setattr(shares, "limits_of", lambda result: asked.append(result))
    index = open_table(out)
    page = index.page(ResultQuery(str(out), sort="mbu"))
    index.close()
    assert page.version == before
    assert page.rows[0].mbu is not None
    assert asked == []
