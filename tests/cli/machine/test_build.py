"""`infertui build` as a user has it: the real command in a process of its own, with tools that only look like it."""

import json
import os
import pty
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support import trtllm
from support.daemons import wait_until
from support.runs import HANG_S, clean_environment

from infertui.cli.machine.build import _Precision
from infertui.targets.engine.tensorrt_llm.build.recipe import PRECISIONS

TESTS = Path(__file__).parents[2]
# There is no GPU where tests run: NVML's answer is put in its place, and nothing else.
COMMAND = (
    "from support import trtllm; from infertui.targets.engine import gpus; "
    "gpus.read = lambda: trtllm.H200; "
    "from infertui.cli.main import main; main()"
)
SIZES = ("--batch-size", "4", "--max-input-len", "64", "--max-output-len", "32")


class Box:
    """A machine with the library, its tools, and a model."""

    def __init__(self, folder: Path, line: str = "1.2") -> None:
        self.folder = folder
        trtllm.write(folder / "site", line)
        binaries, examples = trtllm.tools(folder)
        (folder / "mpi").mkdir()
        (folder / "mpi/libmpi.so.40").touch()
        self.model = trtllm.weighty(folder / "models/mine")
        self.cache = folder / "cache/infertui/tensorrt-engines"
        self.environment = clean_environment(
            HOME=str(folder),
            PATH=f"{binaries}:{os.environ['PATH']}",
            PYTHONPATH=f"{folder / 'site'}:{TESTS}",
            TENSORRT_LLM_EXAMPLES=str(examples),
            XDG_CACHE_HOME=str(folder / "cache"),
            LD_LIBRARY_PATH=str(folder / "mpi"),
            FAKE_RAN=str(folder / "ran"),
        )
        self.environment.pop("CUDA_VISIBLE_DEVICES", None)

    def arguments(self, *more: str) -> list[str]:
        return [sys.executable, "-c", COMMAND, "build", str(self.model), *SIZES, *more]

    def run(self, *more: str, code: int = 0, **environment: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            self.arguments(*more),
            cwd=self.folder,
            env=self.environment | environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=HANG_S,
        )
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done

    @contextmanager
    def hanging(self) -> Iterator["subprocess.Popen[str]"]:
        """A build that hangs within trtllm-build, having said how far it is."""
        with subprocess.Popen(
            self.arguments(),
            cwd=self.folder,
            env=self.environment | {"FAKE_BUILD": "hang"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                assert process.stderr is not None
                while "compiling kernels" not in (line := process.stderr.readline()):
                    assert line
                while not (self.folder / "ran.pids").exists():
                    assert process.poll() is None
                yield process
            finally:
                process.kill()

    def tool_processes(self) -> list[int]:
        return [int(pid) for pid in (self.folder / "ran.pids").read_text().split()]


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_the_folder_goes_to_standard_output_and_the_rest_to_standard_error(box: Box) -> None:
    done = box.run("--precision", "fp16")
    folder = Path(done.stdout.strip())
    assert (folder / "rank0.engine").is_file()
    assert folder.parent == box.cache
    told = done.stderr.splitlines()
    assert any(line.startswith("convert: ") for line in told)
    assert any(line.startswith("build: compiling kernels, ") for line in told)
    assert told[-1].startswith("infertui: built: convert ")
    document = json.loads(box.run("--json").stdout)
    assert document["cached"] is True
    assert document["engine_dir"] == str(folder)
    assert document["key"]["options"]["precision"] == "fp16"
    assert document["key"]["tensorrt_llm"] == "1.2.1"
    assert document["bytes"] > 2048
    assert Path(document["log"]).is_file()


def test_a_dry_run_prints_the_commands_and_makes_nothing(box: Box) -> None:
    lines = box.run("--dry-run", "--tensor-parallel", "2").stdout.splitlines()
    assert "convert_checkpoint.py" in lines[0]
    assert "trtllm-build --checkpoint_dir" in lines[1]
    assert "--workers 2" in lines[1]
    assert not box.cache.exists()
    assert not (box.folder / "ran").exists()


def test_the_model_is_named_in_one_way_or_the_other(box: Box) -> None:
    both = box.run("--model-id", str(box.model), "--dry-run")
    assert "trtllm-build --checkpoint_dir" in both.stdout
    two = box.run("--model-id", "gpt2", "--dry-run", code=2)
    assert "MODEL and --model-id name two models" in two.stderr
    named = [part for part in box.arguments("--dry-run") if part != str(box.model)]
    for more, code, told in (("--model-id", 0, "trtllm-build"), ("", 2, "no model is named")):
        command = [*named, more, str(box.model)] if more else named
        done = subprocess.run(
            command, cwd=box.folder, env=box.environment, capture_output=True, text=True, check=False, timeout=HANG_S
        )
        assert done.returncode == code
        assert told in done.stdout + done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopping_a_build_leaves_nothing_of_it(number: signal.Signals, box: Box) -> None:
    with box.hanging() as process:
        process.send_signal(number)
        _, told = process.communicate(timeout=HANG_S)
        assert process.returncode == 130
    assert "infertui: interrupted" in told
    assert "Traceback" not in told
    wait_until(lambda: not any(alive(pid) for pid in box.tool_processes()))
    assert [entry.name for entry in box.cache.iterdir() if not entry.name.endswith(".log")] == []


def test_a_failure_is_one_message_with_the_way_to_the_log(box: Box) -> None:
    done = box.run(code=1, FAKE_BUILD="fail")
    message = done.stderr[done.stderr.index("infertui: ") :]
    assert message.startswith(
        "infertui: trtllm-build failed with exit status 1: AssertionError: Engine building failed"
    )
    log = Path(message.strip().rpartition("Its whole output is in ")[2].rstrip("."))
    assert "IBuilder::buildSerializedNetwork" in log.read_text()


def test_a_version_without_engines_says_what_to_do(tmp_path: Path) -> None:
    done = Box(tmp_path, "later").run(code=1)
    assert "1.4.0rc1 builds no engines" in done.stderr
    assert "Nothing has to be built" in done.stderr


def test_a_machine_without_the_library_says_how_to_get_it(box: Box) -> None:
    environment = {"PYTHONPATH": str(TESTS)}
    done = box.run(code=1, **environment)
    assert "tensorrt_llm is not installed" in done.stderr
    assert "nvcr.io/nvidia/tensorrt-llm" in done.stderr


def test_a_wrong_precision_names_those_there_are(box: Box) -> None:
    done = box.run("--precision", "int3", code=2)
    assert "int4-awq" in done.stderr
    assert tuple(_Precision) == PRECISIONS


def test_in_a_terminal_a_line_is_redrawn(box: Box) -> None:
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        box.arguments(), cwd=box.folder, env=box.environment | {"TERM": "xterm"}, stdout=subprocess.PIPE, stderr=theirs
    ) as process:
        os.close(theirs)
        seen = b""
        while select.select([ours], [], [], HANG_S)[0]:
            try:
                data = os.read(ours, 4096)
            except OSError:  # the other side closed it
                break
            if not data:
                break
            seen += data
        assert process.wait(HANG_S) == 0
    os.close(ours)
    assert b"starting" in seen or b"compiling" in seen or b"done" in seen
    assert b"infertui: built" in seen


def test_what_a_pipeline_asks_to_be_built_is_understood(box: Box) -> None:
    from support.runs import simulated

    from infertui.cli.running.pipeline.host import build_arguments

    config = simulated(
        model__id=str(box.model), workload__batch_size=4, workload__input_len=64, workload__output_len=32,
        **{"engine.name": "tensorrt-llm", "engine.dtype": "float16"},
    )  # fmt: skip
    command = [sys.executable, "-c", COMMAND, *build_arguments(config), "--dry-run", "--json"]
    done = subprocess.run(
        command, cwd=box.folder, env=box.environment, capture_output=True, text=True, check=False, timeout=HANG_S
    )
    assert done.returncode == 0, done.stderr
    by_hand = json.loads(box.run("--dry-run", "--json").stdout)
    assert json.loads(done.stdout)["engine_dir"] == by_hand["engine_dir"], "a run finds the engine by its options"
