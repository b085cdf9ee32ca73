"""The real binding, in this process, over the stub driver library."""

from collections.abc import Callable, Iterator

import pytest

from infertui.telemetry.nvml import Nvml


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
