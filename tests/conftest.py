"""For all tests: how thorough properties are tried, and a stand-in for the NVIDIA driver library."""

import ctypes
import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pynvml
import pytest

# A fifth of the examples while somebody waits; `--hypothesis-profile=thorough` tries all of them, the same ones each
# time. No deadline: no test asserts on speed. Environments of a single engine have no Hypothesis, nor need it.
if find_spec("hypothesis"):
    from hypothesis import settings

    settings.register_profile("quick", max_examples=20, deadline=None)
    settings.register_profile("thorough", deadline=None, derandomize=True, database=None, print_blob=True)
    settings.load_profile("quick")

# A `.env` of the checkout, which compose reads, is none of the tests' business.
os.environ["INFERTUI_NO_ENV_FILE"] = "1"

# Shells have what they start in the background ignore these, and what is started from here would inherit that.
for _number, _usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGQUIT, signal.SIG_DFL)):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, _usual)

_STUB_SOURCE = Path(__file__).parent / "telemetry" / "nvml_stub.c"


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


@pytest.fixture
def stub_calls(nvml_stub: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], int]:
    """Put the stub in the driver's place; gives how often a function of it was called."""
    library = ctypes.CDLL(str(nvml_stub / "libnvidia-ml.so.1"))
    library.stub_calls.restype = ctypes.c_long
    # Where the binding keeps the library that it loaded, and the functions it found there.
    monkeypatch.setattr(pynvml, "nvmlLib", library)
    monkeypatch.setattr(pynvml, "_nvmlGetFunctionPointer_cache", {})
    return lambda name: int(library.stub_calls(name.encode()))


@pytest.fixture
def stub_settings(stub_calls: Callable[[str], int], monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """`stub_settings(power_w=250)` sets NVML_STUB_POWER_W; it counts from the next opening on."""

    def set_all(**settings: object) -> None:
        for name, value in settings.items():
            monkeypatch.setenv(f"NVML_STUB_{name.upper()}", str(value))

    return set_all
