"""vLLM through the engine class under its `LLM` and its server, without HTTP."""

from infertui.targets.engine.vllm.asked import check
from infertui.targets.engine.vllm.engine import create
from infertui.targets.engine.vllm.probing import probe

__all__ = ["check", "create", "probe"]
