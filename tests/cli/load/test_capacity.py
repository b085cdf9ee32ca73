"""`infertui capacity`: what it refuses, what it prints of a search on a mock server, Ctrl-C, and going on."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace
from support.mock_process import MockProcess, mock_process
from typer.testing import CliRunner

from infertui.analysis.capacity.boundary import Boundary
from infertui.analysis.capacity.curve import LevelFigures
from infertui.analysis.capacity.observed import objectives
from infertui.analysis.capacity.outcome import CapacityOutcome
from infertui.analysis.capacity.search import SearchPlan
from infertui.cli.load.capacity_text import outcome_lines
from infertui.cli.main import app
from infertui.measure.load.slo import parse_slo
from infertui.measure.statistics import Interval
from infertui.runner.capacity.folder import CapacityRecord

COMMAND = "import sys; from infertui.entry import main; sys.argv = ['infertui', 'capacity', *sys.argv[1:]]; main()"
SLO = ("--slo", "itl.mean<=10ms")
SHORT = ("--isl", "8", "--osl", "8", "--stay", "1", "--start", "4", "--max-stays", "6")


@pytest.fixture(scope="module")
def mock() -> Iterator[MockProcess]:
    with mock_process("--ttft", "20ms", "--itl", "6ms", "--itl-per-stream", "1ms") as process:
        yield process


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "which server"),
        (("http://127.0.0.1:9",), "load.slo: is empty"),
        (("http://127.0.0.1:9", "--slo", "ttft<"), "load.slo: .* has no limit"),
        (("ftp://127.0.0.1", *SLO), "target.url"),
        (("http://127.0.0.1:9", *SLO, "--by", "x"), "capacity.by: "),
        (("http://127.0.0.1:9", *SLO, "--min", "8", "--max", "4"), "capacity.most: is 4, below capacity.least"),
        (("http://127.0.0.1:9", *SLO, "--start", "1.5"), "whole numbers"),
        (("http://127.0.0.1:9", *SLO, "--tolerance", "nan"), "capacity.tolerance: "),
        (("http://127.0.0.1:9", *SLO, "--stay", "-1"), "capacity.stay_s: "),
        (("http://127.0.0.1:9", *SLO, "--attainment", "1"), "capacity.attainment: "),
        (("http://127.0.0.1:9", *SLO, "--set", "load.concurrency=4"), "is what a search changes by itself"),
        (("http://127.0.0.1:9", "--continue", "x"), "goes on with a search as it was"),
        (("--continue", "never"), "is no search"),
        (("--show", "never"), "is no search"),
        (("--show", "x", "--max-stays", "4"), "leave the rest out"),
        (("--show", "x", "--json", "--markdown"), "exclude each other"),
        (("http://127.0.0.1:9", *SLO, "--queue", "--markdown"), "exclude each other"),
    ],
)
def test_what_is_wrong_is_told_before_anything_begins(tmp_path: Path, arguments: tuple[str, ...], told: str) -> None:
    done = CliRunner().invoke(app, ["capacity", *arguments, "--out", str(tmp_path)])
    assert done.exception is not None
    assert re.search(told, str(done.exception)), done.exception
    assert not list(tmp_path.glob("capacity-*"))


def test_a_search_is_shown_stay_by_stay_and_told_as_a_table(mock: MockProcess, tmp_path: Path) -> None:
    done = searched(mock.url, *SLO, *SHORT, "--out", str(tmp_path))
    assert done.returncode in (0, 3), done.stderr
    text = done.stdout
    assert "  1  4 in flight" in text
    assert "keeps itl.mean<=10ms" in text
    assert re.search(r"capacity: \d in flight, boundary at .* \(95 %: ", text)
    assert "what binds: itl.mean<=10ms" in text
    assert "output tok/s" in text
    (folder,) = tmp_path.glob("capacity-*")
    kept = json.loads((folder / "capacity.json").read_bytes())
    assert kept["outcome"]["stays"] == len((folder / "levels.jsonl").read_text().splitlines())


def test_interrupted_it_says_how_it_goes_on_and_does_so_as_json(mock: MockProcess, tmp_path: Path) -> None:
    command = [sys.executable, "-c", COMMAND, mock.url, *SLO, *SHORT, "--max", "8", "--out", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert "4 in flight" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "interrupted: this is what was known by then" in out
    assert "--continue" in err
    (folder,) = tmp_path.glob("capacity-*")
    done = searched("--continue", str(folder), "--json")
    found = json.loads(done.stdout)
    assert found["outcome"]["ending"] in ("found", "stays")
    assert abs(found["outcome"]["capacity"] - 5) <= 1


def test_a_server_that_does_not_answer_is_one_error(tmp_path: Path) -> None:
    done = searched("http://127.0.0.1:9", *SLO, "--out", str(tmp_path))
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "127.0.0.1:9" in done.stderr
    assert not list(tmp_path.glob("capacity-*"))


def searched(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", COMMAND, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def record(outcome: CapacityOutcome) -> tuple[CapacityRecord, CapacityOutcome]:
    plan = SearchPlan("rate", objectives(parse_slo("ttft<1s")))
    return CapacityRecord("capacity-x", "", "http://x\x1b[2J", "ttft<1s", 0.95, plan, 1.0, outcome=outcome), outcome


@pytest.mark.parametrize(
    ("outcome", "told"),
    [
        (CapacityOutcome("least", None, Boundary(failing=0.5, binding="errors")), "none is known below 0.500 req/s"),
        (CapacityOutcome("most", 64.0, Boundary(passing=64.0), at_least=True), "64.0 req/s or more"),
        (CapacityOutcome("interrupted", None, Boundary()), "none is known"),
        (
            CapacityOutcome("found", 33.0, Boundary(33.0, Interval(32.0, 34.0), 32.0, 34.0, "ttft<1s", "cliff", 200.0)),
            "33.0 req/s, boundary at 33.0 (95 %: 32.0 to 34.0)",
        ),
    ],
)
def test_every_ending_is_told_and_nothing_of_the_server_reaches_the_terminal(
    outcome: CapacityOutcome, told: str
) -> None:
    levels = (LevelFigures(1.0, 1.0, 0), LevelFigures(2.0, 1.0, 5, output_throughput=5.0, ttft=0.1))
    for some in ((), levels[:1], levels):
        lines = outcome_lines(*record(replace(outcome, levels=some)), ascii_only=True, width=20)
        assert told in "\n".join(lines)
        assert "\x1b" not in "".join(lines)
