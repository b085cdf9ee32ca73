"""A GPU's ceilings, by PyTorch."""

import time
from collections.abc import Callable, Sequence
from typing import Any

from infertui.measure.roofline import FORMATS
from infertui.targets.engine.peaks.peaks import Missing, PeaksPlan, PeaksSubject, Rate, best_size, square
from infertui.text import clean
from infertui.units import format_bytes

_SIZES = (4096, 8192, 16384)
_WARM_S = 0.3
# Compute capability from which tensor cores know the format.
_SINCE = {"tf32": (8, 0), "bfloat16": (8, 0), "int8": (7, 5), "float8": (8, 9), "float16": (5, 3), "float32": (0, 0)}


class CudaBench:
    """One GPU. `index` counts among those that PyTorch sees."""

    def __init__(self, index: int, plan: PeaksPlan) -> None:
        import torch

        self._plan = plan
        self._device = torch.device("cuda", index)
        torch.cuda.set_device(self._device)
        self._properties = torch.cuda.get_device_properties(self._device)
        torch.manual_seed(0)

    @property
    def subject(self) -> PeaksSubject:
        import torch

        uuid = str(getattr(self._properties, "uuid", ""))
        return PeaksSubject(
            device=str(self._properties.name),
            uuid=uuid if not uuid or uuid.startswith(("GPU-", "MIG-")) else f"GPU-{uuid}",
            threads=None,
            software=f"torch {torch.__version__}",
        )

    @property
    def formats(self) -> Sequence[str]:
        return FORMATS

    def copy(self) -> Rate:
        """Copy between two buffers far larger than the L2 cache: bytes read plus written, over the time."""
        import torch

        free, _ = torch.cuda.mem_get_info(self._device)
        size = min(self._plan.copy_bytes, free // 4) // 4096 * 4096
        source = torch.ones(size // 4, dtype=torch.float32, device=self._device)
        target = torch.empty_like(source)
        events, clock = self._timed(lambda: target.copy_(source), self._plan.copy_s)
        size = source.nbytes
        return Rate(
            "copy",
            tuple(2 * size / seconds for seconds in events),
            f"{format_bytes(size)} to another {format_bytes(size)}",
            tuple(2 * size / seconds for seconds in clock),
        )

    def product(self, what: str) -> Rate | Missing:
        """Multiply square matrices of random numbers. PyTorch's own call, so cuBLAS or what it chooses."""
        import torch

        capability = (self._properties.major, self._properties.minor)
        if capability < _SINCE[what]:
            told = f"compute capability {capability[0]}.{capability[1]}"
            return Missing(what, f"the GPU has no such matrix units ({told})")
        try:
            torch.set_float32_matmul_precision("high" if what == "tf32" else "highest")
            sizes = [n for n in _SIZES if n <= self._plan.largest]
            found = best_size(sizes, self._plan.format_s, lambda n: self._once(what, n), self._plan.repeats)
        except torch.cuda.OutOfMemoryError:
            return Missing(what, "there is not enough free memory on the GPU")
        except (RuntimeError, AttributeError, NotImplementedError, TypeError, ValueError) as error:
            return Missing(
                what, f"PyTorch cannot: {clean(str(error)).splitlines()[0][:200] if str(error) else error!r}"
            )
        finally:
            torch.set_float32_matmul_precision("highest")
            torch.cuda.empty_cache()
        if found is None:
            return Missing(what, "no size of matrices fits")
        n, seconds = found
        return Rate(what, tuple(2 * n**3 / one for one in seconds), square(n) + _how(what))

    def _once(self, what: str, n: int) -> Callable[[], float]:
        """What multiplies once, and says the seconds by the device's events."""
        import torch

        multiply = self._multiplication(what, n)
        until = time.monotonic() + _WARM_S
        while time.monotonic() < until:
            multiply()
            torch.cuda.synchronize(self._device)

        def once() -> float:
            start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            start.record()
            multiply()
            end.record()
            end.synchronize()
            return float(start.elapsed_time(end)) / 1e3

        return once

    def _multiplication(self, what: str, n: int) -> Callable[[], Any]:
        import torch

        on = {"device": self._device}
        if what == "int8":
            a = torch.randint(-127, 128, (n, n), dtype=torch.int8, **on)
            b = torch.randint(-127, 128, (n, n), dtype=torch.int8, **on).t()
            return lambda: torch._int_mm(a, b)
        if what == "float8":
            kind = torch.float8_e4m3fn
            a = torch.randn(n, n, dtype=torch.float16, **on).to(kind)
            b = torch.randn(n, n, dtype=torch.float16, **on).to(kind).t()
            one = torch.ones((), dtype=torch.float32, **on)
            return lambda: torch._scaled_mm(
                a, b, scale_a=one, scale_b=one, out_dtype=torch.bfloat16, use_fast_accum=True
            )
        dtype = torch.float32 if what == "tf32" else getattr(torch, what)
        a, b = (torch.randn(n, n, dtype=torch.float32, **on).to(dtype) for _ in range(2))
        out = torch.empty(n, n, dtype=dtype, **on)
        return lambda: torch.mm(a, b, out=out)

    def _timed(self, once: Callable[[], Any], budget_s: float) -> tuple[list[float], list[float]]:
        """Seconds of each repetition, by events of the device and by the host's clock."""
        import torch

        by_event: list[float] = []
        by_clock: list[float] = []
        until = time.monotonic() + _WARM_S
        while time.monotonic() < until:
            once()
            torch.cuda.synchronize(self._device)
        began = time.monotonic()
        while len(by_event) < 3 or (len(by_event) < self._plan.repeats and time.monotonic() - began < budget_s):
            start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            torch.cuda.synchronize(self._device)
            before = time.perf_counter_ns()
            start.record()
            once()
            end.record()
            torch.cuda.synchronize(self._device)
            by_clock.append((time.perf_counter_ns() - before) / 1e9)
            by_event.append(float(start.elapsed_time(end)) / 1e3)
        return by_event, by_clock


def _how(what: str) -> str:
    """What the call does besides, where that matters."""
    return {"float8": ", e4m3, fast accumulation", "int8": ", into int32"}.get(what, "")
