"""Hugging Face Transformers on PyTorch, with all the levers."""

from infertui.targets.engine.transformers.asked import check
from infertui.targets.engine.transformers.effective import probe
from infertui.targets.engine.transformers.engine import create

__all__ = ["check", "create", "probe"]
