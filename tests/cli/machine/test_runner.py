"""The commands around the runner, as a user meets them."""

import json
import os
import re
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from support.daemons import Home, home, play, wait_until
from support.served import mirrored
from typer.testing import CliRunner

from infertui.api.runtime import Holder, Lock, queue_lock
from infertui.cli.main import app

QUICK = ("--engine", "simulator", "--set", "engine.simulator.virtual_time=true", "--iterations", "3", "--warmup", "1")
SLOW = ("--engine", "simulator", "--iterations", "100000", "--osl", "2", "--warmup", "0")


@pytest.fixture(name="place")
def _place() -> Iterator[Home]:
    with home() as found:
        yield found


def ended(place: Home) -> None:
    play(
        mirrored(
            place.client,
            lambda client_state: (
                not any(entry.state in ("queued", "running") for entry in client_state.entries.values())
            ),
        )
    )


def under_way(place: Home) -> None:
    play(mirrored(place.client, lambda client_state: any(run.measured for run in client_state.progress.values())))


def test_status_without_a_runner_says_so_and_starts_none(place: Home) -> None:
    for arguments in (["status"], ["status", "--json"]):
        done = place.command(*arguments, code=1)
        assert done.stdout == ""
        assert "no runner is running" in done.stderr
        assert "Traceback" not in done.stderr
    assert not place.state.exists()
    assert not place.socket.parent.exists()


def test_a_health_check_fails_only_where_a_runner_of_this_host_does_not_answer(place: Home) -> None:
    assert place.command("status", "--check").stdout == ""
    place.state.mkdir(parents=True)
    for hostname, code in (("another", 0), (socket.gethostname(), 1)):
        with Lock(queue_lock(place.environment)) as lock:
            assert lock.acquire(Holder(pid=os.getpid(), socket=str(place.socket), hostname=hostname))
            place.command("status", "--check", code=code)
    with place.serving():
        assert place.command("status", "--check").stdout == ""


def test_stop_without_a_runner_is_no_failure(place: Home) -> None:
    assert place.command("stop").stdout == "no runner is running\n"


@pytest.mark.parametrize("command", ["serve", "status", "stop", "attach"])
def test_help_has_examples(command: str) -> None:
    text = CliRunner().invoke(app, [command, "--help"]).stdout
    assert "Examples" in text
    assert f"infertui {command}" in text
    assert "ready-fd" not in text


def test_attach_shows_the_screen_and_starts_no_runner(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[dict[str, object]] = []

    def start(**options: object) -> int:
        asked.append(options)
        return 7

    monkeypatch.setattr("infertui.tui.start.start", start)
    monkeypatch.chdir(tmp_path)
    arguments = ["attach", "--read-only", "--socket", "/run/x.sock", "--out", "here"]
    assert CliRunner().invoke(app, arguments).exit_code == 7
    assert asked == [{"socket": Path("/run/x.sock"), "out": Path("here"), "read_only": True, "spawn": False}]


def test_runs_are_queued_in_the_background_and_measured(place: Home) -> None:
    done = place.command("run", "demo", *QUICK, "--batch-size", "1,2", "--queue")
    assert done.stdout.splitlines()[:2] == ["#1 demo bs=1", "#2 demo bs=2"]
    pid = place.runner
    assert pid
    assert os.getsid(pid) == pid
    again = place.command("run", *QUICK, "--model", "synthetic:gpt2-124m", "--queue", "--json")
    assert json.loads(again.stdout) == {"ids": [3]}
    ended(place)
    told = json.loads(place.command("status", "--json").stdout)
    assert told["pid"] == pid
    assert told["queue"]["finished"] == 3
    assert told["running"] == []
    lines = (place.reports / "results.jsonl").read_text().splitlines()
    assert {json.loads(line)["state"] for line in lines} == {"finished"}
    text = place.command("status").stdout
    assert f"process {pid}, since 20" in text
    assert "queue: 0 running, 0 waiting, 3 finished\n" in text
    assert "clients: 0" in text


def test_what_is_known_to_be_wrong_is_not_queued(place: Home) -> None:
    wrong = ("--model", "synthetic:nano", "--device", "cpu", "--isl", "8", "--osl", "4")
    done = place.command("run", *wrong, "--mode", "cudagraph", "--queue", code=2)
    assert "engine.mode: cudagraph needs a CUDA device" in done.stderr
    assert "Traceback" not in done.stderr
    bench = place.command("bench", *wrong, "--vary", "engine.mode=eager,cudagraph", "--queue", code=2)
    assert "engine.mode: cudagraph" in bench.stderr
    assert not json.loads(place.command("status", "--json").stdout)["queue"]["queued"]
    (place.folder / "here.txt").write_text("one\n")
    files = "workload.prompts_file=here.txt,none.txt"
    some = place.command("run", *QUICK, "--sweep", files, "--queue", "--json", code=2)
    told = json.loads(some.stdout)
    assert len(told["ids"]) == 2
    assert list(told["refused"]) == [str(told["ids"][1])]
    assert "none.txt" in told["refused"][str(told["ids"][1])]
    ended(place)
    assert len(list(place.reports.glob("*/"))) == 1


@pytest.mark.parametrize("flags", [["--save-json", "x.jsonl"], ["--ui", "plain"]])
def test_flags_about_watching_do_not_go_with_queueing(place: Home, flags: list[str]) -> None:
    done = place.command("run", "demo", *QUICK, "--queue", *flags, code=2)
    assert f"{flags[0]} and --queue exclude each other" in done.stderr
    assert not place.runner


def test_the_env_file_reaches_the_runner_and_its_token_no_worker_and_no_file(place: Home) -> None:
    token = "hf_" + "a1B2" * 8
    (place.folder / ".env").write_text(f"HF_TOKEN={token}\nHF_HOME=models\nBATCH_SIZE=2\nOTHER=1\n")
    place.command("run", "demo", *SLOW, "--queue")
    under_way(place)
    runner = psutil.Process(place.runner)
    workers = [child for child in runner.children(recursive=True) if "infertui.worker.child" in child.cmdline()]
    assert workers
    for process in (runner, *workers):
        environ = process.environ()
        assert environ["HF_HOME"] == str(place.folder / "models")  # of this folder, whichever the runner lives in
        assert ("HF_TOKEN" in environ) == (process is runner)
        assert not {"OTHER", "BATCH_SIZE"} & environ.keys()
    place.command("stop", "--now")
    (line,) = (place.reports / "results.jsonl").read_text().splitlines()
    assert json.loads(line)["config"]["workload"]["batch_size"] == 2
    kept = [path for path in place.folder.rglob("*") if path.is_file() and path.name != ".env"]
    assert kept
    assert [path for path in kept if token.encode() in path.read_bytes()] == []


def test_a_busy_runner_is_stopped_only_on_request_and_keeps_what_it_measured(place: Home) -> None:
    place.command("run", "demo", *SLOW, "--queue")
    play(place.client.duplicate([1]))
    under_way(place)
    text = place.command("status").stdout
    assert "queue: 1 running, 1 waiting" in text
    assert re.search(r"running: #1 demo on cpu, measure \d+%, [\d,.]+ tok/s, .* left\n", text)
    refused = place.command("stop", code=1)
    assert "the runner is busy: 1 under way: demo\n" in refused.stderr
    assert "infertui stop --now" in refused.stderr
    done = place.command("stop", "--now")
    assert "has ended; 1 waiting are kept" in done.stdout
    assert not place.runner
    (line,) = (place.reports / "results.jsonl").read_text().splitlines()
    assert json.loads(line)["state"] == "interrupted"
    assert json.loads(line)["summary"]["iterations"] > 0


def test_a_runner_elsewhere_is_reached_by_its_socket(place: Home) -> None:
    path = str(place.folder / "there.sock")
    with place.serving("--socket", path) as process:
        for arguments in (["--socket", path], []):  # it is found without, too: it uses this user's queue
            assert json.loads(place.command("status", "--json", *arguments).stdout)["pid"] == process.pid
        place.command("stop", "--socket", path)
        assert process.wait(30) == 0


def test_ctrl_c_ends_a_runner_in_the_terminal_quietly(place: Home) -> None:
    with place.serving() as process:
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
        assert process.stdout is not None
        assert process.stdout.read() == ""
    wait_until(lambda: not place.runner)
