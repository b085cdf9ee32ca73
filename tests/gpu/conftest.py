"""The real binding, in this process, over the stub driver library."""

import ctypes
from collections.abc import Callable, Iterator
from pathlib import Path

import pynvml
import pytest

from infertui.gpu.nvml import Nvml


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


@pytest.fixture
def open_nvml(stub_settings: Callable[..., None]) -> Iterator[Callable[..., Nvml]]:
    """Open NVML over a stub with these settings; closed at the end of the test."""
    opened: list[Nvml] = []

    def open_with(**settings: object) -> Nvml:
        stub_settings(**settings)
        opened.append(Nvml.open())
        return opened[-1]

    yield open_with
    for nvml in opened:
        nvml.close()
