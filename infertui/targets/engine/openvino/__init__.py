"""OpenVINO GenAI on CPUs."""

from infertui.targets.engine.openvino.engine import create, probe
from infertui.targets.engine.openvino.source import check

__all__ = ["check", "create", "probe"]
