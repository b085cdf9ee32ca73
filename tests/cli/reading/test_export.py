"""`infertui export`: runs in the forms that other programs read."""

import csv
import io
import json
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace
from support.results import make_results, write_folder, write_results
from support.runs import infertui

from infertui.measure.validity import Verdict
from infertui.results.result import Result


@pytest.fixture
def runs(tmp_path: Path) -> list[Result]:
    """Two runs with their folders; the second is invalid and its name would be a formula."""
    made = [result for result in make_results(80) if result.state == "finished" and result.verdict.valid][:2]
    made[1] = replace(made[1], name="=cmd()|x", verdict=Verdict(invalid=("the GPU was throttled: hw-thermal",)))
    out = tmp_path / "reports"
    out.mkdir()
    for result in made:
        write_folder(out, result)
    (out / "results.jsonl").write_bytes(b"".join(msgspec.json.encode(result) + b"\n" for result in made))
    return made


def test_csv_is_that_of_results(tmp_path: Path, runs: list[Result]) -> None:
    done = infertui("export", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == infertui("results", "--csv", cwd=tmp_path).stdout
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [row["id"] for row in rows] == [result.id for result in runs]
    assert (rows[1]["valid"], rows[1]["reasons"]) == ("False", "the GPU was throttled: hw-thermal")
    assert rows[1]["name"] == "'=cmd()|x"


def test_six_fields_and_a_warning_for_what_the_form_cannot_say(tmp_path: Path, runs: list[Result]) -> None:
    done = infertui("export", "--format", "six-field", "-o", "out/requests.jsonl", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in (tmp_path / "out" / "requests.jsonl").open()]
    assert {tuple(line) for line in lines} == {("prompt", "latency", "tokens", "memory_mb", "power_w", "tps")}
    assert len(lines) == sum((result.summary.iterations or 0) * (result.setup.batch_size or 0) for result in runs)
    assert f"{runs[1].id}: the GPU was throttled" in done.stderr
    assert runs[0].id not in done.stderr
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["requests.jsonl"]


def test_vllm_documents_one_a_line_and_back(tmp_path: Path, runs: list[Result]) -> None:
    done = infertui("export", "--format", "vllm", "--output", "-", cwd=tmp_path)
    first, second = (json.loads(line) for line in done.stdout.splitlines())
    assert (first["model_id"], first["request_rate"]) == (runs[0].own_config.model.id, "inf")
    assert (first["infertui_valid"], second["infertui_valid"]) == (True, False)
    (tmp_path / "both.json").write_text(done.stdout)
    back = infertui("import", "both.json", "--out", "again", "--json", cwd=tmp_path)
    assert back.returncode == 0, back.stdout + back.stderr
    told = json.loads(back.stdout)[0]["runs"]
    assert [run["output_throughput"] for run in told] == [result.summary.output_throughput for result in runs]


def test_runs_are_named_or_filtered(tmp_path: Path, runs: list[Result]) -> None:
    one = infertui("export", runs[0].id[:-2], "--format", "vllm", cwd=tmp_path)
    assert json.loads(one.stdout)["infertui_run_id"] == runs[0].id
    valid = infertui("export", "--filter", "valid=no", cwd=tmp_path)
    assert [row["id"] for row in csv.DictReader(io.StringIO(valid.stdout))] == [runs[1].id]
    for words in (["nothing"], ["--filter", "valid=maybe"], ["--format", "xml"], ["-o", "."]):
        done = infertui("export", *words, cwd=tmp_path)
        assert done.returncode == 2, words
        assert "Traceback" not in done.stderr


def test_an_older_file_survives_what_cannot_be_exported(tmp_path: Path, runs: list[Result]) -> None:
    (tmp_path / "kept.csv").write_text("older")
    assert infertui("export", "--filter", "state=failed", "-o", "kept.csv", cwd=tmp_path).returncode == 2
    assert (tmp_path / "kept.csv").read_text() == "older"


@pytest.mark.parametrize("command", ["export", "run"])
def test_a_file_whose_name_is_too_long_is_told_in_a_sentence(command: str, tmp_path: Path) -> None:
    name = "a" * 300
    write_results(tmp_path / "reports", 1)
    given = (
        ["export", "--output", name] if command == "export" else ["run", "--engine", "simulator", "--save-json", name]
    )
    ended = infertui(*given, cwd=tmp_path)
    assert ended.returncode == 2
    assert "Traceback" not in ended.stderr
    assert "File name too long" in ended.stderr
