"""ONNX Runtime GenAI on CPUs and NVIDIA GPUs."""

from infertui.targets.engine.onnxruntime_genai.asked import check
from infertui.targets.engine.onnxruntime_genai.engine import create
from infertui.targets.engine.onnxruntime_genai.installed import probe

__all__ = ["check", "create", "probe"]
