"""TensorRT-LLM through its LLM API: the PyTorch backend of 1.x, and built engines where the version still has them.

Written from the documented API and tested against its recorded surface; not run on hardware by infertui's makers.
"""

from infertui.measure.clock import Clock
from infertui.models.resolve import ModelSource
from infertui.targets.engine.base import Engine, LoadRequest, Probe
from infertui.targets.engine.tensorrt_llm import options
from infertui.targets.engine.tensorrt_llm.installation import examine


def probe() -> Probe:
    """Whether TensorRT-LLM can be used here, from files, versions and the driver; nothing of it is imported."""
    return examine().probe


def check(request: LoadRequest, source: ModelSource) -> None:
    """Refuse what this engine cannot run, before a worker is started: see `targets.engine.base.check`."""
    if request.capacity:
        options.check(request.engine, request.capacity)


def create(clock: Clock) -> Engine:
    """A new engine, nothing loaded yet; it needs no clock of its own."""
    from infertui.targets.engine.tensorrt_llm.engine import TensorrtLlmEngine

    return TensorrtLlmEngine()
