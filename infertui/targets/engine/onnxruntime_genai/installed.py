"""Which of the library's packages are here. None is imported."""

import importlib.metadata
import re
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType

from infertui.config.engines.onnxruntime_genai import SPEC
from infertui.targets.engine.base import Probe

MODULES = MappingProxyType(
    {
        "onnxruntime_genai": ("onnxruntime-genai", "onnxruntime-genai-cuda"),
        "onnxruntime": ("onnxruntime", "onnxruntime-gpu"),
        "onnx": ("onnx",),
        "onnx_ir": ("onnx-ir",),
        "torch": ("torch",),
        "transformers": ("transformers",),
    }
)
"""Modules, and the packages that may hold each. The last four make the model that the first two run."""
_RUN_WITH = ("onnxruntime_genai", "onnxruntime")
_CUDA = re.compile(r"^cuda_version\s*=\s*['\"]([0-9.]+)['\"]", re.MULTILINE)


def probe() -> Probe:
    """Usable when the library, and what its model builder needs, are installed."""
    missing = [packages[0] for module, packages in MODULES.items() if find_spec(module) is None]
    if missing:
        reason = f"{_listed(missing)} not installed"
        return Probe("onnxruntime-genai", available=False, reason=reason, remedy=SPEC.install)
    found = versions()
    for module in _RUN_WITH:
        if not any(package in found for package in MODULES[module]):
            reason = f"there is a folder or module named {module}, but not the package"
            return Probe("onnxruntime-genai", available=False, reason=reason, remedy=SPEC.install)
    return Probe("onnxruntime-genai", available=True, reason="installed", versions=found, cuda=_cuda())


def versions() -> dict[str, str]:
    """The versions of the packages that run a model, by package."""
    found = {}
    for module in _RUN_WITH:
        for package in MODULES[module]:
            try:
                found[package] = importlib.metadata.version(package)
            except importlib.metadata.PackageNotFoundError:
                continue
    return found


def _cuda() -> str:
    """The version of CUDA that ONNX Runtime says it was built for; `none` where it says none."""
    spec = find_spec("onnxruntime")
    places = list(spec.submodule_search_locations or ()) if spec else []
    for place in places:
        path = Path(place) / "capi" / "build_and_package_info.py"
        try:
            named = _CUDA.search(path.read_text(encoding="utf-8", errors="replace"))
        except OSError:
            return ""
        return named.group(1) if named else "none"
    return ""


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
