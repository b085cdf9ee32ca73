"""vLLM through the engine class under its `LLM` and its server, without HTTP."""

from infertui.engines.vllm.asked import check
from infertui.engines.vllm.engine import create
from infertui.engines.vllm.probing import probe

__all__ = ["check", "create", "probe"]
