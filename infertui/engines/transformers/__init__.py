"""Hugging Face Transformers on PyTorch, with all the levers."""

from infertui.engines.transformers.asked import check
from infertui.engines.transformers.engine import create
from infertui.engines.transformers.identity import probe

__all__ = ["check", "create", "probe"]
