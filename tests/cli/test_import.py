"""`infertui import`, and what the table, a comparison and the screen show of it."""

import csv
import io
import itertools
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace
from support.foreign_files import LLAMA_TEST, dumped, guidellm, guidellm_benchmark, one_of_each, six_field, vllm_serve
from support.results import make_results, write_folder
from support.runs import clean_environment, infertui

from infertui.formats.commit import keep
from infertui.formats.detect import read
from infertui.formats.imported_run import Given, result_of
from infertui.formats.reader import SourceFile
from infertui.measure.records import RequestRecord
from infertui.results.details import read_details
from infertui.results.index import ResultIndex, ResultQuery
from infertui.results.observations import read_observations
from infertui.results.result import Result
from infertui.results.runs import Store


def run(folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    return infertui(*words, cwd=folder)


def results(folder: Path) -> list[Result]:
    return Store(folder / "reports").results(warn=pytest.fail)


def test_files_of_every_form_come_into_one_table(tmp_path: Path) -> None:
    files = []
    for number, content in enumerate(one_of_each().values()):
        files.append(f"{number}.txt")
        (tmp_path / files[-1]).write_bytes(content)
    done = run(tmp_path, "import", *files, "--label", "site=lab", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert [one["form"] for one in told] == list(one_of_each())
    assert {one["status"] for one in told} == {"imported"}
    kept = results(tmp_path)
    assert [result.id for result in kept] == [found["id"] for one in told for found in one["runs"]]
    assert {result.setup.labels["site"] for result in kept} == {"lab"}
    assert {result.imported for result in kept} == set(files)
    page = ResultIndex(tmp_path / "reports", cache=tmp_path / "cache").page(ResultQuery("", filter="flag:imported"))
    assert (page.matching, page.skipped) == (len(kept), 0)
    for result in kept:
        details = read_details(tmp_path / "reports" / result.id)
        assert (details.result, details.toml) == (result, "")

    unknown = run(tmp_path, "results", "workload.batch_size=1", "--json")
    engines = [json.loads(line)["told"]["engine.name"] for line in unknown.stdout.splitlines()]
    assert set(engines) == {"llama-cpp"}, "the others do not tell their batch size"
    table = run(tmp_path, "results", "--csv")
    rows = list(csv.DictReader(io.StringIO(table.stdout)))
    by_file = {row["imported"]: row for row in rows}
    serve, six = by_file["1.txt"], by_file["0.txt"]
    assert (serve["model"], serve["batch_size"], serve["iterations"]) == ("meta-llama/Llama-3.1-8B", "", "")
    assert (serve["output_throughput"], serve["source"]) == ("40.0", "vllm bench serve")
    assert (six["model"], six["batch_size"], six["prompt_tokens"], six["output_throughput"]) == ("", "", "", "")
    markdown = run(tmp_path, "results", "--markdown", "id=" + kept[0].id)
    assert "n/a" in markdown.stdout
    assert "imported from 0.txt" in markdown.stdout
    assert "synthetic:nano" not in markdown.stdout + table.stdout, "the default model is nobody's"


def test_the_same_content_is_imported_once(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(dumped(vllm_serve()))
    (tmp_path / "b.json").write_bytes(dumped(vllm_serve()))
    assert run(tmp_path, "import", "a.json").returncode == 0
    twice = run(tmp_path, "import", "b.json")
    assert twice.returncode == 0
    assert "was imported before; --again imports it once more" in twice.stdout
    assert results(tmp_path)[0].id in twice.stdout
    assert len(results(tmp_path)) == 1
    assert run(tmp_path, "import", "b.json", "--again").returncode == 0
    assert len(results(tmp_path)) == 2


def test_a_dry_run_writes_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(dumped(guidellm(guidellm_benchmark(1), guidellm_benchmark(4))))
    done = run(tmp_path, "import", "--dry-run", "a.json")
    assert "would be imported, guidellm" in done.stdout
    assert done.stdout.count("40.0 tok/s") == 2
    assert not (tmp_path / "reports").exists()


def test_a_file_that_is_wrong_leaves_nothing_and_the_others_are_imported(tmp_path: Path) -> None:
    (tmp_path / "good.json").write_bytes(dumped(vllm_serve()))
    (tmp_path / "torn.jsonl").write_bytes(six_field([0.5] * 3000) + b'{"prompt": "x", "latency": -1, "tokens": 2}\n')
    (tmp_path / "half.json").write_bytes(dumped([LLAMA_TEST, {**LLAMA_TEST, "n_gen": -1}]))
    done = run(tmp_path, "import", "torn.jsonl", "half.json", "good.json")
    assert done.returncode == 2
    assert "torn.jsonl, line 3001.latency: is -1, and has to be from 0 to 1e+15" in done.stderr
    assert "half.json, $[1]: Expected `int` >= 0 - at `$.n_gen`" in done.stderr
    assert "2 of 3 files could not be imported" in done.stderr
    assert "Traceback" not in done.stderr
    (kept,) = results(tmp_path)
    assert kept.imported == "good.json"
    assert sorted(path.name for path in (tmp_path / "reports").iterdir()) == sorted([kept.id, "results.jsonl"])


def test_nothing_is_half_imported_where_writing_fails(tmp_path: Path) -> None:
    """The lines of the second of two runs cannot be read again."""
    source = SourceFile.of(dumped(guidellm(guidellm_benchmark(1), guidellm_benchmark(4))), "a.json")
    first, second = read(source).findings

    def torn() -> Iterator[RequestRecord]:
        assert second.records is not None
        yield from itertools.islice(second.records(), 2)
        raise OSError("the disk is gone")

    findings = (first, replace(second, records=torn))
    now = datetime(2026, 3, 1, tzinfo=UTC)
    made = [result_of(one, Given(), file="a.json", sha256="0" * 64, now=now) for one in findings]
    with pytest.raises(OSError, match="the disk is gone"):
        keep(findings, made, Store(tmp_path), told=lambda count: None)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", [["--label", "site"], ["--batch-size", "0"], ["--label", "=x"]])
def test_options_that_make_no_sense_are_refused(tmp_path: Path, words: list[str]) -> None:
    (tmp_path / "a.json").write_bytes(dumped(vllm_serve()))
    done = run(tmp_path, "import", "a.json", *words)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "reports").exists()


def test_an_imported_run_is_compared_with_one_of_ours_and_said_to_be_one(tmp_path: Path) -> None:
    ours = next(result for result in make_results(50) if result.state == "finished" and result.loaded)
    (tmp_path / "reports").mkdir()
    write_folder(tmp_path / "reports", ours)
    (tmp_path / "reports" / "results.jsonl").write_bytes(msgspec.json.encode(ours) + b"\n")
    (tmp_path / "a.json").write_bytes(dumped(vllm_serve(detailed=True)))
    assert run(tmp_path, "import", "a.json").returncode == 0
    theirs = results(tmp_path)[1]
    (observed,) = read_observations(tmp_path / "reports" / theirs.id)
    assert (observed.tokens, observed.seconds) == (20, 0.5), "requests at the same time are one observation"
    done = run(tmp_path, "compare", ours.id, theirs.id)
    assert "imported from a.json: vllm bench serve" in done.stdout
    assert "batch sizes not known" in done.stdout
    assert done.stdout.count("differs measurement.") <= 2, "what the file does not tell takes a line, not a screen"


def test_a_million_lines_need_no_more_memory_than_their_figures(tmp_path: Path) -> None:
    """In small: twice as many lines take no more at any one time, but for three numbers of each."""
    import tracemalloc

    def peak(lines: int) -> int:
        path = tmp_path / f"{lines}.jsonl"
        path.write_bytes(six_field([0.5 + number / 1e6 for number in range(lines)]))
        tracemalloc.start()
        with SourceFile.open(path) as source:
            (finding,) = read(source, Given()).findings
            assert finding.records is not None
            assert sum(1 for _ in finding.records()) == lines
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(100)  # what is imported on first use
    assert peak(8_000) - peak(2_000) < 6_000 * 100


def test_an_interrupted_import_leaves_nothing_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(six_field([1.0, 2.0]))
    with (tmp_path / "b.jsonl").open("w") as stream:
        stream.writelines(f'{{"prompt": "p{n}", "latency": 1.5, "tokens": 4}}\n' for n in range(100_000))
    command = [sys.executable, "-m", "infertui", "import", "a.jsonl", "b.jsonl"]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=clean_environment()
    ) as process:
        deadline = time.monotonic() + 60
        while len(list(tmp_path.glob("reports/*/requests.jsonl"))) < 2:  # of the second file, of which it writes lines
            assert process.poll() is None
            assert time.monotonic() < deadline
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "b.jsonl: interrupted, and nothing of it was imported" in told
    assert "Traceback" not in told
    (kept,) = results(tmp_path)
    assert kept.imported == "a.jsonl"
    assert [folder.name for folder in (tmp_path / "reports").iterdir() if folder.is_dir()] == [kept.id]
