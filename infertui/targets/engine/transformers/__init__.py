"""Hugging Face Transformers on PyTorch, with all the options."""

from infertui.targets.engine.transformers.asked import check
from infertui.targets.engine.transformers.engine import create
from infertui.targets.engine.transformers.inspection import probe

__all__ = ["check", "create", "probe"]
