"""What each peak of memory is called, in every table and view: three things that are not to be mixed up."""

from collections.abc import Callable

from infertui.results.result import Result

GPU_PEAK, ALLOCATOR_PEAK, HOST_PEAK = "GPU mem (process)", "allocator peak", "host mem peak (RSS)"
PEAKS: dict[str, Callable[[Result], int | None]] = {
    GPU_PEAK: lambda result: result.device.vram_process if result.device else None,
    ALLOCATOR_PEAK: lambda result: result.summary.memory.allocated_peak,
    HOST_PEAK: lambda result: result.summary.memory.resident_peak,
}
"""Bytes: what the driver says the worker's processes hold, what the library's allocator gave out, what was resident."""
