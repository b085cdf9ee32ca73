"""Which device is measured, by its name."""

from infertui.errors import EngineError
from infertui.targets.engine.peaks.cpu import CpuBench
from infertui.targets.engine.peaks.cuda import CudaBench
from infertui.targets.engine.peaks.peaks import FULL_CPU, FULL_CUDA, QUICK_CPU, QUICK_CUDA, MeasuredDevice


def pick(device: str, threads: int, *, quick: bool) -> MeasuredDevice:
    """The bench for `auto`, `cpu`, `cuda` or `cuda:N`. Raises EngineError where that device cannot be used."""
    if device != "cpu" and (seen := _gpus(required=device != "auto")):
        index = int(device.partition(":")[2] or 0)
        if index >= seen:
            raise EngineError(
                f"there is no {device}: PyTorch sees {seen} GPU{'s' if seen != 1 else ''}",
                remedy=f"Name one up to cuda:{seen - 1}; `infertui gpus` lists them.",
            )
        return CudaBench(index, QUICK_CUDA if quick else FULL_CUDA)
    return CpuBench(threads, QUICK_CPU if quick else FULL_CPU)


def _gpus(*, required: bool) -> int:
    """How many GPUs PyTorch sees. Raises EngineError where it has to see one and does not."""
    try:
        import torch
    except ImportError:
        if required:
            raise EngineError(
                "a GPU is measured by PyTorch, which is not installed here",
                remedy='pip install "infertui[transformers]", or measure the CPU: --device cpu',
            ) from None
        return 0
    seen = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if required and not seen:
        built = "was built without CUDA" if torch.version.cuda is None else "sees no GPU"
        raise EngineError(
            f"PyTorch {torch.__version__} {built}",
            remedy="`infertui doctor` says what can be used; --device cpu measures the CPU.",
        )
    return seen
