from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from support import trtllm

from infertui.targets.engine import gpus


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Callable[[gpus.Driver | None], None]:
    """Sets what NVML would say; there is no GPU where tests run."""

    def put(found: gpus.Driver | None) -> None:
        monkeypatch.setattr(gpus, "read", lambda: found)

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    put(trtllm.H200)
    return put


@pytest.fixture
def mpi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a libmpi, on the library path."""
    folder = tmp_path / "mpi"
    folder.mkdir()
    (folder / "libmpi.so.40").touch()
    monkeypatch.setenv("LD_LIBRARY_PATH", str(folder))
    return folder


@pytest.fixture
def install(tmp_path: Path, driver: object, mpi: Path) -> Iterator[Callable[..., Path]]:
    """Installs the fake of a line, with its misdeeds; gives its root."""
    with ExitStack() as stack:

        def put(line: str = "1.2", **does: Any) -> Path:
            package = trtllm.write(tmp_path / "site", line, **does)
            stack.enter_context(trtllm.importable(tmp_path / "site"))
            return package

        yield put
