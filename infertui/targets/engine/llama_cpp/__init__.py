"""llama.cpp through llama-cpp-python's low-level API."""

from infertui.targets.engine.llama_cpp.asked import check
from infertui.targets.engine.llama_cpp.engine import create, probe

__all__ = ["check", "create", "probe"]
