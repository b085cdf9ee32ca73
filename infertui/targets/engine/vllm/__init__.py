"""vLLM through the engine class under its `LLM` and its server, without HTTP."""

from infertui.targets.engine.vllm.arguments import probe
from infertui.targets.engine.vllm.asked import check
from infertui.targets.engine.vllm.engine import create

__all__ = ["check", "create", "probe"]
