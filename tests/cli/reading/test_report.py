"""`infertui report`, and the forms of `infertui results`."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from support.reported import made, stored
from support.runs import clean_environment, infertui

from infertui.report.charts.style import require_matplotlib

ENGINES = Path("reports/h200-engines").absolute()


def test_a_report_is_written_of_named_runs(tmp_path: Path) -> None:
    require_matplotlib()
    chosen = [result for result in stored(ENGINES) if "gpt2" in result.own_config.model.id][:2]
    names = [result.id[:24] for result in chosen]
    found = infertui("report", *names, "--from", str(ENGINES), "--out", "made", "--title", "Two runs", cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    assert "made/report.html" in found.stdout
    text = (tmp_path / "made/report.html").read_text()
    assert "<title>Two runs</title>" in text
    assert all(result.id in text for result in chosen)
    assert (tmp_path / "made/charts/throughput.png").read_bytes().startswith(b"\x89PNG")


def test_without_names_it_is_about_the_newest_valid_runs_and_says_what_is_left_out(tmp_path: Path) -> None:
    made(tmp_path / "reports", 40, folders=False)
    found = infertui("report", "--no-charts", "--last", "10", "--json", cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    told = json.loads(found.stdout)
    assert len(told["runs"]) == 10
    valid = [r.id for r in stored(tmp_path / "reports") if r.state == "finished" and r.verdict.valid]
    assert told["runs"] == valid[-10:]
    text = (tmp_path / "report/report.md").read_text()
    assert "older runs of the folder are left out" in text
    assert "not finished, or invalid" in text
    assert not (tmp_path / "report/charts").exists()


def test_filters_and_baselines(tmp_path: Path) -> None:
    chosen = [r for r in stored(ENGINES) if r.own_config.labels.get("table") == "modes"][-40:]
    last = chosen[-1].id
    arguments = ("--filter", "labels.table=modes", "--from", str(ENGINES), "--no-charts", "--out", "r", "--json")
    found = infertui("report", *arguments, "--baseline", last, cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    assert json.loads(found.stdout)["runs"] == [result.id for result in chosen]
    report = json.loads((tmp_path / "r/report.json").read_text())
    assert last in [contest["baseline"] for contest in report["contests"]]


def test_what_cannot_be_is_refused_with_a_remedy(tmp_path: Path) -> None:
    for arguments, problem in (
        (("--out", str(ENGINES)), "--from"),
        (("nothing-begins-so", "--from", str(ENGINES), "--no-charts"), "no run"),
        (("--from", "empty", "--no-charts"), "no runs to report about"),
        (("a", "--filter", "state=failed", "--no-charts"), "exclude each other"),
        (("--filter", "stat=failed", "--no-charts"), "nearest"),
    ):
        found = infertui("report", *arguments, cwd=tmp_path)
        assert found.returncode == 2, arguments
        assert problem in found.stderr, arguments
        assert "Traceback" not in found.stderr


def test_help_needs_no_matplotlib(tmp_path: Path) -> None:
    found = infertui("report", "--help", cwd=tmp_path)
    assert found.returncode == 0
    assert "infertui report RUN RUN RUN" in found.stdout
    assert "--bench" in found.stdout


def test_a_run_whose_requests_are_gone_is_told(tmp_path: Path) -> None:
    results = made(tmp_path / "reports", 3)
    gone = next(result for result in results if result.state == "finished" and result.summary.iterations)
    (tmp_path / "reports" / gone.id / "requests.jsonl").unlink()
    done = infertui("report", "--all", "--no-charts", cwd=tmp_path)
    assert done.returncode == 0
    assert f"{gone.id}: requests.jsonl is gone" in done.stderr
    assert done.stderr.count("is gone") == 1
    for name in ("report.md", "report.html", "report.json"):
        text = (tmp_path / "report" / name).read_text()
        assert "requests.jsonl is gone from its folder" in text, name


def test_telemetry_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    results = made(tmp_path / "reports", 3)
    run = next(result for result in results if result.state == "finished")
    telemetry = tmp_path / "reports" / run.id / "telemetry.jsonl"
    telemetry.unlink(missing_ok=True)
    telemetry.mkdir()
    done = infertui("report", "--all", "--no-charts", cwd=tmp_path)
    assert done.returncode == 0
    assert done.stderr.count("no telemetry is shown") == 1
    for name in ("report.md", "report.html", "report.json"):
        assert "no telemetry is shown" in (tmp_path / "report" / name).read_text(), name


@pytest.mark.parametrize("form", ["--json", "--csv"])
def test_results_end_where_nobody_reads_them_any_more(tmp_path: Path, form: str) -> None:
    made(tmp_path / "reports", 30, folders=False)
    index = tmp_path / "reports" / "results.jsonl"
    lines = index.read_bytes()
    copies = (lines.replace(b'{"id":"', f'{{"id":"{number}-'.encode()) for number in range(60))
    index.write_bytes(b"".join(copies) + b"torn\n")  # who reads to the end is warned of its last line
    command = f'"{sys.executable}" -m infertui results {form} | head -1; echo "${{PIPESTATUS[0]}}"'
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, env=clean_environment(), capture_output=True,
                          text=True, check=False, timeout=60)  # fmt: skip
    assert len(done.stdout.splitlines()) == 2
    assert done.stdout.splitlines()[1] == "0"
    assert done.stderr == ""
    assert "line 1801" in infertui("results", form, cwd=tmp_path).stderr


def test_results_are_told_one_by_one_in_every_form(tmp_path: Path) -> None:
    results = made(tmp_path / "reports", 30, folders=False)
    lines = infertui("results", "--json", cwd=tmp_path).stdout.splitlines()
    assert [json.loads(line)["id"] for line in lines] == [result.id for result in results]
    table = infertui("results", "--markdown", cwd=tmp_path).stdout.splitlines()
    assert len(table) == 32
    assert len({line.count("|") for line in table}) == 1
    assert len(infertui("results", "--csv", "state=failed", cwd=tmp_path).stdout.splitlines()) == 1 + sum(
        result.state == "failed" for result in results
    )
    shown = infertui("results", cwd=tmp_path).stdout
    assert all(result.id in shown for result in results)


def test_a_report_without_matplotlib_says_that_charts_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "matplotlib.py").write_text("raise ImportError('not here')\n")
    run = infertui("run", "--set", "engine.name=simulator", "--set", "engine.simulator.virtual_time=true", cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    done = infertui("report", "--all", cwd=tmp_path, environment=clean_environment(PYTHONPATH=str(tmp_path)))
    assert done.returncode == 0, done.stderr
    assert "has no charts" in done.stderr
    written = next(tmp_path.glob("*/report.md")).read_text()
    assert "Charts are left out" in written
    asked = infertui(
        "report", "--all", "--charts", cwd=tmp_path, environment=clean_environment(PYTHONPATH=str(tmp_path))
    )
    assert asked.returncode != 0
    assert "matplotlib" in asked.stderr
