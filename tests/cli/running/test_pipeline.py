"""`infertui pipeline` as it is typed, with real workers of the simulator, from an empty home."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.pipelines import BASELINE, FAILING, FASTER
from support.runs import HANG_S, clean_environment, infertui

from infertui.config.bench_plan import FEWEST_ARMS
from infertui.pipeline.state import STEPS, read
from infertui.results.runs import Store

VIRTUAL = "--set=engine.simulator.virtual_time=true"
QUICK = ("synthetic:nano", "--quick", "--baseline", BASELINE, "--name", "p", "--osl", "4")
ROUNDS = 3


def home(tmp_path: Path) -> dict[str, str]:
    """An environment in which nothing was ever kept; matplotlib's list of fonts takes seconds to make."""
    named = {f"XDG_{name}_HOME": str(tmp_path / name) for name in ("CACHE", "CONFIG", "STATE")}
    fonts = os.environ.get("MPLCONFIGDIR") or str(Path.home() / ".cache/matplotlib")
    return clean_environment(HOME=str(tmp_path / "home"), MPLCONFIGDIR=fonts, **named)


def test_from_a_model_to_a_report_and_once_more(tmp_path: Path) -> None:
    command = ("pipeline", *QUICK, "--engines", FASTER, VIRTUAL)
    foretold = infertui(*command, "--dry-run", "--json", cwd=tmp_path, environment=home(tmp_path))
    assert foretold.returncode == 0, foretold.stderr
    plan = json.loads(foretold.stdout)
    assert [step["step"] for step in plan["steps"]] == list(STEPS)
    assert plan["seconds"] == pytest.approx(
        2 * ROUNDS * 1.0 + 10.0
    )  # a second a run of a virtual clock, and the report
    assert not (tmp_path / "reports/p").exists()

    done = infertui(*command, cwd=tmp_path, environment=home(tmp_path))
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "reports/p"
    assert {path.name for path in folder.iterdir()} >= {
        "report.html", "report.md", "report.json", "charts", "summary.txt", "pipeline.json"
    }  # fmt: skip
    # By hand: 20 ms to the first of 4 tokens, then 10 or 5 ms each; 50 and 35 ms for a batch.
    assert "speed-up 1.43x (1.43x to 1.43x); reduced for sure: latency by 30.0%" in done.stdout
    (table,) = [line for line in done.stdout.splitlines() if line.startswith(f"B {FASTER}")]
    assert table.split()[2:5] == ["114", "35.0", "ms"]
    screen = (folder / "summary.txt").read_text().splitlines()
    assert len(screen) <= 24
    assert max(map(len, screen)) <= 80
    assert done.stdout.endswith("\n".join(screen) + "\n")

    twice = infertui(*command, "--json", cwd=tmp_path, environment=home(tmp_path))
    assert twice.returncode == 0, twice.stderr
    assert "reports/p is finished: --anew measures again" in twice.stderr
    document = json.loads(twice.stdout)
    assert [step["step"] for step in document["steps"]] == list(STEPS)
    assert document["bench"]["used"] == [1, 2, 3]
    assert "reports/p/report.html" in document["files"]
    assert len(Store(tmp_path / "reports").results(warn=pytest.fail)) == FEWEST_ARMS * ROUNDS


def test_killed_while_it_measures_the_same_command_goes_on(tmp_path: Path) -> None:
    options = (*QUICK, "--engines", FASTER, "--rounds", "2", "--no-charts", "--ui", "plain")
    command = [sys.executable, "-m", "infertui", "pipeline", *options]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=home(tmp_path)
    ) as process:
        assert process.stdout is not None
        next(line for line in process.stdout if line.startswith("run 3/4"))
        os.kill(process.pid, signal.SIGKILL)
        process.communicate(timeout=HANG_S)
    folder = tmp_path / "reports/p"
    kept = read(folder)
    assert kept is not None
    assert [step.step for step in kept.steps] == ["pull", "choose", "build"]
    done = infertui("pipeline", *options, cwd=tmp_path, environment=home(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "was cut off" in done.stderr
    assert "2 of 4 runs are there" in done.stdout
    results = Store(tmp_path / "reports").results(warn=pytest.fail)
    assert sorted(result.state for result in results) == ["finished"] * 4 + ["interrupted"]
    assert {result.bench.bench for result in results if result.bench} == {kept.bench}
    assert (folder / "report.html").is_file()


def test_ctrl_c_keeps_what_is_done_and_says_how_to_go_on(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "infertui", "auto", *QUICK, "--engines", FASTER, "--ui", "plain"]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=home(tmp_path)
    ) as process:
        assert process.stdout is not None
        next(line for line in process.stdout if line.startswith("run 1/6"))
        os.kill(process.pid, signal.SIGINT)
        _, told = process.communicate(timeout=HANG_S)
    assert process.returncode == 130, told
    assert "interrupted in step measure" in told
    assert "reports/p: the same command goes on" in told


def test_an_engine_that_fails_is_a_row_and_ends_with_1(tmp_path: Path) -> None:
    command = ("pipeline", *QUICK, "--engines", f"{FAILING},{FASTER}", VIRTUAL, "--rounds", "2", "--no-charts")
    done = infertui(*command, cwd=tmp_path, environment=home(tmp_path))
    assert done.returncode == 1, done.stderr
    assert f"C {FAILING}: FAILED: " in done.stdout
    assert "speed-up 1.43x" in done.stdout
    assert len(Store(tmp_path / "reports").results(warn=pytest.fail)) == 2 * 2 + 1, "it is not tried in every round"


def asked(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Any:
    """The command in this process. Raises what the user would be told."""
    from infertui.cli.main import app

    monkeypatch.setattr(sys, "argv", ["infertui", "pipeline", *arguments])
    return app(standalone_mode=False)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "no model is named"),
        (("synthetic:nano", "--engines", BASELINE, "--baseline", BASELINE), "names the baseline"),
        (("synthetic:nano", "--engines", "tensort-llm"), "Did you mean tensorrt-llm"),
        (("synthetic:nano", "--baseline", "transformers:fast"), "transformers knows no"),
        (("synthetic:nano", "--name", "a/b"), "is no name of a folder"),
        (("synthetic:nano", "--name", ".."), "is no name of a folder"),
        (("synthetic:nano", "--name", "a\nb"), "is no name of a folder"),
        (("synthetic:nano", "--name", "20260101-run"), "is the folder of a run"),
        (("synthetic:nano", "--set", "sweep.grid.workload.batch_size=1,2"), "a pipeline has no sweep"),
        (("synthetic:nano", "--isl", "many"), "workload.input_len"),
        (("synthetic:nano", "--name", "file"), "is a file"),
        (("synthetic:nano", "--name", "notes"), "was not made by a pipeline"),
        (("synthetic:nano", "--name", "torn"), "not the file of a pipeline, or not whole"),
        (("synthetic:nano", "--name", "other", *QUICK[2:4], "--engines", FASTER), "other holds another pipeline"),
        (("synthetic:nan",), "Did you mean synthetic:nano"),
        (("acme/tiny", "--engines", "llama-cpp", "--yes"), "acme/tiny cannot be downloaded: HF_HUB_OFFLINE is set"),
    ],
)
def test_wrong_requests_are_told_and_change_nothing(
    arguments: tuple[str, ...], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from support.pipelines import asked as fresh

    from infertui.errors import InfertuiError
    from infertui.pipeline.state import write

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    run = tmp_path / "reports/20260101-run"
    for folder in (run, tmp_path / "reports/torn", tmp_path / "reports/other"):
        folder.mkdir(parents=True)
    (run / "run.toml").write_text("")
    (tmp_path / "reports/file").write_text("")
    (tmp_path / "reports/notes").mkdir()
    (tmp_path / "reports/notes/report.html").write_text("mine")
    write(tmp_path / "reports/other", fresh())
    whole = (tmp_path / "reports/other/pipeline.json").read_bytes()
    (tmp_path / "reports/torn/pipeline.json").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InfertuiError) as refused:
        asked(monkeypatch, *arguments)
    assert message in str(refused.value)
    assert (tmp_path / "reports/other/pipeline.json").read_bytes() == whole
    assert not (tmp_path / "reports/results.jsonl").exists()
    left = {path.name for path in (tmp_path / "reports").iterdir()}
    assert left - {"tiny-llama-cpp"} == {"20260101-run", "torn", "other", "file", "notes"}, "nothing began"


class Terminal:
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("flags", "waiting", "seconds", "asked_in_a_terminal"),
    [
        ((), False, 599.0, False),
        ((), False, 601.0, True),
        ((), True, None, True),
        (("--yes",), True, 10_000.0, False),
    ],
)
def test_a_download_and_a_long_time_are_asked_about_in_a_terminal_alone(
    flags: tuple[str, ...], waiting: bool, seconds: float | None, asked_in_a_terminal: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    from infertui.cli.running.pipeline import command
    from infertui.pipeline.estimate import Estimate
    from infertui.pipeline.plan import Outlook, PipelinePlan, PlannedStep

    flagged = command.PipelineFlags(
        model=None, engines="", baseline=BASELINE, quick=False, name="", rounds=None, batch_size=None, input_len=None,
        output_len=None, dtype=None, device=None, config=None, fallback=False, label=(), sets=(), out=Path("reports"),
        charts=True, anew=False, yes="--yes" in flags, as_json=False, ui="auto",
    )  # fmt: skip
    planned = PipelinePlan((PlannedStep("measure", "", None if seconds is None else Estimate(seconds)),))
    questions: list[str] = []

    def confirm(text: str, **_: object) -> bool:
        questions.append(text)
        return False

    monkeypatch.setattr("typer.confirm", confirm)
    assert command._may_begin(flagged, planned, Outlook({}, waiting=waiting)) is True  # here is no terminal
    monkeypatch.setattr(sys, "stdin", Terminal())
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert command._may_begin(flagged, planned, Outlook({}, waiting=waiting)) is not asked_in_a_terminal
    assert len(questions) == asked_in_a_terminal
