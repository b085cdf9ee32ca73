"""`infertui audit`: what it shows of a log, and the workload that it writes, which a run takes."""

import json
import tomllib
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from infertui.cli.main import app
from infertui.config.parse import decode


def audit(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["audit", *arguments], env={"COLUMNS": "200"})


def log(folder: Path) -> Path:
    """10 requests, one every half second, each of which takes a second: two at once."""
    file = folder / "log.jsonl"
    lines = [
        {"created": 1.7e9 + at / 2, "latency": 1.0, "usage": {"prompt_tokens": 100 + at, "completion_tokens": 40}}
        for at in range(10)
    ]
    file.write_text("\n".join(map(json.dumps, lines)))
    return file


def test_a_log_is_shown_and_written_as_a_workload(tmp_path: Path) -> None:
    out = tmp_path / "new one" / "workload.toml"
    done = audit(str(log(tmp_path)), "--target", "ttft<500ms", "-o", str(out))
    assert done.exit_code == 0, done.output
    assert "p50 104  p90 108  p99 109  max 109" in done.stdout
    assert "rate 2.00 requests/s  burstiness 0.00" in done.stdout
    config = decode(tomllib.loads(out.read_text("utf-8")))
    load = config.workload
    assert (load.prompts, load.input_len, load.output_len, load.batch_size) == ("random", 104, 40, 2)
    assert config.labels["target"] == "ttft<500ms"
    assert config.labels["audited"] == "log.jsonl"
    assert f"infertui run '{out}'" in done.output


def test_prompts_that_a_run_can_take_are_taken(tmp_path: Path) -> None:
    file = tmp_path / "prompts.txt"
    file.write_text("one\ntwo words\n\x1b[31mred\n")
    out = tmp_path / "w.toml"
    done = audit(str(file), "-o", str(out))
    assert "prompts, characters (3 of 3 entries)" in done.stdout
    assert "output_len is the default" in done.output
    assert decode(tomllib.loads(out.read_text("utf-8"))).workload.prompts_file == str(file)
    counted = json.loads(audit(str(file), "--model", "synthetic:nano", "--json").stdout)
    assert counted["audit"]["prompts"]["unit"] == "tokens"
    assert counted["audit"]["prompts"]["most"] == 9  # a byte a token


def test_wrong_requests_name_what_is_wrong(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.write_text("")
    nothing = tmp_path / "nothing.jsonl"
    nothing.write_text('{"a": 1}\n{"b": 2}\n')
    for arguments, word in (
        ([str(empty)], "is empty"), ([str(nothing)], "holds no request: line 1 is an object"),
        ([str(tmp_path)], "not a regular file"), ([str(tmp_path / "none")], "No such file"),
        ([str(log(tmp_path)), "--target", "fast"], "is a bound of a figure"),
        ([str(log(tmp_path)), "--target", "ttft<x"], "is a number"),
        ([str(log(tmp_path)), "-o", str(tmp_path)], "is not a file"),
    ):  # fmt: skip
        refused = audit(*arguments)
        assert refused.exit_code
        assert word in str(refused.exception), (arguments, refused.exception)


def test_the_log_itself_is_never_written_over(tmp_path: Path) -> None:
    file = log(tmp_path)
    link = tmp_path / "link.toml"
    link.symlink_to(file)
    for out in (file, link, tmp_path / "no" / ".." / "log.jsonl"):
        (tmp_path / "no").mkdir(exist_ok=True)
        before = file.read_bytes()
        refused = audit(str(file), "-o", str(out))
        assert "is the file that is read" in str(refused.exception)
        assert file.read_bytes() == before


def test_what_stamps_cannot_tell_is_not_told(tmp_path: Path) -> None:
    file = tmp_path / "log.jsonl"
    file.write_text('{"created": 1700000000}\n' * 5 + '{"created": 1700000001}\n' * 5)
    whole = audit(str(file))
    assert "burstiness n/a" in whole.stdout
    assert "gaps" not in whole.stdout
    assert "whole seconds" in whole.output
    file.write_text("".join(f'{{"timestamp": {at * 500}, "input_length": 5}}\n' for at in range(4)))
    assert "taken as seconds" in audit(str(file)).output
    file.write_text("date,prompt_tokens\n2026-12-01,5\n2026-12-01,6\n2026-12-02,7\n")
    assert "arrivals: n/a" in audit(str(file)).stdout
