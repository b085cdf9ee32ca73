"""The Runner under test sees no GPU, whatever this machine has; those with one run in processes of their own."""

from functools import partial
from typing import NoReturn

import pytest

from infertui.telemetry.nvml import NvmlUnavailableError
from infertui.telemetry.sampler import Sampler


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    def unavailable() -> NoReturn:
        raise NvmlUnavailableError("no driver in these tests")

    monkeypatch.setattr("infertui.runner.runner.Sampler", partial(Sampler, open_nvml=unavailable))
