import json
import os
import pty
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.hub import Puller, serving
from typer.testing import CliRunner

from infertui.cli.machine.models import app
from infertui.cli.main import app as program
from infertui.errors import ModelError, UsageError
from infertui.models.resolve import synthetic_names

ROOT = Path(__file__).parents[3]
NANO = (ROOT / "data/models/nano/config.json").read_text()
run = CliRunner()


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "INFERTUI_MODELS_DIR", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.chdir(tmp_path)


def make_model(directory: Path) -> None:
    directory.mkdir(parents=True)
    (directory / "config.json").write_text(NANO)
    (directory / "model.safetensors").write_bytes(b"x" * 4096)


def test_the_list_fits_a_terminal_and_says_where_models_are(tmp_path: Path) -> None:
    make_model(Path("models/mine"))
    (tmp_path / "hf/hub/models--acme--half/blobs").mkdir(parents=True)
    (tmp_path / "hf/hub/models--acme--half/blobs/1.incomplete").write_bytes(b"x")

    lines = run.invoke(app).output.splitlines()

    assert lines[0].split() == ["model", "parameters", "dtype", "on", "disk", "last", "used"]
    assert lines[1].startswith("acme/half (!)")
    assert lines[2].startswith("models/mine")
    assert "4.00 M  bfloat16" in lines[2]
    shapes = [f"synthetic:{name}" for name in synthetic_names()]
    assert [line.split()[0] for line in lines[3:-2]] == shapes
    assert lines[-2] == "acme/half: download unfinished; run `infertui models pull acme/half`"
    assert lines[-1].startswith("2 models, ")
    assert lines[-1].endswith(str(tmp_path / "hf/hub"))


def test_the_list_as_json() -> None:
    document = json.loads(run.invoke(app, ["--json"]).output)
    assert document["cache"].endswith("hf/hub")
    assert document["models"][0]["id"] == "synthetic:nano"
    assert document["models"][0]["parameters"] == 4_000_000


def test_show_gives_shape_memory_and_fit() -> None:
    workload = ["--batch-size", "4", "--input-len", "200", "--output-len", "100", "--dtype", "float16"]
    output = run.invoke(app, ["show", "synthetic:tinyllama-1.1b", *workload, "--device", "cpu"]).output
    for part in (
        "synthetic:tinyllama-1.1b (random weights)",
        "llama: 22 layers, hidden 2048, MLP 5632",
        "32 heads of 64, 4 KV heads",
        "1,100,048,384 (1.10 G)",
        "float16        2.05 GiB  22.0 KiB",
        "KV cache 22 layers x 2 x 256 numbers x 2 bytes x batch 4 x 300 tokens = 25.8 MiB",
        "free: ",
    ):
        assert part in output


def test_show_as_json_and_beyond_the_positions() -> None:
    arguments = ["show", "synthetic:gpt2-124m", "--input-len", "1000", "--output-len", "100", "--device", "cpu"]
    document = json.loads(run.invoke(app, [*arguments, "--json"]).output)
    assert document["shape"]["parameters"] == 124_439_808
    assert document["kv_bytes_per_token"]["float32"] == 73_728
    assert document["total_bytes"] == sum(term["bytes"] for term in document["estimate"]["terms"])
    assert "1100 tokens, but the model has 1024 positions" in document["problem"]
    assert "1024 positions" in run.invoke(app, arguments).output


def test_errors_are_raised_for_the_main_program() -> None:
    for arguments, kind in [
        (["show", "gpt2"], ModelError),
        (["show", "synthetic:nanno"], ModelError),
        (["pull", "a/b/c"], UsageError),
    ]:
        assert isinstance(run.invoke(app, arguments).exception, kind)


@pytest.mark.parametrize(
    "arguments", [["show"], ["show", "x", "--batch-size", "0"], ["show", "x", "--dtype", "int3"], ["pull"], ["fetch"]]
)
def test_usage_errors_exit_with_2(arguments: list[str]) -> None:
    assert run.invoke(app, arguments).exit_code == 2


@pytest.mark.parametrize("word", ["pull", "download"])
def test_it_is_found_without_the_word_models_too(word: str) -> None:
    done = run.invoke(program, [word, "../nothing"])
    assert "'../nothing' is not the id of a model" in str(done.exception)


def test_a_pull_in_a_terminal_draws_a_bar_and_ctrl_c_ends_it(tmp_path: Path) -> None:
    with serving() as hub:
        hub.stall_after = 1 << 20
        puller = Puller(hub, tmp_path / "hf")
        process, screen = in_terminal(puller)
        puller.wait_for_partial(1 << 20)
        process.send_signal(signal.SIGINT)
        interrupted = screen.read_to_end()
        assert process.wait(60) == 130
        hub.stall_after = None
        process, screen = in_terminal(puller)
        finished = screen.read_to_end()
        assert process.wait(60) == 0
    assert "downloading it again resumes" in interrupted
    assert "Traceback" not in interrupted
    assert "3.00 MiB of 3.00 MiB" in finished
    assert str(tmp_path / "hf/hub/models--acme--tiny/snapshots") in finished.replace("\r\n", "")


class Screen:
    """The other end of a pseudo-terminal."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def read_to_end(self) -> str:
        content = b""
        while select.select([self._descriptor], [], [], 60)[0]:
            try:
                piece = os.read(self._descriptor, 65536)
            except OSError:  # the last program has closed its end
                break
            if not piece:
                break
            content += piece
        os.close(self._descriptor)
        return content.decode()


def in_terminal(puller: Puller) -> tuple[subprocess.Popen[bytes], Screen]:
    ours, theirs = pty.openpty()
    code = "from infertui.cli.machine.models import app; app()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "pull", "acme/tiny"],
        env={**puller.environ, "TERM": "xterm-256color"},
        stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    return process, Screen(ours)
