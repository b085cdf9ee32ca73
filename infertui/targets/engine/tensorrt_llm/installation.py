"""Is TensorRT-LLM here, and can it run? Answered from files, package metadata and the driver; nothing is imported.

Importing it takes half a minute, can crash and can hang in MPI: that is tried in a process of its own with a time
limit, and only where a model is going to be loaded.
"""

import contextlib
import importlib.metadata
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from ctypes.util import find_library
from importlib.util import find_spec
from pathlib import Path

from msgspec import Struct

from infertui.config.engines.tensorrt_llm import SPEC
from infertui.errors import EngineError
from infertui.targets.engine import gpus
from infertui.targets.engine.base import Probe
from infertui.targets.engine.tensorrt_llm.options import Version, parse
from infertui.text import clean, one_line

PACKAGE = "tensorrt_llm"
NOT_RUN = "infertui's makers have not run it on hardware"
CONTAINER = "nvcr.io/nvidia/tensorrt-llm/release:1.2.1"
_REMEDY = (
    "Its wheels are for Python 3.10 and 3.12 on Linux, and infertui runs on 3.12 of these. Run infertui inside "
    f"NVIDIA's image {CONTAINER}, or: pip install tensorrt-llm infertui --extra-index-url https://pypi.nvidia.com in a "
    f"Python 3.12, then `infertui engines use {SPEC.name} --python PATH`."
)

LOWEST_CAPABILITY = (8, 0)
"""Its attention kernels need Ampere."""
_TAG = re.compile(r"bindings\.cpython-(\d)(\d+)-")

_LIBMPI_FOLDERS = (
    "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib", "/usr/local/lib",
    "/usr/lib64/openmpi/lib", "/usr/lib/x86_64-linux-gnu/openmpi/lib", "/opt/hpcx/ompi/lib", "/usr/local/mpi/lib",
    "/opt/amazon/openmpi/lib", "/usr/mpi/gcc/openmpi/lib",
)  # fmt: skip


class Installation(Struct, frozen=True):
    """What was found. `root` is the package's folder; `engine_path` says that built engines can be run with it."""

    probe: Probe
    version: Version | None = None
    root: Path | None = None
    engine_path: bool = False


def examine() -> Installation:
    """Look at everything that can be known without importing it. Takes milliseconds."""
    spec = find_spec(PACKAGE)
    version_text = _distribution_version()
    if spec is None and version_text is None:
        return _unusable("tensorrt_llm is not installed", _REMEDY)
    if spec is None or not spec.submodule_search_locations:
        return _unusable(
            "there is a package of that name, but not the library: the stub of PyPI found no wheel for this Python",
            _REMEDY,
        )
    if version_text is None:
        return _unusable("there is a folder named tensorrt_llm, but not the package", "Run infertui in another folder.")
    version = parse(version_text)
    if version is None:
        return _unusable(f"its version {clean(version_text)!r} cannot be read", "")
    root = Path(next(iter(spec.submodule_search_locations)))
    engine_path = (root / "_tensorrt_engine").is_dir() or (root / "_tensorrt_engine.py").is_file()
    problem = next(filter(None, (check(version, root) for check in (_complete, _old, _python, _mpi, _gpu))), None)
    if problem:
        reason, remedy = problem
        return _unusable(reason, remedy, version, root, engine_path)
    backends = "PyTorch backend and built engines" if engine_path else "PyTorch backend alone, no built engines"
    reason = f"installed: {backends}; {NOT_RUN}"
    if version.note:
        reason += f"; {version.note}"
    return Installation(
        Probe(SPEC.name, available=True, reason=reason, versions=_versions(version)), version, root, engine_path
    )


def _unusable(
    reason: str, remedy: str, version: Version | None = None, root: Path | None = None, engine_path: bool = False
) -> Installation:
    versions = _versions(version) if version else {}
    return Installation(
        Probe(SPEC.name, available=False, reason=reason, remedy=remedy, versions=versions), version, root, engine_path
    )


def _versions(version: Version) -> dict[str, str]:
    versions = {PACKAGE: clean(version.text)}
    for name in ("torch", "tensorrt"):
        try:
            versions[name] = clean(importlib.metadata.version(name))
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def _distribution_version() -> str | None:
    try:
        return importlib.metadata.version("tensorrt-llm")
    except importlib.metadata.PackageNotFoundError:
        return None


_Problem = tuple[str, str] | None


def _complete(version: Version, root: Path) -> _Problem:
    """The stub has none of these files, a broken installation lacks some."""
    missing = [name for name in ("libs/libtensorrt_llm.so", "libs/libth_common.so") if not (root / name).is_file()]
    bindings = [path.name for path in root.glob("bindings*.so")]
    if bindings and not missing:
        return None
    if not bindings and len(missing) == 2:
        return (
            f"tensorrt_llm {version.text} is a stub: it holds none of the compiled libraries",
            f"The package on PyPI only points to NVIDIA's index. {_REMEDY}",
        )
    lacking = ", ".join([*missing, *([] if bindings else ["bindings.*.so"])])
    return f"tensorrt_llm {version.text} is incomplete: {lacking} missing", "Install it again."


def _old(version: Version, root: Path) -> _Problem:
    if version.line != "older":
        return None
    return f"tensorrt_llm {version.text} is older than 1.0, whose API this is", "Install 1.2.1."


def _python(version: Version, root: Path) -> _Problem:
    tags = [match for path in root.glob("bindings*.so") if (match := _TAG.match(path.name))]
    built = [(int(match[1]), int(match[2])) for match in tags]
    if not built or sys.version_info[:2] in built:
        return None
    names = " and ".join(f"{major}.{minor}" for major, minor in built)
    here = f"{sys.version_info[0]}.{sys.version_info[1]}"
    return (
        f"tensorrt_llm {version.text} is built for Python {names}, and this is {here}",
        f"`infertui engines use {SPEC.name} --python PATH` names another, of that version.",
    )


def _mpi(version: Version, root: Path) -> _Problem:
    if any(True for folder in _mpi_folders() for _ in folder.glob("libmpi.so*")) or find_library("mpi"):
        return None
    return "libmpi is not found, which tensorrt_llm loads when imported", "apt-get install libopenmpi-dev."


def _mpi_folders() -> Iterator[Path]:
    for variable in ("LD_LIBRARY_PATH", "MPI_HOME", "OPAL_PREFIX"):
        for entry in filter(None, os.environ.get(variable, "").split(":")):
            yield Path(entry)
            yield Path(entry) / "lib"
    yield Path(sys.prefix) / "lib"
    yield from map(Path, _LIBMPI_FOLDERS)


def _gpu(version: Version, root: Path) -> _Problem:
    driver = gpus.read()
    if driver is None or not driver.gpus:
        return "no NVIDIA GPU, or no driver for it", "It needs a GPU of compute capability 8.0 or higher."
    shown = gpus.visible(driver)
    if not shown:
        return "CUDA_VISIBLE_DEVICES hides every GPU", "Unset it, or name a GPU."
    weak = [gpu for gpu in shown if gpu.capability < LOWEST_CAPABILITY]
    if weak:
        major, minor = weak[0].capability
        return (
            f"{clean(weak[0].name)} has compute capability {major}.{minor}; tensorrt_llm needs 8.0",
            "Leave that GPU out with device.visible.",
        )
    if driver.cuda // 1000 < version.cuda_major:
        return (
            f"driver {clean(driver.version)} supports CUDA {driver.cuda // 1000}; tensorrt_llm {version.text} is "
            f"built for CUDA {version.cuda_major}",
            "Install a newer driver, or tensorrt_llm 1.0.",
        )
    return None


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
                f"tensorrt_llm cannot be imported: {meaning} ({one_line(line.strip(), 300)})", remedy=remedy
            )
    if code < 0:
        name = signal.Signals(-code).name if -code in signal.valid_signals() else str(-code)
        remedy = "In a container, --ipc=host helps against bus errors." if name == "SIGBUS" else "See its log."
        return EngineError(f"importing tensorrt_llm crashed with {name}", remedy=remedy)
    last = [line for line in text.splitlines() if line.strip()][-1:] or [f"exit status {code}"]
    return EngineError(f"tensorrt_llm cannot be imported: {one_line(last[0].strip(), 400)}")
