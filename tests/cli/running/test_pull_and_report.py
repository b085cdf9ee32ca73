"""`--pull` before runs, from a hub of our own, and `--report` after them; the same in a pipeline."""

import json
from pathlib import Path

import pytest
from support.hub import MODEL, Puller, serving
from support.pipelines import BASELINE, FASTER
from support.runs import clean_environment, infertui

from infertui.results.runs import Store

SIMULATED = (
    "--set", "engine.simulator.virtual_time=true", "--set", "measurement.iterations=3", "--set", "measurement.warmup=1",
    "--osl", "4",
)  # fmt: skip
ENGINE = ("--engine", "simulator")


@pytest.fixture(autouse=True)
def fonts(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Charts are drawn elsewhere."""
    folder = tmp_path_factory.mktemp("without") / "matplotlib.py"
    folder.write_text("raise ImportError('not here')\n")
    monkeypatch.setenv("PYTHONPATH", str(folder.parent))


def reported(told: str) -> Path:
    return Path(next(line for line in told.splitlines() if line.startswith("report: ")).removeprefix("report: "))


def test_a_sweep_is_reported_where_its_runs_are(tmp_path: Path) -> None:
    done = infertui("run", "baseline", *ENGINE, *SIMULATED, "-b", "1,2", "--json", "--report", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    runs = [json.loads(line)["id"] for line in done.stdout.splitlines()]
    page = tmp_path / reported(done.stderr)
    assert page == tmp_path / "reports" / f"report-{runs[0]}" / "report.html"
    assert all(run in page.with_suffix(".md").read_text() for run in runs)
    assert "the report has no charts" in done.stderr


def test_a_bench_is_reported_by_its_name_also_where_a_rule_fails(tmp_path: Path) -> None:
    done = infertui(
        "bench", *SIMULATED, "--set", "engine.name=simulator", "--vary", "engine.simulator.step_ms=5,10", "--repeat",
        "3", "--report", "--fail-if", "throughput < -3%", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 4, done.stderr
    bench = next(run.bench.bench for run in Store(tmp_path / "reports").results(warn=pytest.fail) if run.bench)
    page = tmp_path / reported(done.stderr)
    assert page.parent.name == f"report-{bench}"
    assert f"Configs of {bench}" in page.with_suffix(".md").read_text().replace("\\", "")


def test_what_watches_a_run_is_not_for_the_queue(tmp_path: Path) -> None:
    for command in (("run", "demo"), ("bench", "demo", "demo")):
        done = infertui(*command, "--report", "--queue", cwd=tmp_path)
        assert done.returncode == 2
        assert "--report and --queue exclude each other" in done.stderr


def test_a_model_that_is_not_here_is_downloaded_first_and_once(tmp_path: Path) -> None:
    with serving() as hub:
        puller = Puller(hub, tmp_path / "hf")
        environment = clean_environment(HF_HOME=str(puller.home), HF_ENDPOINT=hub.endpoint, NO_PROXY="127.0.0.1")
        command = ("run", *ENGINE, *SIMULATED, "--model", MODEL, "--pull", "--ui", "none")
        done = infertui(*command, cwd=tmp_path, environment=environment)
        assert done.returncode == 0, done.stderr
        assert f"{MODEL}: 100 %" in done.stderr
        asked = len(hub.requests)
        assert asked
        again = infertui(*command, cwd=tmp_path, environment=environment)
        assert again.returncode == 0, again.stderr
        assert len(hub.requests) == asked, "it is here"


def test_a_pipeline_downloads_its_model_in_its_first_step(tmp_path: Path) -> None:
    with serving() as hub:
        environment = clean_environment(HF_HOME=str(tmp_path / "hf"), HF_ENDPOINT=hub.endpoint, NO_PROXY="127.0.0.1")
        command = ("pipeline", MODEL, "--quick", *SIMULATED[:2], "--baseline", BASELINE, "--engines", FASTER, "-r", "1")
        foretold = infertui(*command, "--dry-run", cwd=tmp_path, environment=environment)
        assert foretold.returncode == 0, foretold.stderr
        assert "acme/tiny from the Hugging Face hub" in foretold.stdout
        assert "how long that takes is not known before the model is here" in foretold.stdout
        assert not hub.requests
        done = infertui(*command, "--no-charts", cwd=tmp_path, environment=environment)
    assert done.returncode == 0, done.stderr
    assert "acme/tiny was downloaded" in done.stdout
    assert (tmp_path / "reports/tiny-quick-simulator-step-ms-10-simulator-step-ms-5/report.md").is_file()


def test_without_a_network_it_says_what_to_do(tmp_path: Path) -> None:
    environment = clean_environment(
        HF_HOME=str(tmp_path / "hf"), HF_ENDPOINT="http://127.0.0.1:9", NO_PROXY="127.0.0.1"
    )
    done = infertui("run", *ENGINE, "--model", MODEL, "--pull", cwd=tmp_path, environment=environment)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "127.0.0.1:9" in done.stderr
    assert not (tmp_path / "reports").exists()
