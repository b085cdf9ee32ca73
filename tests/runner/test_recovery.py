"""What a killed runner leaves becomes an interrupted result with all that was measured."""

import fcntl
import os
import signal
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace
from support.runs import measuring, requests_of, run, simulated
from typer.testing import CliRunner

from infertui.analysis.summary_text import verdict_lines
from infertui.cli.main import app
from infertui.errors import StoreError
from infertui.measure.records import BatchRecord
from infertui.measure.summary import summarise
from infertui.results.result import Fingerprint, Result
from infertui.results.runs import BEGUN, Begun, RunFolder, Store, boot_id
from infertui.runner.events import AnyRunEvent, BatchMeasured
from infertui.runner.recovery import batches_of, recover


def results(out: Path) -> list[Result]:
    return Store(out).results(warn=lambda text: pytest.fail(text))


def test_a_killed_run_is_recovered_with_what_it_measured(tmp_path: Path) -> None:
    sets = ("engine.name=simulator", "measurement.iterations=100000", "measurement.warmup=0")
    with measuring(*(word for value in sets for word in ("--set", value)), cwd=tmp_path) as process:
        out = tmp_path / "reports"
        assert recover(Store(out)) == [], "it lives: hands off"
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    (recovered,) = recover(Store(out))
    assert recovered.state == "interrupted"
    iterations = recovered.summary.iterations
    assert iterations
    assert iterations <= len(requests_of(out, recovered.id)) <= iterations + 1
    assert recovered.summary.output_throughput is not None
    assert recovered.fingerprint.config_hash
    assert results(out) == [recovered]
    assert msgspec.json.decode((out / recovered.id / "result.json").read_bytes(), type=Result) == recovered
    assert recover(Store(out)) == [], "once"


def test_figures_from_lines_are_those_from_batches(tmp_path: Path) -> None:
    measured: list[BatchRecord] = []

    def take(event: AnyRunEvent) -> None:
        if isinstance(event, BatchMeasured) and event.batch.phase == "measure":
            measured.append(event.batch)

    config = simulated(workload__batch_size=3, engine__simulator__jitter_ms=2.0, measurement__iterations=4)
    (result,), _ = run(config, out=tmp_path, on_event=take)
    again = summarise(batches_of(requests_of(tmp_path, result.id)))
    before = summarise(measured)
    assert again.iterations == before.iterations == 4
    assert again.output_throughput == pytest.approx(before.output_throughput, rel=1e-6)
    assert again.independence == before.independence != "assumed"
    assert again.ttft is not None
    assert before.ttft is not None
    assert again.ttft.p50 == pytest.approx(before.ttft.p50, rel=1e-6)
    assert again.itl == before.itl


def test_a_batch_that_was_cut_within_its_lines_does_not_count(tmp_path: Path) -> None:
    (result,), _ = run(simulated(workload__batch_size=2), out=tmp_path)
    lines = requests_of(tmp_path, result.id)
    assert len(batches_of(lines[:-1])) == 2


def test_nothing_is_left_behind_by_a_run_that_ended(tmp_path: Path) -> None:
    (result,), _ = run(simulated(), out=tmp_path)
    assert not (tmp_path / result.id / BEGUN).exists()
    assert recover(Store(tmp_path)) == []


def test_a_file_that_says_nothing_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / BEGUN).write_text("{")
    assert recover(Store(tmp_path)) == []


KILLED = "its runner was killed"


def cut_off(out: Path, **changes: object) -> Path:
    """A run of three batches as a runner that was killed leaves it; `changes` to what it had noted."""
    (result,), _ = run(simulated(), out=out)
    folder = out / result.id
    (folder / "result.json").unlink()
    (out / "results.jsonl").unlink()
    begun = Begun(result.name, result.started, result.own_config, result.fingerprint, boot_id())
    (folder / BEGUN).write_bytes(msgspec.json.encode(msgspec.structs.replace(begun, **changes)))
    return folder


def elsewhere(folder: Path) -> Fingerprint:
    begun = msgspec.json.decode((folder / BEGUN).read_bytes(), type=Begun)
    return replace(begun.fingerprint, host=replace(begun.fingerprint.host, hostname="another-host"))


def test_what_is_recovered_says_what_ended_it_as_far_as_that_is_known(tmp_path: Path) -> None:
    cases = [
        ({}, KILLED),
        ({"boot": ""}, KILLED),  # as it was kept before this was noted
        ({"boot": "1f0c8b1a-0000-4000-8000-000000000000"}, "the machine went down or was restarted while it ran"),
        ({"ended_by": "its result could not be kept: the disk is full"}, "could not be kept: the disk is full"),
    ]
    for number, (changes, said) in enumerate(cases):
        out = tmp_path / str(number)
        cut_off(out, **changes)
        (recovered,) = recover(Store(out))
        assert said in recovered.ended_by
        assert recovered.summary.iterations == 3
        assert any(said in note for note in recovered.verdict.notes)


def test_another_machines_life_says_nothing_of_a_run(tmp_path: Path) -> None:
    folder = cut_off(tmp_path)
    begun = msgspec.json.decode((folder / BEGUN).read_bytes(), type=Begun)
    there = replace(begun, fingerprint=elsewhere(folder), boot="another")
    (folder / BEGUN).write_bytes(msgspec.json.encode(there))
    (recovered,) = recover(Store(tmp_path))
    assert recovered.ended_by == f"{KILLED}, on another-host"


def test_a_run_whose_requests_are_gone_is_recovered_and_says_so(tmp_path: Path) -> None:
    (cut_off(tmp_path) / "requests.jsonl").unlink()
    (recovered,) = recover(Store(tmp_path))
    assert recovered.summary.iterations == 0
    assert "its requests.jsonl is gone" in recovered.ended_by
    assert any("requests.jsonl is gone" in text for _, text in verdict_lines(recovered))


def test_a_result_that_a_full_disk_did_not_take_is_recovered_with_that_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise StoreError("result.json: the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(RunFolder, "write_result", full)
        patched.setattr(Store, "append", full)
        (result,), _ = run(simulated(), out=tmp_path)
    assert result.state == "finished"
    (recovered,) = recover(Store(tmp_path))
    assert recovered.ended_by == "its result could not be kept: result.json: the disk is full"
    assert recovered.summary.iterations == result.summary.iterations == 3
    assert recovered.summary.output_throughput == result.summary.output_throughput


@pytest.mark.parametrize("why", ["x", "\N{SNOWMAN}" * 5000, '"' * 5000, "\0" * 5000])
def test_whatever_is_noted_of_its_end_takes_no_room(tmp_path: Path, why: str) -> None:
    folder = Store(tmp_path).create_run("x", datetime.now(UTC))
    (result,), _ = run(simulated(), out=tmp_path / "other")
    folder.write_begun(Begun("x", result.started, result.own_config, result.fingerprint))
    before = (folder.path / BEGUN).stat()
    folder.note_end(why)
    after = (folder.path / BEGUN).stat()
    assert (before.st_size, before.st_ino) == (after.st_size, after.st_ino)
    folder.close()
    (recovered,) = recover(Store(tmp_path))
    assert recovered.ended_by


@pytest.mark.parametrize(
    "command", [["results"], ["compare", "x", "y"], ["report", "r"], ["export"], ["cost", "x"], ["run", "demo"]]
)
def test_every_command_that_looks_at_the_folder_recovers_what_was_cut_off(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = cut_off(tmp_path / "reports")
    monkeypatch.chdir(tmp_path)
    source = ["--from", "reports"] if command[0] in ("report", "export") else ["--out", "reports"]
    if command[0] == "run":
        command = ["run", *(f"--set={key}" for key in ("engine.name=simulator", "engine.simulator.virtual_time=true"))]
    done = CliRunner().invoke(app, [*command, *source])
    assert f"{folder.name} was cut off, 3 iterations are kept: {KILLED}" in done.stderr
    assert next(result.id for result in results(tmp_path / "reports")) == folder.name


def test_the_words_say_cut_off_or_still_running_as_the_lock_tells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = cut_off(tmp_path / "reports")
    monkeypatch.chdir(tmp_path)
    with (folder / BEGUN).open("rb") as living:
        fcntl.flock(living, fcntl.LOCK_EX)
        assert f"still running: {folder.name}" in CliRunner().invoke(app, ["results"]).stderr
    (folder / BEGUN).write_bytes(b"{")  # nothing can be made of it
    assert f"cut off, and without a result: {folder.name}" in CliRunner().invoke(app, ["results"]).stderr
