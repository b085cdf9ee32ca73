"""A CPU's ceilings: the copy by NumPy in threads, products by PyTorch, or by NumPy's BLAS where there is none."""

import itertools
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psutil

from infertui.targets.engine.peaks.peaks import Missing, PeaksPlan, PeaksSubject, Rate, best_size, square
from infertui.text import clean
from infertui.units import format_bytes

_SIZES = (512, 1024, 2048, 4096, 8192)
_TORCH_FORMATS = ("float32", "float16", "bfloat16", "int8")


class CpuBench:
    """The CPU, with `threads` threads; 0 leaves their number to the library."""

    def __init__(self, threads: int, plan: PeaksPlan) -> None:
        self._plan = plan
        self._torch = _torch()
        if self._torch is not None:
            if threads:
                self._torch.set_num_threads(threads)
            self._torch.manual_seed(0)
            self._threads = int(self._torch.get_num_threads())
        else:
            # The parent puts the same number into the environment, which is where a BLAS reads it.
            self._threads = threads or _by_environment() or len(os.sched_getaffinity(0))

    @property
    def subject(self) -> PeaksSubject:
        software = f"torch {self._torch.__version__}" if self._torch is not None else f"numpy {_numpy()} ({_blas()})"
        return PeaksSubject(device="", uuid="", threads=self._threads, software=software)

    @property
    def formats(self) -> Sequence[str]:
        return _TORCH_FORMATS

    def copy(self) -> Rate:
        """Copy between buffers larger than any cache, each thread its own part: a single one cannot fill the bus.

        The bytes count as read plus written. Where the CPU fetches what it is going to overwrite, it moves half as
        much again, which does not count: it is of no use to anybody.
        """
        import numpy as np

        size = min(self._plan.copy_bytes, psutil.virtual_memory().available // 8) // 4096 * 4096
        source, target = np.ones(size, np.uint8), np.zeros(size, np.uint8)  # touched, so that every page is there
        bounds = [size * part // self._threads for part in range(self._threads + 1)]
        parts = [(target[a:b], source[a:b]) for a, b in itertools.pairwise(bounds)]
        taken: list[float] = []
        with ThreadPoolExecutor(self._threads) as pool:
            list(pool.map(lambda part: np.copyto(*part), parts))
            began = time.monotonic()
            while len(taken) < 3 or (len(taken) < self._plan.repeats and time.monotonic() - began < self._plan.copy_s):
                before = time.perf_counter_ns()
                list(pool.map(lambda part: np.copyto(*part), parts))
                taken.append((time.perf_counter_ns() - before) / 1e9)
        words = f"{format_bytes(size)} to another {format_bytes(size)} by {self._threads} threads"
        return Rate("copy", tuple(2 * size / seconds for seconds in taken), words)

    def product(self, what: str) -> Rate | Missing:
        """Multiply square matrices of random numbers with all threads."""
        if self._torch is None and what != "float32":
            return Missing(what, "NumPy has no fast product of it; PyTorch is not installed here")
        room = psutil.virtual_memory().available // 8
        sizes = [n for n in _SIZES if n <= self._plan.largest and 3 * 4 * n * n <= room]
        try:
            found = best_size(sizes, self._plan.format_s, lambda n: _once(self._made(what, n)), self._plan.repeats)
        except (RuntimeError, AttributeError, NotImplementedError, TypeError, ValueError) as error:
            return Missing(
                what, f"PyTorch cannot: {clean(str(error)).splitlines()[0][:200] if str(error) else error!r}"
            )
        if found is None:
            return Missing(what, "there is not enough free memory")
        n, seconds = found
        return Rate(what, tuple(2 * n**3 / one for one in seconds), square(n))

    def _made(self, what: str, n: int) -> Callable[[], Any]:
        torch = self._torch
        if torch is None:
            import numpy as np

            draw = np.random.default_rng(0)
            left, right = (draw.standard_normal((n, n), np.float32) for _ in range(2))
            target = np.empty((n, n), np.float32)
            return lambda: np.matmul(left, right, out=target)
        if what == "int8":
            a, b = (torch.randint(-127, 128, (n, n), dtype=torch.int8) for _ in range(2))
            return lambda: torch._int_mm(a, b)
        dtype = getattr(torch, what)
        a, b = (torch.randn(n, n).to(dtype) for _ in range(2))
        out = torch.empty(n, n, dtype=dtype)
        return lambda: torch.mm(a, b, out=out)


def _once(multiply: Callable[[], Any]) -> Callable[[], float]:
    def once() -> float:
        before = time.perf_counter_ns()
        multiply()
        return (time.perf_counter_ns() - before) / 1e9

    return once


def _torch() -> Any:
    try:
        import torch
    except ImportError:
        return None
    return torch


def _numpy() -> str:
    import numpy as np

    return np.__version__


def _blas() -> str:
    """Which BLAS NumPy was built with."""
    import numpy as np

    config: Any = np.show_config(mode="dicts")
    try:
        blas = config["Build Dependencies"]["blas"]
        return clean(f"{blas.get('name', 'BLAS')} {blas.get('version', '')}".strip())
    except (KeyError, TypeError, AttributeError):
        return "its BLAS"


def _by_environment() -> int:
    value = os.environ.get("OMP_NUM_THREADS", "")
    return int(value) if value.isdecimal() and 0 < int(value) <= 4096 else 0
