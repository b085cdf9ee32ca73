"""OpenVINO GenAI on CPUs."""

from infertui.engines.openvino.engine import create, probe

__all__ = ["create", "probe"]
