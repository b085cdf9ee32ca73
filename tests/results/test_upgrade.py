"""Lines of results.jsonl of every schema, as they were written, and what every reader makes of them."""

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner

import infertui
from infertui.cli.main import app
from infertui.errors import StoreError
from infertui.results.details import read_details
from infertui.results.index import ResultIndex
from infertui.results.row import read_line, row_of
from infertui.results.runs import RESULT, Store
from infertui.results.table import ResultQuery
from infertui.results.upgrade import SCHEMA, NewerSchemaError, decode_result
from infertui.runner.queries import Reports
from infertui.runner.recompute import Recomputation

LINES = Path(__file__).parent / "lines"
BEFORE = LINES / "schema-0.jsonl"
ONE = LINES / "schema-1.jsonl"
TODAY = LINES / f"schema-{SCHEMA}.jsonl"

# What the lines said when they were written: state, error, output tokens per second, median TTFT in ms, valid.
SAID = {
    BEFORE: {
        "20261120-111912-demo-34c9": ("finished", "", 386.67, 3.528, True),  # the first shape that was kept
        "20261120-175021-tinyllama-1.1b-llama-cpp-603b": ("finished", "", 751.23, 6.766, True),  # options, evidence
        "20261120-202030-fused-1-5-f8e9": ("finished", "", 1247.48, 4.587, True),  # bench, ceilings, limits, quality
        "20261120-225910-eager-7-7-8b4c": ("finished", "", 50.85, 20.0, True),  # recomputed
        "20261130-213341-nano-simulator-9c6e": ("finished", "", 191.04, 20.0, False),  # 3 of 8 batches failed
        "20261130-213423-synthetic-tinyllama-1.1b-bef0": ("failed", "does-not-fit", None, None, False),
        "20250608-221750-llama-bench-tg1280-a39a": ("finished", "", 85.5, None, True),  # imported
        "20261130-213807-nano-simulator-b90f": ("interrupted", "", None, None, False),
    },
    ONE: {
        "20261130-213813-nano-simulator-3d7f": ("interrupted", "", None, None, False),
        "20261130-213822-nano-simulator-e072": ("finished", "", 191.04, 20.0, False),
        "20261130-213829-nano-transformers-3891": ("finished", "", 2.236, 499.3, False),
        "20250608-221750-llama-bench-tg1280-c96a": ("finished", "", 85.5, None, True),
        "20261130-214033-synthetic-tinyllama-1.1b-75ed": ("failed", "does-not-fit", None, None, False),
    },
    TODAY: {
        "20261201-015754-demo-c008": ("finished", "", 141.56, 11.067, False),
        "20261201-015752-demo-79a0": ("finished", "", 198.83, 20.0, False),
        "20250608-221750-llama-bench-tg128-ae8f": ("finished", "", 85.5, None, True),
        "20261201-015818-six.jsonl-1622": ("finished", "", None, None, True),
    },
}
# Keys of older lines that nothing reads any more: thresholds that others took the place of.
GONE = {"config.validity.max_host_cpu", "config.validity.max_clock_change", "unknown"}


def test_there_are_kept_lines_of_every_schema() -> None:
    assert sorted(LINES.iterdir()) == [LINES / f"schema-{number}.jsonl" for number in range(SCHEMA + 1)]
    assert sorted(SAID) == sorted(LINES.iterdir())


@pytest.mark.parametrize("file", SAID, ids=lambda file: file.stem)
def test_the_figures_are_those_that_were_written(file: Path) -> None:
    found = {}
    for line in file.read_bytes().splitlines():
        result = decode_result(line)
        assert result.schema == SCHEMA
        summary = result.summary
        found[result.id] = (
            result.state,
            result.error.kind if result.error else "",
            summary.output_throughput and pytest.approx(summary.output_throughput, rel=1e-3),
            summary.ttft and summary.ttft.p50 and pytest.approx(summary.ttft.p50 * 1e3, rel=1e-3),
            not result.verdict.invalid,
        )
    assert found == SAID[file]


@pytest.mark.parametrize("file", SAID, ids=lambda file: file.stem)
def test_no_key_of_a_kept_line_is_lost(file: Path) -> None:
    for line in file.read_bytes().splitlines():
        written, again = (dict(leaves(json.loads(one))) for one in (line, msgspec.json.encode(decode_result(line))))
        if unknown := json.loads(line).get("unknown"):
            written = told_alone(written, unknown)
        assert set(written) - set(again) <= GONE
        changed = {key for key in set(written) & set(again) if written[key] != again[key]}
        assert changed <= {"error.kind", "schema"}


@pytest.mark.parametrize("file", SAID, ids=lambda file: file.stem)
def test_the_table_and_the_command_line_read_them(file: Path, tmp_path: Path) -> None:
    (tmp_path / "results.jsonl").write_bytes(file.read_bytes())
    index = ResultIndex(tmp_path, cache=tmp_path / "cache")
    page = index.page(ResultQuery(str(tmp_path)))
    index.close()
    rows = {row.id: row for row in page.rows}
    assert (page.skipped, page.newer) == (0, 0)
    assert {id_: (row.state, row.valid) for id_, row in rows.items()} == {
        id_: (said[0], said[4]) for id_, said in SAID[file].items()
    }
    for id_, (_, error, speed, ttft, _) in SAID[file].items():
        assert rows[id_].throughput == (speed and pytest.approx(speed, rel=1e-3))
        assert rows[id_].ttft == (ttft and pytest.approx(ttft / 1e3, rel=1e-3))
        assert not error or error in rows[id_].flags
    told = CliRunner().invoke(app, ["results", "--out", str(tmp_path), "--json"])
    assert (told.exit_code, [json.loads(line)["id"] for line in told.stdout.splitlines()]) == (0, list(SAID[file]))
    assert {json.loads(line)["schema"] for line in told.stdout.splitlines()} == {SCHEMA}


def test_the_words_of_before_that_were_names_in_python_are_today_s() -> None:
    line = json.loads(BEFORE.read_bytes().splitlines()[5])
    for before, today in {
        "doesnotfit": "does-not-fit", "oddconfig": "model", "_grammar": "config", "infertui": "error",
        "config": "config", "out-of-memory": "out-of-memory", "internal": "internal", "something": "something",
    }.items():  # fmt: skip
        line["error"]["kind"] = before
        error = decode_result(json.dumps(line).encode()).error
        assert error is not None
        assert error.kind == today
        line["schema"] = SCHEMA  # here a word is what it says
        assert decode_result(json.dumps(line).encode()).error == msgspec.structs.replace(error, kind=before)
        del line["schema"]


@pytest.mark.parametrize("unknown", [5, None, "model.id", {"model.id": 1}])
def test_a_list_of_unknown_keys_that_is_none_makes_a_line_that_cannot_be_read(tmp_path: Path, unknown: object) -> None:
    lines = [json.loads(line) for line in BEFORE.read_bytes().splitlines()]
    odd = next(line for line in lines if line.get("imported")) | {"unknown": unknown}
    (tmp_path / "results.jsonl").write_bytes(b"".join(json.dumps(one).encode() + b"\n" for one in (lines[0], odd)))
    index = ResultIndex(tmp_path, cache=tmp_path / "cache")
    page = index.page(ResultQuery(str(tmp_path)))
    index.close()
    assert ([row.id for row in page.rows], page.skipped) == ([lines[0]["id"]], 1)
    told = CliRunner().invoke(app, ["results", "--out", str(tmp_path), "--json"])
    assert (told.exit_code, len(told.stdout.splitlines())) == (0, 1)
    assert "unknown" in told.stderr


@pytest.mark.parametrize(("schema", "flag"), [({}, "usage"), ({"schema": SCHEMA}, "format")])
def test_the_flag_of_a_failure_is_the_word_that_its_schema_means(schema: dict[str, int], flag: str) -> None:
    line = json.loads(BEFORE.read_bytes().splitlines()[5])
    line["error"]["kind"] = "format"
    encoded = json.dumps(line | schema).encode()
    assert row_of(read_line(encoded)).flags == row_of(decode_result(encoded)).flags
    assert row_of(read_line(encoded)).flags[0] == flag


@pytest.mark.parametrize("file", SAID, ids=lambda file: file.stem)
def test_a_row_is_the_same_of_a_line_as_it_is_and_of_one_that_was_brought_up(file: Path) -> None:
    for line in file.read_bytes().splitlines():
        assert row_of(read_line(line)) == row_of(decode_result(line))


@pytest.fixture
def newer(tmp_path: Path) -> Path:
    """A reports folder of three runs: one of today, one of a newer infertui, one that is torn."""
    lines = TODAY.read_bytes().splitlines()
    line = json.loads(lines[1]) | {"id": "of-tomorrow", "schema": SCHEMA + 1, "summary": "somewhere else"}
    content = b"\n".join([lines[1], json.dumps(line).encode(), b"{", b""])
    (tmp_path / "results.jsonl").write_bytes(content)
    folder = tmp_path / "of-tomorrow"
    folder.mkdir()
    (folder / RESULT).write_bytes(json.dumps(line).encode())
    (folder / "run.toml").write_text("")
    return tmp_path


TOLD = f"written by a newer infertui: its schema is {SCHEMA + 1}, this one reads up to {SCHEMA}"


def test_a_line_of_a_newer_schema_is_told_and_left_where_it_is(newer: Path) -> None:
    before = (newer / "results.jsonl").read_bytes()
    store, warnings = Store(newer), list[str]()
    assert [result.name for result in store.results(warn=warnings.append)] == ["demo"]
    assert TOLD in warnings[0]
    assert "line 2" in warnings[0]
    for read in (
        lambda: store.result_of("of-tomorrow"),
        lambda: list(store.naming("of-tom")),
        lambda: read_details(newer / "of-tomorrow"),
        lambda: list(Recomputation(store).outcomes(["of-tomorrow"])),
    ):
        with pytest.raises(StoreError, match=re.escape(TOLD)):
            read()
    assert Reports().result(str(newer), "of-tomorrow") is None
    store.delete(["20261201-015752-demo-79a0"])
    assert (newer / "results.jsonl").read_bytes() == before.partition(b"\n")[2]


def test_the_table_counts_them_apart(newer: Path) -> None:
    index = ResultIndex(newer, cache=newer / "cache")
    page = index.page(ResultQuery(str(newer)))
    assert (page.total, page.skipped, page.newer) == (1, 2, 1)
    index.close()
    again = ResultIndex(newer, cache=newer / "cache")
    assert again.page(ResultQuery(str(newer))).newer == 1
    again.close()


@pytest.mark.parametrize("command", ["results", "compare", "export", "recompute", "report"])
def test_commands_say_it_in_words(newer: Path, command: str) -> None:
    place = "--from" if command in ("export", "report") else "--out"
    runs = ["of-tomorrow", "20261130"] if command == "compare" else ["of-tomorrow"] if command != "results" else []
    told = CliRunner().invoke(app, [command, place, str(newer), *runs])
    text = " ".join((told.stdout + told.stderr + (str(told.exception) if told.exception else "")).split())
    assert TOLD in text
    assert "Traceback" not in text


@pytest.mark.parametrize("schema", [-1, SCHEMA + 1, 2**70, "1", None, 1.5])
def test_a_schema_that_there_is_not_is_no_result(schema: object) -> None:
    line = json.loads(TODAY.read_bytes().splitlines()[1]) | {"schema": schema}
    with pytest.raises(msgspec.MsgspecError) as caught:
        decode_result(json.dumps(line).encode())
    assert isinstance(caught.value, NewerSchemaError) == (isinstance(schema, int) and schema > SCHEMA)


def test_results_are_decoded_in_one_place() -> None:
    """Or a line of before would be read as one of today."""
    package = Path(infertui.__file__).parent
    direct = re.compile(r"type=Result\b|Decoder\(Result\)|\(([^()]*, )?Result, warn")
    found = {str(path.relative_to(package)) for path in package.rglob("*.py") if direct.search(path.read_text("utf-8"))}
    assert found == {"results/upgrade.py", "formats/imported_run.py"}  # the latter reads what it has just written


def told_alone(written: dict[str, Any], unknown: list[str]) -> dict[str, Any]:
    """Of an imported run of before, what its file told: the rest of its config were defaults."""
    kept = {key: value for key, value in written.items() if not key.startswith(("config.", "unknown."))}
    kept |= {key: None for key in unknown if key.startswith("summary.")}
    for key, value in written.items():
        table, _, path = key.partition(".")
        if table == "config" and path not in unknown and path.split(".")[0] not in ("validity", "quality", "sweep"):
            kept |= {f"told.{path}": value} if value != {} else {}
    return kept


@pytest.mark.parametrize("file", SAID, ids=lambda file: file.stem)
def test_what_an_imported_file_did_not_tell_is_none(file: Path) -> None:
    imported = [result for line in file.read_bytes().splitlines() if (result := decode_result(line)).imported]
    assert imported
    for result in imported:
        assert result.config is None
        setup, known = result.setup, result.source.startswith("llama-bench")
        assert (setup.target.name, setup.batch_size) == (("llama-cpp", 1) if known else (None, None))
        assert (setup.temperature, setup.get("model.seed")) == (None, None)
        assert {"workload.temperature", "model.seed", "engine.vllm.engine_core"} < set(result.untold)
        assert not {"workload.output_len", "validity.max_drift"} & set(result.untold)


def leaves(value: Any, place: str = "") -> Any:
    """The values of a document by where they stand."""
    if isinstance(value, dict | list) and value:
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(inner, f"{place}.{key}" if place else str(key))
    else:
        yield place, value
