"""Reports of llama-bench: read, kept as results that say who measured, and refused where they are none."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support.sample_gguf import write_sample

from infertui.errors import EngineError, UsageError
from infertui.formats.llama_bench import NAME, parse_report
from infertui.results.row import ResultLine, row_of
from infertui.results.runs import Store
from infertui.runner.external.llama_bench import bench_command, run_llama_bench

# Field by field as the program documents them.
TEST: dict[str, Any] = {
    "build_commit": "0c1e570", "build_number": 1, "cpu_info": "AMD EPYC", "gpu_info": "NVIDIA H200",
    "backends": "CUDA", "model_filename": "m.gguf", "model_type": "llama 1B Q8_0", "model_size": 1169000000,
    "model_n_params": 1100048384, "n_batch": 2048, "n_ubatch": 512, "n_threads": 8, "cpu_mask": "0x0",
    "cpu_strict": False, "poll": 50, "type_k": "f16", "type_v": "q8_0", "n_gpu_layers": 99, "n_cpu_moe": 0,
    "split_mode": "layer", "main_gpu": 0, "no_kv_offload": False, "flash_attn": True, "devices": "auto",
    "tensor_split": "0.00", "use_mmap": True, "embeddings": False, "no_op_offload": 0, "n_prompt": 0, "n_gen": 128,
    "n_depth": 0, "test_time": "2026-11-20T12:00:00Z", "avg_ns": 200000000, "stddev_ns": 1000, "avg_ts": 640.0,
    "stddev_ts": 1.0, "samples_ns": [190000000, 200000000, 210000000], "samples_ts": [673.7, 640.0, 609.5],
}  # fmt: skip
OPTIONS = ("-p", "512", "-n", "128", "-ngl", "99")
PROMPT = {**TEST, "n_prompt": 512, "n_gen": 0}


def program(folder: Path, body: str) -> Path:
    """A stand-in for llama-bench."""
    path = folder / NAME
    path.write_text(f"#!{sys.executable}\nimport json, os, sys, time\n{body}\n")
    path.chmod(0o755)
    return path


def run(tmp_path: Path, body: str, *options: str, told: Any = lambda _: None) -> Any:
    model = write_sample(tmp_path / "m.gguf")
    binary = str(program(tmp_path, body))
    return run_llama_bench(model, options, binary=binary, out=tmp_path / "reports", gpus=(), told=told)


def test_a_report_becomes_results_that_say_who_measured(tmp_path: Path) -> None:
    said: list[str] = []
    body = (
        "print('llama-bench: benchmark 1/2: \\x1b[31mstarting', file=sys.stderr)\n"
        f"open({str(tmp_path / 'arguments')!r}, 'w').write(json.dumps(sys.argv[1:]))\n"
        f"print({json.dumps([PROMPT, TEST])!r})"
    )
    prompt, steps = run(tmp_path, body, *OPTIONS, told=said.append)
    arguments = json.loads((tmp_path / "arguments").read_text())
    assert arguments == ["-m", str(tmp_path / "m.gguf"), "-o", "json", "--progress", *OPTIONS]
    assert said == ["llama-bench: benchmark 1/2: starting"]
    assert (prompt.name, steps.name) == ("llama-bench pp512", "llama-bench tg128")
    assert steps.source == "llama-bench build 0c1e570"
    assert steps.summary.output_throughput == pytest.approx(3 * 128 / 0.6)
    assert steps.summary.output_throughput_interval is not None
    assert (steps.summary.ttft, steps.summary.tpot, steps.summary.itl) == (None, None, None)
    assert (prompt.summary.output_throughput, prompt.summary.output_tokens) == (None, 0)
    assert prompt.summary.total_throughput == pytest.approx(3 * 512 / 0.6)
    assert steps.config.engine.llama_cpp.type_v == "q8_0"
    assert steps.loaded is not None
    assert (steps.loaded.engine, steps.loaded.device_name) == (NAME, "NVIDIA H200")
    assert any("not by infertui" in note for note in steps.verdict.notes)

    kept = Store(tmp_path / "reports").results(warn=pytest.fail)
    assert kept == [prompt, steps]
    row = row_of(msgspec.json.decode(msgspec.json.encode(steps), type=ResultLine))
    assert "external" in row.flags
    assert (row.engine, row.ttft) == (NAME, None)
    for result in kept:
        folder = tmp_path / "reports" / result.id
        assert (folder / "worker.log").read_bytes().startswith(b"llama-bench: benchmark")
        assert (folder / "llama-bench.json").exists()
        assert (folder / "result.json").exists()
        assert (folder / "run.toml").exists()


def test_results_of_infertui_itself_bear_no_mark() -> None:
    assert row_of(msgspec.json.decode(b'{"id": "x"}', type=ResultLine)).flags == ()


@pytest.mark.parametrize(
    "report",
    [
        b"", b"[]", b"{}", b"not json", b"\xff\xfe", b"[" * 100_000, json.dumps([{"n_prompt": 1}]).encode(),
        json.dumps([{**TEST, "n_gen": 0}]).encode(),
        json.dumps([{**TEST, "n_gen": -1}]).encode(),
        json.dumps([{**TEST, "samples_ns": []}]).encode(),
        json.dumps([{**TEST, "samples_ns": [0]}]).encode(),
        json.dumps([{**TEST, "samples_ns": ["\x1b[2J"]}]).encode(),
        json.dumps([{**TEST, "gpu_info": "x" * 5000}]).encode(),
    ],
)  # fmt: skip
def test_what_is_no_report_is_refused(report: bytes) -> None:
    with pytest.raises(UsageError) as caught:
        parse_report(report)
    assert caught.value.message.isprintable()


@pytest.mark.parametrize(("depth", "generated", "label"), [(0, 4, "pp8+tg4"), (64, 0, "pp8@64")])
def test_labels_are_those_of_its_table(depth: int, generated: int, label: str) -> None:
    report = json.dumps([{**TEST, "n_prompt": 8, "n_gen": generated, "n_depth": depth}]).encode()
    assert parse_report(report)[0].label == label


def test_texts_of_the_report_are_safe_to_show(tmp_path: Path) -> None:
    hostile = {**TEST, "build_commit": "\x1b]0;x\x07abc", "gpu_info": "G\u202ePU"}
    (result,) = run(tmp_path, f"print({json.dumps([hostile])!r})")
    assert result.source == "llama-bench build abc"
    assert "\u202e" not in result.loaded.device_name


@pytest.mark.parametrize("option", ["-o", "--output=csv", "-m", "-v"])
def test_options_that_would_take_the_report_away_are_refused(option: str) -> None:
    with pytest.raises(UsageError, match="is set by infertui"):
        bench_command(Path("b"), Path("m"), [option])


def test_a_failure_is_told_with_what_it_said(tmp_path: Path) -> None:
    body = "print('error: no \\x1b[1mGPU', file=sys.stderr); sys.exit(3)"
    with pytest.raises(EngineError, match="failed with status 3") as caught:
        run(tmp_path, body)
    assert "error: no GPU" in caught.value.remedy
    assert Store(tmp_path / "reports").results(warn=pytest.fail) == []


def test_a_program_that_cannot_be_started(tmp_path: Path) -> None:
    model = write_sample(tmp_path / "m.gguf")
    (tmp_path / NAME).write_bytes(b"\x00\x01")
    (tmp_path / NAME).chmod(0o755)
    for binary, problem in ((str(tmp_path / NAME), "cannot be started"), (str(tmp_path / "none"), "not a program")):
        with pytest.raises((EngineError, UsageError), match=problem):
            run_llama_bench(model, (), binary=binary, out=tmp_path, gpus=(), told=print)


def test_the_command_hands_on_what_it_does_not_know(tmp_path: Path) -> None:
    binary = program(tmp_path, f"sys.stderr.write(' '.join(sys.argv[1:])); print({json.dumps([TEST])!r})")
    command = [sys.executable, "-m", "infertui", "external", "llama-bench", "--json", "--binary", str(binary)]
    command += ["--model", str(write_sample(tmp_path / "m.gguf")), "--out", str(tmp_path / "reports"), *OPTIONS]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr.strip().endswith("-o json --progress -p 512 -n 128 -ngl 99")
    (result,) = json.loads(done.stdout)["results"]
    assert result["source"] == "llama-bench build 0c1e570"


def test_an_interrupt_ends_the_program_and_what_it_started(tmp_path: Path) -> None:
    mark = tmp_path / "alive"
    body = (
        "import subprocess, signal\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        f"child = subprocess.Popen(['sleep', '600']); open({str(mark)!r}, 'w').write(str(child.pid))\n"
        "print('started', file=sys.stderr, flush=True); time.sleep(600)"
    )
    script = tmp_path / "interrupted.py"
    script.write_text(
        "import sys, os, signal\nfrom pathlib import Path\nfrom infertui.runner.external.process import run_external\n"
        f"run_external([{str(program(tmp_path, body))!r}], Path({str(tmp_path / 'log')!r}), "
        "lambda line: os.kill(os.getpid(), signal.SIGINT))"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=60, check=False)
    assert "KeyboardInterrupt" in done.stderr
    child = Path("/proc") / mark.read_text()
    assert not child.exists() or "Z" in (child / "stat").read_text().split(")")[1].split()[0]
