"""OpenVINO GenAI on CPUs."""

from infertui.engines.openvino.engine import create, probe
from infertui.engines.openvino.source import check

__all__ = ["check", "create", "probe"]
