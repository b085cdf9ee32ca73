"""llama.cpp through llama-cpp-python's low-level API."""

from infertui.engines.llama_cpp.asked import check
from infertui.engines.llama_cpp.engine import create, probe

__all__ = ["check", "create", "probe"]
