"""What must not be imported where: looked at in fresh interpreters."""

import subprocess
import sys

import pytest

BACKENDS = (
    "torch", "transformers", "tensorrt_llm", "vllm", "llama_cpp", "openvino", "openvino_genai", "onnx", "onnxruntime",
    "onnxruntime_genai",
)  # fmt: skip


def loaded_after(code: str) -> set[str]:
    program = f"import sys\ntry:\n    {code}\nexcept SystemExit:\n    pass\nprint('\\n'.join(sys.modules))"
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    return set(answer.stdout.split("\n"))


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["run", "--help"], ["doctor"], ["engines"], ["gpus"], ["models"], ["config", "show", "demo"]],
)
def test_no_command_but_the_worker_imports_a_backend(arguments: list[str]) -> None:
    modules = loaded_after(f"sys.argv = ['infertui', *{arguments!r}]; from infertui.cli.main import main; main()")
    assert "infertui.cli.main" in modules
    assert not modules.intersection(BACKENDS)


def test_help_imports_nothing_heavy() -> None:
    modules = loaded_after("sys.argv = ['infertui', '--help']; from infertui.cli.main import main; main()")
    ours = ("infertui.config.schema", "infertui.results.jsonl")
    unused = ("numpy", "huggingface_hub", "pynvml", "asyncio", "psutil", "markdown_it", *ours)
    assert "typer.rich_utils" in modules
    assert not modules.intersection(unused)


def test_the_runner_imports_no_backend() -> None:
    assert not loaded_after("import infertui.runner.runner").intersection((*BACKENDS, "rich", "typer"))


def test_probing_an_engine_does_not_import_it() -> None:
    code = "from infertui.targets.engine.environments import probe_all; probe_all()"
    assert not loaded_after(code).intersection(BACKENDS)


def test_a_load_generator_imports_nothing_of_engines_the_screen_or_the_runner() -> None:
    """It starts in a tenth of a second; a tokenizer comes where one is named."""
    used = (
        "from infertui.load.planner import plan_of; from infertui.targets.endpoint.dialects.registry import dialect_of"
    )
    modules = loaded_after(f"import infertui.worker.loadgen.__main__; {used}")
    assert "uvloop" in modules
    unused = ("textual", "rich", "typer", "litestar", "uvicorn", "huggingface_hub", "pynvml", "psutil", "tokenizers")
    assert not modules.intersection((*BACKENDS, *unused, "infertui.runner", "infertui.worker.child"))


def test_the_first_paint_imports_neither_configs_nor_stores() -> None:
    """They take a tenth of a second together, and nothing of the first picture needs them."""
    modules = loaded_after("import infertui.tui.start, infertui.tui.app")
    unused = ("infertui.config.schema", "infertui.runner", "infertui.results", "sqlite3", "numpy", "uvicorn", "pynvml")
    assert "textual.app" in modules
    assert not modules.intersection((*BACKENDS, *unused))
