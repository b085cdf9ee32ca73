"""Importing TensorRT-LLM on trial, in a process of its own with a time limit: the import can crash, and can hang."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile

from infertui.errors import EngineError
from infertui.text import clean, shorten

TIMEOUT_S = 240.0
"""On a cold disk the import reads some gigabytes."""

_MARK = "infertui-tensorrt-llm "
_CODE = (
    "import json, os, sys; sys.path[:] = json.loads(os.environ.pop('INFERTUI_TRIAL_PATH')); import tensorrt_llm; "
    f"print('\\n{_MARK}' + tensorrt_llm.__version__, flush=True)"
)

# What it prints when it fails, what that means, and what helps. The first that is found counts.
_FAILURES = (
    (
        r"Didn't find wheel for tensorrt-llm",
        "what is installed is the stub of PyPI, which found no wheel for this Python",
        "Use Python 3.12, and NVIDIA's index: --extra-index-url https://pypi.nvidia.com.",
    ),
    (
        r"(libth_common\.so|bindings\.cpython[^:\s]*\.so|libtensorrt_llm\.so): undefined symbol",
        "its libraries do not fit the installed torch",
        "Install the torch that this version pins: 2.7.1 for 1.0, 2.9.0 for 1.1, 2.9.1 for 1.2, built for its CUDA.",
    ),
    (
        r"libpython[\d.]+\.so[\d.]*: cannot open shared object file",
        "the shared library of Python is missing",
        "apt-get install libpython3.12 (or of your version); a conda or uv Python has one in its lib folder.",
    ),
    (
        r"libmpi[\w.]*: cannot open shared object file|cannot load MPI library",
        "the MPI library is missing",
        "apt-get install libopenmpi-dev.",
    ),
    (
        r"libcudart[\w.]*: cannot open|libcublas[\w.]*: cannot open|libnvinfer[\w.]*: cannot open|libcuda\.so",
        "a CUDA or TensorRT library is missing",
        "Use NVIDIA's image, or install the CUDA libraries that this version names.",
    ),
    (r"Unsupported architecture|is not compatible with the current PyTorch", "the GPU is not supported by it", ""),
    (r"No module named '?([\w.]+)", "a Python package that it needs is missing", "Install it again with pip."),
)  # fmt: skip


def try_import(timeout_s: float = TIMEOUT_S) -> str:
    """Import tensorrt_llm in another process; its version. Raises EngineError with what went wrong."""
    environment = {**os.environ, "INFERTUI_TRIAL_PATH": json.dumps(sys.path), "TRTLLM_NO_USAGE_STATS": "1"}
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", _CODE],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )
        try:
            code = process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise EngineError(
                f"importing tensorrt_llm was not done in {timeout_s:g} s: it waits for MPI, as a rule",
                remedy="Use Open MPI instead of MPICH; in a container use --ipc=host, or set "
                "OMPI_MCA_btl_tcp_if_include=lo and OMPI_MCA_oob_tcp_if_include=lo.",
            ) from None
        finally:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        output.seek(0)
        text = output.read().decode(errors="replace")
    for line in reversed(text.splitlines()):
        if line.startswith(_MARK) and code == 0:
            return clean(line.removeprefix(_MARK))
    raise explain(text, code)


def explain(text: str, code: int) -> EngineError:
    """The error of an import that printed `text` and ended with `code`."""
    for pattern, meaning, remedy in _FAILURES:
        if match := re.search(pattern, text):
            line = next(line for line in text.splitlines() if match[0].splitlines()[0] in line)
            return EngineError(
                f"tensorrt_llm cannot be imported: {meaning} ({shorten(clean(line.strip()), 300)})", remedy=remedy
            )
    if code < 0:
        name = signal.Signals(-code).name if -code in signal.valid_signals() else str(-code)
        remedy = "In a container, --ipc=host helps against bus errors." if name == "SIGBUS" else "See its log."
        return EngineError(f"importing tensorrt_llm crashed with {name}", remedy=remedy)
    last = [line for line in text.splitlines() if line.strip()][-1:] or [f"exit status {code}"]
    return EngineError(f"tensorrt_llm cannot be imported: {shorten(clean(last[0].strip()), 400)}")
