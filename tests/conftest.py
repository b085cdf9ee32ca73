"""Fixtures for all tests: a stand-in for the NVIDIA driver library."""

import shutil
import subprocess
from pathlib import Path

import pytest

_STUB_SOURCE = Path(__file__).parent / "gpu" / "nvml_stub.c"


@pytest.fixture(scope="session")
def nvml_stub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a stub libnvidia-ml.so.1, to be put on LD_LIBRARY_PATH of a child process.

    What it answers is set through the environment variables that its source lists.
    """
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("no C compiler to build the stub driver library with")
    folder = tmp_path_factory.mktemp("nvml-stub")
    library = folder / "libnvidia-ml.so.1"
    flags = ["-shared", "-fPIC", "-O1", "-pthread", "-Wl,-soname,libnvidia-ml.so.1"]
    subprocess.run([compiler, *flags, "-o", library, _STUB_SOURCE], check=True)
    return folder
