"""`infertui bench` as it is typed, with real workers of the simulator: two of its settings measured in turn."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.runs import HANG_S, clean_environment, infertui

from infertui.analysis.bench import Bench
from infertui.errors import UsageError
from infertui.results.result import Result
from infertui.results.runs import Store

SETTINGS = [
    f"--set={key}={value}"
    for key, value in {
        "engine.name": "simulator", "engine.simulator.virtual_time": "true", "engine.simulator.process_ms": 0.01,
        "measurement.warmup": 1, "measurement.iterations": 3, "workload.output_len": 4,
        # What else this machine does must not make a round invalid.
        "validity.max_others_cpu": 0, "validity.max_swap_mib": 0,
    }.items()
]  # fmt: skip
VARY = "--vary=engine.simulator.step_ms=10,5"


def results(out: Path) -> list[Result]:
    return Store(out).results(warn=pytest.fail)


def test_a_bench_is_measured_in_turn_told_continued_and_gated(tmp_path: Path) -> None:
    out = tmp_path / "reports"
    done = infertui("bench", *SETTINGS, VARY, "--repeat", "3", "--seed", "5", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "order drawn with seed 5" in done.stdout
    assert "step_ms=10" in done.stdout
    assert "throughput, tok/s" in done.stdout
    assert "% higher (+" in done.stdout
    runs = results(out)
    places = [run.bench for run in runs if run.bench]
    assert len(places) == len(runs) == 6
    order = [place.arm for place in places]
    assert [place.round for place in places] == [0, 0, 1, 1, 2, 2]
    assert order[2:4] == order[1::-1]  # mirrored
    assert {place.arm for place in places if place.baseline} == {"step_ms=10"}
    assert all("spawn" in run.phases for run in runs)  # a process each
    (bench,) = {place.bench for place in places}

    more = infertui("bench", "--continue", bench, "--repeat", "4", "--json", cwd=tmp_path)
    assert more.returncode == 0, more.stderr
    found = json.loads(more.stdout)
    assert (found["rounds"], found["used"], found["missing"]) == (4, [1, 2, 3, 4], 0)
    throughput = found["comparisons"][0]["figures"][0]
    true = (20 + 3 * 10) / (20 + 3 * 5)
    assert throughput["ratio"]["value"] == pytest.approx(true, rel=0.01)  # processes differ by up to 0.2 %
    assert throughput["differs"] is True
    assert throughput["outcome"] == "better"
    assert "higher" in throughput["verdict"]
    assert len(results(out)) == 8

    again = infertui("compare", "--bench", bench[:-2], "--fail-if", "throughput > 10%", cwd=tmp_path)
    assert again.returncode == 4
    assert "4 rounds of 2 configs" in again.stdout
    listed = infertui("results", f"bench={bench}", "--json", cwd=tmp_path)
    assert len(listed.stdout.splitlines()) == 8


def test_an_invalid_run_counts_and_is_gated_however_the_bench_ends(tmp_path: Path) -> None:
    arms = "--vary=engine.simulator.short_by=0,2"
    done = infertui("bench", *SETTINGS, arms, "--repeat", "1", cwd=tmp_path)
    assert done.returncode == 3, done.stderr
    bench = next(run.bench.bench for run in results(tmp_path / "reports") if run.bench)
    again = infertui("bench", "--continue", bench, cwd=tmp_path)
    assert again.returncode == 3, "nothing was left to measure, and what there is is invalid"
    gated = infertui("bench", "--continue", bench, "--with-invalid", "--fail-if", "throughput < -3%", cwd=tmp_path)
    assert gated.returncode == 5, gated.stderr
    assert "--fail-if cannot tell: short_by=2: throughput < -3%: 30.0% lower, too few rounds" in gated.stderr


def test_a_bench_that_cannot_be_continued_is_not_said_to(tmp_path: Path) -> None:
    slow = "--set=engine.simulator.load_ms=3600000"
    real = [setting for setting in SETTINGS if "virtual_time" not in setting]
    command = [sys.executable, "-m", "infertui", "bench", *real, VARY, slow, "--ui", "plain"]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=clean_environment()
    ) as process:
        assert process.stdout is not None
        next(line for line in process.stdout if line.startswith("run 1/10"))
        os.kill(process.pid, signal.SIGINT)
        _, told = process.communicate(timeout=HANG_S)
    assert process.returncode == 130
    assert "10 runs are missing\n" in told, "the second config is in no result"


def test_an_interrupted_bench_tells_what_whole_rounds_say(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "infertui", "bench", *SETTINGS, VARY, "--repeat", "60", "--ui", "plain"]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=clean_environment()
    ) as process:
        assert process.stdout is not None
        next(line for line in process.stdout if "after 3 of 60 rounds" in line)
        os.kill(process.pid, signal.SIGINT)
        shown, told = process.communicate(timeout=HANG_S)
    assert process.returncode == 130
    assert "infertui: interrupted by SIGINT; what was measured is in" in told
    assert "runs are missing: `infertui bench --continue bench-" in told
    assert "of 60 rounds of 2 configs in turn" in shown
    assert "throughput, tok/s" in shown
    report = next(iter({run.bench.bench for run in results(tmp_path / "reports") if run.bench}))
    left = infertui("bench", "--continue", report, "--dry-run", cwd=tmp_path)
    measured = {(run.bench.arm, run.bench.round) for run in results(tmp_path / "reports")
                if run.bench and run.state == "finished"}  # fmt: skip
    assert len(left.stdout.splitlines()) == 120 - len(measured)


def asked(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The command in this process; returns what it printed. Raises what the user would be told."""
    from infertui.cli.main import app

    monkeypatch.setattr(sys, "argv", ["infertui", "bench", *arguments])
    app(standalone_mode=False)
    return capsys.readouterr().out


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for number, speed in enumerate((5, 6)):
        run = tmp_path / "reports" / f"2026030{number}-run"
        run.mkdir(parents=True)
        (run / "run.toml").write_text(f'[engine]\nname = "simulator"\n[engine.simulator]\nstep_ms = {speed}\n')
    (tmp_path / "mine.toml").write_text('[workload]\nbatch_size = 3\n[sweep.grid]\n"workload.output_len" = [8, 16]\n')
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "arms"),
    [
        (("demo", "demo"), {"demo", "demo #2"}),
        (("20260300", "20260301-run"), {"20260300-run", "20260301-run"}),
        (("reports/20260300-run/run.toml", "demo"), {"20260300-run", "demo"}),
        (("mine.toml",), {"mine osl=8", "mine osl=16"}),
        (("demo", "mine.toml"), {"demo", "mine osl=8", "mine osl=16"}),
        (("demo", "--vary", "workload.batch_size=1,2", "--vary=engine.name=simulator"), {"bs=1 engine=simulator",
                                                                                         "bs=2 engine=simulator"}),
        (("--vary", "workload.batch_size=1-4*2", "-m", "synthetic:nano"), {"bs=1", "bs=2", "bs=4"}),
    ],
)  # fmt: skip
def test_targets_are_presets_files_runs_and_what_varies(
    arguments: tuple[str, ...], arms: set[str], folder: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    shown = asked(monkeypatch, capsys, *arguments, "--repeat", "2", "--dry-run").splitlines()
    assert {line.rpartition(" ")[0] for line in shown} == arms
    assert [line.rpartition(" ")[2] for line in shown] == ["1/2"] * len(arms) + ["2/2"] * len(arms)
    half = [line.rpartition(" ")[0] for line in shown]
    assert half[len(arms) :] == half[: len(arms)][::-1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("demo",), "at least 2 configs"),
        (("demo", "demo", "--repeat", "0"), "a bench of 0 rounds"),
        (("2026", "demo"), "2 runs begin with '2026'"),
        (("--vary", "engine.mode", "demo"), "not of the form KEY=VALUE"),
        (("--continue", "bench-1"), "there is no bench 'bench-1'"),
        (("demo", "--continue", "bench-1"), "only --repeat can be changed"),
        (("demo", "demo", "--json", "--markdown"), "exclude each other"),
        (("demo", "demo", "--fail-if", "fun < 3"), "is not understood"),
        (("demo", "demo", "--queue", "--ui", "plain"), "--ui and --queue exclude each other"),
    ],
)
def test_wrong_requests_are_told(
    arguments: tuple[str, ...], message: str, folder: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    with pytest.raises(UsageError, match=message):
        asked(monkeypatch, capsys, *arguments)


def test_the_document_can_be_read_back(tmp_path: Path) -> None:
    import msgspec

    done = infertui("bench", *SETTINGS, VARY, "--repeat", "1", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = msgspec.json.decode(done.stdout, type=Bench)
    assert found.used == (1,)
    assert "1 of at least 3 rounds" in found.comparisons[0].notes[0]
