"""PCIe traffic of a real GPU under copies, by the driver's own means to move bytes: no engine is needed."""

import ctypes
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from infertui.telemetry.nvml import Nvml
from infertui.telemetry.readings import GpuSample
from infertui.telemetry.sampler import Sampler

pytestmark = pytest.mark.gpu
BYTES = 256 << 20


class Copies:
    """Copies between pinned memory and the first GPU, in a thread, until it is told to stop."""

    def __init__(self, *, down: bool) -> None:
        self.down, self.moved = down, 0
        self._stop = threading.Event()
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._copy)

    def __enter__(self) -> "Copies":
        self._thread.start()
        assert self._started.wait(60)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _copy(self) -> None:
        cuda = ctypes.CDLL("libcuda.so.1")
        device, context = ctypes.c_int(), ctypes.c_void_p()
        there, here, size = ctypes.c_uint64(), ctypes.c_void_p(), ctypes.c_size_t(BYTES)
        assert cuda.cuInit(0) == 0
        assert cuda.cuDeviceGet(ctypes.byref(device), 0) == 0
        assert cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), device) == 0
        assert cuda.cuCtxSetCurrent(context) == 0
        assert cuda.cuMemAlloc_v2(ctypes.byref(there), size) == 0
        assert cuda.cuMemAllocHost_v2(ctypes.byref(here), size) == 0
        while not self._stop.is_set():
            assert (
                cuda.cuMemcpyHtoD_v2(there, here, size) if self.down else cuda.cuMemcpyDtoH_v2(here, there, size)
            ) == 0
            self.moved += BYTES
            self._started.set()
        cuda.cuMemFree_v2(there)
        cuda.cuMemFreeHost(here)
        cuda.cuDevicePrimaryCtxRelease_v2(device)


@pytest.fixture
def readings() -> Iterator[Callable[[], GpuSample]]:
    """The newest sample of the first GPU that the sampler took after the call."""
    sampler = Sampler(hz=4)
    sampler.start()
    assert sampler.wait_ready(60)

    def newest() -> GpuSample:
        asked, deadline = time.monotonic_ns() + 1_200_000_000, time.monotonic() + 30
        while not (sampler.latest and sampler.latest.t_ns > asked):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        return sampler.latest.gpus[0]

    yield newest
    assert sampler.stop()


@pytest.mark.parametrize("down", [True, False])
def test_what_is_copied_is_what_is_read(readings: Callable[[], GpuSample], *, down: bool) -> None:
    quiet = readings()
    assert quiet.pcie_rx is not None
    assert quiet.pcie_tx is not None
    with Copies(down=down) as copies:
        moved, began = copies.moved, time.monotonic()
        found = [readings() for _ in range(3)]
        really = (copies.moved - moved) / (time.monotonic() - began)
    for one in found:
        there, back = (one.pcie_rx, one.pcie_tx) if down else (one.pcie_tx, one.pcie_rx)
        assert there is not None
        assert back is not None
        # The link carries headers as well: 8 % more with packets of 256 bytes.
        assert 0.8 * really < there < 1.4 * really
        assert back < 0.25 * there


def test_links_of_one_card_and_of_several() -> None:
    nvml = Nvml.open()
    try:
        for info in nvml.devices():
            nvml.begin_traffic()
            time.sleep(0.02)
            one = nvml.sample(info)
            if info.parent is None:
                assert (info.nvlinks is None) or 0 <= info.nvlinks <= 36
                assert (one.nvlink_rx is None) == (one.nvlink_tx is None)
    finally:
        nvml.close()
